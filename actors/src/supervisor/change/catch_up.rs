//! Modules that were stopped hear of what they have missed before they serve again.
//!
//! Each change of a table that such a module is subscribed to is handed to its reducer in a turn
//! of its own, in the order of the changes, before `load`. Until then the module is
//! [`ModuleState::CatchingUp`]: nothing live reaches it, so what its own reactions change
//! elsewhere comes in its place, too. The log is read while the node goes on; turns run with the
//! node at rest, in slices, between which other inputs pass. The last slice hands over what has
//! been added meanwhile, and loads the module.
//!
//! The state and each turn are in the log. After a crash the node goes on behind the last of them.

mod handing;

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use actix::prelude::{AsyncContext, Context};
use interstice_abi::{
    event::Event,
    failure::{Code, Failure},
    id::{ModuleName, Seq},
    schema::ModuleSchema,
    wire::{DeployReport, ModuleState, ResponseBody},
};
use interstice_host::log::LogPosition;

use super::{Asker, Change, ChangeContext, TakeChange};
use crate::{
    history::{Found, MissedRequest, Place, is_subscribed},
    record::Input,
    supervisor::{
        Supervisor,
        barrier::Parked,
        catalogue::{Catalogue, Installed},
    },
};

/// How often it is looked whether a node that starts has come to rest.
const IDLE_LOOK: Duration = Duration::from_millis(100);

/// Longest wait for that.
const PATIENCE_MAX: Duration = Duration::from_secs(600);

/// Longest pause between two slices.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Modules that catch up one after the other.
pub(crate) struct CatchUp {
    /// Each with the turn with which it began.
    modules: VecDeque<(ModuleName, Seq)>,
    answer: Answer,
    reports: Vec<DeployReport>,
    /// Why the first module does not serve that does not.
    refused: Option<Failure>,
    /// What was read for the first module and is not handed over yet, and where the log ended
    /// then.
    found: Option<(Found, LogPosition)>,
    /// Whether history stays until this has ended.
    holds_history: bool,
    /// When the change that is under way was asked for.
    asked: Option<Instant>,
    progress: Progress,
}

/// How an asker is answered in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// That it is done.
    Load,
    /// With the report of one module.
    Install,
    /// With all reports.
    InstallAll,
}

/// How far the first module is.
#[derive(Default)]
struct Progress {
    after: Option<Place>,
    rounds: u32,
    heard: u64,
    failed: u64,
    /// The tables whose gaps were said.
    said: BTreeSet<String>,
}

impl CatchUp {
    /// Of these modules, which are in that state since turn `begun`.
    fn of(
        modules: Vec<ModuleName>,
        begun: Seq,
        reports: Vec<DeployReport>,
        answer: Answer,
    ) -> Box<Self> {
        Box::new(Self {
            modules: modules.into_iter().map(|module| (module, begun)).collect(),
            answer,
            reports,
            refused: None,
            found: None,
            holds_history: false,
            asked: None,
            progress: Progress::default(),
        })
    }

    pub(crate) fn answer_as(&mut self, answer: Answer) {
        self.answer = answer;
    }

    /// The first module is done, or will not be.
    fn next(&mut self, outcome: Result<(), Failure>) {
        let module = self.modules.pop_front();
        self.progress = Progress::default();
        // What was read is of no use to another one.
        self.found = None;
        let Err(failure) = outcome else {
            return;
        };
        let mut reports = self.reports.iter_mut();
        let name = module.map(|(name, _)| name);
        match reports.find(|report| Some(&report.module) == name.as_ref()) {
            Some(report) => report.load_failure = Some(failure.to_string()),
            None => self.refused = self.refused.take().or(Some(failure)),
        }
    }

    fn answer(self) -> Result<ResponseBody, Failure> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let mut reports = self.reports;
        match (self.answer, reports.len()) {
            (Answer::Load, _) => Ok(ResponseBody::Done),
            (Answer::Install, 1) => {
                let report = reports.pop().map(ResponseBody::Deployed);
                report.ok_or_else(|| Failure::internal("an install has no report"))
            }
            (Answer::Install | Answer::InstallAll, _) => Ok(ResponseBody::DeployedAll(reports)),
        }
    }
}

/// Whether `old`, which comes back with the schema `new`, may have missed changes: it does not
/// hear of them now, and goes on with a subscription to another module.
pub(crate) fn has_missed(old: &Installed, new: &ModuleSchema) -> bool {
    let goes_on = |event: &Event| {
        let Event::Row { table, event } = event else {
            return false;
        };
        let module = table.module.as_deref().filter(|_| table.node.is_none());
        let other = module.filter(|module| *module != new.name.as_str());
        other.is_some_and(|other| is_subscribed(&old.schema, other, &table.table, *event))
    };
    match old.state {
        ModuleState::Loaded => false,
        ModuleState::CatchingUp => true,
        ModuleState::Unloaded | ModuleState::Quarantined { .. } => {
            let mut events = new.reducers.iter().flat_map(|reducer| &reducer.events);
            events.any(goes_on)
        }
    }
}

