//! What one connection makes this end hold: bytes that have arrived on its streams and were not
//! read, and the frames that they came in.
//!
//! The frames are counted where they come out of the encryption, below Yamux: a frame counts from
//! its header on, its bytes until they are read, and its own cost until all of them are. A frame
//! for no stream counts while it arrives. Reading and arriving happen on different tasks; each
//! stream's count has its own lock, which is held for a moment.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};

use super::{STREAMS_MAX, Tally};

/// What Yamux keeps for a frame beside its bytes: an allocation and a place in a list that
/// doubles.
const FRAME_BYTES: usize = 96;

/// Frames that are remembered together have so many bytes, or are so many. Reading to the end of
/// one frees all of them.
const GROUP_BYTES_MAX: u64 = 4096;
const GROUP_FRAMES_MAX: usize = 64;

/// Bytes of a frame's header: version, kind, flags (two bytes), stream (four), length (four).
const HEADER_BYTES: usize = 12;
const KIND_DATA: u8 = 0;
const KIND_WINDOW_UPDATE: u8 = 1;
const FLAG_OPEN: u16 = 1;

/// What a connection holds.
#[derive(Debug)]
pub(super) struct Held {
    bytes: AtomicUsize,
    bytes_max: usize,
    tally: Option<Arc<dyn Tally>>,
    /// Streams that are open here, by their numbers.
    streams: Mutex<HashMap<u32, Arc<Mutex<Count>>>>,
}

/// Of one stream.
#[derive(Debug, Default)]
struct Count {
    /// Bytes that have arrived, or are announced by a frame whose header has.
    arrived: u64,
    read: u64,
    /// Frames that are not read to their end, by where the last byte of a group of them stands.
    groups: VecDeque<Group>,
    is_closed: bool,
}

#[derive(Debug)]
struct Group {
    since: u64,
    until: u64,
    frames: usize,
}

/// One stream's part of the count, given back when dropped.
#[derive(Debug)]
pub(super) struct Unread {
    held: Arc<Held>,
    id: u32,
    count: Arc<Mutex<Count>>,
}

impl Held {
    pub(super) fn new(bytes_max: usize, tally: Option<Arc<dyn Tally>>) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            bytes_max,
            tally,
            streams: Mutex::default(),
        }
    }

    /// The count of a stream that is open here, or is being opened.
    pub(super) fn stream(self: &Arc<Self>, id: u32) -> Unread {
        let count = self.streams().entry(id).or_default().clone();
        Unread {
            held: self.clone(),
            id,
            count,
        }
    }

    /// The other end opens a stream. Yamux refuses one too many with a word; an end that goes on
    /// all the same is cut here.
    fn opened(&self, id: u32) -> io::Result<Arc<Mutex<Count>>> {
        let mut streams = self.streams();
        if streams.len() > STREAMS_MAX && !streams.contains_key(&id) {
            let text = format!("it opens more than {STREAMS_MAX} streams at a time");
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
        }
        Ok(streams.entry(id).or_default().clone())
    }

    fn more(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(tally) = &self.tally {
            tally.more(bytes);
        }
    }

    fn less(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(tally) = &self.tally {
            tally.less(bytes);
        }
    }

    fn check(&self) -> io::Result<()> {
        let held = self.bytes.load(Ordering::Relaxed);
        if held <= self.bytes_max {
            return Ok(());
        }
        let text = format!(
            "{held} bytes of this connection wait to be read, its frames counted; the limit is {}",
            self.bytes_max
        );
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, text))
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<u32, Arc<Mutex<Count>>>> {
        // Nothing panics under the lock; a poisoned map is a whole one.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(tally) = &self.tally {
            tally.less(*self.bytes.get_mut());
        }
    }
}

