//! Changes of the catalogue: install, load, unload, remove, grant, revoke, quarantine.
//!
//! A change runs with the node to itself. It works on what it needs of the supervisor ([`ChangeContext`]), in a future that
//! suspends the supervisor's mailbox, and gives back the new catalogue ([`ChangeDone`]). A change that is refused leaves
//! everything as it was. Here is the frame of every change; each kind has a file of its own, installs are in `install.rs`.
//! Modules that come back and have missed something take several changes, between which the node goes on (`catch_up.rs`).

mod alone;

pub(crate) mod catch_up;

mod serving;

pub(crate) mod granting;

use std::{collections::BTreeMap, sync::Arc};

use actix::prelude::{ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, Seq},
    wire::{GrantChange, GrantTarget, ModuleState, Response, ResponseBody},
};
use tokio::sync::oneshot;

use self::catch_up::{Answer, CatchUp, has_missed};
use crate::{
    config::Config,
    history::Around,
    ingress::Replies,
    record::{Input, Record, StepRecord},
    shared::Shared,
    supervisor::{
        Quarantine, Supervisor,
        barrier::Parked,
        catalogue::Catalogue,
        install::{Install, fit::check_dependencies, installer::Installer},
        requests::sight::may_go_on,
        stamp::Stamper,
    },
};

/// A change of what is installed or allowed.
pub(crate) enum Change {
    /// A module comes or is upgraded.
    Install(Box<Install>),
    /// Several modules come or are upgraded together.
    InstallAll(Vec<Install>),
    /// What installing modules would do is looked at; nothing changes.
    Plan(Vec<Install>),
    /// A module stops and keeps its data.
    Unload(ModuleName, WhenNeeded),
    /// A module starts again.
    Load(ModuleName),
    /// A module goes, with its data.
    Remove(ModuleName),
    /// A grant is given or taken back.
    Grant {
        /// The holder.
        module: ModuleName,
        /// What it is about.
        target: GrantTarget,
        /// The direction.
        change: GrantChange,
    },
    /// A module failed too often.
    Quarantine(Quarantine),
    /// A module that failed too often starts again, if it is still the same binary.
    SecondChance(ModuleName, [u8; 32]),
    /// Modules go on with what they have missed.
    CatchUp(Box<CatchUp>),
}

/// What becomes of an unload of a module that running ones need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenNeeded {
    /// It is refused.
    Refuse,
    /// It is done.
    Unload,
}

impl Change {
    /// What the node's log says once it is made.
    fn describe(&self) -> String {
        let named = |install: &Install| {
            let schema = &install.binary.schema;
            format!("module `{}` {}", schema.name, schema.version)
        };
        match self {
            Self::Install(install) => format!("{} is installed", named(install)),
            Self::InstallAll(installs) => {
                let named: Vec<String> = installs.iter().map(named).collect();
                format!("installed together: {}", named.join(", "))
            }
            Self::Plan(_) => String::new(),
            Self::Unload(module, _) => format!("module `{module}` is unloaded"),
            Self::Load(module) => format!("module `{module}` is loaded"),
            Self::Remove(module) => format!("module `{module}` is removed with its data"),
            Self::Grant {
                module,
                target,
                change,
            } => {
                let verb = match change {
                    GrantChange::Grant => "given",
                    GrantChange::Revoke => "taken back",
                };
                format!("a grant of module `{module}` is {verb}: {target:?}")
            }
            Self::Quarantine(quarantine) => {
                format!("module `{}` failed too often", quarantine.module)
            }
            Self::SecondChance(module, _) => format!("module `{module}` had its second chance"),
            Self::CatchUp(_) => String::new(),
        }
    }
}

/// Who wants to hear of a change.
pub(crate) enum Asker {
    /// A client.
    Client {
        /// The way back.
        replies: Replies,
        /// The request.
        request: u64,
    },
    /// Nobody.
    Nobody,
}

impl Asker {
    /// Tells the outcome.
    pub(crate) fn tell(self, outcome: Result<ResponseBody, Failure>) {
        if let Self::Client { replies, request } = self {
            replies.send(Response {
                id: request,
                body: outcome,
            });
        }
    }
}

/// A change has been checked and may be parked.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct TakeChange(pub(crate) Change, pub(crate) Asker);

