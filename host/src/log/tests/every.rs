//! Every fault at every place: one scripted life of a log, once for each operation that can fail
//! and each byte at which the disk can be full. Whatever it was, what was acknowledged is there
//! once, in order, followed by nothing but whole later records.

use std::sync::Arc;

use super::disk::{Disk, Faults, Kind, Lasting, Random};
use super::{SMALL, directory, record, records, sync};
use crate::log::{Log, LogError};

/// Power cuts that follow each fault.
const CUTS: u64 = 3;

/// Appends of a life in which each operation fails once.
const APPENDS: u64 = 24;

/// Appends of a life whose disk fills: it is lived once for each byte.
const APPENDS_SHORT: u64 = 8;

const KINDS: [Kind; 6] = [
    Kind::Create,
    Kind::Write,
    Kind::Sync,
    Kind::Rename,
    Kind::Remove,
    Kind::SyncDir,
];

/// What the script has been told. Record number n says so in its first bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// So many records were handed over.
    appended: u64,
    /// So many of them are durable.
    durable: u64,
    /// Seqs below this are reserved for good.
    reserved: u64,
    /// Records before this one may have been dropped: that was asked for.
    dropped: u64,
}

fn number(record: &[u8]) -> u64 {
    u64::from_le_bytes(*record.first_chunk().unwrap())
}

/// One life: blocks of one and of several records, a reserved bound, segments that begin and
/// segments that go.
fn life(disk: &Disk, told: &mut Told, appends: u64) {
    let Ok((log, _)) = Log::open(directory(), Arc::new(disk.clone()), SMALL) else {
        return;
    };
    // Records that nobody was told of may be gone with the life before.
    let last = log.read(log.start()).last();
    told.appended = last.map_or(told.dropped, |last| number(&last.unwrap().1) + 1);
    for round in 0..appends {
        for _ in 0..=round % 3 {
            log.append(record(told.appended));
            told.appended += 1;
        }
        let reserved = told.reserved + 10;
        log.reserve_seq(reserved);
        let was_poisoned = log.is_poisoned().is_some();
        match sync(&log) {
            Ok(_) => {
                assert!(!was_poisoned, "a poisoned log acknowledges nothing");
                (told.durable, told.reserved) = (told.appended, reserved);
            }
            Err(error) => {
                assert!(matches!(error, LogError::Poisoned { .. }), "{error}");
                assert!(log.is_poisoned().is_some(), "it stays so");
            }
        }
        if round == appends / 2 {
            truncate(&log, told);
        }
    }
    drop(log.close());
}

/// Drops the older half. That it cannot be removed is no harm.
fn truncate(log: &Log, told: &mut Told) {
    let kept: Vec<_> = log.read(log.start()).filter_map(Result::ok).collect();
    if let Some((position, middle)) = kept.get(kept.len() / 2) {
        told.dropped = told.dropped.max(number(middle));
        drop(log.truncate_before(*position));
    }
}

/// Opens the log on a healthy disk and compares it with what was told; then it must take more and
/// keep it.
fn check(disk: &Disk, told: Told, about: &str) {
    let (log, opened) = Log::open(directory(), Arc::new(disk.clone()), SMALL).unwrap();
    let found = records(&log, opened.start);
    let first = found.first().map_or(told.durable, |first| number(first));
    assert!(first <= told.dropped.max(told.durable), "{about}: {told:?}");
    let wanted = (first..).map(record).take(found.len());
    assert!(found.iter().cloned().eq(wanted), "{about}: {told:?}");
    let end = first + found.len() as u64;
    assert!(
        end >= told.durable && end <= told.appended,
        "{about}: {end} {told:?}"
    );
    assert!(opened.reserved_seq >= told.reserved, "{about}: {told:?}");
    log.append(record(end));
    sync(&log).unwrap();
    log.close().unwrap();
    let (log, again) = Log::open(directory(), Arc::new(disk.clone()), SMALL).unwrap();
    assert_eq!(again.cut, None, "{about}");
    assert_eq!(records(&log, again.start).len(), found.len() + 1, "{about}");
    log.close().unwrap();
}

/// A life under these faults, then power cuts, then a restart on the mended disk; how many faults
/// there were.
fn endure(faults: Faults, appends: u64) -> u64 {
    let about = format!("{faults:?}");
    let disk = Disk::default();
    let mut told = Told::default();
    disk.set_faults(faults);
    life(&disk, &mut told, appends);
    // The same process once more, as a supervisor of services would start it, with the fault still
    // there or gone.
    life(&disk, &mut told, appends);
    for seed in 0..CUTS {
        let cut = disk.after_power_cut(&mut Random(seed));
        check(&cut, told, &format!("{about} cut {seed}"));
    }
    disk.set_faults(Faults::default());
    check(&disk, told, &about);
    let mut random = Random(CUTS);
    let cut = disk.after_power_cut(&mut random);
    let later = Told {
        appended: told.appended + 1,
        ..told
    };
    check(&cut, later, &format!("{about} mended and cut"));
    disk.injected()
}

#[test]
fn each_operation_may_fail_once_or_for_good_and_nothing_acknowledged_is_lost() {
    let mut lives = 0;
    let mut injected = 0;
    for kind in KINDS {
        for lasting in [Lasting::Once, Lasting::Forever] {
            for short_writes in [None, Some(40)] {
                for place in 0.. {
                    let faults = Faults {
                        one: Some((kind, place, lasting)),
                        short_writes,
                        ..Faults::default()
                    };
                    let failed = endure(faults, APPENDS);
                    lives += 1;
                    injected += failed;
                    if failed == 0 {
                        break;
                    }
                }
            }
        }
    }
    println!("{lives} lives, {injected} operations failed");
    assert!(injected > 500);
}

#[test]
fn the_disk_may_be_full_from_any_byte_on_and_nothing_acknowledged_is_lost() {
    let mut injected = 0;
    let mut bytes = 0;
    loop {
        let faults = Faults {
            bytes: Some(bytes),
            ..Faults::default()
        };
        let failed = endure(faults, APPENDS_SHORT);
        injected += failed;
        if failed == 0 {
            break;
        }
        bytes += 1;
    }
    println!("full at each of {bytes} bytes, {injected} writes failed");
    assert!(bytes > 3000);
}

#[test]
fn after_the_first_failure_of_the_writer_nothing_more_is_written() {
    for kind in [Kind::Write, Kind::Sync] {
        let disk = Disk::default();
        let (log, _) = Log::open(directory(), Arc::new(disk.clone()), SMALL).unwrap();
        log.append(record(0));
        sync(&log).unwrap();
        disk.set_faults(Faults {
            one: Some((kind, 0, Lasting::Once)),
            ..Faults::default()
        });
        log.append(record(1));
        let LogError::Poisoned { file, .. } = sync(&log).unwrap_err() else {
            panic!("it is poisoned");
        };
        assert!(file.to_string_lossy().ends_with(".log"));
        let files = disk.files();
        log.append(record(2));
        assert!(sync(&log).is_err(), "though the disk would take it");
        drop(log.close());
        assert_eq!(disk.files(), files);
    }
}
