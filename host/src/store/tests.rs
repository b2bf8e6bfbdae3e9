//! The store over real files: what a killed process leaves behind is a copy of the directory taken
//! between any two calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

mod broken;
mod stops;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{PageEntry, Store, StoreError};

const CACHE_BYTES: u64 = 4 << 20;

type Content = BTreeMap<(String, String, Vec<u8>), Vec<u8>>;

fn put(tree: &str, key: &[u8], page: &[u8]) -> PageEntry {
    (tree.into(), key.into(), Some(page.to_vec()))
}

/// Bytes that no packing makes shorter.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn remove(tree: &str, key: &[u8]) -> PageEntry {
    (tree.into(), key.into(), None)
}

fn open(directory: &Path) -> Store {
    Store::open(directory, CACHE_BYTES).unwrap()
}

/// Everything in the store.
fn content(store: &Store) -> Result<Content, StoreError> {
    let mut content = Content::new();
    for module in store.modules() {
        for tree in store.trees(&module) {
            for page in store.pages(&module, &tree) {
                let (key, page) = page?;
                content.insert((module.clone(), tree.clone(), key), page);
            }
        }
    }
    Ok(content)
}

/// Copies a directory, as it is at the moment, into a fresh one.
fn image(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_below(directory, copy.path());
    copy
}

fn copy_below(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_below(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn pages_come_back_in_key_order_and_trees_do_not_mix() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert!(store.marker().unwrap().is_none());
    let names = [
        ("a", "bc"),
        ("ab", "c"),
        ("", "abc"),
        ("abc", ""),
        ("ä/1", "~timers"),
    ];
    for (module, tree) in names {
        let page = format!("{module}|{tree}");
        let writes = vec![
            put(tree, b"2", page.as_bytes()),
            put(tree, b"", b"first"),
            put(tree, b"gone", b"x"),
            put(tree, b"1", b"middle"),
        ];
        store.write(module, writes).unwrap();
        store.write(module, vec![remove(tree, b"gone")]).unwrap();
    }
    store.commit(b"marker").unwrap();
    let copy = image(directory.path());
    let reopened = open(copy.path());
    for store in [&store, &reopened] {
        for (module, tree) in names {
            assert_eq!(store.trees(module), [tree]);
            let pages: Vec<_> = store.pages(module, tree).map(Result::unwrap).collect();
            let last = format!("{module}|{tree}").into_bytes();
            let expected = [(&b""[..], &b"first"[..]), (b"1", b"middle"), (b"2", &last)];
            let expected = expected.map(|(key, page)| (key.to_vec(), page.to_vec()));
            assert_eq!(pages, expected);
        }
        assert_eq!(store.modules().len(), names.len());
        assert_eq!(store.pages("a", "nothing").count(), 0);
        assert_eq!(store.marker().unwrap().unwrap(), b"marker");
    }
    assert!(reopened.trees("nothing").is_empty());
}

#[test]
fn a_process_killed_between_any_two_calls_leaves_the_marker_and_at_least_its_pages() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut committed: Option<u64> = None;
    let check = |committed: Option<u64>, attempted: u64| {
        let copy = image(directory.path());
        let store = open(copy.path());
        let marker = store.marker().unwrap();
        assert_eq!(marker, committed.map(|round| round.to_le_bytes().to_vec()));
        let found = content(&store).unwrap();
        for tree in ["left", "right"] {
            // A batch is there whole or not at all: all its pages are of one round.
            let pages = found.iter().filter(|((_, name, _), _)| name == tree);
            let rounds: BTreeSet<&Vec<u8>> = pages.clone().map(|(_, page)| page).collect();
            assert!(rounds.len() <= 1, "{tree} is torn");
            let round = rounds.first().and_then(|page| page.first_chunk().copied());
            let round = round.map(u64::from_le_bytes);
            assert!(round >= committed && round.is_none_or(|round| round <= attempted));
            assert!(round.is_none() || pages.count() == 50);
        }
    };
    for round in 1..=4_u64 {
        for tree in ["left", "right"] {
            // Keys move on, so that pages of the round before must be gone with it.
            let writes = (0..50_u64).flat_map(|key| {
                let old = (round - 1) * 50 + key;
                let new = round * 50 + key;
                let page = [round.to_le_bytes().to_vec(), noise(round, 1600)].concat();
                [
                    remove(tree, &old.to_be_bytes()),
                    put(tree, &new.to_be_bytes(), &page),
                ]
            });
            store.write("module", writes).unwrap();
            check(committed, round);
        }
        store.commit(&round.to_le_bytes()).unwrap();
        committed = Some(round);
        check(committed, round);
    }
}

#[test]
fn dropping_without_a_commit_keeps_the_old_marker() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.write("m", vec![put("t", b"k", b"1")]).unwrap();
    store.commit(b"one").unwrap();
    store.write("m", vec![put("t", b"k", b"2")]).unwrap();
    drop(store);
    let copy = image(directory.path());
    let store = open(copy.path());
    assert_eq!(store.marker().unwrap().unwrap(), b"one");
    assert_eq!(store.pages("m", "t").count(), 1);
    store.commit(b"two").unwrap();
    assert_eq!(store.marker().unwrap().unwrap(), b"two");
}

