//! Installing and upgrading modules.
//!
//! Prepared outside: the binary is compiled, described and checked on a thread of its own, and stored and synced under its
//! hash. What depends on the node's state is checked with the node at rest; a refusal puts everything back as it was.

use std::{collections::BTreeMap, sync::Arc};

use actix::{
    Actor, Addr,
    prelude::{ArbiterHandle, AsyncContext, Context},
};
use interstice_abi::{
    failure::{Code, Failure},
    id::ModuleName,
    schema::{Dependency, ModuleSchema},
    wire::{DeployOptions, DeployReport, ModuleState, OnConflict},
};
use interstice_host::{
    limits::Limits,
    module::Module,
    schema,
    table::Tables,
    wasm::{Binary, Engine},
};
use tokio::sync::oneshot;

use super::{
    Supervisor,
    catalogue::{Catalogue, Installed},
    change::{Asker, Change, ChangeContext, TakeChange, report, revocations},
    grants::Grants,
};
use crate::{
    config::Config,
    directory::Directory,
    module::{ModuleActor, Order, core::Core, turn::StepKind},
    record::Input,
    shared::Shared,
};

/// A module that has been prepared.
pub(crate) struct Install {
    /// What was compiled.
    pub(crate) binary: Arc<Binary>,
    /// What to do where it does not fit.
    pub(crate) options: DeployOptions,
}

/// What turns binaries into running actors.
#[derive(Clone)]
pub(crate) struct Installer {
    /// Compiles and runs guests.
    pub(crate) engine: Arc<Engine>,
    /// Where binaries are stored.
    pub(crate) directory: Arc<Directory>,
    /// Where actors run.
    pub(crate) arbiters: Arc<Vec<ArbiterHandle>>,
}

impl Installer {
    /// Compiles and checks a binary, and stores it. Blocks.
    ///
    /// # Errors
    /// What is wrong with the binary; `Unavailable` when it cannot be stored.
    pub(crate) fn prepare(&self, wasm: &[u8], limits: &Limits) -> Result<Arc<Binary>, Failure> {
        let binary = self.engine.load(wasm, limits)?;
        self.directory.store_module(&binary.hash, wasm)?;
        Ok(binary)
    }

    /// Compiles a binary that was stored before. Blocks.
    ///
    /// # Errors
    /// `Corrupt` when it is missing or not what it was.
    pub(crate) fn stored(&self, hash: &[u8; 32], limits: &Limits) -> Result<Arc<Binary>, Failure> {
        let wasm = self.directory.module(hash)?;
        self.engine.load(&wasm, limits)
    }

    /// Makes a module's world.
    pub(crate) fn module(&self, binary: Arc<Binary>, tables: Tables, config: &Config) -> Module {
        Module::new(self.engine.clone(), binary, tables, config.limits.clone())
    }

    /// Starts the actor of a module beside those that it talks to, or else where the fewest are.
    pub(crate) fn start(
        &self,
        shared: Arc<Shared>,
        module: Module,
        place: usize,
    ) -> Addr<ModuleActor> {
        let name = module.binary().schema.name.clone();
        let core = Core::new(name, shared, module);
        match self.arbiters.get(place % self.arbiters.len().max(1)) {
            Some(arbiter) => {
                ModuleActor::start_in_arbiter(arbiter, move |_| ModuleActor::new(core))
            }
            None => ModuleActor::new(core).start(),
        }
    }

    /// The arbiter for a new module: that of a module that it depends on, else the next in turn.
    pub(crate) fn place(
        &self,
        schema: &ModuleSchema,
        places: &BTreeMap<ModuleName, usize>,
        config: &Config,
    ) -> usize {
        let beside = schema
            .dependencies
            .iter()
            .filter(|_| config.placement == crate::config::Placement::Together)
            .filter(|dependency| dependency.node.is_none())
            .find_map(|dependency| places.get(dependency.module.as_str()).copied());
        beside.unwrap_or_else(|| {
            let count = |place: usize| places.values().filter(|used| **used == place).count();
            (0..self.arbiters.len().max(1))
                .min_by_key(|place| count(*place))
                .unwrap_or(0)
        })
    }
}

impl Supervisor {
    /// Prepares an uploaded binary on a thread of its own, then lets the install wait for its turn.
    pub(crate) fn prepare_deploy(
        &mut self,
        wasm: Vec<u8>,
        options: DeployOptions,
        asker: Asker,
        ctx: &mut Context<Self>,
    ) {
        if let Err(failure) = self.refuses() {
            asker.tell(Err(failure));
            return;
        }
        let installer = self.installer.clone();
        let limits = self.config.limits.clone();
        let supervisor = ctx.address();
        let work = async move {
            let prepared =
                tokio::task::spawn_blocking(move || installer.prepare(&wasm, &limits)).await;
            match prepared {
                Ok(Ok(binary)) => {
                    supervisor.do_send(TakeChange(
                        Change::Install(Box::new(Install { binary, options })),
                        asker,
                    ));
                }
                Ok(Err(failure)) => asker.tell(Err(failure)),
                Err(panic) => asker.tell(Err(Failure::internal(format!(
                    "preparing the module has panicked: {panic}"
                )))),
            }
        };
        actix::spawn(work);
    }
}

