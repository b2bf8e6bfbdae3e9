//! Frames: how messages lie in the byte stream of `/interstice/1`, for both of its ends.
//!
//! A frame is a length (`u32`, little-endian) and that many bytes of postcard. Invariants: a
//! length is checked before anything is allocated for it; memory grows with what has arrived,
//! never with what is claimed; damaged bytes are errors, never panics. Who sends which message
//! when is in [`interstice_abi::wire`].

use std::{io, marker::PhantomData};

use futures::{AsyncRead, AsyncReadExt as _};
use interstice_abi::{text::NAME_BYTES_MAX, wire::FRAME_BYTES_MAX};
use postcard::ser_flavors::Flavor as _;
use serde::{Serialize, de::DeserializeOwned};

/// Bytes of a frame's length.
pub const LENGTH_BYTES: usize = 4;

/// What one read asks for at first: a connection that is idle or asks one thing at a time keeps no
/// more than this.
const PIECE_BYTES_MIN: usize = 8 * 1024;

/// What one read asks for when the reads before it were filled: hundreds of requests per wake.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Largest buffer that is kept once it is empty; what a single large frame needed is given back.
pub(crate) const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Bytes that are no frame, or a message that does not fit into one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is beyond the limit; nothing was allocated for it.
    #[error("a frame claims {claimed} bytes; the limit is {limit}")]
    TooLong {
        /// The length that was sent.
        claimed: u32,
        /// The largest that is taken at this point.
        limit: u32,
    },
    /// The bytes are no message.
    #[error("a frame of {bytes} bytes holds no message: {problem}")]
    Garbage {
        /// Length of the frame's content.
        bytes: usize,
        /// What the decoder says.
        problem: String,
    },
    /// The stream ended before the frame did.
    #[error("the stream ended inside a frame, after {arrived} bytes of it")]
    Truncated {
        /// Bytes that have arrived, the length among them.
        arrived: usize,
    },
    /// A name in the message is longer than any name is; it was not sent.
    #[error("a name in it is longer than {limit} bytes, the most that is sent")]
    LongName {
        /// The longest name.
        limit: usize,
    },
    /// The message is larger than a frame, or an answer in parts, may be.
    #[error("a message is larger than {limit} bytes, the most that is sent; send less at a time")]
    TooLarge {
        /// The largest one.
        limit: u32,
    },
}

/// Appends `message` as one frame.
///
/// # Errors
/// [`FrameError::TooLarge`], and then `out` is as it was.
pub fn encode<T: Serialize + ?Sized>(message: &T, out: &mut Vec<u8>) -> Result<(), FrameError> {
    encode_before(message, &[], out)
}

/// Appends one frame that holds `head` and behind it bytes that are encoded already.
///
/// # Errors
/// As [`encode`].
pub fn encode_before<T: Serialize + ?Sized>(
    head: &T,
    tail: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let content = out.len();
    let limit = content.saturating_add(usize::try_from(FRAME_BYTES_MAX).unwrap_or(usize::MAX));
    let mut appended = Appended { out, limit };
    let written = postcard::serialize_with_flavor::<_, _, ()>(head, &mut appended)
        .and_then(|()| (&mut appended).try_extend(tail));
    let length = u32::try_from(out.len() - content);
    if let (Ok(()), Ok(length)) = (&written, length)
        && let Some(place) = out.get_mut(start..content)
    {
        place.copy_from_slice(&length.to_le_bytes());
        return Ok(());
    }
    out.truncate(start);
    // All that a message refuses to write is a long name.
    if matches!(written, Err(postcard::Error::SerdeSerCustom)) {
        return Err(FrameError::LongName {
            limit: NAME_BYTES_MAX,
        });
    }
    Err(FrameError::TooLarge {
        limit: FRAME_BYTES_MAX,
    })
}

/// Where postcard writes: behind what a buffer holds, up to a limit.
struct Appended<'a> {
    out: &'a mut Vec<u8>,
    /// Length of `out` that is not to be exceeded.
    limit: usize,
}

