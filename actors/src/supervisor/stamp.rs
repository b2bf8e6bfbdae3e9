//! Numbers for inputs: seqs, tickets, and the frozen time of a turn.
//!
//! Invariant: a seq is never reused. Before seqs up to a bound are given out, the bound is on its way into the log's blocks,
//! with so many seqs to spare that it is synced long before they are used up; a restart continues behind the bound.

use interstice_abi::{
    failure::Failure,
    id::{Seq, StepIndex},
};

use super::Supervisor;
use crate::{
    module::turn::{Origin, PendingStep, Ticket, Turn, Waiter, pending::Budget},
    one_or_more::OneOrMore,
    record::{Input, Outcome, Start, StepRecord},
    shared::Shared,
};

/// How many seqs are reserved at a time: a quarter of a second of the fastest input, while a sync takes milliseconds.
const SEQS_RESERVED: u64 = 1 << 18;

/// Counts of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamper {
    seq: u64,
    ticket: u64,
    reserved: u64,
    last_ms: u64,
}

impl Stamper {
    /// Continues behind `seq` and `last_ms`.
    pub(crate) fn after(seq: Seq, last_ms: u64) -> Self {
        Self {
            seq: seq.0,
            ticket: 0,
            reserved: seq.0,
            last_ms,
        }
    }

    /// The next seq.
    pub(crate) fn seq(&mut self, shared: &Shared) -> Seq {
        self.seq += 1;
        if self.seq + SEQS_RESERVED / 2 > self.reserved {
            self.reserved = self.seq + SEQS_RESERVED;
            shared.log.reserve_seq(self.reserved);
        }
        Seq(self.seq)
    }

    /// The next ticket.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.ticket += 1;
        Ticket(self.ticket)
    }

    /// The last ticket that was given out.
    pub(crate) fn last_ticket(&self) -> Ticket {
        Ticket(self.ticket)
    }

    /// The time of a turn: the node's, and never before that of an earlier turn.
    pub(crate) fn timestamp_ms(&mut self, now_ms: u64) -> u64 {
        self.last_ms = self.last_ms.max(now_ms);
        self.last_ms
    }

    /// The last seq that was given out.
    pub(crate) fn last_seq(&self) -> Seq {
        Seq(self.seq)
    }

    /// The time of the last turn.
    pub(crate) fn last_ms(&self) -> u64 {
        self.last_ms
    }
}

impl Supervisor {
    /// Stamps an input that begins with the first of `steps`. Admission counts it under that step's module.
    pub(crate) fn new_turn(
        &mut self,
        input: Input,
        steps: OneOrMore<PendingStep>,
        waiter: Waiter,
    ) -> Box<Turn> {
        let home = steps.front().map(|step| step.module);
        let bytes = steps.iter().map(|step| step.arguments.len()).sum::<usize>();
        let now_ms = self.batched_ms();
        Box::new(Turn {
            ticket: self.stamper.ticket(),
            seq: self.stamper.seq(&self.shared),
            timestamp_ms: self.stamper.timestamp_ms(now_ms),
            catalogue: self.batched_catalogue(),
            origin: Origin::of(&input),
            input: Some(input),
            began: None,
            held: self
                .catalogue
                .reach_of(steps.iter().map(|step| step.module)),
            pending: steps.into_iter().collect(),
            next_step: StepIndex(0),
            budget: Budget::from(&self.config.limits),
            left: self.config.turn_time(),
            failed: 0,
            dropped: 0,
            dropped_at: None,
            resumed: false,
            refused: None,
            waiter,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            home,
            guest: None,
        })
    }
}

/// The record of step 0 of a turn whose step 0 is the node's own, in bytes.
///
/// # Errors
/// When it does not encode, which is a mistake of ours.
pub(crate) fn own_step(turn: &mut Turn, starts: Vec<Start>) -> Result<Vec<u8>, Failure> {
    let record = StepRecord {
        seq: turn.seq,
        step: turn.next_step,
        timestamp_ms: turn.timestamp_ms,
        input: turn.input.take(),
        ran: None,
        outcome: Outcome::Committed,
        effects: Vec::new(),
        counters: Vec::new(),
        starts,
        dropped: 0,
        answers: Vec::new(),
        renewed: Vec::new(),
    };
    turn.next_step = StepIndex(turn.next_step.0 + 1);
    let mut bytes = Vec::new();
    record.encode_into(&mut bytes)?;
    turn.began = record.input;
    Ok(bytes)
}
