//! Changes of the catalogue: install, load, unload, remove, grant, revoke, quarantine.
//!
//! A change runs with the node to itself. It works on what it needs of the supervisor ([`ChangeContext`]), in a future that
//! suspends the supervisor's mailbox, and gives back the new catalogue ([`ChangeDone`]). A change that is refused leaves
//! everything as it was.

use std::sync::Arc;

use actix::prelude::{ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use interstice_abi::{
    failure::Failure,
    id::{ModuleName, Seq},
    wire::{Called, DeployReport, GrantChange, GrantTarget, ModuleState, Response, ResponseBody},
};
use interstice_host::module::Revocation;
use tokio::sync::oneshot;

use super::{
    Quarantine, Supervisor,
    barrier::Parked,
    catalogue::Catalogue,
    install::{Install, Installer},
    stamp::Stamper,
};
use crate::{
    config::Config,
    ingress::Replies,
    module::{
        NewPlace, Order, Places,
        turn::{PendingStep, StepKind, Turn, Waiter, invocation_of_node},
    },
    record::{Input, Outcome, Record, StepRecord},
    shared::Shared,
};

/// A change of what is installed or allowed.
pub(crate) enum Change {
    /// A module comes or is upgraded.
    Install(Box<Install>),
    /// A module stops and keeps its data.
    Unload(ModuleName),
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
        };
        let work = async move {
            let outcome = context.make(change).await;
            let outcome = context.when_durable(outcome).await;
            ChangeDone {
                context,
                asker,
                outcome,
            }
        };
        // Not through the mailbox: what modules have told meanwhile of their timers comes after the change.
        ctx.wait(work.into_actor(self).map(|done, supervisor, ctx| {
            supervisor.finish_change(done);
            supervisor.after_endings(ctx);
        }));
    }

    /// Takes over what a change has made.
    pub(crate) fn finish_change(&mut self, done: ChangeDone) {
        let ChangeDone {
            context,
            asker,
            outcome,
        } = done;
        self.catalogue = context.catalogue;
        self.stamper = context.stamper;
        self.admission.forget_modules();
        for module in &context.forget_timers {
            self.timers.forget(module);
        }
        self.barrier.done();
        asker.tell(outcome);
    }
}

