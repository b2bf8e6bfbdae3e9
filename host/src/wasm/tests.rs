//! Binaries that no node should run, and damaged ones: each is a clear error, never a panic.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use interstice_abi::{
    failure::{Code, Failure},
    schema::{Access, Description},
};
use proptest::prelude::{any, prop, proptest};

use super::{Engine, damaged_entries};
use crate::{
    limits::Limits,
    module::tests::guests::{GuestText, header, limits, notes},
};

static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| Engine::new(None).unwrap());

fn good() -> GuestText {
    GuestText::new("").reducer("add", Access::INSERT, "(drop (call $add)) (i32.const 0)")
}

fn refused(wasm: &[u8]) -> Failure {
    ENGINE.load(wasm, &limits()).unwrap_err()
}

fn refused_text(text: &str) -> Failure {
    refused(&wat::parse_str(text).unwrap())
}

#[test]
fn a_module_is_loaded_with_its_schema_and_hash() {
    let wasm = good().wasm();
    let binary = ENGINE.load(&wasm, &limits()).unwrap();
    assert_eq!(binary.schema.name.as_str(), "guest");
    assert_eq!(binary.schema.tables, [notes()]);
    assert_eq!(binary.hash, *blake3::hash(&wasm).as_bytes());
}

#[test]
fn a_compiled_module_is_found_in_the_cache_of_another_engine() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    for _ in 0..2 {
        let engine = Engine::new(Some(cache.clone())).unwrap();
        engine.load(&good().wasm(), &limits()).unwrap();
    }
    assert!(std::fs::read_dir(&cache).unwrap().next().is_some());
}

/// The compiled modules in a cache.
fn cached(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(cached(&path));
        } else if path.extension().is_none() {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_damaged_entry_of_the_cache_is_named_and_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let load = || {
        let engine = Engine::new(Some(cache.clone())).unwrap();
        engine.load(&good().wasm(), &limits()).unwrap();
    };
    load();
    let entries = cached(&cache);
    assert_eq!(entries.len(), 1);
    let whole = std::fs::read(&entries[0]).unwrap();
    for at in [0, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&entries[0], damaged).unwrap();
        assert_eq!(damaged_entries(&cache).unwrap(), entries);
        load();
        assert_eq!(damaged_entries(&cache).unwrap(), [] as [PathBuf; 0]);
    }
    // What nobody has noted is not trusted either.
    std::fs::remove_file(dir.path().join("cache.sums")).unwrap();
    std::fs::write(&entries[0], b"x").unwrap();
    load();
    assert!(std::fs::read(&entries[0]).unwrap().len() > 1);
}

#[test]
fn a_cache_that_cannot_be_used_is_done_without() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cache");
    std::fs::write(&file, b"a file").unwrap();
    let engine = Engine::new(Some(file)).unwrap();
    engine.load(&good().wasm(), &limits()).unwrap();
}

#[test]
fn what_is_no_module_says_what_it_is() {
    for (wasm, part) in [
        (&b""[..], "not a WebAssembly module"),
        (b"#!/bin/sh", "not a WebAssembly module"),
        (b"\0asm\x0d\0\x01\0", "component"),
        (b"\0asm\x01\0\0\0", "does not export its memory"),
        (b"\0asm\x01\0\0\0\xff\xff\xff\xff\xff", "damaged"),
    ] {
        let failure = refused(wasm);
        assert_eq!(failure.code, Code::BadArguments);
        assert!(failure.message.contains(part), "{failure}");
    }
}

#[test]
fn foreign_imports_are_named_before_anything_is_compiled() {
    let wasi = refused_text(
        "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32))))",
    );
    assert_eq!(wasi.code, Code::BadArguments);
    for part in [
        "wasi_snapshot_preview1.fd_write",
        "wasm32-unknown-unknown",
        "table_insert",
    ] {
        assert!(wasi.message.contains(part), "{wasi}");
    }
    for text in [
        "(module (import \"interstice\" \"format_disk\" (func)))",
        "(module (import \"interstice\" \"log\" (memory 1)))",
        "(module (import \"env\" \"memory\" (memory 1)))",
    ] {
        assert!(
            refused_text(text).message.contains("does not offer"),
            "{text}"
        );
    }
    let wrong = refused_text("(module (import \"interstice\" \"log\" (func (param i64))))");
    assert!(wrong.message.contains("(i32, i32) -> ()"), "{wrong}");
}