impl Count {
    /// A frame of `bytes` begins; what it costs.
    fn arrive(&mut self, bytes: u64) -> usize {
        if bytes == 0 || self.is_closed {
            return 0;
        }
        self.arrived += bytes;
        match self.groups.back_mut() {
            Some(group)
                if group.frames < GROUP_FRAMES_MAX
                    && self.arrived - group.since <= GROUP_BYTES_MAX =>
            {
                group.until = self.arrived;
                group.frames += 1;
            }
            _ => self.groups.push_back(Group {
                since: self.arrived - bytes,
                until: self.arrived,
                frames: 1,
            }),
        }
        size(bytes) + FRAME_BYTES
    }

    /// `bytes` were read; what that frees.
    fn read(&mut self, bytes: usize) -> usize {
        self.read += u64::try_from(bytes).unwrap_or_default();
        let mut frames = 0;
        while let Some(group) = self.groups.pop_front_if(|group| group.until <= self.read) {
            frames += group.frames;
        }
        bytes + frames * FRAME_BYTES
    }

    /// The stream is gone; what that frees.
    fn close(&mut self) -> usize {
        self.is_closed = true;
        let frames: usize = self.groups.iter().map(|group| group.frames).sum();
        size(self.arrived.saturating_sub(self.read)) + frames * FRAME_BYTES
    }
}

impl Unread {
    /// `bytes` of the stream were read.
    pub(super) fn read(&self, bytes: usize) {
        if bytes > 0 {
            let freed = locked(&self.count).read(bytes);
            self.held.less(freed);
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let mut streams = self.held.streams();
        // The other end may use the number again.
        if streams
            .get(&self.id)
            .is_some_and(|count| Arc::ptr_eq(count, &self.count))
        {
            streams.remove(&self.id);
        }
        drop(streams);
        let freed = locked(&self.count).close();
        self.held.less(freed);
    }
}

fn locked(count: &Mutex<Count>) -> MutexGuard<'_, Count> {
    // Nothing panics under the lock; a poisoned count is a whole one.
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A connection whose frames are counted on their way to Yamux.
#[derive(Debug)]
pub struct Counted<C> {
    io: C,
    held: Arc<Held>,
    header: [u8; HEADER_BYTES],
    /// How much of the header is there.
    filled: usize,
    /// How much of the frame's content is missing.
    missing: u64,
    /// What counts until the frame is whole: the content of one that belongs to no stream.
    passing: usize,
}

impl<C> Counted<C> {
    pub(super) fn new(io: C, held: Arc<Held>) -> Self {
        Self {
            io,
            held,
            header: [0; HEADER_BYTES],
            filled: 0,
            missing: 0,
            passing: 0,
        }
    }

    /// Follows what has arrived, frame by frame.
    fn see(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.missing > 0 {
                let taken = bytes.len().min(size(self.missing));
                bytes = bytes.get(taken..).unwrap_or_default();
                self.missing -= u64::try_from(taken).unwrap_or_default();
                if self.missing == 0 && self.passing > 0 {
                    self.held.less(std::mem::take(&mut self.passing));
                }
                continue;
            }
            let rest = self.header.get_mut(self.filled..).unwrap_or_default();
            let taken = bytes.len().min(rest.len());
            let (head, behind) = bytes.split_at(taken);
            for (place, byte) in rest.iter_mut().zip(head) {
                *place = *byte;
            }
            bytes = behind;
            self.filled += taken;
            if self.filled == HEADER_BYTES {
                self.filled = 0;
                self.frame()?;
            }
        }
        Ok(())
    }

