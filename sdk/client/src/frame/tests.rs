//! Frames survive every way of being cut, and nothing that arrives hurts more than its own stream.

use futures::executor::block_on;
use interstice_abi::{
    text::NAME_BYTES_MAX,
    wire::{Ack, Request, RequestBody},
};
use proptest::prelude::{any, prop_assert_eq, proptest};

use super::{Decoder, FRAME_BYTES_MAX, FrameError, KEPT_BYTES_MAX, encode};

fn call(id: u64, arguments: Vec<u8>) -> Request {
    let body = RequestBody::Call {
        module: "bank".into(),
        reducer: "open".into(),
        arguments,
        ack: Ack::Applied,
    };
    Request { id, body }
}

fn decoder() -> Decoder<Request> {
    Decoder::new(FRAME_BYTES_MAX)
}

fn all(decoder: &mut Decoder<Request>) -> Result<Vec<Request>, FrameError> {
    let mut messages = Vec::new();
    while let Some((message, _)) = decoder.message()? {
        messages.push(message);
    }
    Ok(messages)
}

#[test]
fn a_claim_of_4_gib_is_refused_before_anything_is_allocated() {
    let mut decoder = decoder();
    decoder.extend(&u32::MAX.to_le_bytes());
    assert_eq!(
        decoder.message(),
        Err(FrameError::TooLong {
            claimed: u32::MAX,
            limit: FRAME_BYTES_MAX
        })
    );
    assert!(decoder.buffer.capacity() < 64);
}

#[test]
fn a_large_claim_costs_only_what_has_arrived() {
    let mut decoder = decoder();
    let mut sent: &[u8] = &FRAME_BYTES_MAX.to_le_bytes();
    block_on(decoder.read(&mut sent)).unwrap();
    assert_eq!(decoder.message(), Ok(None));
    decoder.space();
    assert!(decoder.buffer.capacity() <= 64 * 1024);
    assert_eq!(decoder.finish(), Err(FrameError::Truncated { arrived: 4 }));
}

#[test]
fn a_name_of_60_mib_is_neither_sent_nor_read() {
    let long = |name: &str, times: usize| {
        let body = RequestBody::Schema {
            module: name.repeat(times),
        };
        Request { id: 1, body }
    };
    let mut bytes = Vec::new();
    let limit = NAME_BYTES_MAX;
    assert_eq!(
        encode(&long("m", 60 * 1024 * 1024), &mut bytes),
        Err(FrameError::LongName { limit })
    );
    assert!(bytes.is_empty());
    // The same frame from a client that does not keep to the bound.
    let mut content = postcard::to_allocvec(&long("", 0)).unwrap();
    content.pop();
    let name = postcard::to_allocvec(&"m".repeat(limit + 1)).unwrap();
    content.extend(name);
    let mut decoder = decoder();
    decoder.extend(&u32::try_from(content.len()).unwrap().to_le_bytes());
    decoder.extend(&content);
    let error = decoder.message().unwrap_err().to_string();
    assert!(error.contains("256 bytes") && error.len() < 200, "{error}");
}

#[test]
fn a_frame_with_bytes_left_over_is_garbage() {
    let mut bytes = Vec::new();
    encode(&call(1, vec![]), &mut bytes).unwrap();
    bytes.push(0);
    let length = u32::try_from(bytes.len() - 4).unwrap();
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    let mut decoder = decoder();
    decoder.extend(&bytes);
    assert!(matches!(decoder.message(), Err(FrameError::Garbage { .. })));
}

#[test]
fn a_message_larger_than_a_frame_leaves_the_buffer_as_it_was() {
    let mut bytes = vec![1, 2, 3];
    let large = vec![0_u8; usize::try_from(FRAME_BYTES_MAX).unwrap() + 1];
    assert_eq!(
        encode(large.as_slice(), &mut bytes),
        Err(FrameError::TooLarge {
            limit: FRAME_BYTES_MAX
        })
    );
    assert_eq!(bytes, [1, 2, 3]);
}

#[test]
fn a_stream_that_always_ends_inside_a_frame_does_not_grow_the_buffer() {
    let mut frame = Vec::new();
    encode(&call(1, vec![7; 100]), &mut frame).unwrap();
    let (first, rest) = frame.split_at(frame.len() / 2);
    let mut decoder = decoder();
    decoder.extend(first);
    for _ in 0..10_000 {
        decoder.extend(rest);
        decoder.extend(first);
        assert_eq!(all(&mut decoder).unwrap().len(), 1);
    }
    assert!(decoder.buffer.capacity() < 8 * frame.len());
}

#[test]
fn the_buffer_of_a_large_frame_is_given_back() {
    let mut bytes = Vec::new();
    encode(&call(1, vec![7; 4 * KEPT_BYTES_MAX]), &mut bytes).unwrap();
    let mut decoder = decoder();
    let mut sent = bytes.as_slice();
    while !sent.is_empty() {
        block_on(decoder.read(&mut sent)).unwrap();
    }
    assert_eq!(all(&mut decoder).unwrap().len(), 1);
    decoder.space();
    assert!(decoder.buffer.capacity() <= KEPT_BYTES_MAX);
}

proptest! {
    #[test]
    fn messages_come_back_however_the_stream_is_cut(
        arguments in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..40),
        cut in 1_usize..700,
    ) {
        let sent: Vec<Request> = (0..).zip(arguments).map(|(id, arguments)| call(id, arguments)).collect();
        let mut bytes = Vec::new();
        for request in &sent {
            encode(request, &mut bytes).unwrap();
        }
        let mut decoder = decoder();
        let mut received = Vec::new();
        for mut piece in bytes.chunks(cut) {
            while !piece.is_empty() {
                block_on(decoder.read(&mut piece)).unwrap();
            }
            received.extend(all(&mut decoder).unwrap());
        }
        prop_assert_eq!(received, sent);
        prop_assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn damaged_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut decoder = decoder();
        decoder.extend(&bytes);
        while let Ok(Some(_)) = decoder.message() {}
    }

    #[test]
    fn a_damaged_content_never_panics(content in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut bytes = u32::try_from(content.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend(content);
        let mut decoder = decoder();
        decoder.extend(&bytes);
        while let Ok(Some(_)) = decoder.message() {}
    }
}
