//! The modules of a replay and what the inputs do to them: the catalogue changes of the supervisor, without actors.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use interstice_abi::{
    event::Event,
    failure::{Code, Failure},
    id::{ModuleName, NodeId, Seq},
    wire::{ModuleState, OnConflict},
};
use interstice_host::{
    limits::Limits,
    module::Module,
    table::Tables,
    wasm::{Binary, Engine},
};

use super::slot::Slot;
use crate::{
    base::Base,
    directory::Directory,
    module::turn::{PendingStep, StepKind, outside},
    record::{Input, Installing},
    recovery::installed,
    supervisor::{
        catalogue::{Catalogue, Installed, ModuleIndex},
        change::granting::revocations,
        raised::raised,
    },
};

/// How much longer than its recorded deadline a step may run: the machine may be slower and busier than the node's was, and a
/// step that never ends must not hold up the replay for ever.
const DEADLINE_FACTOR: u64 = 100;

/// The modules of a replay.
pub(super) struct World {
    engine: Arc<Engine>,
    directory: Arc<Directory>,
    binaries: HashMap<[u8; 32], Arc<Binary>>,
    pub(super) node: NodeId,
    pub(super) seed: [u8; 32],
    /// Those of the last restart.
    pub(super) limits: Limits,
    pub(super) catalogue: Arc<Catalogue<Slot>>,
}

/// With what a turn begins.
pub(super) enum First {
    /// With a step of a module.
    OfModule(PendingStep),
    /// With one of the node's own, which starts these.
    OfNode(Vec<PendingStep>),
}

impl World {
    /// Without modules.
    pub(super) fn new(
        engine: Arc<Engine>,
        directory: Arc<Directory>,
        node: NodeId,
        seed: [u8; 32],
    ) -> Self {
        Self {
            engine,
            directory,
            binaries: HashMap::new(),
            node,
            seed,
            limits: Limits::default(),
            catalogue: Catalogue::new(BTreeMap::new()),
        }
    }

    /// Takes over what a base holds.
    pub(super) fn begin_with(&mut self, base: &Base) -> Result<(), Failure> {
        let head = base
            .head()
            .map_err(|error| Failure::new(Code::Corrupt, error.to_string()))?;
        self.limits = head.map(|head| head.limits.0).unwrap_or_default();
        let contents = base.read(self.limits.rows(), |hash| {
            self.binary(hash).map(|binary| binary.schema.clone())
        })?;
        let mut tables = contents.modules;
        let mut modules = BTreeMap::new();
        for marked in contents.head.modules {
            let Some(tables) = tables.remove(&marked.name) else {
                continue;
            };
            let binary = self.binary(&marked.hash)?;
            let mut module = self.module(binary.clone(), tables);
            module.set_revoked(revocations(&marked.grants));
            let entry = Installed {
                schema: binary.schema.clone(),
                // No client asks in a replay.
                fingerprints: Arc::default(),
                hash: marked.hash,
                state: marked.state,
                grants: marked.grants,
                since: marked.since,
                place: 0,
                address: Slot::new(module),
            };
            modules.insert(marked.name, entry);
        }
        self.catalogue = Catalogue::new(modules);
        Ok(())
    }

    /// The node starts again: fresh instances, empty ephemeral tables, other limits.
    pub(super) fn restart(&mut self, limits: Limits) -> Result<(), Failure> {
        self.limits = limits;
        for (_, entry) in self.catalogue.entries() {
            let slot = &entry.installed.address;
            let old = slot.take_out()?;
            let binary = old.binary().clone();
            let mut tables = old.into_tables();
            tables.set_row_limits(self.limits.rows());
            tables.clear_ephemeral();
            let mut module = self.module(binary, tables);
            module.set_revoked(revocations(&entry.installed.grants));
            slot.forget_bases();
            slot.put(Box::new(module));
        }
        Ok(())
    }

    /// The node has taken a base behind turn `seq`.
    pub(super) fn base(&self, seq: Seq) {
        for (_, entry) in self.catalogue.entries() {
            entry.installed.address.base(seq);
        }
    }