impl Supervisor {
    /// After the node's start: modules that a stop has interrupted. Turns of before that are still
    /// to be finished are waited for, but not by those who come later.
    pub(crate) fn go_on_catching_up(&mut self, has_half_done: bool, ctx: &mut Context<Self>) {
        let installed = self.catalogue.installed().into_iter();
        let modules: Vec<ModuleName> = installed
            .filter(|(_, found)| found.state == ModuleState::CatchingUp)
            .map(|(name, _)| name)
            .collect();
        if !modules.is_empty() {
            let begun = self.stamper.last_seq();
            let named = modules.iter().cloned();
            self.catch_ups.extend(named.map(|module| (module, begun)));
            let work = CatchUp::of(modules, begun, Vec::new(), Answer::Load);
            // Their reactions have used up their time by then, also on a busy machine.
            let patience = self.config.turn_time().saturating_mul(2).min(PATIENCE_MAX);
            let patience = if has_half_done {
                patience
            } else {
                Duration::ZERO
            };
            self.catch_up_when_idle(work, Instant::now() + patience, ctx);
        }
    }

    fn catch_up_when_idle(
        &mut self,
        work: Box<CatchUp>,
        at_latest: Instant,
        ctx: &mut Context<Self>,
    ) {
        if self.admission.is_idle() || Instant::now() >= at_latest {
            self.park(Parked::Change(Change::CatchUp(work), Asker::Nobody), ctx);
            return;
        }
        ctx.run_later(IDLE_LOOK, move |supervisor, ctx| {
            supervisor.catch_up_when_idle(work, at_latest, ctx);
        });
    }

    /// Reads what the first module has missed up to now, while the node goes on. Every turn so far
    /// has ended, and is durable. Others have the node for as long as the last change took.
    pub(super) fn read_missed(
        &mut self,
        mut work: Box<CatchUp>,
        asker: Asker,
        ctx: &mut Context<Self>,
    ) {
        if !std::mem::replace(&mut work.holds_history, true) {
            self.checkpoints.hold_history();
        }
        let request = work.request(&self.catalogue, self.stamper.last_seq());
        let request = request.filter(|_| work.found.is_none());
        let (around, supervisor) = (self.around(), ctx.address());
        let end = self.shared.log.durable();
        let took = work.asked.map(|asked| asked.elapsed());
        actix::spawn(async move {
            if let Some(took) = took {
                tokio::time::sleep(took.min(PAUSE_MAX)).await;
            }
            if let Some(request) = request {
                let read = tokio::task::spawn_blocking(move || request.read(&around));
                // Without it the next change asks again.
                work.found = read.await.ok().map(|found| (found, end));
            }
            work.asked = Some(Instant::now());
            supervisor.do_send(TakeChange(Change::CatchUp(work), asker));
        });
    }
}

impl CatchUp {
    fn request(&self, catalogue: &Catalogue, until: Seq) -> Option<MissedRequest> {
        let (module, _) = self.modules.front()?;
        Some(MissedRequest {
            module: module.clone(),
            tables: catalogue.heard_by(catalogue.index_of(module)?),
            after: self.progress.after.clone(),
            until,
        })
    }
}

impl ChangeContext {
    /// A stopped module is to serve when it has caught up.
    pub(super) fn begin_to_catch_up(&mut self, module: &ModuleName) -> Result<(), Failure> {
        let mut installed = self.catalogue.installed();
        let Some(found) = installed.get_mut(module) else {
            return Err(Failure::not_found("module", module.as_str(), []));
        };
        found.state = ModuleState::CatchingUp;
        let modules = vec![module.clone()];
        let begun = self.record(Input::CatchUp {
            modules: modules.clone(),
            installs: Vec::new(),
        })?;
        self.adopt(Catalogue::new(installed));
        self.leave(modules, begun, Vec::new(), Answer::Load);
        Ok(())
    }

    /// Leaves it to the changes to come to let these modules catch up, which have begun to at turn
    /// `begun`.
    pub(in crate::supervisor) fn leave(
        &mut self,
        modules: Vec<ModuleName>,
        begun: Seq,
        reports: Vec<DeployReport>,
        answer: Answer,
    ) {
        let named = modules.iter().cloned();
        // Whatever was under way for them ends.
        self.catch_ups.extend(named.map(|module| (module, begun)));
        self.left = Some(CatchUp::of(modules, begun, reports, answer));
    }

    /// Hands over what was read, and either leaves the rest to another change or lets the module
    /// serve.
    pub(super) async fn catch_up(
        &mut self,
        mut work: Box<CatchUp>,
    ) -> Result<ResponseBody, Failure> {
        let around = self.around.take();
        let (Some((module, begun)), Some(around)) = (work.modules.front().cloned(), around) else {
            return self.end_catch_up(*work);
        };
        if let Err(failure) = self.check_catches_up(&module, begun) {
            work.next(Err(failure));
        } else if self.is_ready(&module, &mut work).await? {
            self.rest(&module, &mut work, around).await?;
            let served = self.serve(&module, &work.progress).await?;
            work.next(served);
        }
        if work.modules.is_empty() {
            return self.end_catch_up(*work);
        }
        self.left = Some(work);
        Ok(ResponseBody::Done)
    }

    fn end_catch_up(&mut self, work: CatchUp) -> Result<ResponseBody, Failure> {
        self.has_caught_up = work.holds_history;
        work.answer()
    }

    /// Whether the module still catches up since the turn with which this began.
    fn check_catches_up(&self, module: &ModuleName, begun: Seq) -> Result<(), Failure> {
        let installed = self.catalogue.installed();
        let state = installed.get(module).map(|found| &found.state);
        if state == Some(&ModuleState::CatchingUp) && self.catch_ups.get(module) == Some(&begun) {
            return Ok(());
        }
        let text = format!(
            "module `{module}` was stopped or replaced while it caught up with what it has missed; see `modules`"
        );
        Err(Failure::new(Code::Rejected, text))
    }
}
