//! Failing disks and power cuts: whoever was told `Ok` finds the record again, whatever fails when.

use std::io;
use std::sync::{Arc, Mutex};

use super::disk::{Disk, Faults, Random};
use super::{SMALL, directory, mark, record, records, sync};
use crate::log::{Log, LogError, LogPosition, Records};

fn open(disk: &Disk) -> Log {
    Log::open(directory(), Arc::new(disk.clone()), SMALL)
        .unwrap()
        .0
}

/// Breaks the disk under an open log, then expects all that a poisoned log owes.
fn check_poisons(faults: Faults, cause: io::ErrorKind) {
    let disk = Disk::default();
    let log = open(&disk);
    log.append(record(0));
    let durable = sync(&log).unwrap();
    disk.set_faults(faults);
    let error = loop {
        log.append(record(1));
        if let Err(error) = sync(&log) {
            break error;
        }
    };
    let LogError::Poisoned { source, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(source.kind(), cause);
    assert!(error.to_string().contains("restart the node"), "{error}");
    let end = log.durable();
    assert!(end >= durable);
    disk.set_faults(Faults::default());
    log.append(record(2));
    assert!(matches!(sync(&log), Err(LogError::Poisoned { .. })));
    assert!(matches!(mark(&log), Err(LogError::Poisoned { .. })));
    assert!(matches!(log.is_poisoned(), Some(LogError::Poisoned { .. })));
    assert_eq!(log.durable(), end);
    let kept = records(&log, LogPosition(0)).len();
    assert!(matches!(log.close(), Err(LogError::Poisoned { .. })));
    let log = open(&disk);
    assert!(records(&log, LogPosition(0)).len() >= kept);
    log.append(record(3));
    sync(&log).unwrap();
}

#[test]
fn a_failed_write_poisons() {
    let faults = Faults {
        operations: Some(0),
        ..Faults::default()
    };
    check_poisons(faults, io::ErrorKind::Other);
}

#[test]
fn a_failed_sync_poisons() {
    let faults = Faults {
        syncs: Some(0),
        ..Faults::default()
    };
    check_poisons(faults, io::ErrorKind::Other);
}

#[test]
fn a_full_disk_poisons_whether_it_fills_in_a_block_or_in_a_new_segment() {
    for bytes in [1, 70, 200, 1000, 1500] {
        let faults = Faults {
            bytes: Some(bytes),
            ..Faults::default()
        };
        check_poisons(faults, io::ErrorKind::StorageFull);
    }
}

#[test]
fn short_writes_are_continued() {
    let disk = Disk::default();
    disk.set_faults(Faults {
        short_writes: Some(3),
        ..Faults::default()
    });
    let log = open(&disk);
    let all: Vec<_> = (0..50).map(record).collect();
    for record in &all {
        log.append(record.clone());
    }
    sync(&log).unwrap();
    assert_eq!(records(&log, LogPosition(0)), all);
    log.close().unwrap();
    assert_eq!(records(&open(&disk), LogPosition(0)), all);
}

#[test]
fn a_block_that_is_larger_than_a_segment_is_written_once() {
    let disk = Disk::default();
    let log = open(&disk);
    log.append(record(0));
    sync(&log).unwrap();
    disk.set_faults(Faults {
        bytes: Some(110_000),
        ..Faults::default()
    });
    log.append(vec![7; 100_000]);
    sync(&log).unwrap();
    disk.set_faults(Faults::default());
    log.append(record(1));
    sync(&log).unwrap();
    let expected = [record(0), vec![7; 100_000], record(1)];
    assert_eq!(records(&log, LogPosition(0)), expected);
    log.close().unwrap();
    assert_eq!(records(&open(&disk), LogPosition(0)), expected);
}

#[test]
fn nothing_is_written_when_there_is_nothing_to_write() {
    let disk = Disk::default();
    let log = open(&disk);
    log.append(record(0));
    let end = sync(&log).unwrap();
    let syncs = disk.syncs();
    log.reserve_seq(0);
    for _ in 0..10 {
        assert_eq!(sync(&log).unwrap(), end);
        assert_eq!(mark(&log).unwrap(), end);
    }
    assert_eq!(disk.syncs(), syncs);
}

#[test]
fn everything_queued_while_a_block_is_synced_goes_into_the_next() {
    let disk = Disk::default();
    let log = open(&disk);
    let (held, hold) = std::sync::mpsc::channel::<()>();
    log.append(vec![1]);
    log.when_durable(Box::new(move |_| assert!(hold.recv().is_err())));
    let before = disk.syncs();
    for number in 0..20 {
        log.append(vec![number]);
    }
    drop(held);
    sync(&log).unwrap();
    assert!(disk.syncs() <= before + 2);
    assert_eq!(records(&log, LogPosition(0)).len(), 21);
}

#[test]
fn records_count_as_queued_until_they_are_durable() {
    let disk = Disk::default();
    let log = open(&disk);
    assert_eq!(log.queued_bytes(), 0);
    let (held, hold) = std::sync::mpsc::channel::<()>();
    let (tell, told) = std::sync::mpsc::channel();
    log.append(vec![1]);
    log.when_durable(Box::new(move |_| {
        tell.send(()).unwrap();
        assert!(hold.recv().is_err());
    }));
    told.recv().unwrap();
    log.append(vec![0; 5000]);
    // More than a block takes, so that they go into several.
    let many: Records = (0..100).map(|number| vec![number; 1000]).collect();
    let bytes = many.bytes() as u64;
    assert!(bytes >= 100_000);
    log.append_all(many);
    assert_eq!(log.queued_bytes(), 5000 + bytes);
    drop(held);
    sync(&log).unwrap();
    assert_eq!(log.queued_bytes(), 0);
}

/// One life of a log that ends in a power cut at a random operation. `survived` are the records
/// that were there at its start.
fn live_and_die(
    random: &mut Random,
    disk: &mut Disk,
    survived: &mut Vec<Vec<u8>>,
    bound: &mut u64,
) {
    let acknowledged = Arc::new(Mutex::new((survived.len(), *bound)));
    let mut wanted = survived.clone();
    let mut faults = Faults::default();
    match random.below(4) {
        0 => faults.syncs = Some(random.below(30)),
        1 => faults.bytes = Some(random.below(6000)),
        2 => faults.operations = Some(random.below(60)),
        _ => {}
    }
    if random.below(2) == 0 {
        faults.short_writes = Some(1 + usize::try_from(random.below(90)).unwrap());
    }
    disk.set_faults(faults);
    let opened = Log::open(directory(), Arc::new(disk.clone()), SMALL);
    if let Ok((log, opened)) = opened {
        assert!(opened.reserved_seq >= *bound);
        assert_eq!(records(&log, LogPosition(0)), *survived);
        for _ in 0..random.below(60) {
            let number = wanted.len() as u64;
            wanted.push(record(number));
            log.append(wanted.last().unwrap().clone());
            if random.below(5) == 0 {
                *bound += 10;
                log.reserve_seq(*bound);
            }
            let (count, reserved) = (wanted.len(), *bound);
            let acknowledged = Arc::clone(&acknowledged);
            log.when_durable(Box::new(move |result| {
                if result.is_ok() {
                    *acknowledged.lock().unwrap() = (count, reserved);
                }
            }));
            if random.below(8) == 0 {
                drop(sync(&log));
            }
        }
        // The power cut comes while the thread works, or when it is done, or after the next start.
        if random.below(3) > 0 {
            drop(log.close());
            if random.below(2) == 0 {
                disk.set_faults(Faults::default());
                let log = open(disk);
                let kept = records(&log, LogPosition(0)).len();
                let mut acknowledged = acknowledged.lock().unwrap();
                assert!(kept >= acknowledged.0);
                wanted.truncate(kept);
                wanted.push(record(kept as u64));
                log.append(record(kept as u64));
                sync(&log).unwrap();
                acknowledged.0 = wanted.len();
                log.close().unwrap();
            }
        }
    }
    let (promised, reserved) = *acknowledged.lock().unwrap();
    let cut = disk.after_power_cut(random);
    let (log, opened) = Log::open(directory(), Arc::new(cut.clone()), SMALL).unwrap();
    let found = records(&log, LogPosition(0));
    assert!(found.len() >= promised, "{} of {promised}", found.len());
    assert_eq!(found, wanted[..found.len()]);
    assert!(opened.reserved_seq >= reserved);
    *bound = opened.reserved_seq;
    *survived = found;
    log.close().unwrap();
    *disk = cut;
}

#[test]
fn no_power_cut_takes_back_what_was_acknowledged() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let mut disk = Disk::default();
        let (mut survived, mut bound) = (Vec::new(), 0);
        for life in 0..6 {
            println!("seed {seed} life {life}");
            live_and_die(&mut random, &mut disk, &mut survived, &mut bound);
        }
    }
}
