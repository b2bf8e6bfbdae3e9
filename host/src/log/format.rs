//! The bytes of a segment file: its header, the blocks' headers, and the records inside a block.
//! No input or output happens here.
//!
//! All numbers are little-endian. A *checksum* is the first 16 bytes of a BLAKE3 hash.
//!
//! A segment file is a segment header, blocks one after the other, and zeros up to the end of the
//! file.
//!
//! | segment header, at byte | bytes | |
//! | --- | --- | --- |
//! | 0 | 8 | `ISTCELOG` |
//! | 8 | 4 | format, [`FORMAT`] |
//! | 12 | 4 | zero |
//! | 16 | 8 | log position of the byte after this header (the file's name is the same number) |
//! | 24 | 16 | checksum of the last block of the segment before, zeros in a log's very first |
//! | 40 | 8 | reserved seq bound when the segment was made |
//! | 48 | 16 | checksum of bytes 0 to 48 |
//!
//! | block, at byte | bytes | |
//! | --- | --- | --- |
//! | 0 | 8 | bytes of the whole block, this header included (so never 0) |
//! | 8 | 8 | reserved seq bound: seqs below it may have been given out |
//! | 16 | 16 | checksum of the block before, in this segment or the one before |
//! | 32 | 16 | checksum of the records, bytes 64 to the end |
//! | 48 | 16 | checksum of this block's log position (8 bytes) followed by bytes 0 to 48: *the* checksum of the block |
//! | 64 | | records, each its length as LEB128 (`u64`, 7 bits a byte, lowest first) and its bytes |
//!
//! The log position of a byte in a block is the segment's position plus the byte's offset in the
//! file minus 64: positions run on over segments without gaps, and headers of segments and
//! trailing zeros have none. A record's position is that of its length.

use super::LogPosition;

/// The number of the format that this file describes.
pub const FORMAT: u32 = 1;

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: u64 = 64;
/// Bytes of a block's header.
pub(super) const BLOCK_HEADER_BYTES: u64 = 64;
/// The same, for indexing.
const HEADER_LENGTH: usize = 64;
/// Where both kinds of header carry their checksum.
const CHECKSUM_AT: usize = 48;
const MAGIC: [u8; 8] = *b"ISTCELOG";
/// A `u64` in LEB128 needs at most this many bytes.
const LENGTH_BYTES_MAX: usize = 10;

/// The first 16 bytes of a BLAKE3 hash: collisions by accident are out of the question.
pub(super) type Checksum = [u8; 16];

/// The bytes of either header.
pub(super) type HeaderBytes = [u8; HEADER_LENGTH];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) first: LogPosition,
    pub(super) previous: Checksum,
    pub(super) reserved_seq: u64,
}

