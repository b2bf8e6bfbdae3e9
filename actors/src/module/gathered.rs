//! What a module actor gathers before it hands it on: records for the log, answers for clients,
//! ends of turns for the supervisor.
//!
//! All of it goes in batches: one message for the log, one closure for the answers that wait for
//! it, one message for the supervisor. Invariant: nothing that rests on a record leaves the actor
//! before the record is in the log's queue.

use std::{
    task::Waker,
    time::{Duration, Instant},
};

use interstice_abi::{
    failure::{Code, Failure},
    wire::{Ack, Response},
};
use interstice_host::log::{LogError, Records, Wakes};

use super::core::Core;
use crate::{ingress::Replies, record::StepRecord};

/// Bytes of records that are handed to the log together: enough to share the cost, little enough
/// to be copied once more.
const RECORDS_BYTES_MAX: usize = 64 * 1024;

/// For so many answers that are handed over together, room is made at once.
const ANSWERS_MAX: usize = 256;

/// How often the supervisor is told what has ended while more is to be done.
const TOLD_EVERY: Duration = Duration::from_millis(1);

/// Bytes that are kept for encoding records.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

/// Records that are not in the log's queue yet. They are handed to it before anything that rests
/// on them leaves the actor.
#[derive(Default)]
pub(super) struct Recorded {
    records: Records,
    /// Bytes that were handed over together last: so many are likely to come again.
    usual_bytes: usize,
    /// Where the next one is encoded.
    scratch: Vec<u8>,
}

/// Answers, gathered.
#[derive(Default)]
pub(super) struct Acks {
    /// Those that wait for the log.
    durable: Vec<(Replies, Response)>,
    /// How many of them were handed over together last.
    usual: usize,
    applied: Vec<(Replies, Response)>,
}

impl Recorded {
    fn take(&mut self) -> Records {
        self.usual_bytes = self.records.bytes().min(RECORDS_BYTES_MAX);
        std::mem::take(&mut self.records)
    }
}

impl Core {
    /// Sends an answer at its level.
    pub(super) fn answer(&mut self, ack: Ack, replies: Replies, response: Response) {
        match ack {
            Ack::Applied => self.acks.applied.push((replies, response)),
            Ack::Durable => {
                let Acks { durable, usual, .. } = &mut self.acks;
                if durable.is_empty() {
                    durable.reserve(*usual);
                }
                durable.push((replies, response));
            }
        }
    }

    /// Puts a step's record behind those before it. One that does not encode is a mistake of ours:
    /// the node must not go on without it.
    pub(super) fn record(&mut self, record: &StepRecord) {
        let Recorded {
            records,
            usual_bytes,
            scratch,
        } = &mut self.recorded;
        if records.is_empty() {
            records.reserve(*usual_bytes);
        }
        match record.encode_into(scratch) {
            Ok(()) => records.push(scratch),
            Err(failure) => self.shared.stop_because(&failure.message),
        }
        scratch.shrink_to(SCRATCH_BYTES_MAX);
        if records.bytes() > RECORDS_BYTES_MAX {
            self.hand_over_records();
        }
    }

    /// Hands the records to the log. Before this, nothing that rests on them may leave this actor.
    pub(super) fn hand_over_records(&mut self) {
        if !self.recorded.records.is_empty() {
            let records = self.recorded.take();
            self.shared.append_all(records);
        }
    }

    /// Hands on all that was gathered.
    pub(super) fn flush(&mut self) {
        self.hand_over_answers();
        self.tell_supervisor();
    }

    /// Hands on what others wait for while there is more to do; the supervisor is told what has
    /// ended only now and then, because that wakes its thread, and it needs to know for admission
    /// and for changes that wait until the queue is empty.
    pub(super) fn hand_on(&mut self, now: Instant) {
        self.hand_over_answers();
        let told = self.told_at.map(|told| now.saturating_duration_since(told));
        if told.is_none_or(|ago| ago >= TOLD_EVERY) || self.endings.quarantine.is_some() {
            self.told_at = Some(now);
            self.tell_supervisor();
        }
    }

    fn hand_over_answers(&mut self) {
        if self.acks.durable.is_empty() {
            self.hand_over_records();
        } else {
            let records = self.recorded.take();
            let waiting = std::mem::take(&mut self.acks.durable);
            self.acks.usual = waiting.len().min(ANSWERS_MAX);
            self.shared.append_all_then(records, move |durable, wakes| {
                release(waiting, durable.err().as_ref(), wakes);
            });
        }
        if !self.acks.applied.is_empty() {
            send_all(self.acks.applied.drain(..), Waker::wake);
        }
    }

    fn tell_supervisor(&mut self) {
        if let Some(news) = self.timer_news() {
            self.endings.timers = Some(news);
        }
        if !self.endings.is_empty() {
            self.shared
                .tell_supervisor(std::mem::take(&mut self.endings));
        }
    }
}

/// Sends answers whose records are synced, or, when the sync has failed, what that means for the
/// client.
fn release(waiting: Vec<(Replies, Response)>, failed: Option<&LogError>, wakes: &mut Wakes) {
    let answers = waiting.into_iter().map(|(replies, mut response)| {
        if let Some(error) = failed {
            response.body = Err(Failure::new(
                Code::Unavailable,
                format!("the log could not be written, so the outcome is unknown: {error}"),
            ));
        }
        (replies, response)
    });
    send_all(answers, |writer| wakes.add(writer));
}

/// Sends answers; those to one connection that follow each other go together. The connections'
/// writers are handed to `wake`.
fn send_all(answers: impl Iterator<Item = (Replies, Response)>, mut wake: impl FnMut(Waker)) {
    let mut answers = answers.peekable();
    while let Some((replies, first)) = answers.next() {
        let others = std::iter::from_fn(|| {
            let (_, response) = answers.next_if(|(to, _)| to.is(&replies))?;
            Some(response)
        });
        let writer = replies.send_all_quietly(std::iter::once(first).chain(others));
        writer.into_iter().for_each(&mut wake);
    }
}