#[test]
fn dropped_modules_and_trees_are_gone_and_their_names_can_be_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for module in ["gone", "kept"] {
        let writes = (0..100_u8).map(|key| put("t", &[key], &[key; 3000]));
        store.write(module, writes).unwrap();
        store.write(module, vec![put("u", b"k", b"v")]).unwrap();
    }
    store.commit(b"1").unwrap();
    store.drop_module("gone").unwrap();
    store.drop_tree("kept", "u").unwrap();
    store.drop_module("never was").unwrap();
    store.write("gone", vec![put("t", b"new", b"v")]).unwrap();
    store.commit(b"2").unwrap();
    let copy = image(directory.path());
    for store in [store, open(copy.path())] {
        assert_eq!(store.trees("kept"), ["t"]);
        assert_eq!(store.pages("kept", "t").count(), 100);
        assert_eq!(store.pages("gone", "t").count(), 1);
        assert_eq!(store.trees("gone"), ["t"]);
    }
}

#[test]
fn large_rows_and_large_batches_survive() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let large = noise(0, 6_000_000);
    let pages =
        (0..3000_u32).map(|key| put("pages", &key.to_be_bytes(), &noise(u64::from(key), 4000)));
    store.write("m", pages).unwrap();
    store
        .write("m", vec![put("images", b"cat", &large)])
        .unwrap();
    store.commit(b"1").unwrap();
    let copy = image(directory.path());
    let store = open(copy.path());
    let cat = store.pages("m", "images").next().unwrap().unwrap();
    assert_eq!(cat, (b"cat".to_vec(), large));
    assert_eq!(store.pages("m", "pages").map(Result::unwrap).count(), 3000);
}

#[test]
fn a_store_behind_its_marker_does_not_open() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.write("m", vec![put("t", b"k", b"1")]).unwrap();
    store.commit(b"one").unwrap();
    let old = image(directory.path());
    store.commit(b"two").unwrap();
    fs::copy(directory.path().join("marker"), old.path().join("marker")).unwrap();
    let error = Store::open(old.path(), CACHE_BYTES).err().unwrap();
    assert!(
        matches!(
            error,
            StoreError::Behind {
                found: 1,
                expected: 2,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("restore a backup"));
    // All of the trees gone is the same, only worse.
    fs::remove_dir_all(old.path().join("tables")).unwrap();
    let error = Store::open(old.path(), CACHE_BYTES).err().unwrap();
    assert!(
        matches!(
            error,
            StoreError::Behind {
                found: 0,
                expected: 2,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_damaged_marker_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.commit(b"one").unwrap();
    let copy = image(directory.path());
    let path = copy.path().join("marker");
    let mut bytes = fs::read(&path).unwrap();
    bytes[41] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = Store::open(copy.path(), CACHE_BYTES).err().unwrap();
    assert!(matches!(error, StoreError::Marker { .. }));
    assert!(error.to_string().contains("marker"));
}

#[test]
fn a_failed_commit_poisons() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.commit(b"one").unwrap();
    // A directory in the way of the marker's temporary file.
    fs::create_dir(directory.path().join("marker.tmp")).unwrap();
    assert!(matches!(store.commit(b"two"), Err(StoreError::Io { .. })));
    fs::remove_dir(directory.path().join("marker.tmp")).unwrap();
    assert!(matches!(
        store.commit(b"three"),
        Err(StoreError::Poisoned { .. })
    ));
    assert!(matches!(store.marker(), Err(StoreError::Poisoned { .. })));
    let refused = store.write("m", vec![put("t", b"k", b"v")]);
    assert!(matches!(refused, Err(StoreError::Poisoned { .. })));
    let copy = image(directory.path());
    assert_eq!(open(copy.path()).marker().unwrap().unwrap(), b"one");
}

#[test]
fn damaged_files_are_errors_and_never_change_a_page() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for round in 0..5_u8 {
        let pages = (0..20_u8).map(|key| put("t", &[key], &noise(u64::from(key ^ round), 900)));
        store.write("m", pages).unwrap();
        store.commit(&[round]).unwrap();
    }
    let expected = content(&store).unwrap();
    drop(store);
    let length = fs::metadata(directory.path().join("tables/db"))
        .unwrap()
        .len();
    let length = usize::try_from(length).unwrap();
    let flip = |bytes: &mut Vec<u8>, place: usize| bytes[place] ^= 0x10;
    let zero = |bytes: &mut Vec<u8>, place: usize| bytes[place..].fill(0);
    let cut = |bytes: &mut Vec<u8>, place: usize| bytes.truncate(place);
    let damages: [fn(&mut Vec<u8>, usize); 3] = [flip, zero, cut];
    let mut refused = 0;
    for place in (0..20).map(|part| length * part / 20 + part * 13) {
        for damage in damages {
            let copy = image(directory.path());
            let path = copy.path().join("tables/db");
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes, place);
            fs::write(&path, bytes).unwrap();
            match Store::open(copy.path(), CACHE_BYTES).and_then(|store| content(&store)) {
                Ok(found) => assert_eq!(found, expected, "byte {place}"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 0);
}