    /// A header is whole.
    fn frame(&mut self) -> io::Result<()> {
        let [_, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = self.header;
        let is_open = u16::from_be_bytes([f0, f1]) & FLAG_OPEN != 0;
        let id = u32::from_be_bytes([s0, s1, s2, s3]);
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let count = match kind {
            KIND_DATA | KIND_WINDOW_UPDATE if is_open => Some(self.held.opened(id)?),
            KIND_DATA => self.held.streams().get(&id).cloned(),
            _ => None,
        };
        if kind != KIND_DATA {
            return Ok(());
        }
        self.missing = u64::from(length);
        match count {
            Some(count) => {
                // Under its lock: what a stream gives back when it is dropped was counted before.
                let mut count = locked(&count);
                self.held.more(count.arrive(self.missing));
            }
            None => {
                self.passing = size(self.missing);
                self.held.more(self.passing);
            }
        }
        self.held.check()
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Counted<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        self.see(buffer.get(..read).unwrap_or_default())?;
        Poll::Ready(Ok(read))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Counted<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Sum(AtomicUsize);

    impl Tally for Sum {
        fn more(&self, bytes: usize) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }

        fn less(&self, bytes: usize) {
            self.0.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn frame(kind: u8, flags: u16, id: u32, length: u32) -> Vec<u8> {
        let mut header = vec![0, kind];
        header.extend(flags.to_be_bytes());
        header.extend(id.to_be_bytes());
        header.extend(length.to_be_bytes());
        header
    }

    fn data(id: u32, bytes: usize) -> Vec<u8> {
        let mut data = frame(KIND_DATA, 0, id, u32::try_from(bytes).unwrap());
        data.resize(HEADER_BYTES + bytes, 7);
        data
    }

    fn counted(bytes_max: usize) -> (Counted<()>, Arc<Sum>) {
        let sum = Arc::new(Sum::default());
        let held = Arc::new(Held::new(bytes_max, Some(sum.clone())));
        (Counted::new((), held), sum)
    }

    #[test]
    fn bytes_count_until_they_are_read_and_frames_until_their_last_byte_is() {
        let (mut counted, sum) = counted(1_000_000);
        counted.see(&frame(KIND_DATA, FLAG_OPEN, 1, 0)).unwrap();
        let stream = counted.held.stream(1);
        // However it is cut.
        for byte in data(1, 5000) {
            counted.see(&[byte]).unwrap();
        }
        counted.see(&data(1, 100)).unwrap();
        let total = || sum.0.load(Ordering::Relaxed);
        assert_eq!(total(), 5100 + 2 * FRAME_BYTES);
        stream.read(5000);
        assert_eq!(total(), 100 + FRAME_BYTES);
        stream.read(40);
        assert_eq!(total(), 60 + FRAME_BYTES);
        drop(stream);
        assert_eq!(total(), 0);
    }

    #[test]
    fn frames_of_one_byte_reach_the_bound_long_before_their_bytes_do() {
        let (mut counted, sum) = counted(100_000);
        counted.see(&frame(KIND_DATA, FLAG_OPEN, 1, 0)).unwrap();
        let stream = counted.held.stream(1);
        let frames = (0..).find(|_| counted.see(&data(1, 1)).is_err()).unwrap();
        assert_eq!(frames, 100_000 / (FRAME_BYTES + 1));
        drop((counted, stream));
        assert_eq!(sum.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_content_of_a_frame_for_no_stream_counts_while_it_arrives() {
        let (mut counted, sum) = counted(1_000_000);
        let (head, rest) = (frame(KIND_DATA, 0, 9, 5000), vec![7; 5000]);
        counted.see(&head).unwrap();
        assert_eq!(sum.0.load(Ordering::Relaxed), 5000);
        counted.see(&rest).unwrap();
        assert_eq!(sum.0.load(Ordering::Relaxed), 0);
        let claim = frame(KIND_DATA, 0, 9, 2_000_000);
        assert!(counted.see(&claim).is_err());
    }

    #[test]
    fn streams_that_are_opened_without_end_are_cut() {
        let (mut counted, _) = counted(1_000_000);
        let opened = (0..)
            .map(|place| frame(KIND_WINDOW_UPDATE, FLAG_OPEN, 2 * place + 1, 0))
            .position(|open| counted.see(&open).is_err());
        assert_eq!(opened, Some(STREAMS_MAX + 1));
    }
}
