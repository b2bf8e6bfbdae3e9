//! Pages of a module's turns.
//!
//! First the turns are found that touch the module, piece by piece of the log, no more than a page
//! has; then their steps are gathered, those of other modules too. Steps of turns that run at the
//! same time lie mixed in the log; what does not fit the memory of a page is left for the next,
//! from its far end.

use std::collections::{BTreeMap, BTreeSet};

use interstice_abi::{
    failure::Failure,
    id::{ModuleName, Seq, StepIndex},
    wire::{HistoryCursor, HistoryOrder, HistoryPage, ResponseBody, TURNS_PER_PAGE_MAX},
};

use super::{
    Around, Reader,
    index::{Range, for_each_step, touched},
    page::PageWriter,
};
use crate::{ingress::Replies, record::StepRecord};

/// Most bytes of records that are held for one page.
const GATHERED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A page of turns that an owner has asked for.
pub(crate) struct TurnsRequest {
    pub(crate) module: ModuleName,
    /// What to answer when the log does not know the module: `None` when it is installed.
    pub(crate) unknown: Option<Failure>,
    pub(crate) from: Option<HistoryCursor>,
    pub(crate) order: HistoryOrder,
    pub(crate) limit: u32,
    pub(crate) replies: Replies,
    pub(crate) request: u64,
}

impl TurnsRequest {
    /// Reads the log on a thread of its own, and answers.
    pub(crate) fn start(self, around: Around, reader: Reader) {
        let to = (self.replies.clone(), self.request);
        reader.answer_when_durable(to, move |durable| {
            let page = durable.and_then(|()| self.page(&around));
            page.map(ResponseBody::History)
        });
    }

    fn page(&self, around: &Around) -> Result<HistoryPage, Failure> {
        let history = &around.shared.history;
        history.index().catch_up(&around.shared.log)?;
        if let Some(unknown) = &self.unknown
            && !around.knows(&self.module)
        {
            return Err(unknown.clone());
        }
        let from = self.beginning(around)?;
        let limit = usize::try_from(self.limit.clamp(1, TURNS_PER_PAGE_MAX)).unwrap_or(1);
        let window = Window {
            order: self.order,
            from,
            oldest: around.kept_from(),
        };
        // One more than the page has: where the next one starts.
        let mut turns = self.turns(around, window, limit + 1)?;
        let next = if turns.len() > limit {
            turns.pop_last().map(|ranked| HistoryCursor {
                seq: window.seq(ranked),
                ..HistoryCursor::default()
            })
        } else {
            None
        };
        let (steps, cut) = self.steps(around, window, &turns)?;
        let mut page = PageWriter::new(around);
        for step in steps.values() {
            let first = if step.seq == from.seq && step.step == from.step {
                from.effect
            } else {
                0
            };
            if let Some(rest) = page.step(step, first) {
                return Ok(page.finish(Some(rest)));
            }
        }
        Ok(page.finish(cut.or(next)))
    }

    /// Where to begin.
    fn beginning(&self, around: &Around) -> Result<HistoryCursor, Failure> {
        let Some(from) = self.from else {
            let seq = match self.order {
                HistoryOrder::Forward => around.kept_from(),
                HistoryOrder::Reverse => around.last,
            };
            return Ok(HistoryCursor {
                seq,
                ..HistoryCursor::default()
            });
        };
        if from.seq <= around.kept_after && around.kept_after > Seq(0) {
            return Err(around.too_old(from.seq));
        }
        if from.seq > around.last {
            return Err(around.too_young(from.seq));
        }
        Ok(from)
    }

