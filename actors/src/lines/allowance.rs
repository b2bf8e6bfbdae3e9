//! How much a module may say: what it says beyond that is dropped and counted, so that one that
//! never stops talking does not keep the disk from the node's log, nor push everybody else's lines
//! out of memory.
//!
//! A token bucket per module, in bytes. Decides only.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use interstice_abi::id::ModuleName;

/// What a module may say at once, in bytes.
const BURST_BYTES: u64 = 1024 * 1024;

/// What it may say for ever, in bytes per second: thousands of lines of ordinary length.
pub(super) const BYTES_PER_SECOND: u64 = 256 * 1024;

/// What every line costs beside its text: empty ones are lines, too.
const LINE_BYTES: u64 = 64;

/// The allowances of all modules that have said something.
#[derive(Debug, Default)]
pub(super) struct Allowances {
    modules: HashMap<ModuleName, Allowance>,
}

#[derive(Debug)]
struct Allowance {
    /// Bytes that may be said.
    left: u64,
    /// When that was true.
    at: Instant,
    /// Lines that were dropped since the last one that was not; more than 0 while lines are
    /// dropped.
    dropped: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is said.
    Said,
    /// It is said, behind a line that tells of so many that were not.
    SaidAfter(u64),
    /// It is the first that is dropped: a line tells that.
    FirstDropped,
    /// It is dropped.
    Dropped,
}

impl Allowances {
    /// `module` wants to say `bytes` bytes.
    pub(super) fn ask(&mut self, module: &ModuleName, bytes: usize, now: Instant) -> Verdict {
        if !self.modules.contains_key(module) {
            // Whoever has been silent for long needs no entry.
            self.modules.retain(|_, allowance| {
                allowance.refill(now);
                allowance.left < BURST_BYTES
            });
        }
        let allowance = self
            .modules
            .entry(module.clone())
            .or_insert_with(|| Allowance {
                left: BURST_BYTES,
                at: now,
                dropped: 0,
            });
        allowance.refill(now);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        allowance.take(bytes.saturating_add(LINE_BYTES))
    }
}

impl Allowance {
    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        let more = passed.as_millis().saturating_mul(BYTES_PER_SECOND.into()) / 1000;
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        if more == 0 {
            return;
        }
        self.left = self.left.saturating_add(more).min(BURST_BYTES);
        // The part of a millisecond that did not count yet counts later.
        let counted = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let at = self.at.checked_add(Duration::from_millis(counted));
        self.at = at.unwrap_or(now);
    }

    /// Once lines are dropped, they are until half of the burst is there again: not every other
    /// one.
    fn take(&mut self, bytes: u64) -> Verdict {
        let needed = if self.dropped > 0 {
            bytes.max(BURST_BYTES / 2)
        } else {
            bytes
        };
        if self.left < needed {
            self.dropped = self.dropped.saturating_add(1);
            return if self.dropped == 1 {
                Verdict::FirstDropped
            } else {
                Verdict::Dropped
            };
        }
        self.left -= bytes;
        match std::mem::take(&mut self.dropped) {
            0 => Verdict::Said,
            dropped => Verdict::SaidAfter(dropped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ModuleName {
        ModuleName::new(name).expect("a name")
    }

    #[test]
    fn who_says_too_much_is_silent_until_half_of_the_burst_is_there_again() {
        let (mut allowances, start) = (Allowances::default(), Instant::now());
        let line = usize::try_from(BURST_BYTES / 4).expect("fits") - 64;
        let mut ask = |module: &str, at_ms: u64| {
            allowances.ask(&name(module), line, start + Duration::from_millis(at_ms))
        };
        for _ in 0..4 {
            assert_eq!(ask("loud", 0), Verdict::Said);
        }
        assert_eq!(ask("loud", 0), Verdict::FirstDropped);
        assert_eq!(ask("other", 0), Verdict::Said);
        // A line would fit, and is dropped for the sake of those behind it.
        assert_eq!(ask("loud", 1500), Verdict::Dropped);
        assert_eq!(ask("loud", 2000), Verdict::SaidAfter(2));
        assert_eq!(ask("loud", 2000), Verdict::Said);
        assert_eq!(ask("loud", 2000), Verdict::FirstDropped);
    }

    #[test]
    fn short_waits_add_up() {
        let (mut allowances, start) = (Allowances::default(), Instant::now());
        let all = usize::try_from(BURST_BYTES).expect("fits") - 64;
        assert_eq!(allowances.ask(&name("m"), all, start), Verdict::Said);
        let verdicts: Vec<Verdict> = (1..=5100_u32)
            .map(|step| allowances.ask(&name("m"), 0, start + Duration::from_micros(400) * step))
            .collect();
        let said = verdicts
            .iter()
            .position(|verdict| matches!(verdict, Verdict::SaidAfter(_)));
        assert!(said.is_some_and(|step| step > 4900), "{said:?}");
    }

    #[test]
    fn a_module_that_is_silent_for_long_is_forgotten() {
        let (mut allowances, start) = (Allowances::default(), Instant::now());
        allowances.ask(&name("a"), 1000, start);
        allowances.ask(&name("b"), 1000, start + Duration::from_secs(10));
        assert_eq!(allowances.modules.len(), 1);
    }
}
