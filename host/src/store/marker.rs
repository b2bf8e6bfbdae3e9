//! The marker's file: what the caller wants back after a crash, beside the number of the commit it
//! belongs to.
//!
//! | at byte | bytes | |
//! | --- | --- | --- |
//! | 0 | 8 | `ISTCEMRK` |
//! | 8 | 8 | format, 1, little-endian |
//! | 16 | 8 | the commit's generation, little-endian, counted from 1 |
//! | 24 | 16 | the first 16 bytes of the BLAKE3 hash of bytes 0 to 24 followed by bytes 40 to the end |
//! | 40 | | the caller's bytes |
//!
//! It is replaced whole ([`crate::files::write_private`]).

use std::fs;
use std::io;
use std::path::Path;

use super::error::StoreError;
use super::steps::Steps;
use crate::files;

const MAGIC: [u8; 8] = *b"ISTCEMRK";
const FORMAT: u64 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) generation: u64,
    pub(super) bytes: Vec<u8>,
}

/// Reads the marker in `file`; `None` when there is no such file.
pub(super) fn read(file: &Path) -> Result<Option<Marker>, StoreError> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", file, error)),
    };
    decode(&bytes)
        .map(Some)
        .map_err(|reason| StoreError::Marker {
            file: file.to_owned(),
            reason,
        })
}

/// Replaces the marker in `file`, durably.
pub(super) fn write(file: &Path, marker: &Marker, steps: &dyn Steps) -> Result<(), StoreError> {
    let before = |step: files::FileStep, path: &Path| steps.before(step.into(), path);
    files::write_private_by_steps(file, &encode(marker), &before)
        .map_err(|source| StoreError::io("write", file, source))
}

fn encode(marker: &Marker) -> Vec<u8> {
    let head = [MAGIC, FORMAT.to_le_bytes(), marker.generation.to_le_bytes()].concat();
    let checksum = checksum(&head, &marker.bytes);
    [head.as_slice(), &checksum, &marker.bytes].concat()
}

fn decode(bytes: &[u8]) -> Result<Marker, &'static str> {
    let short = "it is too short";
    let (head, rest) = bytes.split_first_chunk::<24>().ok_or(short)?;
    let (stored, content) = rest.split_first_chunk::<16>().ok_or(short)?;
    if checksum(head, content) != *stored {
        return Err("its checksum does not match");
    }
    let (numbers, _) = head.as_chunks::<8>();
    match *numbers {
        [MAGIC, format, generation] if u64::from_le_bytes(format) == FORMAT => Ok(Marker {
            generation: u64::from_le_bytes(generation),
            bytes: content.to_vec(),
        }),
        [MAGIC, _, _] => Err("it was written by another version of this program"),
        _ => Err("it is no marker"),
    }
}

fn checksum(head: &[u8], content: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head).update(content);
    *hasher
        .finalize()
        .as_bytes()
        .first_chunk()
        .expect("a hash has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::{Marker, decode, encode};
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn a_marker_survives_the_round_trip_and_no_flipped_bit(
            generation: u64, bytes in prop::collection::vec(any::<u8>(), 0..100), bit: usize,
        ) {
            let marker = Marker { generation, bytes };
            let mut encoded = encode(&marker);
            prop_assert_eq!(decode(&encoded), Ok(marker));
            let bit = bit % (encoded.len() * 8);
            encoded[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(&encoded).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