/// Why bytes are no segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentHeaderError {
    Damaged,
    Version(u32),
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> HeaderBytes {
        let mut bytes = Vec::with_capacity(HEADER_LENGTH);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.first.0.to_le_bytes());
        bytes.extend(self.previous);
        bytes.extend(self.reserved_seq.to_le_bytes());
        let checksum = checksum(&[&bytes]);
        bytes.extend(checksum);
        bytes.try_into().expect("the fields above are 64 bytes")
    }

    pub(super) fn decode(bytes: &HeaderBytes) -> Result<Self, SegmentHeaderError> {
        let (fields, stored) = split_checksum(bytes).ok_or(SegmentHeaderError::Damaged)?;
        if checksum(&[fields]) != stored {
            return Err(SegmentHeaderError::Damaged);
        }
        let (format, header) = Self::fields(fields).ok_or(SegmentHeaderError::Damaged)?;
        if format != FORMAT {
            return Err(SegmentHeaderError::Version(format));
        }
        Ok(header)
    }

    fn fields(mut fields: &[u8]) -> Option<(u32, Self)> {
        if take(&mut fields)? != MAGIC {
            return None;
        }
        let format = u32::from_le_bytes(take(&mut fields)?);
        let _zero: [u8; 4] = take(&mut fields)?;
        let header = Self {
            first: LogPosition(u64::from_le_bytes(take(&mut fields)?)),
            previous: take(&mut fields)?,
            reserved_seq: u64::from_le_bytes(take(&mut fields)?),
        };
        Some((format, header))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockHeader {
    /// Of the whole block; at least [`BLOCK_HEADER_BYTES`].
    pub(super) bytes: u64,
    pub(super) reserved_seq: u64,
    pub(super) previous: Checksum,
    pub(super) records: Checksum,
    pub(super) checksum: Checksum,
}

impl BlockHeader {
    /// The header of the block at `position`; `None` when these bytes are not one.
    pub(super) fn decode(bytes: &HeaderBytes, position: LogPosition) -> Option<Self> {
        let (mut fields, stored) = split_checksum(bytes)?;
        let expected = checksum(&[&position.0.to_le_bytes(), fields]);
        let length = u64::from_le_bytes(take(&mut fields)?);
        if length < BLOCK_HEADER_BYTES || expected != stored {
            return None;
        }
        Some(Self {
            bytes: length,
            reserved_seq: u64::from_le_bytes(take(&mut fields)?),
            previous: take(&mut fields)?,
            records: take(&mut fields)?,
            checksum: stored,
        })
    }

    /// Whether `records` are the bytes that this header was made for.
    pub(super) fn fits(&self, records: &[u8]) -> bool {
        checksum(&[records]) == self.records
    }
}

/// A block that is being filled.
#[derive(Debug)]
pub(super) struct Block {
    /// Room for the header, then the records.
    bytes: Vec<u8>,
}

impl Block {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; HEADER_LENGTH],
        }
    }

    pub(super) fn push(&mut self, record: &[u8]) {
        push_record(&mut self.bytes, record);
    }

    /// Adds records that have their lengths already.
    pub(super) fn extend(&mut self, records: &[u8]) {
        self.bytes.extend_from_slice(records);
    }

    /// Bytes of the block as it is, header included.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER_LENGTH
    }

    /// Empties the block, and gives back memory beyond `keep` bytes.
    pub(super) fn clear(&mut self, keep: u64) {
        self.bytes.truncate(HEADER_LENGTH);
        self.bytes
            .shrink_to(usize::try_from(keep).unwrap_or(usize::MAX));
    }

    /// Writes the header and gives the bytes to write and the block's checksum.
    pub(super) fn seal(
        &mut self,
        position: LogPosition,
        reserved_seq: u64,
        previous: Checksum,
    ) -> (&[u8], Checksum) {
        let length = self.len();
        let (header, records) = self
            .bytes
            .split_first_chunk_mut::<HEADER_LENGTH>()
            .expect("a block starts with room for its header");
        let records = checksum(&[records]);
        let (sealed, checksum) = block_header(position, length, reserved_seq, previous, records);
        *header = sealed;
        (&self.bytes, checksum)
    }
}

/// The header of a block of `length` bytes, and the block's checksum.
pub(super) fn block_header(
    position: LogPosition,
    length: u64,
    reserved_seq: u64,
    previous: Checksum,
    records: Checksum,
) -> (HeaderBytes, Checksum) {
    let mut header = [0; HEADER_LENGTH];
    let (fields, stored) = header.split_at_mut(CHECKSUM_AT);
    let parts: [&[u8]; 4] = [
        &length.to_le_bytes(),
        &reserved_seq.to_le_bytes(),
        &previous,
        &records,
    ];
    fields.copy_from_slice(&parts.concat());
    let checksum = checksum(&[&position.0.to_le_bytes(), fields]);
    stored.copy_from_slice(&checksum);
    (header, checksum)
}

/// Writes a record behind `bytes`, its length before it.
pub(super) fn push_record(bytes: &mut Vec<u8>, record: &[u8]) {
    push_length(bytes, record.len());
    bytes.extend_from_slice(record);
}

/// What comes before a record of `length` bytes.
pub(super) fn length_before(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LENGTH_BYTES_MAX);
    push_length(&mut bytes, length);
    bytes
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    let mut rest = length as u64;
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            bytes.push(low & 0x7f);
            break;
        }
        bytes.push(low | 0x80);
    }
}

