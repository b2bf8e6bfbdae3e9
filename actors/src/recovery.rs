//! Recovery: from the checkpoint's trees and the log behind it to the state before the crash.
//!
//! The order: the marker says what was installed and where to read on; the trees are loaded; whole
//! rows of later turns are redone in log order, catalogue changes among them; turns whose last
//! step is missing come out as [`Recovered::half_done`], with what is left of them, in seq order.
//! A turn whose step 0 is not in the log never happened. A recovery that is cut off starts again:
//! it writes no state, and drops only trees that no marker names.
//!
//! No binary is needed for that: rows are read by the schemas, which are stored apart.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use interstice_abi::{
    failure::{Code, Failure},
    id::{Epoch, ModuleName, NodeId, Seq, StepIndex},
    schema::ModuleSchema,
    wire::{GrantChange, GrantTarget, ModuleState, OnConflict},
};
use interstice_host::{
    log::{LogPosition, LogReader, Opened},
    module::Effect,
    store::Store,
    table::{Change, Counter, RowLimits, Tables},
};

use crate::{
    base::{self, Base},
    config::Config,
    module::turn::pending::{Arguments, Shares},
    node::NodeError,
    record::{Input, Outcome, Record, StepRecord},
    supervisor::{
        checkpoint::marker::{Clean, MarkedModule, Marker, drop_orphans},
        grants::Grants,
        install::installer::Installer,
    },
};

/// A module as it was.
pub(crate) struct RecoveredModule {
    /// BLAKE3 of its binary.
    pub(crate) hash: [u8; 32],
    pub(crate) tables: Tables,
    pub(crate) state: ModuleState,
    pub(crate) grants: Grants,
    pub(crate) since: Seq,
}

/// What is left of a turn that a crash cut off.
pub(crate) struct HalfDone {
    pub(crate) seq: Seq,
    pub(crate) timestamp_ms: u64,
    /// What it began with.
    pub(crate) began: Option<Input>,
    pub(crate) next_step: StepIndex,
    pub(crate) pending: VecDeque<Left>,
}

/// A step that has not run.
pub(crate) struct Left {
    pub(crate) module: ModuleName,
    /// Empty for a load.
    pub(crate) reducer: Arc<str>,
    pub(crate) arguments: Arguments,
    /// What it reacts to, where its arguments come from that.
    pub(crate) effect: Option<Effect>,
    /// Whether it belongs to a load.
    pub(crate) of_load: bool,
    /// See [`PendingStep::releases`](crate::module::turn::PendingStep::releases).
    pub(crate) releases: u64,
}

/// The node as it was.
pub(crate) struct Recovered {
    pub(crate) epoch: Epoch,
    pub(crate) last_seq: Seq,
    pub(crate) last_ms: u64,
    pub(crate) modules: BTreeMap<ModuleName, RecoveredModule>,
    pub(crate) half_done: Vec<HalfDone>,
    pub(crate) connected: Vec<NodeId>,
    /// The bases on disk, oldest first.
    pub(crate) bases: Vec<Base>,
    /// How many records were redone.
    pub(crate) redone: u64,
}

/// A recovery under way.
struct Recovery<'a> {
    installer: &'a Installer,
    config: &'a Config,
    state: Recovered,
    open: BTreeMap<Seq, HalfDone>,
}

