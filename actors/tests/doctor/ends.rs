//! The end of what was acknowledged, the cache, and folders that are not what they seem.

use super::*;

/// Garbage over the last acknowledged turns of a node that was killed: over 800 bytes, which are
/// more than the reactions of one turn.
fn garbage_at_the_end(world: &World) {
    let end = world.log_end();
    world.write_log(end.saturating_sub(800).max(80), &[0xa5; 3000]);
}

async fn start_fails(world: &mut World) -> String {
    let refused = world.start_on(ground()).await;
    refused.expect_err("it is refused").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_over_acknowledged_turns_is_damage_and_is_cut_only_on_demand() {
    let (mut world, _) = killed().await;
    garbage_at_the_end(&world);
    let error = start_fails(&mut world).await;
    assert!(
        error.contains("acknowledged") && error.contains("doctor"),
        "{error}"
    );
    let before = all_files(world.directory());
    let seen = repair(world.directory(), Consent::LoseNothing).expect("looks");
    assert!(!seen.is_healthy());
    assert_eq!(
        all_files(world.directory()),
        before,
        "nothing is given up unasked"
    );
    let [finding] = seen.findings.as_slice() else {
        panic!("{seen:#?}");
    };
    assert!(finding.problem.contains("acknowledged"), "{finding:?}");
    assert!(
        matches!(&finding.remedy, Remedy::CutLog(what) if what.contains("gives up")),
        "{finding:?}"
    );
    let report = repair(world.directory(), Consent::CutLog).expect("repairs");
    assert!(report.is_healthy(), "{report:#?}");
    world.start_on(ground()).await.expect("it starts");
    assert_eq!(world.owner().await.node().await.epoch, Epoch(1));
    world.end().await.expect("it ends in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_at_the_beginning_and_at_the_end_costs_only_the_end() {
    let (world, _) = killed().await;
    let whole = world.copy();
    flip(&below(&world, "log", "log")[0], 300);
    garbage_at_the_end(&world);
    let report = repair(world.directory(), Consent::LoseNothing).expect("looks");
    assert!(!report.is_healthy(), "{report:#?}");
    let report = repair(world.directory(), Consent::CutLog).expect("repairs");
    assert!(report.is_healthy(), "{report:#?}");
    let entries = async |mut world: World| {
        world.start_on(ground()).await.expect("it starts");
        let rows = world.owner().await.rows("bank", "entries").await;
        world.end().await.expect("it ends in order");
        rows.expect("is there").len()
    };
    let (left, all) = (entries(world).await, entries(whole).await);
    assert!(left < all && left + 40 > all, "{left} of {all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ran_after_a_clean_stop_gives_up_nothing_unasked() {
    let (mut world, ledger) = killed().await;
    world.start_on(ground()).await.expect("it starts");
    world.end().await.expect("it ends in order");
    let mut ledger = ledger;
    world.start_on(ground()).await.expect("it starts");
    let peer = world.owner().await;
    ledger.put(&peer, 20).await.expect("they are put");
    let killed = world.copy();
    world.end().await.expect("it ends in order");
    for path in below(&killed, "log", "log") {
        fs::remove_file(path).expect("it goes");
    }
    fs::remove_file(killed.directory().join("log/acknowledged")).expect("it goes");
    let before = all_files(killed.directory());
    let seen = repair(killed.directory(), Consent::LoseNothing).expect("looks");
    assert!(!seen.is_healthy(), "{seen:#?}");
    assert_eq!(all_files(killed.directory()), before);
    let remedy = seen.findings.iter().map(|finding| &finding.remedy);
    let costs: Vec<_> = remedy
        .filter(|remedy| matches!(remedy, Remedy::CutLog(_)))
        .collect();
    assert_eq!(costs.len(), 1, "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_compile_cache_is_named_and_keeps_no_node_from_starting() {
    let (mut world, mut ledger) = killed().await;
    let cache = all_files(&world.directory().join("cache"));
    let compiled: Vec<&PathBuf> = cache
        .keys()
        .filter(|path| path.extension().is_none())
        .collect();
    assert!(!compiled.is_empty());
    for path in &compiled {
        flip(path, 200);
    }
    let seen = examine(world.directory()).expect("looks");
    assert!(seen.is_healthy(), "{seen:#?}");
    assert_eq!(parts(&seen), vec![Part::Cache; compiled.len()]);
    world.start_on(ground()).await.expect("it starts");
    ledger.check(&world.owner().await, "a damaged cache").await;
    world.end().await.expect("it ends in order");
    let after = examine(world.directory()).expect("looks");
    assert!(after.findings.is_empty(), "{after:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_has_lost_its_log_and_tables_does_not_begin_again() {
    let (mut world, _) = killed().await;
    for folder in ["log", "db"] {
        fs::remove_dir_all(world.directory().join(folder)).expect("it goes");
    }
    let error = start_fails(&mut world).await;
    assert!(error.contains("has run before"), "{error}");
    // The first attempt has made the folders, and a first segment.
    let error = start_fails(&mut world).await;
    assert!(error.contains("has run before"), "{error}");
    let seen = examine(world.directory()).expect("looks");
    assert!(!seen.is_healthy(), "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_another_node_is_refused() {
    let (mut world, _) = killed().await;
    let other = World::configured(|_| {});
    let key = |world: &World| world.directory().join("key");
    fs::copy(key(&other), key(&world)).expect("it is copied");
    let error = start_fails(&mut world).await;
    assert!(error.contains("is the key of node"), "{error}");
    let seen = examine(world.directory()).expect("looks");
    assert!(parts(&seen).contains(&Part::Key), "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_that_are_missing_or_damaged_are_made_again() {
    let (mut world, mut ledger) = killed().await;
    let stored = |world: &World| -> BTreeMap<PathBuf, Vec<u8>> {
        let paths = below(world, "modules", "schema").into_iter();
        paths
            .map(|path| (path.clone(), fs::read(path).expect("reads")))
            .collect()
    };
    let before = stored(&world);
    assert_eq!(before.len(), below(&world, "modules", "wasm").len());
    let mut paths = before.keys();
    flip(paths.next().expect("one"), 60);
    fs::remove_file(paths.next().expect("another")).expect("it goes");
    let looked = all_files(world.directory());
    assert!(examine(world.directory()).expect("looks").is_healthy());
    assert_eq!(
        all_files(world.directory()),
        looked,
        "looking changes nothing"
    );
    world.start_on(ground()).await.expect("it starts");
    ledger.check(&world.owner().await, "schemas").await;
    world.end().await.expect("it ends in order");
    assert_eq!(stored(&world), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_modules_that_has_lost_its_log_says_that_it_begins_empty() {
    let mut world = World::configured(|_| {});
    let said = |world: &World| {
        let said = fs::read_to_string(world.directory().join("node.log"));
        said.expect("reads").contains("begins empty")
    };
    for lost in [false, true] {
        if lost {
            for folder in ["log", "db"] {
                fs::remove_dir_all(world.directory().join(folder)).expect("it goes");
            }
        }
        world.start_on(ground()).await.expect("it starts");
        world.end().await.expect("it ends in order");
        assert_eq!(said(&world), lost);
    }
}
