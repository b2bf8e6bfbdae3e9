//! Frames of `/interstice/1`, at a node and at a client: any bytes, arriving in any pieces, are
//! messages or an error; messages survive being sent again.
#![no_main]

use std::sync::Once;

use interstice_abi::wire::{Request, Response};
use interstice_client::frame::{self, Decoder};
use interstice_fuzz::memory;
use libfuzzer_sys::{Corpus, fuzz_target};

static BEGIN: Once = Once::new();

/// Far below what a frame may claim, far above what an input can bring.
const ALLOCATED_MAX: usize = 48 * 1024 * 1024;

fuzz_target!(|data: &[u8]| -> Corpus {
    BEGIN.call_once(|| memory::limit(ALLOCATED_MAX));
    let Some(([how, piece], stream)) = data.split_first_chunk() else {
        return Corpus::Reject;
    };
    // As before and after the greeting.
    let limit = if how & 2 == 0 {
        4096
    } else {
        interstice_abi::wire::FRAME_BYTES_MAX
    };
    let piece = usize::from(*piece) + 1;
    if how & 1 == 0 {
        read(Decoder::<Request>::new(limit), stream, piece);
    } else {
        read(Decoder::<Response>::new(limit), stream, piece);
    }
    Corpus::Keep
});

fn read<T>(mut decoder: Decoder<T>, stream: &[u8], piece: usize)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let mut taken = 0;
    for piece in stream.chunks(piece) {
        decoder.extend(piece);
        loop {
            match decoder.message() {
                Ok(Some((message, bytes))) => {
                    taken += frame::LENGTH_BYTES + bytes;
                    check(&message);
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert_eq!(taken + decoder.unfinished(), stream.len());
    assert_eq!(decoder.finish().is_ok(), taken == stream.len());
}

fn check<T>(message: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let mut sent = Vec::new();
    frame::encode(message, &mut sent).expect("what came in a frame fits in one");
    let mut again = Decoder::<T>::new(interstice_abi::wire::FRAME_BYTES_MAX);
    again.extend(&sent);
    let (arrived, _) = again
        .message()
        .expect("a message that was sent can be read")
        .expect("a frame that was sent is whole");
    assert_eq!(arrived, *message);
}
