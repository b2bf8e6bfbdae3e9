//! Answers that no frame holds: cut into parts by the node, put together by its client.
//!
//! An answer is whole in one frame wherever it fits. Invariants: nothing comes between the parts of
//! an answer; memory grows with what has arrived, never with what is claimed, and is bounded by
//! [`ANSWER_BYTES_MAX`]. How one message lies in the byte stream is in [`crate::frame`].

use interstice_abi::wire::{ANSWER_BYTES_MAX, Response, ResponseBody};

use crate::frame::{self, FrameError};

/// Bytes of one part: some milliseconds of a fast network, and few enough frames.
const PART_BYTES: usize = 4 * 1024 * 1024;

/// Appends an answer, in parts when no frame holds it.
///
/// # Errors
/// [`FrameError::TooLarge`] beyond [`ANSWER_BYTES_MAX`], [`FrameError::LongName`]; `out` is as it
/// was then.
pub fn encode(response: &Response, out: &mut Vec<u8>) -> Result<(), FrameError> {
    match frame::encode(response, out) {
        Err(FrameError::TooLarge { .. }) => {}
        encoded => return encoded,
    }
    match postcard::to_allocvec(&response.body) {
        Ok(body) => encode_parts(response.id, &body, out),
        Err(_) => Err(too_large()),
    }
}

/// Appends the answer to request `id` whose body is encoded already, in parts when no frame holds
/// it.
///
/// # Errors
/// [`FrameError::TooLarge`] beyond [`ANSWER_BYTES_MAX`]; `out` is as it was then.
pub fn encode_body(id: u64, body: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
    // The order of `Response`'s fields.
    match frame::encode_before(&id, body, out) {
        Err(FrameError::TooLarge { .. }) => encode_parts(id, body, out),
        encoded => encoded,
    }
}

fn encode_parts(id: u64, body: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
    if body.len() > answer_bytes_max() {
        return Err(too_large());
    }
    let mut left = body.len();
    for bytes in body.chunks(PART_BYTES) {
        left -= bytes.len();
        let part = ResponseBody::Part {
            bytes: bytes.to_vec(),
            left: u64::try_from(left).unwrap_or(u64::MAX),
        };
        let body = Ok(part);
        frame::encode(&Response { id, body }, out)?;
    }
    Ok(())
}

fn answer_bytes_max() -> usize {
    usize::try_from(ANSWER_BYTES_MAX).unwrap_or(usize::MAX)
}

fn too_large() -> FrameError {
    FrameError::TooLarge {
        limit: ANSWER_BYTES_MAX,
    }
}

/// Puts the answers of one stream together.
#[derive(Debug, Default)]
pub struct Joiner {
    begun: Option<Begun>,
}

/// An answer of which parts are missing.
#[derive(Debug)]
struct Begun {
    id: u64,
    bytes: Vec<u8>,
    /// Bytes that are missing.
    left: u64,
}

impl Joiner {
    /// Takes the next answer of the stream, which may be a part of one. The whole answer, when
    /// this was its last part, and the bytes of its encoding; `bytes` is what the frame held.
    ///
    /// # Errors
    /// [`FrameError::Garbage`] when parts do not fit together, or are no answer together. What
    /// follows in the stream then means nothing.
    pub fn take(
        &mut self,
        response: Response,
        bytes: usize,
    ) -> Result<Option<(Response, usize)>, FrameError> {
        let Response { id, body } = response;
        let garbage = |problem: String| FrameError::Garbage { bytes, problem };
        match (self.begun.take(), body) {
            (None, Ok(ResponseBody::Part { bytes: part, left })) => {
                let begun = Begun {
                    id,
                    bytes: Vec::new(),
                    left: left.saturating_add(length(&part)),
                };
                if begun.left > u64::from(ANSWER_BYTES_MAX) {
                    let problem = format!(
                        "an answer in parts of {} bytes; the limit is {ANSWER_BYTES_MAX}",
                        begun.left
                    );
                    return Err(garbage(problem));
                }
                self.add(begun, &part, left).map_err(garbage)
            }
            (Some(begun), Ok(ResponseBody::Part { bytes: part, left })) if begun.id == id => {
                self.add(begun, &part, left).map_err(garbage)
            }
            (None, body) => Ok(Some((Response { id, body }, bytes))),
            (Some(begun), _) => Err(garbage(format!(
                "{} bytes are missing of the answer to request {}",
                begun.left, begun.id
            ))),
        }
    }

    fn add(
        &mut self,
        mut begun: Begun,
        part: &[u8],
        left: u64,
    ) -> Result<Option<(Response, usize)>, String> {
        if part.is_empty() || begun.left.checked_sub(length(part)) != Some(left) {
            let Begun { id, left, .. } = begun;
            return Err(format!(
                "the parts of the answer to request {id} do not fit together: {left} bytes are missing"
            ));
        }
        begun.left = left;
        begun.bytes.extend_from_slice(part);
        if left > 0 {
            self.begun = Some(begun);
            return Ok(None);
        }
        let Begun { id, bytes, .. } = begun;
        match postcard::take_from_bytes(&bytes) {
            Ok((Ok(ResponseBody::Part { .. }), _)) => Err("it has a part of another one".into()),
            Ok((body, [])) => Ok(Some((Response { id, body }, bytes.len()))),
            Ok((_, rest)) => Err(format!("{} bytes are left over", rest.len())),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn length(part: &[u8]) -> u64 {
    u64::try_from(part.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
