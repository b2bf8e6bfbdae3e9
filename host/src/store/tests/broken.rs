//! Damaged files: each file of the store cut, emptied, removed, or with bits flipped. A store that
//! opens has every page as it was; all others are refused with a message that names the file or
//! folder.

use std::fs;
use std::path::{Path, PathBuf};

use super::{CACHE_BYTES, Content, content, image, noise, open, put};
use crate::store::{Store, StoreError};

/// How many bits of each file are flipped, spread evenly.
const FLIPS: usize = 40;

/// A store after some checkpoints with large and small pages.
fn grown(directory: &Path) -> Content {
    let store = open(directory);
    for round in 0..6_u8 {
        for module in ["a#1", "b#2"] {
            let pages =
                (0..30_u8).map(|key| put("t", &[key], &noise(u64::from(key ^ round), 2500)));
            store.write(module, pages).unwrap();
            // Larger than a segment of sled: it becomes a file of its own.
            let blob = noise(u64::from(round), 700_000);
            store
                .write(module, vec![put("blobs", &[0], &blob)])
                .unwrap();
        }
        store.commit(&[round]).unwrap();
    }
    content(&store).unwrap()
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn opened(directory: &Path) -> Result<Content, StoreError> {
    content(&Store::open(directory, CACHE_BYTES)?)
}

#[test]
fn each_file_cut_emptied_removed_or_flipped_is_refused_or_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let expected = grown(directory.path());
    let mut files = Vec::new();
    files_below(directory.path(), &mut files);
    assert!(files.len() > 3, "{files:?}");
    let (mut done, mut refused) = (0, 0);
    for file in &files {
        let name = file.strip_prefix(directory.path()).unwrap();
        let whole = fs::read(file).unwrap();
        let mut damages: Vec<(String, Option<Vec<u8>>)> = vec![
            ("removed".to_owned(), None),
            ("emptied".to_owned(), Some(Vec::new())),
        ];
        for part in 1..8 {
            let length = whole.len() * part / 8;
            damages.push((format!("cut at {length}"), Some(whole[..length].to_vec())));
        }
        for flip in 0..FLIPS {
            let bit = whole.len() * 8 * flip / FLIPS + flip % 8;
            let mut bytes = whole.clone();
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            damages.push((format!("bit {bit}"), Some(bytes)));
        }
        for (damage, bytes) in damages {
            let copy = image(directory.path());
            let path = copy.path().join(name);
            match bytes {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            done += 1;
            match opened(copy.path()) {
                // A marker that is gone is that of a store before its first checkpoint: the one
                // who opens it sees that its trees are ahead.
                Ok(found) => assert!(
                    found == expected,
                    "{name:?} {damage}: {} pages of {}",
                    found.len(),
                    expected.len()
                ),
                Err(error) => {
                    refused += 1;
                    let text = error.to_string();
                    let folder = copy.path().to_string_lossy().into_owned();
                    assert!(text.contains(&folder), "{name:?} {damage}: {text}");
                }
            }
        }
    }
    println!("{done} damages to {} files, {refused} refused", files.len());
    assert!(refused > files.len());
}