impl ChangeContext {
    async fn make(&mut self, change: Change) -> Result<ResponseBody, Failure> {
        match change {
            Change::Install(install) => self.install(*install).await.map(ResponseBody::Deployed),
            Change::Unload(module) => {
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
            Change::Load(module) => {
                self.begin_again(&module)?;
                let called = self.load(&module).await?;
                called.map(|_| ResponseBody::Done)
            }
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
                interstice_abi::failure::Code::Unavailable,
                format!("the log could not be written, so the outcome is unknown: {error}"),
            )),
            Err(_) => Err(Failure::internal("the log has ended")),
        }
    }

    /// Records an input whose step 0 is the node's own.
    pub(crate) fn record(&mut self, input: Input) -> Result<Seq, Failure> {
        let seq = self.stamper.seq(&self.shared);
        let record = Record::Step(Box::new(StepRecord {
            seq,
            step: interstice_abi::id::StepIndex(0),
            timestamp_ms: self.stamper.timestamp_ms(),
            input: Some(input),
            ran: None,
            outcome: Outcome::Committed,
            effects: Vec::new(),
            counters: Vec::new(),
            starts: Vec::new(),
            dropped: 0,
        }));
        self.shared.append(record.encode()?);
        Ok(seq)
    }

    /// Stops a module that failed too often, unless it was stopped or replaced meanwhile.
    async fn quarantine(&mut self, quarantine: Quarantine) -> Result<(), Failure> {
        let Quarantine {
            module,
            hash,
            reason,
        } = quarantine;
        let installed = self.catalogue.installed();
        let same = installed
            .get(&module)
            .filter(|found| found.hash == hash && found.state == ModuleState::Loaded);
        if same.is_none() {
            return Ok(());
        }
        let text = format!("the module is quarantined: it failed again and again; last: {reason}");
        self.shared.lines.error(Some(&module), None, &text);
        let input = Input::Quarantine {
            module: module.clone(),
            reason: reason.clone(),
        };
        self.set_state(&module, ModuleState::Quarantined { reason }, input)
            .await
            .map(|_| ())
    }

    async fn set_state(
        &mut self,
        module: &ModuleName,
        state: ModuleState,
        input: Input,
    ) -> Result<Seq, Failure> {
        let mut installed = self.catalogue.installed();
        let Some(found) = installed.get_mut(module) else {
            return Err(Failure::not_found("module", module.as_str(), []));
        };
        if found.state == state {
            return Err(Failure::new(
                interstice_abi::failure::Code::Rejected,
                format!("module `{module}` is not running"),
            ));
        }
        found.state = state;
        let address = found.address.clone();
        let seq = self.record(input)?;
        self.catalogue = Catalogue::new(installed);
        self.forget_timers.push(module.clone());
        let (reset, done) = oneshot::channel();
        address.do_send(Order::Reset(reset));
        done.await.map_err(|_| crate::module::gone(module))?;
        self.forget_timers.push(module.clone());
        let why = Failure::new(
            interstice_abi::failure::Code::Unavailable,
            format!("module `{module}` was stopped"),
        );
        self.shared.watchers.end_tables(module, &why, |_| true);
        Ok(seq)
    }

    /// Marks a stopped module as serving.
    fn begin_again(&mut self, module: &ModuleName) -> Result<(), Failure> {
        let mut installed = self.catalogue.installed();
        match installed.get_mut(module) {
            None => Err(Failure::not_found("module", module.as_str(), [])),
            Some(found) if found.state == ModuleState::Loaded => Err(Failure::new(
                interstice_abi::failure::Code::Rejected,
                format!("module `{module}` is running already"),
            )),
            Some(found) => {
                found.state = ModuleState::Loaded;
                self.catalogue = Catalogue::new(installed);
                Ok(())
            }
        }
    }

    /// Runs a module's load: an input of its own. The inner result is that of its `load` reducer.
    pub(crate) async fn load(
        &mut self,
        module: &ModuleName,
    ) -> Result<Result<Called, Failure>, Failure> {
        let reducer = self
            .catalogue
            .index_of(module)
            .and_then(|index| self.catalogue.entry(index))
            .and_then(|entry| {
                entry
                    .reducers_on(&interstice_abi::event::Event::Load)
                    .next()
                    .map(Into::into)
            });
        self.run_alone(
            Input::Load {
                module: module.clone(),
            },
            module,
            StepKind::Load(reducer),
            true,
        )
        .await
    }

    /// Runs a turn while nothing else runs, to its end.
    pub(crate) async fn run_alone(
        &mut self,
        input: Input,
        module: &ModuleName,
        what: StepKind,
        of_load: bool,
    ) -> Result<Result<Called, Failure>, Failure> {
        let index = self
            .catalogue
            .index_of(module)
            .ok_or_else(|| Failure::internal("a module that was just installed is not there"))?;
        let reach: std::collections::BTreeSet<_> = self
            .catalogue
            .entry(index)
            .map(|entry| entry.reach.iter().copied().collect())
            .unwrap_or_default();
        let (waiter, ended) = oneshot::channel();
        let ticket = self.stamper.ticket();
        let turn = Turn {
            ticket,
            seq: self.stamper.seq(&self.shared),
            timestamp_ms: self.stamper.timestamp_ms(),
            catalogue: self.catalogue.clone(),
            input: Some(input),
            pending: [PendingStep {
                module: index,
                what,
                invocation: invocation_of_node(&self.shared.id),
                arguments: Vec::new(),
                from_outside: false,
                of_load,
            }]
            .into(),
            next_step: interstice_abi::id::StepIndex(0),
            budget: self.config.limits.steps_per_turn_max,
            held: reach.clone(),
            failed: 0,
            dropped: 0,
            refused: None,
            waiter: Waiter::Node(waiter),
            bytes: 0,
            home: None,
        };
        let mut turn = Some(Box::new(turn));
        for held in reach {
            let place = if held == index {
                match turn.take() {
                    Some(turn) => NewPlace::Turn(turn),
                    None => continue,
                }
            } else {
                NewPlace::Hold(ticket)
            };
            if let Some(entry) = self.catalogue.entry(held) {
                entry.installed.address.do_send(Places(vec![place]));
            }
        }
        ended.await.map_err(|_| crate::module::gone(module))
    }

    async fn remove(&mut self, module: &ModuleName) -> Result<(), Failure> {
        let mut installed = self.catalogue.installed();
        let dependents: Vec<String> = installed
            .values()
            .filter(|other| {
                other.schema.dependencies.iter().any(|dependency| {
                    dependency.node.is_none() && dependency.module == module.as_str()
                })
            })
            .map(|other| format!("`{}`", other.schema.name))
            .collect();
        if !dependents.is_empty() {
            return Err(Failure::new(
                interstice_abi::failure::Code::SchemaConflict,
                format!(
                    "module `{module}` is needed by {}; remove them first",
                    dependents.join(", ")
                ),
            ));
        }
        let Some(removed) = installed.remove(module) else {
            return Err(Failure::not_found("module", module.as_str(), []));
        };
        self.record(Input::Remove {
            module: module.clone(),
        })?;
        self.catalogue = Catalogue::new(installed);
        let (reply, handed_over) = oneshot::channel();
        removed.address.do_send(Order::HandOver(reply));
        // An actor that is gone already has nothing to hand over.
        drop(handed_over.await);
        self.forget_timers.push(module.clone());
        let why = Failure::new(
            interstice_abi::failure::Code::Unavailable,
            format!("module `{module}` was removed"),
        );
        self.shared.watchers.end_tables(module, &why, |_| true);
        Ok(())
    }

    fn grant(
        &mut self,
        module: &ModuleName,
        target: GrantTarget,
        change: GrantChange,
    ) -> Result<Called, Failure> {
        let mut installed = self.catalogue.installed();
        let Some(found) = installed.get_mut(module) else {
            return Err(Failure::not_found("module", module.as_str(), []));
        };
        let next = Seq(self.stamper.last_seq().0 + 1);
        found.grants.change(&target, change, next)?;
        found
            .address
            .do_send(Order::Revoke(revocations(&found.grants)));
        let seq = self.record(Input::Grant {
            module: module.clone(),
            target,
            change,
        })?;
        self.catalogue = Catalogue::new(installed);
        Ok(Called {
            seq,
            failed: 0,
            dropped: 0,
        })
    }
}

/// What the host has to refuse.
pub(crate) fn revocations(grants: &super::grants::Grants) -> Vec<Revocation> {
    let revoked = grants
        .entries()
        .iter()
        .filter(|entry| entry.revoked.is_some());
    revoked
        .map(|entry| Revocation {
            subject: entry.subject.clone(),
            target: entry.target.clone(),
        })
        .collect()
}

/// The report of an install, filled in by [`ChangeContext::install`].
pub(crate) fn report(install: &Install, seq: Seq, changes: Vec<String>) -> DeployReport {
    DeployReport {
        module: install.binary.schema.name.clone(),
        version: install.binary.schema.version,
        replaced: None,
        seq,
        changes,
        load_failure: None,
    }
}