    /// The first `count` turns of the window that touch the module, by rank.
    fn turns(
        &self,
        around: &Around,
        window: Window,
        count: usize,
    ) -> Result<BTreeSet<u64>, Failure> {
        let (first, last) = window.seqs();
        let mut ranges = around
            .shared
            .history
            .index()
            .ranges(first, last, Some(&self.module));
        if window.order == HistoryOrder::Reverse {
            ranges.reverse();
        }
        // From each range on, the best rank that is still to come.
        let mut best: Vec<u64> = Vec::with_capacity(ranges.len());
        let mut so_far = u64::MAX;
        for range in ranges.iter().rev() {
            so_far = so_far.min(window.best_rank(range));
            best.push(so_far);
        }
        best.reverse();
        let mut found = BTreeSet::new();
        for (range, best) in ranges.iter().zip(best) {
            if found.len() == count && found.last().is_some_and(|worst| *worst < best) {
                break;
            }
            for_each_step(&around.shared.log, range.start, range.end, |_, step| {
                if window.has(step.seq) && touched(step).contains(&self.module) {
                    found.insert(window.rank(step.seq));
                    if found.len() > count {
                        found.pop_last();
                    }
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// The steps of `turns` from the beginning on, in order, and where the next page begins when
    /// they were too many.
    fn steps(
        &self,
        around: &Around,
        window: Window,
        turns: &BTreeSet<u64>,
    ) -> Result<(Steps, Option<HistoryCursor>), Failure> {
        let mut gathered = Gathered::default();
        let ends = turns.first().zip(turns.last());
        let Some((first, last)) = ends.map(|(one, other)| (window.seq(*one), window.seq(*other)))
        else {
            return Ok((gathered.steps, None));
        };
        let ranges = around
            .shared
            .history
            .index()
            .ranges(first.min(last), first.max(last), None);
        let begin = (window.rank(window.from.seq), window.from.step);
        for range in ranges {
            for_each_step(&around.shared.log, range.start, range.end, |_, step| {
                let place = (window.rank(step.seq), step.step);
                if turns.contains(&place.0) && place >= begin {
                    gathered.add(place, step);
                }
                Ok(())
            })?;
        }
        let cut = gathered.cut.map(|(rank, step)| HistoryCursor {
            seq: window.seq(rank),
            step,
            effect: 0,
        });
        Ok((gathered.steps, cut))
    }
}

/// Steps by the rank of their turn and their place in it.
type Steps = BTreeMap<(u64, StepIndex), StepRecord>;

/// Which turns are wanted, and in which order: turns that come first have smaller ranks.
#[derive(Clone, Copy)]
struct Window {
    order: HistoryOrder,
    from: HistoryCursor,
    oldest: Seq,
}

impl Window {
    fn rank(self, seq: Seq) -> u64 {
        match self.order {
            HistoryOrder::Forward => seq.0,
            HistoryOrder::Reverse => u64::MAX - seq.0,
        }
    }

    fn seq(self, rank: u64) -> Seq {
        match self.order {
            HistoryOrder::Forward => Seq(rank),
            HistoryOrder::Reverse => Seq(u64::MAX - rank),
        }
    }

    fn best_rank(self, range: &Range) -> u64 {
        match self.order {
            HistoryOrder::Forward => self.rank(range.first),
            HistoryOrder::Reverse => self.rank(range.last),
        }
    }

    /// The first and the last turn that may be wanted.
    fn seqs(self) -> (Seq, Seq) {
        match self.order {
            HistoryOrder::Forward => (self.from.seq.max(self.oldest), Seq(u64::MAX)),
            HistoryOrder::Reverse => (self.oldest, self.from.seq),
        }
    }

    fn has(self, seq: Seq) -> bool {
        let (first, last) = self.seqs();
        (first..=last).contains(&seq)
    }
}

/// Steps of the wanted turns, the first ones, within bounds.
#[derive(Default)]
struct Gathered {
    steps: Steps,
    bytes: usize,
    /// The first step that was left out.
    cut: Option<(u64, StepIndex)>,
}

impl Gathered {
    fn add(&mut self, place: (u64, StepIndex), step: &StepRecord) {
        if self.cut.is_some_and(|cut| place >= cut) {
            return;
        }
        self.bytes += size(step);
        self.steps.insert(place, step.clone());
        while self.bytes > GATHERED_BYTES_MAX && self.steps.len() > 1 {
            if let Some((place, dropped)) = self.steps.pop_last() {
                self.bytes -= size(&dropped);
                self.cut = Some(place);
            }
        }
    }
}

/// Roughly what a step takes in memory, in bytes.
fn size(step: &StepRecord) -> usize {
    use interstice_host::module::Effect;

    let effects = step.effects.iter().map(|effect| match effect {
        Effect::Change { change, .. } => {
            let rows = [&change.before, &change.after].into_iter().flatten();
            change.key.len() + rows.map(|row| row.len()).sum::<usize>()
        }
        Effect::Called { arguments, .. } => arguments.len(),
    });
    size_of::<StepRecord>()
        + step.effects.len() * size_of::<Effect>()
        + effects.sum::<usize>()
        + step.starts.len() * size_of::<crate::record::Start>()
}
