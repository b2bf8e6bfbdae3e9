//! A real backup in pieces, and archives made of any pieces, with checksums that are right.
//!
//! `real/node.backup` was written by a node with two small modules that had taken a base; its
//! records are few. What an input makes of it is in the target.

use std::{fs, io::Write};

use interstice_host::archive::{ArchiveError, ArchiveReader, ArchiveWriter, Kind};
use libfuzzer_sys::arbitrary::{Result as Chosen, Unstructured};

/// A backup of a small node, with a base in it.
pub const REAL: &[u8] = include_bytes!("../real/node.backup");

/// What a backup says of itself.
pub const BACKUP: Kind = Kind {
    name: "backup",
    format: 1,
};

/// What a base says of itself.
pub const BASE: Kind = Kind {
    name: "base",
    format: 1,
};

/// The first byte of a part with a piece of a base.
const BASE_PIECE: u8 = 3;

/// An item of an archive.
pub type Item = Vec<u8>;

/// The items of an archive.
///
/// # Errors
/// Those of the reader.
pub fn items(kind: Kind, bytes: &[u8]) -> Result<Vec<Item>, ArchiveError> {
    let mut file = tempfile::NamedTempFile::new().expect("there is room for a file");
    file.write_all(bytes).expect("there is room for a file");
    let mut reader = ArchiveReader::open(file.path(), kind)?;
    let mut items = Vec::new();
    while let Some(item) = reader.bytes()? {
        items.push(item);
    }
    Ok(items)
}

/// An archive of these items.
#[must_use]
pub fn written(kind: Kind, items: &[Item]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("there is room for a file");
    let path = folder.path().join("archive");
    let mut writer = ArchiveWriter::create(&path, kind).expect("there is room for a file");
    for item in items {
        writer.bytes(item).expect("there is room for a file");
    }
    writer.finish().expect("there is room for a file");
    fs::read(path).expect("it was just written")
}

/// The items of a backup whose first base was changed.
///
/// # Panics
/// When the backup has no base.
#[must_use]
pub fn with_base(items: &[Item], change: impl FnOnce(&mut Vec<Item>)) -> Vec<Item> {
    let (place, piece) = items
        .iter()
        .enumerate()
        .skip(1)
        .find(|(_, item)| item.first() == Some(&BASE_PIECE))
        .expect("the real backup has a base");
    let (_, base): (u8, Vec<u8>) = postcard::from_bytes(piece).expect("a node wrote it");
    let mut base = self::items(BASE, &base).expect("a node wrote it");
    change(&mut base);
    let piece = postcard::to_allocvec(&(BASE_PIECE, written(BASE, &base)));
    let mut items = items.to_vec();
    if let Some(item) = items.get_mut(place) {
        *item = piece.expect("a vector takes it");
    }
    items
}

/// Blocks whose checksums are right, of any content and any claims.
///
/// # Errors
/// When the input is too short to choose.
pub fn blocks(input: &mut Unstructured<'_>) -> Chosen<Vec<u8>> {
    let mut bytes = b"backup         \x01".to_vec();
    let mut previous = *blake3::hash(&bytes).as_bytes();
    while !input.is_empty() {
        let length = usize::from(input.arbitrary::<u8>()?).min(input.len());
        let content = input.bytes(length)?;
        let compressed = if input.arbitrary::<u8>().unwrap_or(1) == 0 {
            content.to_vec()
        } else {
            zstd::bulk::compress(content, 1).expect("memory takes it")
        };
        let claimed = match input.arbitrary::<u8>().unwrap_or(2) {
            0 => input.arbitrary::<u32>().unwrap_or(u32::MAX),
            1 => 1 << 20,
            _ => u32::try_from(content.len()).unwrap_or(u32::MAX),
        };
        let stored = match input.arbitrary::<u8>().unwrap_or(2) {
            0 => input.arbitrary::<u32>().unwrap_or(u32::MAX),
            _ => u32::try_from(compressed.len()).unwrap_or(u32::MAX),
        };
        block(&mut bytes, &mut previous, [claimed, stored], &compressed);
    }
    let end = checksum(&previous, &[0; 4], &[0; 4], &[]);
    bytes.extend([0; 4]);
    bytes.extend(end);
    Ok(bytes)
}

fn block(bytes: &mut Vec<u8>, previous: &mut [u8; 32], lengths: [u32; 2], compressed: &[u8]) {
    let [content, stored] = lengths.map(u32::to_le_bytes);
    *previous = checksum(previous, &content, &stored, compressed);
    bytes.extend(content);
    bytes.extend(stored);
    bytes.extend(*previous);
    bytes.extend(compressed);
}

fn checksum(previous: &[u8; 32], content: &[u8], stored: &[u8], compressed: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in [previous.as_slice(), content, stored, compressed] {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}
