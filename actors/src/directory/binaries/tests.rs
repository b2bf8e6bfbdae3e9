//! Storing binaries: at the same time, over damaged ones, and while binaries that nothing names
//! are dropped.

use std::{fs, thread};

use interstice_abi::schema::{Version, Visibility};

use super::*;

fn directory() -> (tempfile::TempDir, Directory) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("node.toml"), "").expect("is written");
    let directory = Directory::open(folder.path()).expect("opens");
    (folder, directory)
}

fn schema(name: &str) -> ModuleSchema {
    ModuleSchema {
        abi_version: ABI_VERSION,
        name: interstice_abi::id::ModuleName::new(name).expect("a name"),
        version: Version {
            major: 1,
            minor: 0,
            patch: 0,
        },
        visibility: Visibility::Public,
        tables: Vec::new(),
        reducers: Vec::new(),
        queries: Vec::new(),
        types: Default::default(),
        dependencies: Vec::new(),
        authorities: Vec::new(),
        replicated_tables: Vec::new(),
    }
}

fn hash(wasm: &[u8]) -> [u8; 32] {
    *blake3::hash(wasm).as_bytes()
}

#[test]
fn one_binary_is_stored_by_many_at_the_same_time() {
    let (_folder, directory) = directory();
    let wasm = vec![7; 1 << 20];
    let hash = hash(&wasm);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let stored = directory.store_module(&hash, &wasm, &schema("many"));
                    let reserved = stored.expect("is stored");
                    assert_eq!(directory.module(&hash).expect("is whole"), wasm);
                    drop(reserved);
                    // By a checkpoint, between two deploys.
                    directory.drop_module(&hash).unwrap_or_default();
                }
            });
        }
    });
}

#[test]
fn a_damaged_binary_and_a_damaged_schema_are_healed_by_storing_them_again() {
    let (_folder, directory) = directory();
    let hash = hash(b"a binary");
    let store = || directory.store_module(&hash, b"a binary", &schema("healed"));
    drop(store().expect("is stored"));
    let binary = directory.module_path(&hash);
    for path in directory.schema_paths(&hash).into_iter().chain([binary]) {
        let mut bytes = fs::read(&path).expect("is there");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).expect("is written");
    }
    assert!(directory.module(&hash).is_err());
    assert_eq!(directory.schema(&hash), None);
    drop(store().expect("is stored"));
    assert_eq!(directory.module(&hash).expect("is whole"), b"a binary");
    assert_eq!(directory.schema(&hash), Some(schema("healed")));
}

#[test]
fn a_schema_is_found_as_long_as_one_of_its_two_files_is_whole() {
    let (_folder, directory) = directory();
    let hash = hash(b"a binary");
    let found = schema("found");
    for lost in directory.schema_paths(&hash) {
        directory.store_schema(&hash, &found);
        fs::remove_file(&lost).expect("goes");
        assert_eq!(directory.schema(&hash).as_ref(), Some(&found));
        directory.store_schema(&hash, &found);
        assert!(lost.exists());
    }
}

#[test]
fn a_schema_of_another_binary_is_none() {
    let (_folder, directory) = directory();
    let (one, other) = (hash(b"one"), hash(b"other"));
    drop(
        directory
            .store_module(&one, b"one", &schema("one"))
            .expect("is stored"),
    );
    for (from, to) in directory
        .schema_paths(&one)
        .iter()
        .zip(directory.schema_paths(&other))
    {
        fs::rename(from, to).expect("is renamed");
    }
    assert_eq!(directory.schema(&other), None);
}

#[test]
fn a_reserved_binary_is_not_dropped_whatever_the_clock_says() {
    let (_folder, directory) = directory();
    let hash = hash(b"kept");
    let store = || directory.store_module(&hash, b"kept", &schema("kept"));
    let (first, second) = (store().expect("is stored"), store().expect("is stored"));
    let file = fs::File::options()
        .write(true)
        .open(directory.module_path(&hash));
    let file = file.expect("is there");
    file.set_modified(std::time::UNIX_EPOCH).expect("is set");
    drop(first);
    assert_eq!(
        directory.settled_modules().expect("lists"),
        [] as [[u8; 32]; 0]
    );
    assert!(!directory.drop_module(&hash).expect("can be asked"));
    drop(second);
    assert_eq!(directory.settled_modules().expect("lists"), [hash]);
    assert!(directory.drop_module(&hash).expect("goes"));
    let mut schemas = directory.schema_paths(&hash).into_iter();
    assert!(schemas.all(|path| !path.exists()));
}
