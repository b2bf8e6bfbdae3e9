//! Installing and upgrading modules.
//!
//! Prepared outside: the binary is compiled, described and checked on a thread of its own, and stored and synced under its
//! hash. What depends on the node's state is checked with the node at rest; a refusal puts everything back as it was.

pub(crate) mod compiling;
pub(crate) mod installer;

pub(super) mod fit;

use std::{collections::BTreeMap, sync::Arc};

use actix::prelude::{AsyncContext, Context};
use interstice_abi::{
    event::Event,
    failure::{Code, Failure},
    fingerprint::Fingerprint,
    id::{ModuleName, Seq},
    schema::{ModuleSchema, Persistence},
    wire::{DeployOptions, DeployReport, ModuleState, OnConflict},
};
use interstice_host::{schema, table::Tables, wasm::Binary};
use tokio::sync::oneshot;

use self::fit::{check_authorities, check_dependencies, check_dependents};
use crate::{
    directory::Reserved,
    module::{
        Order,
        core::Core,
        gone,
        turn::{PendingStep, StepKind},
        watch::watchers::Upgraded,
    },
    record::Input,
    supervisor::{
        Supervisor,
        catalogue::{Catalogue, Installed, fingerprints::Fingerprints},
        change::{Asker, Change, ChangeContext, TakeChange, granting::revocations},
        grants::Grants,
    },
};

/// A module that has been prepared.
pub(crate) struct Install {
    /// What was compiled.
    pub(crate) binary: Arc<Binary>,
    /// Keeps the stored binary until a record names it, or the install is refused.
    pub(crate) _stored: Reserved,
    /// What to do where it does not fit.
    pub(crate) options: DeployOptions,
}

impl Supervisor {
    /// Prepares an uploaded binary beside the node, then lets the install wait for its turn.
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
            match installer.prepare(wasm, limits).await {
                Ok((binary, stored)) => {
                    let install = Install {
                        binary,
                        _stored: stored,
                        options,
                    };
                    supervisor.do_send(TakeChange(Change::Install(Box::new(install)), asker));
                }
                Err(failure) => asker.tell(Err(failure)),
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
        let core = Core::new(new.name.clone(), self.shared.clone(), module);
        let address = self.installer.start(core, place);
        let mut installed = before;
        let entry = Installed {
            schema: new.clone(),
            fingerprints: Arc::new(Fingerprints::of(&new)),
            hash: install.binary.hash,
            state: ModuleState::Loaded,
            grants,
            since,
            place,
            address: address.clone(),
        };
        installed.insert(new.name.clone(), entry);
        let previous = self.catalogue.clone();
        self.adopt(Catalogue::new(installed));
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
        let index = self.catalogue.find(new.name.as_str())?;
        let step = PendingStep::of_node(&self.shared.id, index, what, Vec::new());
        if let Err(failure) = self.run_alone(input, &new.name, step).await? {
            self.catalogue = previous;
            let (reply, handed_over) = oneshot::channel();
            address.do_send(Order::HandOver(reply));
            if let Ok(core) = handed_over.await {
                self.shared.lane.discard(core);
            }
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

    fn next_seq(&self) -> Seq {
        Seq(self.stamper.last_seq().0 + 1)
    }

    fn init_reducer(&self, module: &ModuleName) -> Option<Arc<str>> {
        let entry = self.catalogue.entry(self.catalogue.index_of(module)?)?;
        entry.reducers_on(&Event::Init).next().map(Into::into)
    }

    /// Takes the tables out of the old actor and moves them to the new schema. After a refusal the old module goes on as it
    /// was, its instance included: no record would tell replay that it began again.
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
        let mut core = handed_over.await.map_err(|_| gone(name))?;
        let tables = core.take_tables();
        let needed: Vec<String> = tables
            .timers()
            .into_iter()
            .filter(|timer| !timer.of_load)
            .map(|timer| timer.reducer)
            .collect();
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
        core.give_back(tables);
        let address = self.installer.start(*core, old.place);
        let mut installed = self.catalogue.installed();
        if let Some(entry) = installed.get_mut(name) {
            entry.address = address;
        }
        self.catalogue = Catalogue::new(installed);
        Err(failure)
    }

    /// Watches end whose clients cannot read the rows that are there from here on. A client that
    /// names a row type can read rows that begin with the columns of that type; one that names
    /// none is taken to know the old rows alone.
    fn end_changed_watches(&self, old: &ModuleSchema, new: &ModuleSchema) {
        let (was, now) = (Fingerprints::of(old), Fingerprints::of(new));
        let upgraded = |table: &str, row_type: Option<Fingerprint>| {
            let (Some((old_id, before)), Some((new_id, after))) =
                (old.table(table), new.table(table))
            else {
                return Upgraded::Gone;
            };
            let can_read = match row_type {
                Some(row_type) => now.known_columns(new_id, row_type).is_some(),
                None => was.row(old_id) == now.row(new_id),
            };
            if !can_read {
                return Upgraded::OtherRows;
            }
            let persistence = (before.persistence, after.persistence);
            if persistence.0 != persistence.1 || persistence.1 == Persistence::Ephemeral {
                return Upgraded::Empty;
            }
            Upgraded::Same
        };
        let watchers = &self.shared.watchers;
        watchers.end_changed(&self.shared.log, &new.name, upgraded);
    }
}

/// The report of an install, filled in by [`ChangeContext::install`].
fn report(install: &Install, seq: Seq, changes: Vec<String>) -> DeployReport {
    DeployReport {
        module: install.binary.schema.name.clone(),
        version: install.binary.schema.version,
        replaced: None,
        seq,
        changes,
        load_failure: None,
    }
}

/// Where every module runs.
fn places(installed: &BTreeMap<ModuleName, Installed>) -> BTreeMap<ModuleName, usize> {
    installed
        .iter()
        .map(|(name, installed)| (name.clone(), installed.place))
        .collect()
}
