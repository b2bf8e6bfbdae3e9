//! Replay: what the log says is done again, away from the node, and compared.
//!
//! A replay begins with the oldest base that is kept, goes through the log in its order, runs every step's guest again with what the record says
//! came from outside, and compares the record that the step would make with the one that is there. Steps that a limit ended
//! are taken from their records. At the end the tables are compared, module by module, with those that the node comes back to.
//!
//! There are no actors here: one step after the other, through the functions of `module/step` and `module/nested` that the node
//! itself uses. The node's directory is locked meanwhile, and nothing in it is changed.

mod compare;
mod difference;
mod error;
mod expected;
mod neighbours;
mod slot;
mod steps;
mod world;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use interstice_abi::id::{ModuleName, NodeId, Seq};
use interstice_host::{
    log::{LogFiles, StdFiles, examine},
    table::Digest,
    wasm::Engine,
};

pub use self::{
    difference::{Difference, RowDifference, What},
    error::ReplayError,
};
use self::{expected::Expected, steps::Replay, world::World};
use crate::{
    base,
    config::Config,
    directory::Directory,
    node::{NodeError, assemble::seed_of},
    record::Record,
};

/// What a replay came to.
#[derive(Debug)]
pub struct Replayed {
    /// Turns that began.
    pub turns: u64,
    /// Steps, those of the node itself included.
    pub steps: u64,
    /// Of these, steps that a limit ended and that were taken from their records.
    pub taken: u64,
    /// The last turn.
    pub last_seq: Seq,
    /// How long it took, the comparison of tables excluded.
    pub elapsed: Duration,
    /// The first thing that came out differently; what is behind it was not replayed.
    pub difference: Option<Difference>,
    /// The tables at the end, module by module; empty after a difference.
    pub modules: Vec<ModuleReplayed>,
}

/// What a module's tables came to.
#[derive(Debug)]
pub struct ModuleReplayed {
    /// The module.
    pub module: ModuleName,
    /// The digest of the replayed tables; `None` when the replay ends without the module.
    pub replayed: Option<Digest>,
    /// The digest that the node comes back to; `None` when it has no such module.
    pub expected: Option<Digest>,
    /// Where the digests differ: the first row that does.
    pub row: Option<RowDifference>,
}

impl ModuleReplayed {
    /// Whether the tables are the same.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.replayed == self.expected
    }
}

impl Replayed {
    /// Whether everything came out as it was.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.difference.is_none() && self.modules.iter().all(ModuleReplayed::agrees)
    }
}

/// How far a replay is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Bytes of the log that are done.
    pub done: u64,
    /// Bytes of the log in all.
    pub bytes: u64,
}

/// Replays the log of the stopped node in `directory` from its oldest base on, and compares with what the node would come
/// back to. Blocks; must not be called on a thread of a runtime.
///
/// # Errors
/// When the directory is in use, or something that a replay needs is missing or damaged: by name.
pub fn replay(
    directory: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<Replayed, ReplayError> {
    let directory = Arc::new(Directory::open(directory)?);
    let config = Config::read(&directory.path("node.toml"))?;
    let key = directory.key()?;
    let files: Arc<dyn LogFiles> = Arc::new(StdFiles);
    let log = directory.path("log");
    let damaged = |error: interstice_host::log::LogError| NodeError::Log {
        problem: error.to_string(),
    };
    let found = examine(&log, files.as_ref()).map_err(damaged)?;
    let bases =
        base::list(directory.root(), found.start()).map_err(|error| NodeError::Directory {
            path: directory.path(base::FOLDER),
            problem: error.to_string(),
        })?;
    let Some(base) = bases.first() else {
        return Err(ReplayError::Beginning {
            start: found.start(),
        });
    };
    let engine = Engine::new(None).map_err(ReplayError::Failed)?;
    let node = NodeId(key.public().to_peer_id().to_string());
    let mut world = World::new(engine.clone(), directory.clone(), node, seed_of(&key)?);
    world.begin_with(base).map_err(ReplayError::Failed)?;
    let mut replay = Replay::new(world, base.seq);
    let started = Instant::now();
    let mut difference = None;
    for entry in found.read(&log, files.clone(), base.position) {
        let (position, bytes) = entry.map_err(damaged)?;
        let record =
            Record::decode(&bytes).map_err(|problem| ReplayError::Record { position, problem })?;
        let came_to = futures::executor::block_on(replay.record(record));
        difference = came_to.map_err(|problem| ReplayError::At {
            position,
            problem: Box::new(problem),
        })?;
        if difference.is_some() {
            break;
        }
        progress(Progress {
            done: position.0.saturating_sub(found.start().0),
            bytes: found.end().0.saturating_sub(found.start().0),
        });
    }
    let elapsed = started.elapsed();
    let counts = replay.counts;
    let modules = if difference.is_some() {
        Vec::new()
    } else {
        Expected::of_stopped(&directory, &config, engine, &found)?.compare(replay.into_tables())
    };
    Ok(Replayed {
        turns: counts.turns,
        steps: counts.steps,
        taken: counts.taken,
        last_seq: counts.last_seq,
        elapsed,
        difference,
        modules,
    })
}