/// Brings a node back.
///
/// # Errors
/// Damage in the store, the log or a schema, by name; nothing has been changed then.
pub(crate) fn recover(
    installer: &Installer,
    config: &Config,
    store: &Store,
    opened: &Opened,
    read: impl FnOnce(LogPosition) -> LogReader,
) -> Result<Recovered, NodeError> {
    let marker = store
        .marker()
        .map_err(|error| NodeError::Store {
            problem: error.to_string(),
        })?
        .map(|bytes| Marker::decode(&bytes))
        .transpose()
        .map_err(|problem| NodeError::Store { problem })?;
    let bases = base::list(installer.directory.root(), opened.start).map_err(|error| {
        NodeError::Directory {
            path: installer.directory.path(base::FOLDER),
            problem: error.to_string(),
        }
    })?;
    let mut recovery = Recovery {
        installer,
        config,
        state: before(marker.as_ref(), bases),
        open: BTreeMap::new(),
    };
    if marker.is_none() && opened.end == LogPosition(0) && installer.directory.has_a_past() {
        return Err(NodeError::Log {
            problem: format!(
                "{} is empty, but the node has run before: it has modules or bases; bring log/ and db/ back, or restore a backup",
                installer.directory.path("log").display()
            ),
        });
    }
    let from = match &marker {
        Some(marker) => recovery.checkpoint(marker, store, opened)?,
        None => recovery.newest_base(store, opened)?,
    };
    let From {
        seq: marked_seq,
        position: start,
        mut clean,
    } = from;
    for entry in read(start) {
        let (position, bytes) = entry.map_err(|error| NodeError::Log {
            problem: error.to_string(),
        })?;
        let record = Record::decode(&bytes).map_err(|problem| NodeError::Log {
            problem: format!("record {position} is damaged: {problem}"),
        })?;
        match record {
            Record::Step(step) if step.seq > marked_seq => {
                clean = false;
                recovery.redo(*step).map_err(NodeError::Recovery)?;
            }
            Record::Step(_) => {}
            // Behind a restart seqs may have been given out that are in no record.
            Record::Restart { epoch, .. } | Record::Restarted { epoch, .. } => {
                clean = false;
                recovery.state.epoch = recovery.state.epoch.max(epoch);
            }
            // Instances do not outlive a restart.
            Record::Base { .. } => {}
        }
    }
    let mut state = recovery.state;
    if !clean {
        state.last_seq = state.last_seq.max(Seq(opened.reserved_seq));
    }
    state.half_done = recovery
        .open
        .into_values()
        .filter(|turn| !turn.pending.is_empty())
        .collect();
    for module in state.modules.values_mut() {
        module.tables.clear_ephemeral();
    }
    Ok(state)
}

/// Where the log is read from.
struct From {
    /// What is there already.
    seq: Seq,
    /// Every record of a later turn is behind it.
    position: LogPosition,
    /// Whether no seq behind `seq` was given out.
    clean: bool,
}

fn before(marker: Option<&Marker>, bases: Vec<Base>) -> Recovered {
    Recovered {
        epoch: marker.map_or(Epoch(0), |marker| marker.epoch),
        last_seq: marker.map_or(Seq(0), |marker| marker.seq),
        last_ms: marker.map_or(0, |marker| marker.timestamp_ms),
        modules: BTreeMap::new(),
        half_done: Vec::new(),
        connected: marker
            .map(|marker| marker.connected.clone())
            .unwrap_or_default(),
        bases,
        redone: 0,
    }
}

/// The tables and grants with which a recorded install begins, from those of the module's older
/// self.
pub(crate) fn installed(
    schema: &Arc<ModuleSchema>,
    old: Option<(Tables, Grants)>,
    on_conflict: OnConflict,
    seq: Seq,
    rows: RowLimits,
) -> Result<(Tables, Grants), Failure> {
    let Some((tables, grants)) = old else {
        let tables = Tables::new(schema.clone(), rows)?;
        return Ok((tables, Grants::asked_by(schema, seq, None)));
    };
    let moved = tables.migrate(schema.clone(), on_conflict == OnConflict::Wipe);
    let mut tables = moved.map_err(|(_, difference)| {
        Failure::internal(format!(
            "an upgrade of `{}` that was recorded does not fit: {difference}",
            schema.name
        ))
    })?;
    tables.begin_new_trees();
    Ok((tables, Grants::asked_by(schema, seq, Some(&grants))))
}