impl postcard::ser_flavors::Flavor for &mut Appended<'_> {
    type Output = ();

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() > self.limit - self.out.len() {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        if self.out.len() >= self.limit {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.out.push(byte);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Cuts a byte stream into messages of one type. Its buffer is used again and again.
#[derive(Debug)]
pub struct Decoder<T> {
    /// All of it is initialised; `start..end` has arrived and is not decoded yet.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// What the next read asks for.
    piece: usize,
    limit: u32,
    message: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Decoder<T> {
    /// A decoder that refuses frames of more than `limit` bytes.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            piece: PIECE_BYTES_MIN,
            limit,
            message: PhantomData,
        }
    }

    /// From the next frame on, refuses those of more than `limit` bytes.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Whether a part of a frame is there, waiting for its rest.
    #[must_use]
    pub fn is_inside_frame(&self) -> bool {
        self.start < self.end
    }

    /// Bytes that have arrived and are not decoded: those of an unfinished frame, once all
    /// messages have been taken.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.end - self.start
    }

    /// Reads once what `reader` has, at most 64 KiB; 0 is the end of the stream. Safe to drop at
    /// any time.
    ///
    /// # Errors
    /// Those of `reader`.
    pub async fn read<R: AsyncRead + Unpin>(&mut self, reader: &mut R) -> io::Result<usize> {
        let space = self.space();
        let asked = space.len();
        let read = reader.read(space).await?;
        self.end = (self.end + read).min(self.buffer.len());
        if read == asked {
            self.piece = (self.piece * 2).min(PIECE_BYTES_MAX);
        }
        Ok(read)
    }

    /// Takes bytes that have arrived by another way.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.truncate(self.end);
        // A stream that always ends inside a frame must not keep what was taken of it.
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = Vec::new();
        }
        self.buffer.extend_from_slice(bytes);
        self.end = self.buffer.len();
    }

    /// The next message, and the bytes of its frame's content; `None` when its rest has not
    /// arrived yet.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] or [`FrameError::Garbage`]; what follows in the stream then means
    /// nothing.
    pub fn message(&mut self) -> Result<Option<(T, usize)>, FrameError> {
        let Some(frame) = self.frame()? else {
            return Ok(None);
        };
        let bytes = frame.len();
        let garbage = |problem: String| FrameError::Garbage { bytes, problem };
        match postcard::take_from_bytes(frame) {
            Ok((message, [])) => Ok(Some((message, bytes))),
            Ok((_, rest)) => Err(garbage(format!("{} bytes are left over", rest.len()))),
            // All that a message refuses to read are names.
            Err(postcard::Error::SerdeDeCustom) => Err(garbage(format!(
                "a name in it is not a valid one, or longer than {NAME_BYTES_MAX} bytes"
            ))),
            Err(error) => Err(garbage(error.to_string())),
        }
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] when that was inside a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.is_inside_frame() {
            let arrived = self.end - self.start;
            return Err(FrameError::Truncated { arrived });
        }
        Ok(())
    }

    fn frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let Some(arrived) = self.buffer.get(self.start..self.end) else {
            return Ok(None);
        };
        let Some((length, _)) = arrived.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let claimed = u32::from_le_bytes(*length);
        if claimed > self.limit {
            return Err(FrameError::TooLong {
                claimed,
                limit: self.limit,
            });
        }
        let whole = LENGTH_BYTES.saturating_add(usize::try_from(claimed).unwrap_or(usize::MAX));
        if arrived.len() < whole {
            return Ok(None);
        }
        let content = self.start + LENGTH_BYTES..self.start + whole;
        self.start += whole;
        Ok(self.buffer.get(content))
    }

    /// Room for the next read, behind what has arrived.
    fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > KEPT_BYTES_MAX {
                self.buffer = Vec::new();
                self.piece = PIECE_BYTES_MIN;
            }
        }
        if self.buffer.len() - self.end < self.piece / 2 && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < self.piece / 2 {
            self.buffer.resize(self.end + self.piece, 0);
        }
        let until = (self.end + self.piece).min(self.buffer.len());
        self.buffer.get_mut(self.end..until).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
