//! What is written is read back; what is damaged is an error.

use std::fs;

use super::{ArchiveError, ArchiveReader, ArchiveWriter, BLOCK_BYTES, Kind};

const KIND: Kind = Kind {
    name: "test",
    format: 1,
};

fn items() -> Vec<Vec<u8>> {
    let large = (0..3 * BLOCK_BYTES).map(|byte| u8::try_from(byte * 7 % 251).unwrap());
    vec![
        Vec::new(),
        b"one".to_vec(),
        large.collect(),
        b"last".to_vec(),
    ]
}

fn written(folder: &std::path::Path, items: &[Vec<u8>]) -> std::path::PathBuf {
    let path = folder.join("a");
    let mut writer = ArchiveWriter::create(&path, KIND).unwrap();
    for item in items {
        writer.bytes(item).unwrap();
    }
    let bytes = writer.finish().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
    path
}

fn read(path: &std::path::Path) -> Result<Vec<Vec<u8>>, ArchiveError> {
    let mut reader = ArchiveReader::open(path, KIND)?;
    let mut items = Vec::new();
    while let Some(item) = reader.bytes()? {
        items.push(item);
    }
    Ok(items)
}

#[test]
fn what_was_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &items());
    assert_eq!(read(&path).unwrap(), items());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn damage_anywhere_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &[b"one".to_vec(), vec![9; 300]]);
    let whole = fs::read(&path).unwrap();
    for place in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[place] ^= 1 << bit;
            fs::write(&path, damaged).unwrap();
            assert!(read(&path).is_err(), "bit {bit} of byte {place}");
        }
        fs::write(&path, &whole[..place]).unwrap();
        assert!(read(&path).is_err(), "{place} bytes");
    }
    fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
    assert!(read(&path).is_err());
}

#[test]
fn a_claimed_length_does_not_allocate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut file = KIND.header().to_vec();
    file.extend(u32::MAX.to_le_bytes());
    file.extend(u32::MAX.to_le_bytes());
    fs::write(&path, file).unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("damaged at offset 16"), "{error}");
}

#[test]
fn another_kind_or_format_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &[]);
    let other = |name, format| {
        ArchiveReader::open(&path, Kind { name, format })
            .err()
            .unwrap()
            .to_string()
    };
    assert!(other("base", 1).contains("is no base"));
    assert!(other("test", 2).contains("format 1"));
}

#[test]
fn an_archive_never_overwrites_and_an_unfinished_one_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &items());
    let again = ArchiveWriter::create(&path, KIND).unwrap().finish();
    assert!(matches!(again, Err(ArchiveError::Exists { .. })));
    drop(ArchiveWriter::create(&folder.path().join("b"), KIND).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(read(&path).unwrap(), items());
}