impl ChangeContext {
    /// Installs or upgrades a module, then loads it.
    pub(crate) async fn install(&mut self, install: Install) -> Result<DeployReport, Failure> {
        let new = install.binary.schema.clone();
        let before = self.catalogue.installed();
        check_dependencies(&new, &before)?;
        check_dependents(&new, &before)?;
        check_authorities(&new, &before)?;
        let old = before.get(&new.name).cloned();
        let (tables, changes, old_module) = match &old {
            None => (
                Tables::new(new.clone(), self.config.limits.rows())?,
                Vec::new(),
                None,
            ),
            Some(old) => {
                let (tables, changes) = self.upgraded(&install, old).await?;
                (tables, changes, Some(old))
            }
        };
        let since = self.next_seq();
        let grants = Grants::asked_by(&new, since, old_module.map(|old| &old.grants));
        let mut module = self
            .installer
            .module(install.binary.clone(), tables, &self.config);
        module.set_revoked(revocations(&grants));
        let place = match &old {
            Some(old) => old.place,
            None => self.installer.place(&new, &places(&before), &self.config),
        };
        let address = self.installer.start(self.shared.clone(), module, place);
        let mut installed = before;
        let entry = Installed {
            schema: new.clone(),
            hash: install.binary.hash,
            state: ModuleState::Loaded,
            grants,
            since,
            place,
            address: address.clone(),
        };
        installed.insert(new.name.clone(), entry);
        let previous = std::mem::replace(&mut self.catalogue, Catalogue::new(installed));
        let mut report = report(&install, since, changes);
        report.replaced = old.as_ref().map(|old| old.schema.version);
        self.forget_timers.push(new.name.clone());

        let input = Input::Install {
            module: new.name.clone(),
            version: new.version,
            hash: install.binary.hash,
            on_conflict: install.options.on_conflict,
        };
        let init = if old.is_none() {
            self.init_reducer(&new.name)
        } else {
            None
        };
        let what = init.map_or(StepKind::Nothing, StepKind::Event);
        if let Err(failure) = self.run_alone(input, &new.name, what, false).await? {
            self.catalogue = previous;
            let (reply, handed_over) = oneshot::channel();
            address.do_send(Order::HandOver(reply));
            drop(handed_over.await);
            return Err(Failure {
                message: format!("`init` failed, so the module is not installed: {failure}"),
                ..failure
            });
        }
        if let Some(old) = &old {
            self.end_changed_watches(&old.schema, &new);
        }
        if let Err(failure) = self.load(&new.name).await? {
            report.load_failure = Some(failure.to_string());
        }
        Ok(report)
    }

    fn next_seq(&self) -> interstice_abi::id::Seq {
        interstice_abi::id::Seq(self.stamper.last_seq().0 + 1)
    }

    fn init_reducer(&self, module: &ModuleName) -> Option<Arc<str>> {
        let entry = self.catalogue.entry(self.catalogue.index_of(module)?)?;
        entry
            .reducers_on(&interstice_abi::event::Event::Init)
            .next()
            .map(Into::into)
    }

    /// Takes the tables out of the old actor and moves them to the new schema. A refusal starts the old module again.
    async fn upgraded(
        &mut self,
        install: &Install,
        old: &Installed,
    ) -> Result<(Tables, Vec<String>), Failure> {
        let new = install.binary.schema.clone();
        let name = &new.name;
        let wipe = install.options.on_conflict == OnConflict::Wipe;
        let (reply, handed_over) = oneshot::channel();
        old.address.do_send(Order::HandOver(reply));
        let module = handed_over.await.map_err(|_| crate::module::gone(name))?;
        let needed: Vec<String> = module
            .tables()
            .timers()
            .into_iter()
            .filter(|timer| !timer.of_load)
            .map(|timer| timer.reducer)
            .collect();
        let old_binary = module.binary().clone();
        let tables = module.into_tables();
        let missing = needed.iter().find(|reducer| {
            new.reducer(reducer)
                .is_none_or(|found| !found.arguments.is_empty())
        });
        let refused = match missing {
            Some(reducer) if !wipe => {
                let text = format!(
                    "a pending timer of module `{name}` needs reducer `{reducer}` without arguments, which the new version lacks"
                );
                (tables, Failure::new(Code::SchemaConflict, text))
            }
            _ => match tables.migrate(new.clone(), wipe) {
                Ok(mut tables) => {
                    tables.begin_new_trees();
                    let difference = schema::difference(&old.schema, &new);
                    return Ok((
                        tables,
                        difference.lines.iter().map(ToString::to_string).collect(),
                    ));
                }
                Err((tables, difference)) => {
                    let text = format!(
                        "the new version of module `{name}` does not fit its data, and nothing was changed:\n{difference}"
                    );
                    (tables, Failure::new(Code::SchemaConflict, text))
                }
            },
        };
        let (tables, failure) = refused;
        let mut module = self.installer.module(old_binary, tables, &self.config);
        module.set_revoked(revocations(&old.grants));
        let address = self.installer.start(self.shared.clone(), module, old.place);
        let mut installed = self.catalogue.installed();
        if let Some(entry) = installed.get_mut(name) {
            entry.address = address;
        }
        self.catalogue = Catalogue::new(installed);
        Err(failure)
    }

