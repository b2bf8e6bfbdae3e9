//! What goes in comes out, and parts that do not fit together are refused.

use interstice_abi::{id::Seq, wire::FRAME_BYTES_MAX};

use super::*;
use crate::frame::Decoder;

const FRAME: usize = FRAME_BYTES_MAX as usize;

fn answer(id: u64, bytes: usize) -> Response {
    let body = ResponseBody::Value {
        bytes: vec![7; bytes],
        seq: Seq(9),
    };
    Response { id, body: Ok(body) }
}

/// The answers in `sent`, and how many frames they came in.
fn joined(sent: &[u8]) -> (Vec<Response>, usize) {
    let (mut joiner, mut decoder) = (Joiner::default(), Decoder::<Response>::new(FRAME_BYTES_MAX));
    let (mut answers, mut frames) = (Vec::new(), 0);
    for piece in sent.chunks(1 << 24) {
        decoder.extend(piece);
        while let Some((response, bytes)) = decoder.message().unwrap() {
            frames += 1;
            answers.extend(joiner.take(response, bytes).unwrap());
        }
    }
    (
        answers.into_iter().map(|(answer, _)| answer).collect(),
        frames,
    )
}

#[test]
fn an_answer_that_a_frame_holds_is_whole_and_a_larger_one_comes_in_parts_up_to_the_limit() {
    // An id, `Ok`, the variant, the length of the bytes and a seq.
    let around = 1 + 1 + 1 + 4 + 1;
    for (bytes, frames) in [(10, 1), (FRAME - around, 1), (FRAME - around + 1, 17)] {
        let (mut whole, mut encoded) = (Vec::new(), Vec::new());
        let sent = answer(1, bytes);
        encode(&sent, &mut whole).unwrap();
        let body = postcard::to_allocvec(&sent.body).unwrap();
        encode_body(1, &body, &mut encoded).unwrap();
        assert!(whole == encoded);
        encode(&answer(2, 1), &mut whole).unwrap();
        let (answers, came) = joined(&whole);
        assert!(answers == [sent, answer(2, 1)], "{bytes}");
        assert_eq!(came, frames + 1, "{bytes}");
    }
    let mut out = vec![1, 2, 3];
    let largest = answer_bytes_max() - around + 1;
    assert_eq!(encode(&answer(1, largest + 1), &mut out), Err(too_large()));
    assert_eq!(out, [1, 2, 3]);
    encode(&answer(1, largest), &mut out).unwrap();
    assert_eq!(joined(&out[3..]).0.len(), 1);
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let part = |id, bytes: &[u8], left| Response {
        id,
        body: Ok(ResponseBody::Part {
            bytes: bytes.to_vec(),
            left,
        }),
    };
    let whole = postcard::to_allocvec(&answer(1, 3).body).unwrap();
    let (first, last) = whole.split_at(2);
    let left = length(last);
    let nested = postcard::to_allocvec(&part(1, &[1], 0).body).unwrap();
    let refused = [
        vec![part(1, first, left), answer(2, 1)],
        vec![part(1, first, left), part(2, last, 0)],
        vec![part(1, first, left), part(1, last, 1)],
        vec![part(1, first, left), part(1, &[], left)],
        vec![part(1, first, left + 1), part(1, last, 0)],
        vec![part(1, &[], 0)],
        vec![part(1, first, 0)],
        vec![part(1, &nested, 0)],
        vec![part(1, &[1], ANSWER_BYTES_MAX.into())],
        vec![part(1, &[1], u64::MAX)],
    ];
    for responses in refused {
        let mut joiner = Joiner::default();
        let mut outcome = Ok(None);
        for response in responses.clone() {
            outcome = joiner.take(response, 1);
        }
        assert!(
            matches!(outcome, Err(FrameError::Garbage { .. })),
            "{responses:?}: {outcome:?}"
        );
    }
    let mut joiner = Joiner::default();
    assert_eq!(joiner.take(part(1, first, left), 1), Ok(None));
    let joined = joiner.take(part(1, last, 0), 1);
    assert_eq!(joined, Ok(Some((answer(1, 3), whole.len()))));
}
