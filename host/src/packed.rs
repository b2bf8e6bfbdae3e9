//! Bytes that are packed with LZ4 where that makes them shorter: pages, which sled writes several
//! times, and large records of the log.
//!
//! An entry is the byte 0 and the bytes; or the byte 1, their length as a varint `u32`, and an LZ4
//! block.

use interstice_abi::codec::{Input, put_length};
use lz4_flex::block;

const PLAIN: u8 = 0;
const LZ4: u8 = 1;

/// What is shorter is mostly keys and lengths, which do not repeat.
const PACKED_MIN: usize = 128;

/// A byte of an LZ4 block stands for at most so many bytes of what it packs, apart from its first
/// few.
const UNPACKED_PER_BYTE: usize = 255;

/// The entry for some bytes.
#[must_use]
pub fn pack(plain: &[u8]) -> Vec<u8> {
    if plain.len() >= PACKED_MIN {
        let mut entry = vec![LZ4];
        put_length(plain.len(), &mut entry);
        let head = entry.len();
        entry.resize(head + block::get_maximum_output_size(plain.len()), 0);
        let packed = entry
            .get_mut(head..)
            .and_then(|room| block::compress_into(plain, room).ok());
        if let Some(packed) = packed
            && head + packed < plain.len()
        {
            entry.truncate(head + packed);
            entry.shrink_to_fit();
            return entry;
        }
    }
    [&[PLAIN], plain].concat()
}

/// The bytes of an entry; `None` for what is no entry. It never asks for more than 255 times the
/// room of the entry.
#[must_use]
pub fn unpack(entry: &[u8]) -> Option<Vec<u8>> {
    match entry.split_first()? {
        (&PLAIN, plain) => Some(plain.to_vec()),
        (&LZ4, packed) => {
            let mut input = Input::new(packed);
            let length = input.length().ok()?;
            let packed = input.take(input.left()).ok()?;
            // Before the room is asked for.
            if length > packed.len().saturating_mul(UNPACKED_PER_BYTE) {
                return None;
            }
            let mut plain = vec![0; length];
            let unpacked = block::decompress_into(packed, &mut plain).ok()?;
            (unpacked == length).then_some(plain)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn a_page_comes_back(part: Vec<u8>, times in 1_usize..200) {
            let page = part.repeat(times);
            let entry = pack(&page);
            prop_assert!(entry.len() <= page.len() + 1);
            prop_assert_eq!(unpack(&entry), Some(page));
        }

        #[test]
        fn any_entry_is_read_without_panic(entry in vec(any::<u8>(), 0..600)) {
            drop(unpack(&entry));
        }
    }

    #[test]
    fn what_repeats_is_packed_and_an_entry_that_claims_too_much_is_none() {
        let page = vec![7; 4096];
        let entry = pack(&page);
        assert!(entry.len() < page.len() / 32);
        let mut forged = vec![LZ4];
        put_length(usize::MAX >> 33, &mut forged);
        forged.extend([0; 100]);
        assert_eq!(unpack(&forged), None);
        assert_eq!(unpack(&[]), None);
        assert_eq!(unpack(&[2, 1]), None);
        assert_eq!(unpack(entry.get(..20).expect("it is longer")), None);
    }
}
