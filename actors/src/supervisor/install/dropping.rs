//! What an upgrade drops goes row by row before it, in turns of its own under the old version:
//! recorded, seen by subscribers and watchers as deletes, and part of history.
//!
//! Each turn drops a bounded part, so neither its record nor its reactions grow with the table. A
//! crash in between leaves the old version with what is not dropped yet; the same deploy goes on
//! from there.

use std::{collections::BTreeMap, sync::Arc};

use interstice_abi::{
    event::RowEvent,
    failure::{Code, Failure},
    id::{ModuleName, TableId},
};
use interstice_host::table::{MovePlan, Tables};
use tokio::sync::oneshot;

use super::Install;
use crate::{
    module::{
        Order, gone,
        turn::{PendingStep, StepKind},
    },
    record::{Dropping, Input},
    supervisor::{catalogue::Installed, change::ChangeContext},
};

/// Most rows of one turn: few enough for a small record, many enough that the log is not the bound.
const ROWS_AT_ONCE: u64 = 256;

/// Bytes of rows at which a turn ends.
const BYTES_AT_ONCE: u64 = 4 * 1024 * 1024;

/// Most timers of one turn.
const TIMERS_AT_ONCE: usize = 256;

/// How many turns may leave as many rows as there were, because reactions insert others.
const VAIN_TURNS_MAX: u32 = 16;

impl ChangeContext {
    /// Asks the actor of a module something about its tables. Only while nothing runs.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        installed: &Installed,
        look: impl FnOnce(&Tables) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (reply, seen) = oneshot::channel();
        let look = move |tables: &Tables| {
            // The change waits below.
            let _ = reply.send(look(tables));
        };
        installed.address.do_send(Order::Look(Box::new(look)));
        seen.await.map_err(|_| gone(&installed.schema.name))
    }

    /// What the upgrade of `installed` will do.
    pub(super) async fn move_plan(
        &self,
        installed: &Installed,
        install: &mut Install,
    ) -> Result<MovePlan, Failure> {
        let new = install.schema().clone();
        let mut data = std::mem::take(&mut install.data);
        let look = move |tables: &Tables| (tables.plan_with(&new, &mut data), data);
        let (plan, data) = self.look(installed, look).await?;
        install.data = data;
        plan
    }

    /// Drops what does not fit, as changes. Nothing of it is left when this succeeds.
    pub(super) async fn drop_data(
        &mut self,
        installed: &Installed,
        plan: &MovePlan,
    ) -> Result<(), Failure> {
        let module = &installed.schema.name;
        for timers in plan.timers.chunks(TIMERS_AT_ONCE) {
            let timers = timers.iter().map(|timer| timer.id).collect();
            self.drop_piece(module, piece(timers, Vec::new(), 0))
                .await?;
        }
        let tables: Vec<TableId> = plan.dropped().map(|(id, _)| id).collect();
        let mut left: u64 = plan.dropped().map(|(_, table)| table.rows).sum();
        let rows_at_once = self.rows_at_once(module, &tables);
        let mut in_vain = 0;
        while left > 0 && in_vain < VAIN_TURNS_MAX {
            let what = piece(Vec::new(), tables.clone(), rows_at_once);
            self.drop_piece(module, what).await?;
            let before = left;
            left = self.rows_in(installed, tables.clone()).await?;
            in_vain += u32::from(left >= before);
        }
        if left == 0 {
            return Ok(());
        }
        Err(Failure::new(
            Code::SchemaConflict,
            format!(
                "the rows of {} of module `{module}` were dropped as asked, but reactions to that have inserted {left} rows \
                 again, so the module is not upgraded; `unload` the modules that react, then deploy again",
                names(plan)
            ),
        ))
    }

    async fn drop_piece(&mut self, module: &ModuleName, what: Dropping) -> Result<(), Failure> {
        let index = self.catalogue.find(module.as_str())?;
        let kind = StepKind::Drop(Arc::new(what.clone()));
        let step = PendingStep::of_node(&self.shared.id, index, kind, Vec::new());
        let input = Input::Drop {
            module: module.clone(),
            what,
        };
        self.run_alone(input, module, step).await?.map(|_| ())
    }

    async fn rows_in(&self, installed: &Installed, ids: Vec<TableId>) -> Result<u64, Failure> {
        let count = move |tables: &Tables| {
            let counts = ids.iter().map(|table| tables.count(*table));
            counts.sum::<Result<u64, Failure>>()
        };
        self.look(installed, count).await?
    }

    /// This many rows at most, so that their reactions stay well within the turn's budget of steps.
    fn rows_at_once(&self, module: &ModuleName, tables: &[TableId]) -> u64 {
        let entry = self.catalogue.index_of(module);
        let entry = entry.and_then(|index| self.catalogue.entry(index));
        let reactions = |table: &TableId| {
            entry.map_or(0, |entry| {
                entry.row_subscribers(*table, RowEvent::Delete).len()
            })
        };
        let most = tables.iter().map(reactions).max().unwrap_or(0);
        let most = u64::try_from(most).unwrap_or(u64::MAX).max(1);
        let budget = u64::from(self.config.limits.steps_per_turn_max) / 4;
        (budget / most).clamp(1, ROWS_AT_ONCE)
    }
}

fn piece(
    timers: Vec<interstice_abi::id::TimerId>,
    tables: Vec<TableId>,
    rows_max: u64,
) -> Dropping {
    Dropping {
        timers,
        tables,
        rows_max,
        bytes_max: BYTES_AT_ONCE,
    }
}

fn names(plan: &MovePlan) -> String {
    let names: Vec<String> = plan
        .dropped()
        .map(|(_, table)| format!("`{}`", table.name))
        .collect();
    names.join(", ")
}

/// What a wipe has dropped, a line each.
pub(super) fn dropped_lines(plan: &MovePlan) -> impl Iterator<Item = String> + '_ {
    let tables = plan
        .dropped()
        .map(|(_, table)| format!("dropped table {}: {} rows", table.name, table.rows));
    let timers = plan
        .timers
        .iter()
        .map(|timer| format!("dropped timer {} for reducer {}", timer.id, timer.reducer));
    tables.chain(timers)
}

/// What is installed, by name.
pub(super) type All = BTreeMap<ModuleName, Installed>;
