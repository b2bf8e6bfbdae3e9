//! What a slice of catching up does, with the node at rest: turns for what was read, and, when
//! hardly anything is left, the rest and the load.

use std::time::{Duration, Instant};

use interstice_abi::{
    failure::Failure,
    id::ModuleName,
    wire::{ModuleState, ResponseBody},
};

use super::{CatchUp, Progress};
use crate::{
    history::{Around, Found, Gap, Heard, MissedItem},
    module::turn::{PendingStep, StepKind},
    record::Input,
    supervisor::{change::ChangeContext, install::fit::check_dependencies},
};

/// How long turns of a module that catches up keep the node from other inputs: short beside what a
/// client waits for, long beside a turn.
const SLICE: Duration = Duration::from_millis(50);

/// What the log may have grown by since it was read, so that the rest is read with the node at
/// rest.
const REST_BYTES_MAX: u64 = 1024 * 1024;

/// How often more than that is read while the node goes on. A module that is slower than those
/// who change the tables would never end otherwise.
const ROUNDS_MAX: u32 = 16;

impl ChangeContext {
    /// Hands over what was read. Whether hardly anything can be left.
    pub(super) async fn is_ready(
        &mut self,
        module: &ModuleName,
        work: &mut CatchUp,
    ) -> Result<bool, Failure> {
        let Some((found, end)) = work.found.take() else {
            return Ok(false);
        };
        if found.tables != self.tables_of(module) {
            // Rows would be handed over as another version of the module or of a provider knew
            // them.
            return Ok(false);
        }
        let is_all = found.is_all;
        let slice = Some(Instant::now() + SLICE);
        let progress = &mut work.progress;
        let left = self.hand_over(module, progress, found, slice).await?;
        if left.is_some() || !is_all {
            work.found = left.map(|found| (found, end));
            return Ok(false);
        }
        let grown = self.shared.log.durable().0.saturating_sub(end.0);
        work.progress.rounds += 1;
        Ok(grown <= REST_BYTES_MAX || work.progress.rounds >= ROUNDS_MAX)
    }

    fn tables_of(&self, module: &ModuleName) -> Vec<Heard> {
        let index = self.catalogue.index_of(module);
        let tables = index.map(|index| self.catalogue.heard_by(index));
        let tables = tables.into_iter().flatten();
        tables.map(|(heard, _)| heard).collect()
    }

    /// Hands over what came while the last part was read and handed over.
    pub(super) async fn rest(
        &mut self,
        module: &ModuleName,
        work: &mut CatchUp,
        mut around: Around,
    ) -> Result<(), Failure> {
        // What its own reactions lead to is bounded as in a turn.
        let most = u64::from(self.config.limits.steps_per_turn_max);
        let mut left = u64::MAX;
        loop {
            self.when_durable(Ok(ResponseBody::Done)).await?;
            let request = work.request(&self.catalogue, self.stamper.last_seq());
            let Some(request) = request else {
                return Ok(());
            };
            let read = tokio::task::spawn_blocking(move || (request.read(&around), around));
            let (found, back) = read
                .await
                .map_err(|_| Failure::internal("the log could not be read"))?;
            around = back;
            let is_all = found.is_all;
            let items = u64::try_from(found.items.len()).unwrap_or(u64::MAX);
            if items > left {
                let text = format!(
                    "the reactions to missed changes lead to others without end; after {most} (steps_per_turn_max in node.toml) those that are left are dropped"
                );
                self.shared.lines.warn(Some(module), None, &text);
                return Ok(());
            }
            self.hand_over(module, &mut work.progress, found, None)
                .await?;
            if is_all && items == 0 {
                return Ok(());
            }
            if left < u64::MAX {
                left -= items;
            } else if is_all {
                left = most;
            }
        }
    }

    /// Runs a turn for each change, until the slice is over. What is left then.
    async fn hand_over(
        &mut self,
        module: &ModuleName,
        progress: &mut Progress,
        mut found: Found,
        slice: Option<Instant>,
    ) -> Result<Option<Found>, Failure> {
        for gap in found.gaps.drain(..) {
            self.say_gap(module, progress, gap);
        }
        while let Some(item) = found.items.pop_front() {
            if slice.is_some_and(|end| Instant::now() >= end) {
                found.items.push_front(item);
                return Ok(Some(found));
            }
            let place = item.place();
            let MissedItem {
                position,
                reducer,
                arguments,
            } = item;
            let index = self.catalogue.find(module.as_str())?;
            let what = StepKind::Event(reducer.clone());
            let step = PendingStep::of_node(&self.shared.id, index, what, arguments.clone());
            let input = Input::Missed {
                module: module.clone(),
                reducer,
                position,
                arguments,
            };
            // A step that fails is undone and said like that of a live change; the others go on.
            let ended = self.run_alone(input, module, step).await?;
            progress.heard += 1;
            progress.failed += u64::from(ended.is_err());
            progress.after = Some(place);
        }
        progress.after = Some(found.after);
        Ok(None)
    }

    fn say_gap(&self, module: &ModuleName, progress: &mut Progress, gap: Gap) {
        let Gap { table, first, why } = gap;
        if !progress.said.insert(table.clone()) {
            return;
        }
        let text = format!(
            "the module may have missed changes of `{table}` while it was stopped, and hears of those from turn {first} on only: {why}"
        );
        self.shared.lines.warn(Some(module), None, &text);
    }

    /// Loads a module that has caught up; what its load comes to. It is stopped again where what
    /// it needs is not there any more.
    pub(super) async fn serve(
        &mut self,
        module: &ModuleName,
        progress: &Progress,
    ) -> Result<Result<(), Failure>, Failure> {
        let installed = self.catalogue.installed();
        let fits = installed.get(module).map_or(Ok(()), |found| {
            check_dependencies(&found.schema, &installed)
        });
        if let Err(failure) = fits {
            let input = Input::Unload {
                module: module.clone(),
            };
            self.set_state(module, ModuleState::Unloaded, input).await?;
            return Ok(Err(failure));
        }
        let Progress { heard, failed, .. } = progress;
        let text = format!(
            "the module has caught up: it was handed {heard} changes that it had missed, of which {failed} failed"
        );
        self.shared.lines.message(Some(module), None, &text);
        self.begin_again(module)?;
        let called = self.load(module).await?;
        self.load_dependents(module).await?;
        Ok(called.map(|_| ()))
    }
}
