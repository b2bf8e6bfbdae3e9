//! Names come from modules and clients, and never become paths.

use std::{collections::BTreeSet, path::Path};

use interstice_abi::{failure::Code, schema::Description};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{arg, insert, must},
    world::World,
};

/// What a module says of itself, changed.
type Lie = fn(&mut Vec<(String, Description)>);

/// All that is below a folder.
fn everything(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        found.insert(path.display().to_string());
        if path.is_dir() {
            everything(&path, found);
        }
    }
}

fn module(name: &str) -> GuestModule {
    let mut module = GuestModule::new("honest")
        .table(GuestTable::new("Rows", &["value"]))
        .reducer("put", 2, vec![must(insert("rows", [arg(0), arg(1)]))]);
    module.name = name.to_string();
    module
}

#[tokio::test]
async fn a_module_whose_name_is_a_path_is_refused_and_leaves_nothing() {
    let world = World::started().await;
    let owner = world.owner().await;
    let above = world.directory().parent().unwrap().to_path_buf();
    let mut before = BTreeSet::new();
    everything(&above, &mut before);
    let long = "x".repeat(5000);
    for name in [
        "..",
        ".",
        "../evil",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "a\0b",
        "",
        ".wasm",
        "-rf",
        "a b",
        "ä",
        "C:",
        "a:b",
        &long,
    ] {
        let failure = owner
            .upload(&module(name).wasm())
            .await
            .expect_err("it is refused");
        assert_ne!(failure.code, Code::Internal, "{name:?}: {failure}");
        assert!(failure.message.len() < 1000, "{name:?}: {failure}");
        for name in [name, "..", "a/../b"] {
            owner
                .call(name, "put", &[1, 1])
                .await
                .expect_err("there is none");
            owner.rows("honest", name).await.expect_err("there is none");
        }
    }
    assert_eq!(owner.modules().await.len(), 0);
    let mut after = BTreeSet::new();
    everything(&above, &mut after);
    let grown: Vec<_> = after
        .difference(&before)
        .filter(|path| !path.contains("/cache") && !path.contains("/db/"))
        .collect();
    assert!(grown.is_empty(), "{grown:?}");
}

#[tokio::test]
async fn names_that_some_systems_keep_for_devices_are_names_like_others() {
    let world = World::started().await;
    let owner = world.owner().await;
    for name in ["CON", "nul", "lpt1", "aux"] {
        owner.install(&module(name)).await;
        owner.call(name, "put", &[1, 1]).await.unwrap();
    }
    let stored = std::fs::read_dir(world.directory().join("modules")).unwrap();
    for entry in stored.flatten() {
        let name = entry.file_name().into_string().unwrap();
        let (hash, ending) = name.split_once('.').unwrap();
        assert!(["wasm", "schema"].contains(&ending), "{name}");
        assert!(
            hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_table_whose_name_is_a_path_is_refused() {
    let world = World::started().await;
    let owner = world.owner().await;
    let lies: [Lie; 3] = [
        |all| rename(all, "../rows"),
        |all| rename(all, "a/b"),
        |all| rename(all, "a\0b"),
    ];
    for lie in lies {
        owner
            .upload(&module("honest").lying(lie).wasm())
            .await
            .expect_err("it is refused");
    }
    assert_eq!(owner.modules().await.len(), 0);
}

fn rename(all: &mut [(String, Description)], name: &str) {
    for (_, description) in all {
        if let Description::Table { table, .. } = description {
            table.name = name.into();
        }
    }
}
