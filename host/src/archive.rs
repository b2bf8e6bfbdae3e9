//! Archives: one file with a sequence of items, compressed and checksummed. Bases and backups are
//! made of it.
//!
//! The file is a header of 16 bytes, which names what is inside and the format, then blocks, then
//! an end block. A block is the length of its content (`u32`, little-endian, at most
//! [`BLOCK_BYTES`]), the length of the content when compressed by zstd (`u32`), BLAKE3 over the
//! checksum of the block before (of the header, for the first), the two lengths and the compressed
//! bytes, and these bytes. The end block has the length 0 and nothing but its checksum. Inside of
//! the blocks is one stream of items: a length (`u64`) and so many bytes.
//!
//! Invariants: nothing is handed out that was not checked; memory grows with what was read, never
//! with what a length claims; an archive without its end is damaged. A writer writes to a
//! temporary file and renames it when it is complete and synced.

mod error;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use error::ArchiveError;
pub use reader::ArchiveReader;
pub use writer::ArchiveWriter;

/// Most bytes of a block's content: large enough to compress well, small enough to check one at a
/// time.
pub const BLOCK_BYTES: usize = 1 << 20;

/// Bytes of the header.
const HEADER_BYTES: usize = 16;

/// Bytes of a checksum.
const CHECKSUM_BYTES: usize = 32;

/// What an archive holds: 15 letters at most, behind which the format's number stands in the
/// header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The name in the header and in messages.
    pub name: &'static str,
    /// The number of the format.
    pub format: u8,
}

impl Kind {
    fn header(self) -> [u8; HEADER_BYTES] {
        let mut header = [b' '; HEADER_BYTES];
        for (place, letter) in header
            .iter_mut()
            .zip(self.name.bytes().take(HEADER_BYTES - 1))
        {
            *place = letter;
        }
        if let Some(last) = header.last_mut() {
            *last = self.format;
        }
        header
    }
}

/// The checksum of a block behind the one with `previous`.
fn checksum(
    previous: &[u8; CHECKSUM_BYTES],
    lengths: [u32; 2],
    compressed: &[u8],
) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous);
    for length in lengths {
        hasher.update(&length.to_le_bytes());
    }
    hasher.update(compressed);
    *hasher.finalize().as_bytes()
}
