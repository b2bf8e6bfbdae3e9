//! Installing and upgrading modules.
//!
//! What can be prepared outside is (`install/prepared.rs`). What depends on the node's state is checked with the node at rest,
//! before anything is touched: first that the modules fit each other (`install/fit.rs`), then that data stay or may go.

pub(crate) mod compiling;
pub(crate) mod installer;

pub(super) mod prepared;

mod dropping;

pub(super) mod fit;

mod planned;

use std::{collections::BTreeMap, sync::Arc};

use interstice_abi::{
    event::Event,
    failure::Failure,
    fingerprint::Fingerprint,
    id::{ModuleName, Seq},
    schema::{ModuleSchema, Persistence},
    wire::{DeployOptions, DeployReport, ModuleState, OnConflict},
};
use interstice_host::{
    table::{MovePlan, Prepared, Tables},
    wasm::Binary,
};
use tokio::sync::oneshot;

use self::dropping::{All, dropped_lines};
use crate::{
    directory::Reserved,
    module::{
        Order,
        core::Core,
        gone,
        turn::{PendingStep, StepKind},
        watch::watchers::Upgraded,
    },
    record::{Input, Installing},
    supervisor::{
        catalogue::{Catalogue, Installed, fingerprints::Fingerprints},
        change::{
            ChangeContext,
            catch_up::{Answer, has_missed},
            granting::revocations,
        },
        grants::Grants,
    },
};

/// A module that has been prepared.
pub(crate) struct Install {
    /// What was compiled.
    pub(crate) binary: Arc<Binary>,
    /// Keeps the stored binary until a record names it, or the install is refused; `None` where it is only planned.
    pub(crate) _stored: Option<Reserved>,
    /// What to do where it does not fit.
    pub(crate) options: DeployOptions,
    /// What was done already of moving the data of its older self.
    pub(crate) data: Prepared,
}

impl Install {
    pub(super) fn schema(&self) -> &Arc<ModuleSchema> {
        &self.binary.schema
    }

    pub(super) fn name(&self) -> &ModuleName {
        &self.binary.schema.name
    }

    /// Whether it is new and begins with `init`.
    fn runs_init(&self, before: &All) -> bool {
        let mut reducers = self.schema().reducers.iter();
        !before.contains_key(self.name())
            && reducers.any(|reducer| reducer.events.contains(&Event::Init))
    }

    fn recorded(&self) -> Installing {
        Installing {
            module: self.name().clone(),
            version: self.schema().version,
            hash: self.binary.hash,
        }
    }
}

impl ChangeContext {
    /// Installs or upgrades a module, then loads it.
    pub(crate) async fn install(&mut self, install: Install) -> Result<DeployReport, Failure> {
        let reports = self.install_all(vec![install]).await?;
        let report = reports.into_iter().next();
        report.ok_or_else(|| Failure::internal("an install has no report"))
    }

    /// Installs or upgrades several modules together, then loads them: all, or none.
    pub(crate) async fn install_all(
        &mut self,
        mut installs: Vec<Install>,
    ) -> Result<Vec<DeployReport>, Failure> {
        fit::in_order(&mut installs)?;
        let before = self.catalogue.installed();
        let schemas = || installs.iter().map(|install| install.schema().as_ref());
        fit::check(schemas(), &before)?;
        if installs.len() > 1 && installs.iter().any(|install| install.runs_init(&before)) {
            return self.install_one_by_one(installs, &before).await;
        }
        let plans = self.agreed_plans(&mut installs, &before).await?;
        for (install, plan) in installs.iter().zip(&plans) {
            if let (Some(old), Some(plan)) = (before.get(install.name()), plan) {
                self.drop_data(old, plan).await?;
            }
        }
        let since = self.next_seq();
        let mut installed = before.clone();
        let returning: Vec<ModuleName> = installs
            .iter()
            .filter(|install| {
                let old = before.get(install.name());
                old.is_some_and(|old| has_missed(old, install.schema()))
            })
            .map(|install| install.name().clone())
            .collect();
        for install in &mut installs {
            let mut entry = self.place(install, since, &installed).await?;
            if returning.contains(install.name()) {
                entry.state = ModuleState::CatchingUp;
            }
            installed.insert(install.name().clone(), entry);
            self.forget_timers.push(install.name().clone());
        }
        let previous = self.catalogue.clone();
        self.adopt(Catalogue::new(installed));
        if returning.is_empty() {
            self.begin(&installs, &before, previous).await?;
        } else {
            // None of them begins with `init`: some are upgrades.
            self.record(Input::CatchUp {
                modules: returning.clone(),
                installs: installs.iter().map(Install::recorded).collect(),
            })?;
        }
        let mut reports = Vec::new();
        for (install, plan) in installs.iter().zip(&plans) {
            let old = before.get(install.name());
            if let Some(old) = old {
                self.end_changed_watches(&old.schema, install.schema());
            }
            let mut report = report(install, since, old, plan.as_ref());
            if returning.contains(install.name()) {
                // It is loaded when it has caught up.
                reports.push(report);
                continue;
            }
            if let Err(failure) = self.load(install.name()).await? {
                report.load_failure = Some(failure.to_string());
            }
            if old.is_some_and(|old| old.state != ModuleState::Loaded) {
                self.load_dependents(install.name()).await?;
            }
            reports.push(report);
        }
        if !returning.is_empty() {
            self.leave(returning, since, reports.clone(), Answer::InstallAll);
        }
        Ok(reports)
    }