impl Recovery<'_> {
    /// Loads what a checkpoint holds.
    fn checkpoint(
        &mut self,
        marker: &Marker,
        store: &Store,
        opened: &Opened,
    ) -> Result<From, NodeError> {
        if opened.start > marker.position {
            let problem = format!(
                "it begins at {}, but the checkpoint needs it from {} on: segment files are missing",
                opened.start, marker.position
            );
            return Err(NodeError::Log { problem });
        }
        reaches(opened, marker.position, "checkpoint")?;
        drop_orphans(store, marker).map_err(|problem| NodeError::Store { problem })?;
        for module in &marker.modules {
            self.load(module, store).map_err(NodeError::Recovery)?;
        }
        Ok(From {
            seq: marker.seq,
            position: marker.position,
            clean: marker.clean == Clean::Stopped,
        })
    }

    /// Loads the newest base, which for a new node is empty: there is no checkpoint.
    fn newest_base(&mut self, store: &Store, opened: &Opened) -> Result<From, NodeError> {
        // Pages without a marker are those of a first checkpoint that a crash cut off.
        for stored in store.modules() {
            store
                .drop_module(&stored)
                .map_err(|error| NodeError::Store {
                    problem: error.to_string(),
                })?;
        }
        let Some(base) = self.state.bases.last().cloned() else {
            let problem = format!(
                "it begins at {}, and there is neither a checkpoint nor a base to begin from: restore a backup",
                opened.start
            );
            return Err(NodeError::Log { problem });
        };
        reaches(opened, base.position, "base")?;
        let rows = self.config.limits.rows();
        let contents = base
            .read(rows, |hash| self.schema(hash))
            .map_err(NodeError::Recovery)?;
        let head = contents.head;
        self.state.epoch = head.epoch;
        self.state.last_seq = head.seq;
        self.state.last_ms = head.timestamp_ms;
        self.state.connected = head.connected;
        let mut tables = contents.modules;
        for marked in head.modules {
            let Some(tables) = tables.remove(&marked.name) else {
                continue;
            };
            let module = RecoveredModule {
                hash: marked.hash,
                tables,
                state: marked.state,
                grants: marked.grants,
                since: marked.since,
            };
            self.state.modules.insert(marked.name, module);
        }
        Ok(From {
            seq: base.seq,
            position: base.position,
            clean: false,
        })
    }

    fn schema(&self, hash: &[u8; 32]) -> Result<Arc<ModuleSchema>, Failure> {
        let schema = self.installer.schema(hash, &self.config.limits);
        schema.map(Arc::new)
    }

    /// Loads a module from its schema and its trees.
    fn load(&mut self, marked: &MarkedModule, store: &Store) -> Result<(), Failure> {
        let schema = self.schema(&marked.hash);
        let schema = schema.map_err(|failure| of_module(&marked.name, failure))?;
        let mut tables = Tables::new(schema, self.config.limits.rows())?;
        let corrupt = |problem: String| {
            Failure::new(
                Code::Corrupt,
                format!(
                    "the stored tables of module `{}` are damaged: {problem}",
                    marked.name
                ),
            )
        };
        let stored = marked.stored_as();
        for tree in store.trees(&stored) {
            for page in store.pages(&stored, &tree) {
                let (key, page) = page.map_err(|error| corrupt(error.to_string()))?;
                tables.restore_page(&tree, &key, &page)?;
            }
        }
        tables.finish_restore()?;
        let module = RecoveredModule {
            hash: marked.hash,
            tables,
            state: marked.state.clone(),
            grants: marked.grants.clone(),
            since: marked.since,
        };
        self.state.modules.insert(marked.name.clone(), module);
        Ok(())
    }

    fn redo(&mut self, step: StepRecord) -> Result<(), Failure> {
        self.state.redone += 1;
        self.state.last_seq = self.state.last_seq.max(step.seq);
        self.state.last_ms = self.state.last_ms.max(step.timestamp_ms);
        if let Some(input) = &step.input
            // Only an install is refused by its reducer; what else changes the catalogue has done
            // so whatever `load` said.
            && (step.outcome == Outcome::Committed || !matches!(input, Input::Install { .. }))
        {
            self.input(input, step.seq)?;
        }
        self.effects(&step)?;
        self.note(step);
        Ok(())
    }

    /// Redoes what an input does to the catalogue.
    fn input(&mut self, input: &Input, seq: Seq) -> Result<(), Failure> {
        match input {
            Input::Install {
                module,
                hash,
                on_conflict,
                ..
            } => self.install(module, hash, *on_conflict, seq)?,
            Input::InstallAll { modules } => {
                for installing in modules {
                    self.install(
                        &installing.module,
                        &installing.hash,
                        OnConflict::Refuse,
                        seq,
                    )?;
                }
            }
            Input::CatchUp { modules, installs } => {
                for installing in installs {
                    let (module, hash) = (&installing.module, &installing.hash);
                    self.install(module, hash, OnConflict::Refuse, seq)?;
                }
                for module in modules {
                    self.set_state(module, ModuleState::CatchingUp);
                }
            }
            Input::Remove { module } => {
                self.state.modules.remove(module);
            }
            Input::Load { module } => self.set_state(module, ModuleState::Loaded),
            Input::Unload { module } => self.set_state(module, ModuleState::Unloaded),
            Input::Quarantine { module, reason } => {
                self.set_state(
                    module,
                    ModuleState::Quarantined {
                        reason: reason.clone(),
                    },
                );
            }
            Input::Grant {
                module,
                target,
                change,
            } => self.grant(module, target, *change, seq)?,
            Input::Connect { node } => self.state.connected.push(node.clone()),
            Input::Disconnect { node } => {
                let first = self
                    .state
                    .connected
                    .iter()
                    .position(|connected| connected == node);
                first.map(|place| self.state.connected.swap_remove(place));
            }
            Input::NodeStart { .. } | Input::ModulesStart { .. } => self.state.connected.clear(),
            // What is dropped stands in the step's effects, and so does what a missed change led
            // to.
            Input::Call { .. }
            | Input::Missed { .. }
            | Input::Timer { .. }
            | Input::CancelTimer { .. }
            | Input::Drop { .. } => {}
        }
        Ok(())
    }

    fn set_state(&mut self, module: &ModuleName, state: ModuleState) {
        if let Some(module) = self.state.modules.get_mut(module) {
            module.state = state;
        }
    }

    fn grant(
        &mut self,
        module: &ModuleName,
        target: &GrantTarget,
        change: GrantChange,
        seq: Seq,
    ) -> Result<(), Failure> {
        match self.state.modules.get_mut(module) {
            Some(module) => module.grants.change(target, change, seq),
            None => Ok(()),
        }
    }

    fn install(
        &mut self,
        name: &ModuleName,
        hash: &[u8; 32],
        on_conflict: OnConflict,
        seq: Seq,
    ) -> Result<(), Failure> {
        let schema = self.schema(hash);
        let schema = schema.map_err(|failure| of_module(name, failure))?;
        let old = self.state.modules.remove(name);
        let old = old.map(|old| (old.tables, old.grants));
        let rows = self.config.limits.rows();
        let (tables, grants) = installed(&schema, old, on_conflict, seq, rows)?;
        let module = RecoveredModule {
            hash: *hash,
            tables,
            state: ModuleState::Loaded,
            grants,
            since: seq,
        };
        self.state.modules.insert(name.clone(), module);
        Ok(())
    }

    /// Redoes whole rows, module by module; within a module in the order made.
    fn effects(&mut self, step: &StepRecord) -> Result<(), Failure> {
        let mut changes: BTreeMap<&ModuleName, (Vec<Change>, Vec<Counter>)> = BTreeMap::new();
        for effect in &step.effects {
            if let Effect::Change { module, change } = effect {
                changes.entry(module).or_default().0.push(change.clone());
            }
        }
        for (module, counter) in &step.counters {
            changes.entry(module).or_default().1.push(*counter);
        }
        for (module, (changes, counters)) in changes {
            if let Some(module) = self.state.modules.get_mut(module) {
                module.tables.redo(&changes, &counters)?;
            }
        }
        Ok(())
    }

    /// Remembers what is left of the step's turn.
    fn note(&mut self, mut step: StepRecord) {
        let began = step.input.take();
        let turn = self.open.entry(step.seq).or_insert_with(|| HalfDone {
            seq: step.seq,
            timestamp_ms: step.timestamp_ms,
            began,
            next_step: StepIndex(0),
            pending: VecDeque::new(),
        });
        turn.next_step = StepIndex(step.step.0 + 1);
        if step.step.0 > 0 {
            turn.pending.pop_front();
        }
        let mut shares = Shares::default();
        for start in &step.starts {
            let arguments = step.start_arguments(start);
            let arguments = arguments.unwrap_or_else(|| Vec::new().into());
            // A load that a crash cut off is replaced by that of the restart, but keeps its place
            // in the count of steps.
            let reducer = if start.is_load {
                Arc::default()
            } else {
                start.reducer.clone()
            };
            let releases = arguments.len() as u64;
            if shares.next_is_shared(&start.arguments)
                && let Some(before) = turn.pending.back_mut()
            {
                before.releases = 0;
            }
            turn.pending.push_back(Left {
                module: start.module.clone(),
                reducer,
                arguments,
                effect: step.started_by(start).cloned(),
                of_load: start.of_load,
                releases,
            });
        }
        if turn.pending.is_empty() {
            self.open.remove(&step.seq);
        }
    }
}

/// A failure to bring a module's binary back, with the module's name.
pub(crate) fn of_module(module: &ModuleName, failure: Failure) -> Failure {
    Failure {
        message: format!("module `{module}`: {}", failure.message),
        ..failure
    }
}

/// That the log does not end before what has been taken at `position`: what comes next would stand
/// in front of it, where no recovery reads.
fn reaches(opened: &Opened, position: LogPosition, what: &str) -> Result<(), NodeError> {
    if opened.end >= position {
        return Ok(());
    }
    let problem = format!(
        "it ends at {}, but the {what} was taken at {position}: its end is damaged or missing; see what doctor can repair",
        opened.end
    );
    Err(NodeError::Log { problem })
}
