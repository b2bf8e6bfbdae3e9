//! A stop between any two of the steps of checkpoints: a killed process, which leaves all that was
//! written, and a power cut, which leaves a file as it was last synced, or any mixture. Upgrades
//! begin trees of their own, and trees are dropped.
//!
//! Recovery is that of a node in small: the trees that the marker names, then all later rows once
//! more. What it comes to must be the model, whatever the store had of the checkpoint that was
//! cut.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{CACHE_BYTES, copy_below, noise, put, remove};
use crate::log::LogPosition;
use crate::store::{PageEntry, Step, Steps, Store};

/// Rows of one module, by tree and key.
type Rows = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// One row written, or removed, of one module.
type Op = (usize, String, Vec<u8>, Option<Vec<u8>>);

/// Checkpoints of the script.
const CHECKPOINTS: u64 = 7;

/// What the world knows besides the store: the log of rows, and which self of each module is
/// installed.
#[derive(Clone, Default)]
struct World {
    log: Vec<Op>,
    /// By module: the trees' name now. `None`: removed.
    installed: [Option<u64>; 2],
    /// The markers that may be found: the last that was committed, and the one being committed.
    markers: Vec<Vec<u8>>,
}

/// A marker: how much of the log the trees hold, and the names of the modules' trees.
fn marker(position: usize, installed: [Option<u64>; 2]) -> Vec<u8> {
    postcard::to_allocvec(&(LogPosition(position as u64), installed)).unwrap()
}

fn stored_as(module: usize, since: u64) -> String {
    format!("m{module}#{since}")
}

/// The rows after everything in the log: a removed module has none.
fn model(world: &World) -> [Rows; 2] {
    let mut all = [Rows::new(), Rows::new()];
    redo(&world.log, &mut all);
    for (rows, installed) in all.iter_mut().zip(world.installed) {
        if installed.is_none() {
            rows.clear();
        }
    }
    all
}

fn redo(log: &[Op], all: &mut [Rows; 2]) {
    for (module, tree, key, row) in log {
        let place = (tree.clone(), key.clone());
        match row {
            Some(row) => all[*module].insert(place, row.clone()),
            None => all[*module].remove(&place),
        };
    }
}

/// What a node would come back to from the store in `directory`.
fn recovered(directory: &Path, world: &World) -> [Rows; 2] {
    let store = Store::open(directory, CACHE_BYTES).unwrap();
    let found = store.marker().unwrap();
    let is_known = found
        .as_ref()
        .is_none_or(|found| world.markers.contains(found));
    assert!(is_known, "a marker that was never written");
    let mut all = [Rows::new(), Rows::new()];
    let mut from = 0;
    if let Some(found) = found {
        let (position, installed): (LogPosition, [Option<u64>; 2]) =
            postcard::from_bytes(&found).unwrap();
        from = usize::try_from(position.0).unwrap();
        for (module, since) in installed.into_iter().enumerate() {
            let Some(since) = since else { continue };
            let name = stored_as(module, since);
            for tree in store.trees(&name) {
                for page in store.pages(&name, &tree) {
                    let (key, row) = page.unwrap();
                    all[module].insert((tree.clone(), key), row);
                }
            }
        }
    } else {
        assert!(world.markers.len() < 2, "the marker is gone");
    }
    redo(&world.log[from..], &mut all);
    for (rows, installed) in all.iter_mut().zip(world.installed) {
        if installed.is_none() {
            rows.clear();
        }
    }
    // What is left there must not be in the way of the next checkpoint.
    store.write("next#1", vec![put("t", b"k", b"v")]).unwrap();
    store
        .commit(&marker(world.log.len(), world.installed))
        .unwrap();
    all
}

/// Every how many-th step is looked at: each takes two recoveries, and all of them take minutes.
/// `INTERSTICE_FAULTS=all` looks at each.
fn stride() -> usize {
    match std::env::var("INTERSTICE_FAULTS") {
        Ok(all) if all == "all" => 1,
        _ => 7,
    }
}