    /// The turn that installs, and `init` where a single new module has one; its failure undoes the install.
    async fn begin(
        &mut self,
        installs: &[Install],
        before: &All,
        previous: Arc<Catalogue>,
    ) -> Result<(), Failure> {
        let Some(first) = installs.first() else {
            return Ok(());
        };
        let name = first.name();
        let input = match installs {
            [one] => Input::Install {
                module: name.clone(),
                version: one.schema().version,
                hash: one.binary.hash,
                // What does not fit was dropped before.
                on_conflict: OnConflict::Refuse,
            },
            all => Input::InstallAll {
                modules: all.iter().map(Install::recorded).collect(),
            },
        };
        let init = match before.get(name) {
            None => self.init_reducer(name),
            Some(_) => None,
        };
        let index = self.catalogue.find(name.as_str())?;
        let what = init.map_or(StepKind::Nothing, StepKind::Event);
        let step = PendingStep::of_node(&self.shared.id, index, what, Vec::new());
        let Err(failure) = self.run_alone(input, name, step).await? else {
            return Ok(());
        };
        let refused = std::mem::replace(&mut self.catalogue, previous);
        if let Some(entry) = refused
            .index_of(name)
            .and_then(|index| refused.entry(index))
        {
            let (reply, handed_over) = oneshot::channel();
            entry.installed.address.do_send(Order::HandOver(reply));
            if let Ok(core) = handed_over.await {
                self.shared.lane.discard(core);
            }
        }
        Err(Failure {
            message: format!("`init` of module `{name}` failed, so it is not installed: {failure}"),
            ..failure
        })
    }

    /// New modules of which some run `init` come one after the other, those first that others need. When one is refused, those before
    /// it go again.
    async fn install_one_by_one(
        &mut self,
        installs: Vec<Install>,
        before: &All,
    ) -> Result<Vec<DeployReport>, Failure> {
        fit::check_all_are_new(&installs, before)?;
        let mut reports: Vec<DeployReport> = Vec::new();
        for install in installs {
            let name = install.name().clone();
            match Box::pin(self.install(install)).await {
                Ok(report) => reports.push(report),
                Err(failure) => {
                    for report in reports.iter().rev() {
                        self.remove(&report.module).await?;
                    }
                    return Err(Failure {
                        message: format!("module `{name}`: {failure}; nothing is installed"),
                        ..failure
                    });
                }
            }
        }
        Ok(reports)
    }

    /// The plans of all upgrades. Nothing is dropped that nobody has agreed to.
    async fn agreed_plans(
        &self,
        installs: &mut [Install],
        before: &All,
    ) -> Result<Vec<Option<MovePlan>>, Failure> {
        let mut plans = Vec::new();
        for install in installs {
            let plan = match before.get(install.name()) {
                Some(old) => Some(self.move_plan(old, install).await?),
                None => None,
            };
            if let Some(plan) = &plan
                && !plan.is_compatible()
                && install.options.on_conflict == OnConflict::Refuse
            {
                return Err(fit::does_not_fit(install.name(), plan));
            }
            plans.push(plan);
        }
        Ok(plans)
    }

    /// Starts the actor of a module that comes or takes the place of its older self.
    async fn place(
        &self,
        install: &mut Install,
        since: Seq,
        installed: &All,
    ) -> Result<Installed, Failure> {
        let new = &install.schema().clone();
        let old = installed.get(&new.name);
        let tables = match old {
            None => Tables::new(new.clone(), self.config.limits.rows())?,
            Some(old) => self.moved(install, old).await?,
        };
        let grants = Grants::asked_by(new, since, old.map(|old| &old.grants));
        let mut module = self
            .installer
            .module(install.binary.clone(), tables, &self.config);
        module.set_revoked(revocations(&grants));
        let place = match old {
            Some(old) => old.place,
            None => self.installer.place(new, &places(installed), &self.config),
        };
        let core = Core::new(new.name.clone(), self.shared.clone(), module);
        Ok(Installed {
            schema: new.clone(),
            fingerprints: Arc::new(Fingerprints::of(new)),
            hash: install.binary.hash,
            state: ModuleState::Loaded,
            grants,
            since,
            place,
            address: self.installer.start(core, place),
        })
    }

    fn next_seq(&self) -> Seq {
        Seq(self.stamper.last_seq().0 + 1)
    }

    fn init_reducer(&self, module: &ModuleName) -> Option<Arc<str>> {
        let entry = self.catalogue.entry(self.catalogue.index_of(module)?)?;
        entry.reducers_on(&Event::Init).next().map(Into::into)
    }

    /// Takes the tables out of the old actor and moves them to the new schema, which the plan has found to be possible.
    async fn moved(&self, install: &mut Install, old: &Installed) -> Result<Tables, Failure> {
        let mut data = std::mem::take(&mut install.data);
        let name = install.name();
        let (reply, handed_over) = oneshot::channel();
        old.address.do_send(Order::HandOver(reply));
        let mut core = handed_over.await.map_err(|_| gone(name))?;
        let moved = core.take_tables();
        let moved = moved.migrate_with(install.schema().clone(), false, &mut data);
        self.shared.lane.discard((data, core));
        let Ok(mut tables) = moved else {
            self.shared.broken(name);
            let text = format!("the data of module `{name}` did not move as planned");
            return Err(Failure::internal(text));
        };
        tables.begin_new_trees();
        Ok(tables)
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

fn report(
    install: &Install,
    seq: Seq,
    old: Option<&Installed>,
    plan: Option<&MovePlan>,
) -> DeployReport {
    let mut changes = Vec::new();
    if let Some(plan) = plan {
        changes.extend(plan.difference.lines.iter().map(ToString::to_string));
        changes.extend(dropped_lines(plan));
    }
    DeployReport {
        module: install.name().clone(),
        version: install.schema().version,
        replaced: old.map(|old| old.schema.version),
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
