//! The log's thread: it gathers what is queued into a block, writes and syncs it, and answers
//! those who wait. It alone touches the tail.
//!
//! At most one block is unsynced at a time. After the first failure nothing is written any more,
//! but everybody is still answered.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use super::error::LogError;
use super::format::Block;
use super::records::Records;
use super::staged::Staged;
use super::tail::Tail;
use super::wakes::Wakes;
use super::{LogOptions, LogPosition, Shared, lock};

/// A block of so many records that are waited for says that many write at once: then the next one
/// is given time to fill.
const CROWD: usize = 8;

/// How long a block is filled when many write at once. A sync costs the same for one record as for
/// hundreds, and on two cores the time that it takes is missing elsewhere; who writes alone never
/// waits.
const GATHERING: Duration = Duration::from_micros(250);

/// The same when many others have come while the block before was synced. Then there are more
/// calls under way than a block holds, so that filling it for longer keeps nobody from asking for
/// more, and a sync less is a good part of a core. When all of them wait for one block, none comes
/// meanwhile.
const GATHERING_MORE: Duration = Duration::from_micros(750);

/// What the thread is asked for.
pub(super) enum Message {
    /// Put this record at the end.
    Record(Vec<u8>),
    /// Put these there, in their order.
    Records(Records),
    /// Put these there and answer once they are durable.
    RecordsThen(Records, Waiter),
    /// Put this record there, which is on the disk already.
    Staged(Staged),
    /// Put this bound into the next header.
    ReserveSeq(u64),
    /// Answer once everything before is durable.
    WhenDurable(Waiter),
    /// Answer with the position of what comes next.
    Mark(Waiter),
    /// Finish and end.
    Close,
}

type Answer = Box<dyn FnOnce(Result<LogPosition, LogError>) + Send>;

/// What is run when records are durable, with the durable end, or cannot be, with the reason. It
/// may name tasks that are to be woken then.
pub type WakingAnswer = Box<dyn FnOnce(Result<LogPosition, LogError>, &mut Wakes) + Send>;

/// Somebody who waits. Answered exactly once: a waiter that is dropped, because the log is closed,
/// answers with that.
pub(super) struct Waiter(Option<WakingAnswer>);

impl Waiter {
    pub(super) fn new(answer: Answer) -> Self {
        Self::waking(Box::new(|result, _| answer(result)))
    }

    pub(super) fn waking(answer: WakingAnswer) -> Self {
        Self(Some(answer))
    }

    pub(super) fn answer(self, result: Result<LogPosition, LogError>) {
        self.answer_waking(result, &mut Wakes::default());
    }

    /// As [`Waiter::answer`]; whom that wakes is the caller's to wake.
    fn answer_waking(mut self, result: Result<LogPosition, LogError>, wakes: &mut Wakes) {
        self.run(result, wakes);
    }

    fn run(&mut self, result: Result<LogPosition, LogError>, wakes: &mut Wakes) {
        let Some(answer) = self.0.take() else {
            return;
        };
        // A waiter's bug must not end the thread that everybody else waits for.
        if panic::catch_unwind(AssertUnwindSafe(|| answer(result, wakes))).is_err() {
            tracing::error!("whoever waited for the log panicked when it was answered");
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.run(Err(LogError::Closed), &mut Wakes::default());
    }
}

pub(super) struct Writer {
    messages: Receiver<Message>,
    shared: Arc<Shared>,
    tail: Tail,
    block: Block,
    /// Bytes of records that were taken and are not answered for: see [`Shared::queued_bytes`].
    taken_bytes: u64,
    /// How many of its records somebody waits for.
    awaited: usize,
    options: LogOptions,
    /// Waiters for the block being filled and everything before it.
    waiters: Vec<Waiter>,
    /// Whom their answers wake.
    wakes: Wakes,
    reserved_seq: u64,
    /// The bound that the last written header has.
    reserved_seq_written: u64,
}

/// Whether the thread goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    GoOn,
    End,
}

impl Writer {
    pub(super) fn new(
        messages: Receiver<Message>,
        shared: Arc<Shared>,
        tail: Tail,
        options: LogOptions,
        reserved_seq: u64,
    ) -> Self {
        Self {
            messages,
            shared,
            tail,
            block: Block::new(),
            taken_bytes: 0,
            awaited: 0,
            options,
            waiters: Vec::new(),
            wakes: Wakes::default(),
            reserved_seq,
            reserved_seq_written: reserved_seq,
        }
    }

    /// Works until the log is closed or its last handle is gone.
    pub(super) fn run(mut self) {
        let mut crowded = false;
        loop {
            let mut flow = Flow::GoOn;
            let mut is_first = true;
            while flow == Flow::GoOn
                && let Ok(message) = self.messages.try_recv()
            {
                flow = self.take(message);
                is_first = false;
            }
            let gathering = self.gathering(crowded);
            if is_first {
                flow = match self.messages.recv() {
                    Ok(message) => self.take(message),
                    Err(_) => break,
                };
            }
            if flow == Flow::GoOn && !gathering.is_zero() {
                thread::sleep(gathering);
            }
            let since = Instant::now();
            while flow == Flow::GoOn {
                flow = match self.messages.try_recv() {
                    Ok(message) => self.take(message),
                    Err(TryRecvError::Disconnected) => Flow::End,
                    Err(TryRecvError::Empty) => {
                        let rest = self.options.unwaited_for.saturating_sub(since.elapsed());
                        if rest.is_zero() || !self.waiters.is_empty() {
                            break;
                        }
                        // Whoever asks for something wakes this thread up; whoever only appends
                        // does not.
                        thread::park_timeout(rest);
                        Flow::GoOn
                    }
                };
            }
            crowded = self.awaited >= CROWD;
            self.flush();
            if flow == Flow::End {
                break;
            }
        }
        self.tail.finish();
    }

