//! Damaged nodes: the doctor says what is wrong, repairs it, and nothing that was acknowledged is
//! lost unless it was told to.

#[path = "common/common.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod common;

#[path = "faults/bank.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod bank;

#[path = "doctor/ends.rs"]
mod ends;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use bank::Ledger;
use common::world::World;
use interstice_abi::id::Epoch;
use interstice_actors::{
    doctor::{Consent, DoctorError, Part, Remedy, Report, examine, repair},
    node::Ground,
};
use interstice_host::log::{LogOptions, StdFiles};

fn ground() -> Ground {
    Ground {
        log_files: Arc::new(StdFiles),
        log_options: LogOptions {
            segment_bytes: 8 << 10,
            ..LogOptions::default()
        },
        ..Ground::default()
    }
}

/// A node that was killed with several segments, a checkpoint, bases, and turns behind all of them.
async fn killed() -> (World, Ledger) {
    let mut world = World::configured(|config| {
        config.workers = 1;
        config.checkpoint_bytes = 30_000;
        config.base_bytes = 30_000;
        config.history = "1000000 turns".parse().expect("a span");
    });
    world.start_on(ground()).await.expect("it starts");
    let peer = world.owner().await;
    bank::install(&peer).await;
    let mut ledger = Ledger::default();
    ledger.check(&peer, "the beginning").await;
    for _ in 0..12 {
        ledger.put(&peer, 40).await.expect("they are put");
    }
    // In order, so that checkpoint and base are whole; then some turns more.
    world.end().await.expect("it ends in order");
    world.configure(|config| config.checkpoint_bytes = 1 << 30);
    world.start_on(ground()).await.expect("it starts");
    let peer = world.owner().await;
    for _ in 0..6 {
        ledger.put(&peer, 20).await.expect("they are put");
    }
    let killed = world.copy();
    world.end().await.expect("it ends in order");
    (killed, ledger)
}

fn files(folder: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            files(&entry.path(), into);
        } else {
            into.insert(entry.path(), fs::read(entry.path()).expect("reads"));
        }
    }
}

fn all_files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    files(folder, &mut found);
    found
}

/// The files of a folder of the node with this ending, in order.
fn below(world: &World, folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.directory().join(folder)).expect("a folder");
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|found| found == ending));
    found.sort();
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("reads");
    bytes[at] ^= 4;
    fs::write(path, bytes).expect("writes");
}

/// Something that happens to a node's files.
type Damage = fn(&World);

fn parts(report: &Report) -> Vec<Part> {
    report.findings.iter().map(|finding| finding.part).collect()
}