/// Looks at the disk before each step, as a crash there would leave it.
struct Crashes {
    directory: PathBuf,
    world: Mutex<World>,
    /// The files as they were last synced, under the names that were.
    synced: Mutex<Synced>,
    steps: Mutex<usize>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

#[derive(Default)]
struct Synced {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// Contents that were synced, but not their names.
    unnamed: BTreeMap<PathBuf, Vec<u8>>,
    /// The last step, which is done by now.
    last: Option<(Step, PathBuf)>,
}

impl Crashes {
    /// Takes in what the step before has made durable.
    fn settle(&self, next: Option<(Step, PathBuf)>) {
        let mut synced = self.synced.lock().unwrap();
        let synced = &mut *synced;
        match std::mem::replace(&mut synced.last, next) {
            Some((Step::Sync, path)) => {
                // A file of ours is synced under the name that it has before it is renamed.
                let written = with_suffix(&path, ".tmp");
                let source = if written.exists() {
                    written
                } else {
                    path.clone()
                };
                let bytes = fs::read(source).unwrap();
                let known = synced.files.get_mut(&path);
                match known.filter(|_| !path.ends_with("marker")) {
                    Some(file) => *file = bytes,
                    None => drop(synced.unnamed.insert(path, bytes)),
                }
            }
            Some((Step::SyncNames, directory)) => {
                let is_inside = |path: &PathBuf| path.parent() == Some(directory.as_path());
                synced
                    .files
                    .retain(|path, _| !is_inside(path) || path.exists());
                let named = synced.unnamed.extract_if(.., |path, _| is_inside(path));
                synced.files.extend(named);
            }
            _ => {}
        }
    }

    fn is_looked_at(&self) -> bool {
        let mut steps = self.steps.lock().unwrap();
        *steps += 1;
        steps.is_multiple_of(stride())
    }

