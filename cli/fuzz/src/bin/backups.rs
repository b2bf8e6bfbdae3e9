//! Backups and the bases in them: a file is restored or refused, a refusal leaves nothing behind,
//! and a node that was restored is not overwritten. Bytes that nobody wrote are also given
//! checksums that are right.
#![no_main]

use std::{
    fs,
    path::Path,
    sync::{LazyLock, Once},
};

use interstice_actors::node;
use interstice_fuzz::{
    archive::{self, Item},
    memory,
};
use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};

static BEGIN: Once = Once::new();
static WHOLE: LazyLock<Vec<Item>> = LazyLock::new(|| {
    archive::items(archive::BACKUP, archive::REAL).expect("was written by a node")
});

fuzz_target!(|data: &[u8]| {
    // Beside the claims of files, engines and stores take their share.
    BEGIN.call_once(|| memory::limit(512 * 1024 * 1024));
    // An input that is too short to choose is none.
    let _ = run(data);
});

fn run(data: &[u8]) -> Result<()> {
    let mut input = Unstructured::new(data);
    match input.arbitrary::<u8>()? % 5 {
        0 => {
            let mut bytes = archive::REAL.to_vec();
            bend(&mut bytes, &mut input)?;
            check(&bytes);
        }
        1 => {
            let rest = input.take_rest();
            read(archive::BACKUP, rest);
            check(rest);
        }
        2 => {
            let bytes = archive::blocks(&mut input)?;
            read(archive::BACKUP, &bytes);
            check(&bytes);
        }
        3 => {
            let mut items = WHOLE.clone();
            while !input.is_empty() && change(&mut items, &mut input).is_ok() {}
            check(&archive::written(archive::BACKUP, &items));
        }
        _ => {
            let base = archive::with_base(&WHOLE, |base| {
                while !input.is_empty() && change(base, &mut input).is_ok() {}
            });
            check(&archive::written(archive::BACKUP, &base));
        }
    }
    Ok(())
}

/// Reads all items.
fn read(kind: interstice_host::archive::Kind, bytes: &[u8]) {
    // Refused or not: neither panics.
    let _ = archive::items(kind, bytes);
}

/// Restores the file, twice.
fn check(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("has a folder");
    let file = folder.path().join("file");
    let nodes = folder.path().join("nodes");
    fs::write(&file, bytes).expect("the folder takes files");
    match node::restore(&file, &nodes, node::Adopt::default()) {
        Ok(restored) => {
            assert_eq!(names(&nodes), [restored.id.as_str()]);
            assert!(restored.directory.starts_with(&nodes));
            let again = node::restore(&file, &nodes, node::Adopt::default());
            assert!(matches!(again, Err(node::RestoreError::Exists { .. })));
        }
        Err(_) => assert!(names(&nodes).is_empty(), "something is left"),
    }
    let mut beside = names(folder.path());
    beside.retain(|name| name != "nodes");
    assert_eq!(beside, ["file"]);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Damages bytes in one place.
fn bend(bytes: &mut Vec<u8>, input: &mut Unstructured<'_>) -> Result<()> {
    let at = usize::from(input.arbitrary::<u16>()?) % bytes.len().max(1);
    let length = usize::from(input.arbitrary::<u8>()?);
    match input.arbitrary::<u8>()? % 5 {
        0 => bytes.truncate(at),
        1 => bytes.extend(input.bytes(length.min(input.len()))?),
        2 => {
            bytes.drain(at..(at + length).min(bytes.len()));
        }
        3 => {
            let put = input.bytes(length.min(16).min(input.len()))?;
            bytes.splice(at..at, put.iter().copied());
        }
        _ => {
            let over = input.bytes(length.min(16).min(input.len()))?;
            for (to, from) in bytes.iter_mut().skip(at).zip(over) {
                *to = *from;
            }
        }
    }
    Ok(())
}

/// Damages the items in one place: one is bent, goes, comes twice, or changes its place.
fn change(items: &mut Vec<Item>, input: &mut Unstructured<'_>) -> Result<()> {
    let at = usize::from(input.arbitrary::<u8>()?) % items.len().max(1);
    let how = input.arbitrary::<u8>()? % 8;
    if at >= items.len() {
        return Ok(());
    }
    match how {
        0 => drop(items.remove(at)),
        1 => {
            let twice: Vec<Item> = items.get(at..=at).unwrap_or_default().to_vec();
            items.splice(at..at, twice);
        }
        2 => {
            let other = usize::from(input.arbitrary::<u8>()?) % items.len();
            items.swap(at, other);
        }
        3 => {
            let length = usize::from(input.arbitrary::<u8>()?).min(input.len());
            items.insert(at, input.bytes(length)?.to_vec());
        }
        _ => {
            if let Some(item) = items.get_mut(at) {
                bend(item, input)?;
            }
        }
    }
    Ok(())
}