/// Repairs, and looks whether everything is there.
async fn mends(mut world: World, mut ledger: Ledger, about: &str) -> Report {
    let before = all_files(world.directory());
    let seen = examine(world.directory()).expect("it can be looked at");
    assert!(!seen.is_healthy(), "{about}: {seen:?}");
    assert!(
        seen.findings
            .iter()
            .any(|finding| matches!(finding.remedy, Remedy::Repair(_))),
        "{about}: {seen:#?}"
    );
    assert_eq!(
        all_files(world.directory()),
        before,
        "{about}: looking changes nothing"
    );
    let report = repair(world.directory(), Consent::LoseNothing).expect("it can be repaired");
    assert!(report.is_healthy(), "{about}: {report:#?}");
    let aside = report.aside.clone().expect("something was kept");
    let kept: Vec<Vec<u8>> = all_files(&aside).into_values().collect();
    let after = all_files(world.directory());
    for (path, bytes) in before {
        let there = after.get(&path) == Some(&bytes) || kept.contains(&bytes);
        assert!(there, "{about}: {} is nowhere any more", path.display());
    }
    world.start_on(ground()).await.expect("it starts");
    let peer = world.owner().await;
    ledger.check(&peer, about).await;
    world.end().await.expect("it ends in order");
    assert!(examine(world.directory()).expect("looks").is_healthy());
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_node_has_no_finding_and_is_not_changed_by_a_byte() {
    let (world, _) = killed().await;
    let before = all_files(world.directory());
    let report = repair(world.directory(), Consent::CutLog).expect("looks");
    assert!(
        report.is_healthy() && report.findings.is_empty(),
        "{report:?}"
    );
    assert!(report.comes_back_to.is_some_and(|seq| seq.0 > 500));
    assert_eq!(all_files(world.directory()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_is_left_alone() {
    let world = World::started().await;
    let refused = examine(world.directory()).expect_err("it runs");
    assert!(matches!(refused, DoctorError::Runs { .. }), "{refused}");
    let refused = repair(world.directory(), Consent::CutLog).expect_err("it runs");
    assert!(refused.to_string().contains("stop it first"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_a_log_that_the_checkpoint_no_longer_needs_costs_nothing() {
    let (world, ledger) = killed().await;
    for (segment, at) in [(0, 20), (0, 300), (1, 2000), (2, 60)] {
        let copy = world.copy();
        let segments = below(&copy, "log", "log");
        assert!(segments.len() > 6, "{}", segments.len());
        flip(&segments[segment], at);
        let about = format!("segment {segment} at {at}");
        let report = mends(copy, ledger.clone(), &about).await;
        assert!(
            report
                .repaired
                .iter()
                .any(|done| done.contains("behind its damage")),
            "{report:?}"
        );
    }
    let copy = world.copy();
    fs::remove_file(&below(&copy, "log", "log")[1]).expect("it goes");
    mends(copy, ledger, "a missing segment").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_tables_come_back_from_a_base_and_the_log() {
    let (world, ledger) = killed().await;
    let damages: [(&str, Damage); 4] = [
        ("the marker", |world| {
            flip(&world.directory().join("db/marker"), 20)
        }),
        ("no marker's end", |world| {
            let path = world.directory().join("db/marker");
            let bytes = fs::read(&path).expect("reads");
            fs::write(&path, &bytes[..10]).expect("writes");
        }),
        ("sled's file", |world| {
            let path = world.directory().join("db/tables/db");
            let bytes = fs::read(&path).expect("reads");
            fs::write(&path, vec![0x5a; bytes.len()]).expect("writes");
        }),
        ("no sled", |world| {
            fs::remove_dir_all(world.directory().join("db/tables")).expect("it goes")
        }),
    ];
    for (about, damage) in damages {
        let copy = world.copy();
        damage(&copy);
        let report = mends(copy, ledger.clone(), about).await;
        assert!(
            report.repaired.iter().any(|done| done.contains("tables")),
            "{report:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_base_is_moved_away() {
    let (world, ledger) = killed().await;
    let bases = below(&world, "bases", "base");
    assert!(!bases.is_empty());
    for base in &bases {
        let copy = world.copy();
        let path = copy
            .directory()
            .join("bases")
            .join(base.file_name().expect("a name"));
        flip(&path, 100);
        let report = mends(copy, ledger.clone(), "a base").await;
        assert!(!path.exists(), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_behind_a_clean_stop_begins_anew() {
    let (mut world, ledger) = killed().await;
    world.start_on(ground()).await.expect("it starts");
    world.end().await.expect("it ends in order");
    fs::remove_dir_all(world.directory().join("log")).expect("it goes");
    fs::create_dir(world.directory().join("log")).expect("a folder");
    mends(world, ledger, "no log").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_turns_are_given_up_only_on_demand_and_are_kept_aside() {
    let (mut world, _) = killed().await;
    let whole = examine(world.directory()).expect("looks").comes_back_to;
    let segments = below(&world, "log", "log");
    // Not the last: what is broken at its end, a crash may have left.
    let last = &segments[segments.len() - 2];
    // In the header of its first block.
    flip(last, 64 + 10);
    let before = all_files(world.directory());
    let seen = repair(world.directory(), Consent::LoseNothing).expect("looks");
    assert!(!seen.is_healthy());
    assert_eq!(
        all_files(world.directory()),
        before,
        "nothing is given up unasked"
    );
    assert_eq!(parts(&seen), [Part::Log]);
    let finding = &seen.findings[0];
    assert_eq!((&finding.file, finding.offset), (last, Some(64)));
    assert!(
        matches!(&finding.remedy, Remedy::CutLog(what) if what.contains("gives up")),
        "{finding:?}"
    );
    let report = repair(world.directory(), Consent::CutLog).expect("repairs");
    assert!(report.is_healthy(), "{report:#?}");
    let aside = report.aside.clone().expect("a folder");
    let kept = aside.join("log").join(last.file_name().expect("a name"));
    assert_eq!(fs::read(kept).ok().as_ref(), before.get(last));
    world.start_on(ground()).await.expect("it starts");
    let peer = world.owner().await;
    let rows = peer.rows("bank", "entries").await.expect("is there");
    assert!(!rows.is_empty(), "what was before the damage is there");
    // Somebody may know turns and positions that are gone.
    assert_eq!(peer.node().await.epoch, Epoch(1));
    assert!(
        report.comes_back_to >= whole,
        "{report:?}: numbers up to {whole:?} were given out"
    );
    world.end().await.expect("it ends in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_somebody_else_can_mend_is_said() {
    let (world, _) = killed().await;
    let said = |change: &dyn Fn(&Path), part: Part, word: &str| {
        let copy = world.copy();
        change(copy.directory());
        let report = repair(copy.directory(), Consent::CutLog).expect("looks");
        assert!(!report.is_healthy());
        let finding = report.findings.iter().find(|finding| finding.part == part);
        let finding = finding.unwrap_or_else(|| panic!("{report:#?}"));
        assert!(matches!(finding.remedy, Remedy::ByHand(_)), "{finding:?}");
        assert!(finding.problem.contains(word), "{finding:?}");
    };
    let config = |root: &Path| fs::write(root.join("node.toml"), "name = 7\n").expect("writes");
    said(&config, Part::Config, "node.toml");
    said(
        &|root| fs::write(root.join("key"), b"no").expect("writes"),
        Part::Key,
        "key",
    );
    let binary = |root: &Path| {
        let folder = fs::read_dir(root.join("modules")).expect("a folder");
        folder
            .flatten()
            .for_each(|entry| fs::write(entry.path(), b"x").expect("writes"));
    };
    said(&binary, Part::Module, ".wasm");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_left_to_the_next_start() {
    let (mut world, mut ledger) = killed().await;
    let end = world.log_end();
    world.write_log(end, &[0xa5; 40]);
    let report = repair(world.directory(), Consent::LoseNothing).expect("looks");
    assert!(report.is_healthy() && report.aside.is_none(), "{report:?}");
    let [finding] = report.findings.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(finding.offset, Some(end));
    assert!(matches!(finding.remedy, Remedy::Start(_)));
    world.start_on(ground()).await.expect("it starts");
    ledger.check(&world.owner().await, "torn").await;
    world.end().await.expect("it ends in order");
}