/// The record at the start of `bytes`: its bytes, and how many bytes it takes with its length.
/// `None` when there is no whole one.
pub(super) fn first_record(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let mut length = 0_u64;
    for (place, byte) in bytes.iter().enumerate().take(LENGTH_BYTES_MAX) {
        let part = u64::from(byte & 0x7f);
        let shifted = part << (7 * place);
        if shifted >> (7 * place) != part {
            return None;
        }
        length |= shifted;
        if byte & 0x80 == 0 {
            let start = place + 1;
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            return Some((bytes.get(start..end)?, end));
        }
    }
    None
}

pub(super) fn checksum(parts: &[&[u8]]) -> Checksum {
    let mut hasher = Hasher::default();
    for part in parts {
        hasher.update(part);
    }
    hasher.finish()
}

/// A checksum of bytes that come in parts.
#[derive(Default)]
pub(super) struct Hasher(blake3::Hasher);

impl Hasher {
    pub(super) fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    pub(super) fn finish(&self) -> Checksum {
        *self
            .0
            .finalize()
            .as_bytes()
            .first_chunk()
            .expect("a hash has 32 bytes")
    }
}

fn split_checksum(bytes: &HeaderBytes) -> Option<(&[u8], Checksum)> {
    let (fields, stored) = bytes.split_last_chunk()?;
    Some((fields, *stored))
}

/// The next fixed-width field.
fn take<const N: usize>(fields: &mut &[u8]) -> Option<[u8; N]> {
    let (field, rest) = fields.split_first_chunk()?;
    *fields = rest;
    Some(*field)
}

#[cfg(test)]
mod tests {
    use super::{Block, BlockHeader, SegmentHeader, SegmentHeaderError, first_record};
    use crate::log::LogPosition;
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn a_block_gives_back_its_records(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            position: u64, reserved_seq: u64, previous: [u8; 16],
        ) {
            let mut block = Block::new();
            for record in &records {
                block.push(record);
            }
            let length = block.len();
            let (bytes, checksum) = block.seal(LogPosition(position), reserved_seq, previous);
            let (header, mut rest) = bytes.split_first_chunk().unwrap();
            let header = BlockHeader::decode(header, LogPosition(position)).unwrap();
            prop_assert_eq!(header.bytes, length);
            prop_assert_eq!(header.reserved_seq, reserved_seq);
            prop_assert_eq!(header.previous, previous);
            prop_assert_eq!(header.checksum, checksum);
            prop_assert!(header.fits(rest));
            for record in records {
                let (found, taken) = first_record(rest).unwrap();
                prop_assert_eq!(found, record);
                rest = &rest[taken..];
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn a_block_at_another_position_is_none(position: u64, other: u64) {
            let mut block = Block::new();
            let (bytes, _) = block.seal(LogPosition(position), 0, [0; 16]);
            let header = BlockHeader::decode(bytes.first_chunk().unwrap(), LogPosition(other));
            prop_assert_eq!(header.is_some(), position == other);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some((record, taken)) = first_record(&bytes) {
                prop_assert!(record.len() < taken && taken <= bytes.len());
            }
            if let Some(header) = bytes.first_chunk() {
                prop_assert_eq!(BlockHeader::decode(header, LogPosition(0)), None);
                prop_assert_eq!(SegmentHeader::decode(header), Err(SegmentHeaderError::Damaged));
            }
        }

        #[test]
        fn a_segment_header_survives_the_round_trip_and_no_flipped_bit(
            first: u64, previous: [u8; 16], reserved_seq: u64, bit in 0_usize..512,
        ) {
            let header = SegmentHeader { first: LogPosition(first), previous, reserved_seq };
            let mut bytes = header.encode();
            prop_assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(SegmentHeader::decode(&bytes), Err(SegmentHeaderError::Damaged));
        }
    }

    #[test]
    fn a_length_that_does_not_fit_is_no_record() {
        assert_eq!(first_record(&[]), None);
        assert_eq!(first_record(&[0]), Some((&[][..], 1)));
        assert_eq!(first_record(&[5, 1, 2]), None);
        assert_eq!(first_record(&[0xff; 20]), None);
        assert_eq!(
            first_record(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            None
        );
    }
}
