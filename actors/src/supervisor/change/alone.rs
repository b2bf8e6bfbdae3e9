//! Turns of a change: `init` and `load` run to their end while nothing else runs.
//!
//! Such a turn has a seq and records as any other; only its places are given out here instead of at the barrier.

use interstice_abi::{
    failure::Failure,
    id::{ModuleName, StepIndex},
    wire::Called,
};
use tokio::sync::oneshot;

use super::ChangeContext;
use crate::{
    apart::Apart,
    module::{
        NewPlace, Places, gone,
        turn::{
            Origin, PendingStep, Turn, Waiter,
            pending::{Budget, Pending},
        },
    },
    record::Input,
    supervisor::catalogue::{Entry, ModuleIndex},
};

impl ChangeContext {
    /// Runs a module's load: an input of its own. The inner result is that of its `load` reducer.
    pub(crate) async fn load(
        &mut self,
        module: &ModuleName,
    ) -> Result<Result<Called, Failure>, Failure> {
        let (index, entry) = self.installed_now(module)?;
        let step = PendingStep::load_of(&self.shared.id, index, entry);
        let input = Input::Load {
            module: module.clone(),
        };
        self.run_alone(input, module, step).await
    }

    fn installed_now(&self, module: &ModuleName) -> Result<(ModuleIndex, &Entry), Failure> {
        let found = self
            .catalogue
            .index_of(module)
            .and_then(|index| Some((index, self.catalogue.entry(index)?)));
        found.ok_or_else(|| Failure::internal("a module that was just installed is not there"))
    }

    /// Runs a turn while nothing else runs, to its end.
    pub(crate) async fn run_alone(
        &mut self,
        input: Input,
        module: &ModuleName,
        step: PendingStep,
    ) -> Result<Result<Called, Failure>, Failure> {
        let (index, _) = self.installed_now(module)?;
        let reach = self.catalogue.reach_of(std::iter::once(index));
        let (waiter, ended) = oneshot::channel();
        let ticket = self.stamper.ticket();
        let turn = Turn {
            ticket,
            seq: self.stamper.seq(&self.shared),
            timestamp_ms: self.stamper.timestamp_ms(self.shared.now_ms()),
            catalogue: Apart::new(self.catalogue.clone()),
            origin: Origin::of(&input),
            input: Some(input),
            began: None,
            pending: Pending::one(step),
            next_step: StepIndex(0),
            budget: Budget::from(&self.config.limits),
            left: self.config.turn_time(),
            held: reach.clone(),
            failed: 0,
            dropped: 0,
            dropped_at: None,
            resumed: false,
            refused: None,
            waiter: Waiter::Node(waiter),
            bytes: 0,
            home: None,
            guest: None,
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
        ended.await.map_err(|_| gone(module))
    }
}
