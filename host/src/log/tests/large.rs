//! Damage to a log of many segments and large blocks, at places drawn by a seed: what a bit, a
//! lost sector or a foreign block does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Disk, Random};
use super::{directory, record, records, sync};
use crate::log::{Log, LogError, LogOptions, LogPosition, Records};

type Files = BTreeMap<PathBuf, Vec<u8>>;

const LARGE: LogOptions = LogOptions {
    segment_bytes: 64 << 10,
    block_bytes_max: 16 << 10,
    unwaited_for: Duration::ZERO,
};

/// Bytes of a sector.
const SECTOR: usize = 512;

/// How often each kind of damage is done.
const ROUNDS: u64 = 250;

/// Blocks of one to thirty records of up to 1.5 KB; the records, and how many the last block has.
fn log_of(seed: u64) -> (Files, Vec<Vec<u8>>, usize) {
    let disk = Disk::default();
    let (log, _) = Log::open(directory(), Arc::new(disk.clone()), LARGE).unwrap();
    let mut random = Random(seed);
    let mut all = Vec::new();
    let mut last = 0;
    for _ in 0..60 {
        let before = log.durable();
        last = usize::try_from(1 + random.below(30)).unwrap();
        // In one piece, so that where blocks end depends on nothing but their sizes.
        let mut together = Records::default();
        for _ in 0..last {
            let mut bytes = record(all.len() as u64);
            bytes.resize(usize::try_from(8 + random.below(1500)).unwrap(), 0x5a);
            together.push(&bytes);
            all.push(bytes);
        }
        log.append_all(together);
        assert!(sync(&log).unwrap() > before);
    }
    log.close().unwrap();
    (disk.files(), all, last)
}

/// Opens a damaged log: its records are a beginning of `all` that misses at most the last
/// `lost_max`, or the damage is named.
fn check(files: &Files, all: &[Vec<u8>], lost_max: usize, at: (&PathBuf, usize)) -> &'static str {
    match Log::open(directory(), Arc::new(Disk::of(files)), LARGE) {
        Ok((log, opened)) => {
            let found = records(&log, LogPosition(0));
            assert_eq!(found, all[..found.len()], "{at:?}");
            let lost = all.len() - found.len();
            assert!(lost <= lost_max, "{at:?} lost {lost}");
            assert!(lost == 0 || opened.cut.is_some(), "{at:?} says nothing");
            if lost == 0 { "harmless" } else { "cut" }
        }
        Err(LogError::Damaged { file, offset, .. }) => {
            let (path, place) = at;
            // A segment that ends early is noticed at the one that follows, or where it ends.
            assert!(
                file == *path && offset <= place as u64,
                "{at:?}: {file:?} {offset}"
            );
            "refused"
        }
        Err(error) => panic!("{at:?}: {error}"),
    }
}

/// What happens to a file's bytes, at a place, by a chance.
type Damage = dyn Fn(&mut [u8], usize, u64);

#[test]
fn sampled_damage_of_a_large_log_is_harmless_or_cut_or_refused_by_name() {
    let (files, all, last) = log_of(1);
    assert!(files.len() > 8);
    let mut random = Random(2);
    let mut seen: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let flip = |bytes: &mut [u8], at: usize, by: u64| bytes[at] ^= 1 << (by % 8);
    let sector = |bytes: &mut [u8], at: usize, _: u64| {
        let from = at / SECTOR * SECTOR;
        let to = bytes.len().min(from + SECTOR);
        bytes[from..to].fill(0);
    };
    let rubbish = |bytes: &mut [u8], at: usize, by: u64| {
        let to = bytes.len().min(at + 100);
        bytes[at..to].fill(by.to_le_bytes()[0] | 1);
    };
    let kinds: [(&str, &Damage); 3] = [("bit", &flip), ("sector", &sector), ("rubbish", &rubbish)];
    for (name, damage) in kinds {
        for _ in 0..ROUNDS {
            let chosen = usize::try_from(random.below(files.len() as u64)).unwrap();
            let path = files.keys().nth(chosen).unwrap();
            let mut damaged = files.clone();
            let bytes = damaged.get_mut(path).unwrap();
            let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            damage(bytes, at, random.below(256));
            let came = check(&damaged, &all, last, (path, at + SECTOR));
            *seen.entry((name, came)).or_default() += 1;
        }
    }
    println!("{seen:?}");
    assert!(seen.contains_key(&("bit", "refused")));
}

#[test]
fn a_whole_block_of_another_life_of_the_log_is_refused() {
    // Two logs with blocks of the same lengths at the same positions: every checksum holds, but
    // the chain does not.
    let make = |fill: u8| {
        let disk = Disk::default();
        let (log, _) = Log::open(directory(), Arc::new(disk.clone()), LARGE).unwrap();
        let mut ends = vec![64];
        for _ in 0..5 {
            log.append(vec![fill; 300]);
            let end = sync(&log).unwrap();
            ends.push(usize::try_from(end.0).unwrap() + 64);
        }
        log.close().unwrap();
        (disk.files(), ends)
    };
    let (ours, ends) = make(1);
    let (theirs, _) = make(2);
    let path = ours.keys().next().unwrap();
    for block in 0..4 {
        let place = ends[block]..ends[block + 1];
        let mut mixed = ours.clone();
        mixed.get_mut(path).unwrap()[place.clone()].copy_from_slice(&theirs[path][place.clone()]);
        let error = Log::open(directory(), Arc::new(Disk::of(&mixed)), LARGE).unwrap_err();
        let LogError::Damaged { offset, reason, .. } = &error else {
            panic!("{error}");
        };
        // The first block of both follows nothing; the second then does not follow it.
        let expected = if block == 0 { place.end } else { place.start };
        assert_eq!(*offset, expected as u64, "{error}");
        assert!(reason.contains("does not follow"), "{error}");
    }
}