    /// How long the block is to be filled that has in it what came while the one before was
    /// synced, which was `crowded` or not.
    fn gathering(&self, crowded: bool) -> Duration {
        if self.awaited >= CROWD {
            GATHERING_MORE
        } else if crowded {
            GATHERING
        } else {
            Duration::ZERO
        }
    }

    fn take(&mut self, message: Message) -> Flow {
        match message {
            Message::Record(record) => {
                self.push(&record);
                self.taken_bytes += record.len() as u64;
            }
            Message::Records(records) => self.push_all(&records),
            Message::RecordsThen(records, waiter) => {
                self.push_all(&records);
                self.awaited += records.count();
                self.waiters.push(waiter);
            }
            Message::Staged(staged) => self.adopt(staged),
            Message::ReserveSeq(bound) => self.reserved_seq = self.reserved_seq.max(bound),
            Message::WhenDurable(waiter) => self.waiters.push(waiter),
            Message::Mark(waiter) => waiter.answer(self.next_position()),
            Message::Close => return Flow::End,
        }
        Flow::GoOn
    }

    fn push(&mut self, record: &[u8]) {
        if !self.has_room(record.len()) && !self.block.is_empty() {
            self.flush();
        }
        self.block.push(record);
    }

    fn push_all(&mut self, records: &Records) {
        if self.has_room(records.bytes()) {
            self.block.extend(records.framed());
        } else {
            records.iter().for_each(|record| self.push(record));
        }
        self.taken_bytes += records.bytes() as u64;
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.block.len().saturating_add(bytes as u64) <= self.options.block_bytes_max
    }

    /// A position between the records taken so far and the next.
    fn next_position(&self) -> Result<LogPosition, LogError> {
        if let Some(poison) = self.shared.poison.get() {
            return Err(poison.clone());
        }
        let end = self.tail.end();
        Ok(if self.block.is_empty() {
            end
        } else {
            LogPosition(end.0 + self.block.len())
        })
    }

    /// Writes the block, when there is something in it; then answers its waiters. The order is the
    /// promise: write, sync, publish, answer.
    fn flush(&mut self) {
        let something = !self.block.is_empty() || self.reserved_seq > self.reserved_seq_written;
        if something
            && self.shared.poison.get().is_none()
            && let Err(error) = self.write()
        {
            self.poison(error);
        }
        self.block.clear(self.options.block_bytes_max);
        self.awaited = 0;
        let taken_bytes = std::mem::take(&mut self.taken_bytes);
        let queued_bytes = &self.shared.queued_bytes;
        queued_bytes.fetch_sub(taken_bytes, Ordering::Relaxed);
        let result = match self.shared.poison.get() {
            Some(poison) => Err(poison.clone()),
            None => Ok(self.shared.durable()),
        };
        for waiter in self.waiters.drain(..) {
            waiter.answer_waking(result.clone(), &mut self.wakes);
        }
        self.wakes.wake();
        if result.is_ok() {
            self.tail.prepare();
        }
    }

    fn poison(&self, error: LogError) {
        let error = error.poisoning();
        tracing::error!("{error}");
        // Set once: it is unset, and only this thread sets it.
        drop(self.shared.poison.set(error.clone()));
        if let Some(waiter) = lock(&self.shared.on_poison).take() {
            waiter.answer(Err(error));
        }
    }

    /// Puts a record that is on the disk behind the block, whose waiters are answered first: they
    /// do not wait for it.
    fn adopt(&mut self, staged: Staged) {
        if !self.block.is_empty() {
            self.flush();
        }
        if self.shared.poison.get().is_some() {
            return;
        }
        let first = self.tail.end();
        let (written, wanted) = (self.reserved_seq_written, self.reserved_seq);
        if let Err(error) = self.tail.adopt(staged, written, wanted) {
            return self.poison(error);
        }
        let mut segments = self.shared.segments();
        if segments.back() != Some(&first) {
            segments.push_back(first);
        }
        drop(segments);
        self.wrote();
    }

    fn write(&mut self) -> Result<(), LogError> {
        if self.tail.is_full_for(self.block.len()) {
            let first = self.tail.end();
            self.tail
                .roll(self.block.len(), self.reserved_seq_written)?;
            self.shared.segments().push_back(first);
        }
        let started = Instant::now();
        self.tail.write(&mut self.block, self.reserved_seq)?;
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shared.sync_us.store(took, Ordering::Relaxed);
        self.wrote();
        Ok(())
    }

    /// Publishes what is durable.
    fn wrote(&mut self) {
        self.reserved_seq_written = self.reserved_seq;
        self.shared
            .durable
            .store(self.tail.end().0, Ordering::Release);
    }
}