    /// Does what `input` does to what is installed; with what its turn begins.
    pub(super) fn input(&mut self, input: &Input, seq: Seq) -> Result<First, Failure> {
        let node = self.node.clone();
        match input {
            Input::Call {
                caller,
                caller_is_owner,
                module,
                reducer,
                arguments,
            } => {
                let caller = outside(caller, *caller_is_owner);
                let index = self.index(module)?;
                let step = PendingStep::of_call(caller, index, reducer.clone(), arguments.clone());
                return Ok(First::OfModule(step));
            }
            Input::Timer { module, timer } => {
                let what = StepKind::Timer(*timer);
                let step = PendingStep::of_node(&node, self.index(module)?, what, Vec::new());
                return Ok(First::OfModule(step));
            }
            Input::CancelTimer { module, timer, .. } => {
                let what = StepKind::CancelTimer(*timer);
                let step = PendingStep::of_node(&node, self.index(module)?, what, Vec::new());
                return Ok(First::OfModule(step));
            }
            Input::Install {
                module,
                hash,
                on_conflict,
                ..
            } => {
                let what = self.install(module, hash, *on_conflict, seq)?;
                let step = PendingStep::of_node(&node, self.index(module)?, what, Vec::new());
                return Ok(First::OfModule(step));
            }
            Input::InstallAll { modules } => {
                self.install_all(modules, seq)?;
                let first = modules.first();
                let first = first.ok_or_else(|| Failure::internal("no module is installed"))?;
                let index = self.index(&first.module)?;
                let step = PendingStep::of_node(&node, index, StepKind::Nothing, Vec::new());
                return Ok(First::OfModule(step));
            }
            Input::CatchUp { modules, installs } => {
                self.install_all(installs, seq)?;
                for module in modules {
                    self.change(module, |found| found.state = ModuleState::CatchingUp)?;
                }
            }
            Input::Missed {
                module,
                reducer,
                arguments,
                ..
            } => {
                let what = StepKind::Event(reducer.clone());
                let index = self.index(module)?;
                let step = PendingStep::of_node(&node, index, what, arguments.clone());
                return Ok(First::OfModule(step));
            }
            Input::Drop { module, what } => {
                let what = StepKind::Drop(Arc::new(what.clone()));
                let step = PendingStep::of_node(&node, self.index(module)?, what, Vec::new());
                return Ok(First::OfModule(step));
            }
            Input::Load { module } => {
                self.change(module, |found| found.state = ModuleState::Loaded)?;
                let index = self.index(module)?;
                let entry = self.catalogue.entry(index).ok_or_else(|| gone(module))?;
                return Ok(First::OfModule(PendingStep::load_of(&node, index, entry)));
            }
            Input::Unload { module } => self.stop(module, ModuleState::Unloaded)?,
            Input::Quarantine { module, reason } => {
                let reason = reason.clone();
                self.stop(module, ModuleState::Quarantined { reason })?;
            }
            Input::Remove { module } => self.remove(module)?,
            Input::Grant {
                module,
                target,
                change,
            } => {
                let changed =
                    self.change(module, |found| found.grants.change(target, *change, seq))?;
                changed?;
                let index = self.index(module)?;
                if let Some(entry) = self.catalogue.entry(index) {
                    let revoked = revocations(&entry.installed.grants);
                    let slot = &entry.installed.address;
                    slot.with(|module| module.set_revoked(revoked))?;
                }
            }
            Input::Connect { .. }
            | Input::Disconnect { .. }
            | Input::NodeStart { .. }
            | Input::ModulesStart { .. } => {}
        }
        Ok(First::OfNode(raised(&node, &self.catalogue, input)))
    }

    /// Takes a module out, with its tables.
    pub(super) fn remove(&mut self, module: &ModuleName) -> Result<(), Failure> {
        let mut modules = self.catalogue.installed();
        modules.remove(module).ok_or_else(|| gone(module))?;
        self.catalogue = Catalogue::new(modules);
        Ok(())
    }