/// A change that has been made or refused.
pub(crate) struct ChangeDone {
    context: ChangeContext,
    asker: Asker,
    outcome: Result<ResponseBody, Failure>,
}

/// What a change works on.
pub(crate) struct ChangeContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Arc<Config>,
    pub(crate) installer: Installer,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) stamper: Stamper,
    pub(crate) forget_timers: Vec<ModuleName>,
    /// Modules that are quarantined now, with the hash of their binary.
    pub(crate) quarantined: Vec<(ModuleName, [u8; 32])>,
    /// With which turn modules that catch up have begun to.
    pub(crate) catch_ups: BTreeMap<ModuleName, Seq>,
    /// What is left to do before the change is answered, in changes to come.
    pub(crate) left: Option<Box<CatchUp>>,
    /// Whether history was held for modules that have caught up, or will not.
    has_caught_up: bool,
    /// What is known of the past, for modules that catch up.
    around: Option<Around>,
}

impl Handler<TakeChange> for Supervisor {
    type Result = ();

    fn handle(&mut self, TakeChange(change, asker): TakeChange, ctx: &mut Context<Self>) {
        match self.refuses() {
            Ok(()) => self.park(Parked::Change(change, asker), ctx),
            Err(failure) => asker.tell(Err(failure)),
        }
    }
}

impl Supervisor {
    /// Makes a change; everything before it has ended.
    pub(crate) fn start_change(&mut self, change: Change, asker: Asker, ctx: &mut Context<Self>) {
        let mut context = ChangeContext {
            shared: self.shared.clone(),
            config: self.config.clone(),
            installer: self.installer.clone(),
            catalogue: self.catalogue.clone(),
            stamper: self.stamper,
            forget_timers: Vec::new(),
            quarantined: Vec::new(),
            catch_ups: self.catch_ups.clone(),
            left: None,
            has_caught_up: false,
            around: matches!(change, Change::CatchUp(_)).then(|| self.around()),
        };
        let work = async move {
            let what = change.describe();
            let outcome = context.make(change).await;
            if outcome.is_ok() && !what.is_empty() && context.left.is_none() {
                context.shared.lines.message(None, None, &what);
            }
            let outcome = context.when_durable(outcome).await;
            ChangeDone {
                context,
                asker,
                outcome,
            }
        };
        // Not through the mailbox: what modules have told meanwhile of their timers comes after the change.
        ctx.wait(work.into_actor(self).map(|done, supervisor, ctx| {
            supervisor.finish_change(done, ctx);
            supervisor.after_endings(ctx);
        }));
    }

    /// Takes over what a change has made.
    pub(crate) fn finish_change(&mut self, done: ChangeDone, ctx: &mut Context<Self>) {
        let ChangeDone {
            context,
            asker,
            outcome,
        } = done;
        self.catalogue = context.catalogue;
        self.shared.turns.look_in(&self.catalogue);
        self.catch_ups = context.catch_ups;
        self.stamper = context.stamper;
        self.admission.forget_modules();
        for module in &context.forget_timers {
            self.timers.forget(module);
        }
        for (module, hash) in context.quarantined {
            self.promise_second_chance(module, hash, ctx);
        }
        self.barrier.done();
        if context.has_caught_up {
            self.checkpoints.release();
        }
        match context.left {
            Some(left) if outcome.is_ok() => self.read_missed(left, asker, ctx),
            _ => asker.tell(outcome),
        }
    }
}

impl ChangeContext {
    async fn make(&mut self, change: Change) -> Result<ResponseBody, Failure> {
        match change {
            Change::Install(install) => {
                let report = self.install(*install).await;
                if let Some(left) = &mut self.left {
                    left.answer_as(Answer::Install);
                }
                report.map(ResponseBody::Deployed)
            }
            Change::InstallAll(installs) => {
                let reports = self.install_all(installs).await;
                reports.map(ResponseBody::DeployedAll)
            }
            Change::Plan(installs) => self.plan_all(installs).await.map(ResponseBody::Planned),
            Change::Unload(module, when_needed) => {
                self.check_unload(&module, when_needed)?;
                let input = Input::Unload {
                    module: module.clone(),
                };
                self.set_state(&module, ModuleState::Unloaded, input)
                    .await
                    .map(|_| ResponseBody::Done)
            }
            Change::Quarantine(quarantine) => self
                .quarantine(quarantine)
                .await
                .map(|()| ResponseBody::Done),
            Change::SecondChance(module, hash) => self.second_chance(&module, hash).await,
            Change::CatchUp(work) => self.catch_up(work).await,
            Change::Load(module) => self.start_again(&module).await,
            Change::Remove(module) => self.remove(&module).await.map(|()| ResponseBody::Done),
            Change::Grant {
                module,
                target,
                change,
            } => self
                .grant(&module, target, change)
                .map(ResponseBody::Called),
        }
    }