    /// Watches of tables whose rows have another shape from here on end, and say so.
    fn end_changed_watches(&self, old: &ModuleSchema, new: &ModuleSchema) {
        let why = Failure::new(
            Code::Unavailable,
            format!(
                "module `{}` was upgraded and the table has changed; watch it again",
                new.name
            ),
        );
        self.shared.watchers.end_tables(&new.name, &why, |table| {
            let shape = |schema: &ModuleSchema| {
                schema
                    .table(table)
                    .map(|(_, table)| (table.fields.clone(), table.persistence))
            };
            let ephemeral = Some(interstice_abi::schema::Persistence::Ephemeral);
            // Ephemeral tables start empty, which no change tells.
            shape(old) != shape(new) || shape(new).map(|(_, persistence)| persistence) == ephemeral
        });
    }
}

/// Where every module runs.
fn places(installed: &BTreeMap<ModuleName, Installed>) -> BTreeMap<ModuleName, usize> {
    installed
        .iter()
        .map(|(name, installed)| (name.clone(), installed.place))
        .collect()
}

/// All that the module was compiled against must be there in a compatible version.
fn check_dependencies(
    new: &ModuleSchema,
    installed: &BTreeMap<ModuleName, Installed>,
) -> Result<(), Failure> {
    for dependency in new
        .dependencies
        .iter()
        .filter(|dependency| dependency.node.is_none())
    {
        let Some(provider) = installed.get(dependency.module.as_str()) else {
            return Err(Failure::new(
                Code::NotFound,
                format!(
                    "module `{}` needs module `{}` in version {} or compatible, which is not on this node; deploy it first",
                    new.name, dependency.module, dependency.version
                ),
            ));
        };
        check_binding(&new.name, dependency, &provider.schema)?;
    }
    Ok(())
}

/// Modules that were compiled against this one must still find what they need.
fn check_dependents(
    new: &ModuleSchema,
    installed: &BTreeMap<ModuleName, Installed>,
) -> Result<(), Failure> {
    for other in installed
        .values()
        .filter(|other| other.schema.name != new.name)
    {
        for dependency in &other.schema.dependencies {
            if dependency.node.is_none() && dependency.module == new.name.as_str() {
                check_binding(&other.schema.name, dependency, new)?;
            }
        }
    }
    Ok(())
}

fn check_binding(
    holder: &ModuleName,
    dependency: &Dependency,
    provider: &ModuleSchema,
) -> Result<(), Failure> {
    if !provider.version.satisfies(dependency.version) {
        return Err(Failure::new(
            Code::SchemaConflict,
            format!(
                "module `{holder}` was made for version {} of module `{}`; version {} is not compatible with it: \
                 update the binding with `bindings update` and deploy `{holder}` again",
                dependency.version, dependency.module, provider.version
            ),
        ));
    }
    schema::check_binding(dependency, provider).map_err(|failure| Failure {
        message: format!(
            "module `{holder}` needs more of module `{}`: {failure}",
            dependency.module
        ),
        ..failure
    })
}

/// Each authority is held by at most one module.
fn check_authorities(
    new: &ModuleSchema,
    installed: &BTreeMap<ModuleName, Installed>,
) -> Result<(), Failure> {
    for other in installed
        .values()
        .filter(|other| other.schema.name != new.name)
    {
        if let Some(authority) = new
            .authorities
            .iter()
            .find(|authority| other.schema.authorities.contains(authority))
        {
            return Err(Failure::new(
                Code::Denied,
                format!(
                    "authority `{authority:?}` is held by module `{}`; only one module of a node may hold it",
                    other.schema.name
                ),
            ));
        }
    }
    Ok(())
}