    fn check(&self, step: Step) {
        let world = self.world.lock().unwrap().clone();
        let expected = model(&world);
        let killed = tempfile::tempdir().unwrap();
        copy_below(&self.directory, killed.path());
        assert_eq!(
            recovered(killed.path(), &world),
            expected,
            "killed before {step:?}"
        );
        let cut = tempfile::tempdir().unwrap();
        for (path, bytes) in &self.synced.lock().unwrap().files {
            let target = cut.path().join(path.strip_prefix(&self.directory).unwrap());
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(target, bytes).unwrap();
        }
        assert_eq!(
            recovered(cut.path(), &world),
            expected,
            "cut before {step:?}"
        );
        let mut counts = self.counts.lock().unwrap();
        *counts.entry("killed").or_default() += 1;
        *counts.entry("cut").or_default() += 1;
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

impl Steps for Crashes {
    fn before(&self, step: Step, file: &Path) -> std::io::Result<()> {
        self.settle(Some((step, file.to_owned())));
        if step != Step::Sled("open") && self.is_looked_at() {
            self.check(step);
        }
        Ok(())
    }
}

/// The rows that one checkpoint brings, the last of a module, and what becomes of them.
fn ops(round: u64, module: usize) -> Vec<Op> {
    let mut ops = Vec::new();
    for tree in ["left", "right"] {
        for key in 0..12_u64 {
            let large = round == 3 && tree == "left";
            let length = if large { 500_000 } else { 300 };
            let row = noise(round * 100 + key, length);
            let name = (round % 3 * 6 + key).to_be_bytes().to_vec();
            let row = (!(key + round).is_multiple_of(5)).then_some(row);
            ops.push((module, tree.to_owned(), name, row));
        }
    }
    ops
}

fn entries(ops: &[Op]) -> Vec<PageEntry> {
    let entry = |(_, tree, key, row): &Op| match row {
        Some(row) => put(tree, key, row),
        None => remove(tree, key),
    };
    ops.iter().map(entry).collect()
}

/// Everything of a module: an upgrade's first checkpoint.
fn whole(rows: &Rows) -> Vec<PageEntry> {
    rows.iter()
        .map(|((tree, key), row)| put(tree, key, row))
        .collect()
}

#[test]
fn a_stop_before_any_step_of_any_checkpoint_loses_and_invents_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let crashes = Arc::new(Crashes {
        directory: folder.path().to_owned(),
        world: Mutex::default(),
        synced: Mutex::default(),
        steps: Mutex::default(),
        counts: Mutex::default(),
    });
    let store = Store::open_watched(folder.path(), CACHE_BYTES, crashes.clone()).unwrap();
    let mut since = [0, 0];
    for round in 1..=CHECKPOINTS {
        let upgraded = round == 4 || round == 6;
        let mut writes: Vec<(String, Vec<PageEntry>)> = Vec::new();
        let next = {
            let mut world = crashes.world.lock().unwrap();
            world.installed[0] = Some(since[0]);
            // The second module comes with the second checkpoint and goes with the last but one.
            let has_second = (2..CHECKPOINTS - 1).contains(&round);
            world.installed[1] = has_second.then_some(since[1]);
            for module in 0..2 {
                if world.installed[module].is_none() {
                    continue;
                }
                let ops = ops(round, module);
                world.log.extend(ops.iter().cloned());
                if upgraded && module == 0 {
                    since[0] = round;
                    world.installed[0] = Some(round);
                    let rows = model(&world);
                    writes.push((stored_as(0, round), whole(&rows[0])));
                } else {
                    writes.push((stored_as(module, since[module]), entries(&ops)));
                }
            }
            let next = marker(world.log.len(), world.installed);
            world.markers.push(next.clone());
            next
        };
        for (name, entries) in writes {
            store.write(&name, entries).unwrap();
        }
        store.commit(&next).unwrap();
        let named: Vec<String> = {
            let mut world = crashes.world.lock().unwrap();
            let last = world.markers.pop().unwrap();
            world.markers = vec![last];
            let names = world.installed.iter().enumerate();
            names
                .filter_map(|(module, since)| Some(stored_as(module, (*since)?)))
                .collect()
        };
        crashes.settle(None);
        for orphan in store.modules().iter().filter(|name| !named.contains(name)) {
            store.drop_module(orphan).unwrap();
        }
    }
    let counts = crashes.counts.lock().unwrap();
    let steps = *crashes.steps.lock().unwrap();
    println!("{steps} steps, of which {counts:?}");
    let looked_at = u64::try_from(steps / stride()).unwrap();
    assert!(steps > 200 && counts["killed"] >= looked_at);
}

/// Lets a number of steps be done, and none after them.
struct StopsAfter {
    left: Mutex<u64>,
}

impl Steps for StopsAfter {
    fn before(&self, _: Step, _: &Path) -> std::io::Result<()> {
        let mut left = self.left.lock().unwrap();
        *left = left
            .checked_sub(1)
            .ok_or(std::io::Error::other("stopped"))?;
        Ok(())
    }
}

#[test]
fn a_store_that_was_stopped_says_so_and_opens_again_at_the_old_marker_or_the_next() {
    let mut stops = 0;
    for steps in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let left = Mutex::new(steps);
        let opened = Store::open_watched(folder.path(), CACHE_BYTES, Arc::new(StopsAfter { left }));
        let store = opened.unwrap();
        let mut committed: Option<u64> = None;
        let mut failed = None;
        for round in 1..=3_u64 {
            let done = store
                .write(&format!("m#{round}"), entries(&ops(round, 0)))
                .and_then(|()| store.commit(&round.to_le_bytes()))
                .and_then(|()| {
                    committed = Some(round);
                    store.drop_module(&format!("m#{}", round - 1))
                });
            if done.is_err() {
                failed = Some(round);
                break;
            }
        }
        if failed.is_some() {
            assert!(store.marker().is_err() && store.write("m", Vec::<PageEntry>::new()).is_err());
        }
        drop(store);
        let store = Store::open(folder.path(), CACHE_BYTES).unwrap();
        let found = store.marker().unwrap();
        let found = found.map(|found| u64::from_le_bytes(*found.first_chunk().unwrap()));
        assert!(
            found >= committed && found <= failed.or(committed),
            "{found:?}"
        );
        if failed.is_none() {
            break;
        }
        stops += 1;
    }
    println!("{stops} stops");
    assert!(stops > 20);
}
