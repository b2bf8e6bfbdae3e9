//! Replay: what the log says is done again, away from the node, and compared.
//!
//! A replay begins with the oldest base that is kept, goes through the log in its order, runs
//! every step's guest again with what the record says came from outside, and compares the record
//! that the step would make with the one that is there. Steps that a limit ended are taken from
//! their records. At the end the tables are compared, module by module, with those that the node
//! comes back to.
//!
//! There are no actors here: one step after the other, through the functions of `module/step` and
//! `module/nested` that the node itself uses. Nothing in the node's directory is changed. A
//! stopped node cannot start meanwhile; of a running one the log up to this moment is replayed.

mod compare;
mod difference;
mod error;
mod expected;
mod neighbours;
mod slot;
mod steps;
mod world;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use interstice_abi::id::{ModuleName, NodeId, Seq};
use interstice_host::{
    log::{Examination, LogError, LogFiles, LogPosition, LogReader, StdFiles, examine},
    table::Digest,
    wasm::Engine,
};

pub use self::{
    difference::{Difference, RowDifference, What},
    error::ReplayError,
};
use self::{expected::Expected, steps::Replay, world::World};
use crate::{
    base::{self, Base},
    config::Config,
    directory::Directory,
    node::{NodeError, assemble::seed_of},
    record::Record,
};

/// How often the log of a running node is looked through until no block is found half written.
const LOOKS: u32 = 5;

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
    /// Whether the node ran meanwhile.
    pub was_running: bool,
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

/// Replays the log of the node in `directory` from its oldest base on, which for a young node is
/// its creation.
///
/// The tables are compared with what the stopped node would come back to from its store and its
/// log; of a node that runs, whose store is in use, with what its newest base and its log lead to
/// up to this moment. Blocks; must not be called on a thread of a runtime.
///
/// # Errors
/// When something that a replay needs is missing or damaged: by name.
pub fn replay(
    directory: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<Replayed, ReplayError> {
    let directory = Arc::new(Directory::look(directory)?);
    let config = Config::read(&directory.path("node.toml"))?;
    let key = directory.key()?;
    let node = NodeId::from(key.public().to_peer_id().to_string());
    let engine = Engine::new(None)?;
    let log = Written::up_to_now(&directory)?;
    let base = log.oldest_base(&directory)?;
    let mut world = World::new(engine.clone(), directory.clone(), node, seed_of(&key)?);
    world.begin_with(&base)?;
    let mut replay = Replay::new(world, base.seq);
    let started = Instant::now();
    let difference = run(&mut replay, &log, base.position, &mut progress)?;
    let elapsed = started.elapsed();
    let counts = replay.counts;
    let modules = if difference.is_some() {
        Vec::new()
    } else {
        Expected::of(&directory, &config, engine, &log)?.compare(replay.into_tables())
    };
    Ok(Replayed {
        turns: counts.turns,
        steps: counts.steps,
        taken: counts.taken,
        last_seq: counts.last_seq,
        was_running: !directory.is_locked(),
        elapsed,
        difference,
        modules,
    })
}

/// Goes through the log up to its end or to the first difference.
fn run(
    replay: &mut Replay,
    log: &Written,
    start: LogPosition,
    progress: &mut impl FnMut(Progress),
) -> Result<Option<Difference>, ReplayError> {
    let bytes = log.found.end().0.saturating_sub(start.0);
    for entry in log.read(start) {
        let (position, record) = entry.map_err(damaged)?;
        let record =
            Record::decode(&record).map_err(|problem| ReplayError::Record { position, problem })?;
        let came_to = futures::executor::block_on(replay.record(record));
        let difference = came_to.map_err(|problem| ReplayError::At {
            position,
            problem: Box::new(problem),
        })?;
        if difference.is_some() {
            return Ok(difference);
        }
        progress(Progress {
            done: position.0.saturating_sub(start.0),
            bytes,
        });
    }
    Ok(None)
}

/// What a log holds at one moment. What is in there never changes, also while the node appends to
/// it.
struct Written {
    folder: PathBuf,
    files: Arc<dyn LogFiles>,
    found: Examination,
}

impl Written {
    fn up_to_now(directory: &Directory) -> Result<Self, ReplayError> {
        let folder = directory.path("log");
        let files: Arc<dyn LogFiles> = Arc::new(StdFiles);
        let mut found = examine(&folder, files.as_ref());
        for _ in 0..LOOKS {
            // A block that is being written is half there at one look and whole at the next.
            if found.is_ok() || directory.is_locked() {
                break;
            }
            found = examine(&folder, files.as_ref());
        }
        let found = found.map_err(damaged)?;
        Ok(Self {
            folder,
            files,
            found,
        })
    }

    /// The oldest base from which this log goes on.
    fn oldest_base(&self, directory: &Directory) -> Result<Base, ReplayError> {
        let start = self.found.start();
        let bases = base::list(directory.root(), start).map_err(|error| ReplayError::Files {
            problem: error.to_string(),
        })?;
        let oldest = bases.into_iter().next();
        oldest.ok_or(ReplayError::Beginning { start })
    }

    fn read(&self, from: LogPosition) -> LogReader {
        self.found.read(&self.folder, self.files.clone(), from)
    }
}

fn damaged(error: LogError) -> ReplayError {
    ReplayError::Node(NodeError::Log {
        problem: error.to_string(),
    })
}