#[test]
fn exports_must_be_those_of_a_module() {
    let memory = "(memory (export \"memory\") 1)";
    let describe = "(func (export \"__interstice_describe__module\"))";
    for (body, code, part) in [
        (
            memory.to_string(),
            Code::BadArguments,
            "interstice_module!()",
        ),
        (
            format!("(memory (export \"memory\") 1000) {describe}"),
            Code::TooLarge,
            "begins with",
        ),
        (
            format!("{memory} {describe} (func (export \"__interstice_reducer__a\") (param i64))"),
            Code::BadArguments,
            "(i32) -> i32",
        ),
        (
            format!("{memory} {describe} (table 2000000 funcref)"),
            Code::TooLarge,
            "function table",
        ),
        (
            format!("{memory} {describe}"),
            Code::SchemaConflict,
            "cannot be read",
        ),
        (
            format!("{memory} (func (export \"__interstice_describe__module\") (loop (br 0)))"),
            Code::Deadline,
            "describe itself",
        ),
        (
            format!(
                "{memory} (func (export \"__interstice_describe__module\")
                    (loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (br 0)))"
            ),
            Code::Deadline,
            "describe itself",
        ),
        (
            format!("{memory} (func $a unreachable) (start $a) {describe}"),
            Code::Trap,
            "describe itself",
        ),
    ] {
        let failure = refused_text(&format!("(module {body})"));
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(part), "{failure}");
    }
    let limits = Limits {
        module_bytes_max: 10,
        ..limits()
    };
    assert_eq!(
        ENGINE.load(&good().wasm(), &limits).unwrap_err().code,
        Code::TooLarge
    );
}

#[test]
fn a_schema_that_does_not_match_the_exports_is_refused() {
    let undescribed = good().function("reducer", "hidden", "(i32.const 0)");
    assert!(
        refused(&undescribed.wasm())
            .message
            .contains("does not describe")
    );

    let mut renamed = good();
    renamed.describe(
        "table__other",
        &Description::Table {
            table: notes(),
            types: Default::default(),
        },
    );
    assert!(refused(&renamed.wasm()).message.contains("something else"));

    let mut garbage = good();
    garbage.describe_raw("table__other", vec![0xff; 100]);
    assert_eq!(refused(&garbage.wasm()).code, Code::SchemaConflict);

    let mut trailing = good();
    let mut bytes = postcard::to_allocvec(&Description::Module(header())).unwrap();
    bytes.push(0);
    trailing.describe_raw("table__other", bytes);
    assert!(refused(&trailing.wasm()).message.contains("do not belong"));
}

/// A function with this many variables that are alive in this many blocks.
fn bomb(variables: usize, blocks: usize) -> Vec<u8> {
    let mut body = String::from("(func (export \"bomb\") (param i32)");
    body.push_str(&format!("(local{}) (loop", " i32".repeat(variables)));
    for _ in 0..blocks {
        body.push_str("(block (br_if 0 (local.get 0)) (local.set 1 (i32.const 1)))");
    }
    for variable in 1..=variables {
        body.push_str(&format!(
            "(local.set {variable} (i32.add (local.get {variable}) (local.get 0)))"
        ));
    }
    body.push_str("(br_if 0 (local.get 0))))");
    GuestText::new(&body).wasm()
}

#[test]
fn a_module_that_takes_the_compiler_minutes_is_refused_before_it_is_compiled() {
    ENGINE.load(&bomb(50, 100), &limits()).unwrap();
    let wasm = bomb(3000, 20_000);
    assert!(wasm.len() < 1 << 20);
    let failure = refused(&wasm);
    assert_eq!(failure.code, Code::TooLarge);
    assert!(failure.message.contains("3001 variables"), "{failure}");
}

#[test]
fn a_description_nested_without_end_is_refused() {
    let mut deep = good();
    let text = Description::Query {
        query: interstice_abi::schema::QuerySchema {
            name: "deep".into(),
            arguments: Vec::new(),
            result: interstice_abi::types::ColumnType::Void,
            capabilities: Vec::new(),
        },
        types: Default::default(),
    };
    let mut bytes = postcard::to_allocvec(&text).unwrap();
    // Void is the variant 0; behind it stand the empty capabilities and types. 15 is `Vec`.
    let at = bytes.len() - 4;
    bytes.splice(at..at, std::iter::repeat_n(15, 500_000));
    deep.describe_raw("query__deep", bytes);
    assert_eq!(refused(&deep.wasm()).code, Code::SchemaConflict);
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 64, ..Default::default() })]

    #[test]
    fn random_bytes_are_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..300), magic in any::<bool>()) {
        if magic {
            bytes.splice(0..0, *b"\0asm\x01\0\0\0");
        }
        refused(&bytes);
    }

    #[test]
    fn a_damaged_module_never_panics(place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut wasm = good().wasm();
        let place = place.index(wasm.len());
        if cut {
            wasm.truncate(place);
        } else {
            wasm[place] = byte;
        }
        let _ = ENGINE.load(&wasm, &limits());
    }
}