    /// The module at `index`.
    pub(super) fn slot(&self, index: ModuleIndex) -> Result<Slot, Failure> {
        let entry = self.catalogue.entry(index);
        entry
            .map(|entry| entry.installed.address.clone())
            .ok_or_else(|| Failure::internal("a step is in a module that is not there"))
    }

    /// The index of the module called `name`.
    pub(super) fn index(&self, name: &ModuleName) -> Result<ModuleIndex, Failure> {
        self.catalogue.index_of(name).ok_or_else(|| gone(name))
    }

    fn module(&self, binary: Arc<Binary>, tables: Tables) -> Module {
        let limits = Limits {
            deadline_ms: self.limits.deadline_ms.saturating_mul(DEADLINE_FACTOR),
            ..self.limits.clone()
        };
        Module::new(self.engine.clone(), binary, tables, limits)
    }

    fn binary(&mut self, hash: &[u8; 32]) -> Result<Arc<Binary>, Failure> {
        if let Some(known) = self.binaries.get(hash) {
            return Ok(known.clone());
        }
        let wasm = self.directory.module(hash)?;
        let schema = match self.directory.schema(hash) {
            Some(schema) => schema,
            None => self.engine.describe(&wasm, &self.limits)?,
        };
        let binary = self.engine.load_described(&wasm, &self.limits, schema)?;
        self.binaries.insert(*hash, binary.clone());
        Ok(binary)
    }

    /// Installs or upgrades modules without `init`.
    fn install_all(&mut self, modules: &[Installing], seq: Seq) -> Result<(), Failure> {
        for Installing { module, hash, .. } in modules {
            self.install(module, hash, OnConflict::Refuse, seq)?;
        }
        Ok(())
    }

    /// Installs or upgrades a module; what its first step runs.
    fn install(
        &mut self,
        name: &ModuleName,
        hash: &[u8; 32],
        on_conflict: OnConflict,
        seq: Seq,
    ) -> Result<StepKind, Failure> {
        let binary = self.binary(hash)?;
        if binary.schema.name != *name {
            let text = format!(
                "the binary of module `{name}` is that of module `{}`",
                binary.schema.name
            );
            return Err(Failure::new(Code::Corrupt, text));
        }
        let mut modules = self.catalogue.installed();
        let old = match modules.remove(name) {
            Some(old) => Some((old.address.take_out()?.into_tables(), old.grants)),
            None => None,
        };
        let is_first = old.is_none();
        let rows = self.limits.rows();
        let (tables, grants) = installed(&binary.schema, old, on_conflict, seq, rows)?;
        let mut module = self.module(binary.clone(), tables);
        module.set_revoked(revocations(&grants));
        let entry = Installed {
            schema: binary.schema.clone(),
            fingerprints: Arc::default(),
            hash: *hash,
            state: ModuleState::Loaded,
            grants,
            since: seq,
            place: 0,
            address: Slot::new(module),
        };
        modules.insert(name.clone(), entry);
        self.catalogue = Catalogue::new(modules);
        let entry = self.catalogue.entry(self.index(name)?);
        let init = entry.and_then(|entry| entry.reducers_on(&Event::Init).next());
        let init = init.filter(|_| is_first);
        Ok(init.map_or(StepKind::Nothing, |init| StepKind::Event(init.into())))
    }

    fn stop(&mut self, name: &ModuleName, state: ModuleState) -> Result<(), Failure> {
        let slot = self.change(name, |found| {
            found.state = state;
            found.address.clone()
        })?;
        slot.with(|module| {
            module.renew();
            module.tables_mut().clear_ephemeral();
        })
    }

    fn change<T>(
        &mut self,
        name: &ModuleName,
        change: impl FnOnce(&mut Installed<Slot>) -> T,
    ) -> Result<T, Failure> {
        let mut modules = self.catalogue.installed();
        let found = modules.get_mut(name).ok_or_else(|| gone(name))?;
        let changed = change(found);
        self.catalogue = Catalogue::new(modules);
        Ok(changed)
    }
}

fn gone(name: &ModuleName) -> Failure {
    let text = format!("module `{name}` is not installed at this point of the log");
    Failure::new(Code::NotFound, text)
}