    /// Starts a stopped module, and runs its load.
    async fn start_again(&mut self, module: &ModuleName) -> Result<ResponseBody, Failure> {
        let installed = self.catalogue.installed();
        if let Some(found) = installed.get(module) {
            if found.state == ModuleState::CatchingUp {
                let text = format!(
                    "module `{module}` is catching up with what it has missed already, and serves then"
                );
                return Err(Failure::new(Code::Rejected, text));
            }
            check_dependencies(&found.schema, &installed)?;
            self.add_code(found).await?;
            if has_missed(found, &found.schema) {
                self.begin_to_catch_up(module)?;
                return Ok(ResponseBody::Done);
            }
        }
        self.begin_again(module)?;
        let called = self.load(module).await?;
        self.load_dependents(module).await?;
        called.map(|_| ResponseBody::Done)
    }

    /// Starts a module that is still quarantined with the same binary.
    async fn second_chance(
        &mut self,
        module: &ModuleName,
        hash: [u8; 32],
    ) -> Result<ResponseBody, Failure> {
        let is_quarantined = self.catalogue.installed().get(module).is_some_and(|found| {
            found.hash == hash && matches!(found.state, ModuleState::Quarantined { .. })
        });
        if !is_quarantined {
            return Ok(ResponseBody::Done);
        }
        let started = self.start_again(module).await;
        if self.left.is_some() {
            return started;
        }
        if let Err(failure) = &started {
            let text =
                format!("the module was to start again by itself, and that failed: {failure}");
            self.shared.lines.warn(Some(module), None, &text);
        }
        let installed = self.catalogue.installed();
        let found = installed.get(module);
        if found.is_some_and(|found| found.state != ModuleState::Loaded) {
            // What it needs is not there, or its code.
            self.quarantined.push((module.clone(), hash));
        }
        started
    }

    /// A change is answered when its records are synced.
    async fn when_durable(
        &self,
        outcome: Result<ResponseBody, Failure>,
    ) -> Result<ResponseBody, Failure> {
        let (synced, wait) = oneshot::channel();
        self.shared.log.when_durable(Box::new(move |durable| {
            // The receiver waits below.
            let _ = synced.send(durable.map(|_| ()).map_err(|error| error.to_string()));
        }));
        let body = outcome?;
        match wait.await {
            Ok(Ok(())) => Ok(body),
            Ok(Err(error)) => Err(Failure::new(
                Code::Unavailable,
                format!("the log could not be written, so the outcome is unknown: {error}"),
            )),
            Err(_) => Err(Failure::internal("the log has ended")),
        }
    }

    /// From here on `catalogue` holds. Streams of guests who lose the right to read a table end
    /// first, so that nothing which is done under the new catalogue reaches them.
    pub(crate) fn adopt(&mut self, catalogue: Arc<Catalogue>) {
        let may_go_on = |module: &ModuleName, table: &str| may_go_on(&catalogue, module, table);
        self.shared.watchers.end_unreadable(may_go_on);
        self.shared.history.end_unreadable(may_go_on);
        self.shared.readings.end_unreadable(may_go_on);
        self.shared.turns.look_in(&catalogue);
        self.catalogue = catalogue;
    }

    /// Records an input whose step 0 is the node's own.
    pub(crate) fn record(&mut self, input: Input) -> Result<Seq, Failure> {
        let seq = self.stamper.seq(&self.shared);
        let timestamp_ms = self.stamper.timestamp_ms(self.shared.now_ms());
        let step = StepRecord::of_node(seq, timestamp_ms, input);
        let record = Record::Step(Box::new(step));
        self.shared.append(record.encode()?);
        Ok(seq)
    }
}
