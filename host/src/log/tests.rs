//! The log as a whole: order, group commit, segments, reading along, truncation. Damage and
//! failing disks are in files of their own.

mod damage;
pub(super) mod disk;
mod ends;
mod every;
mod faults;
mod large;
mod staged;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::{Log, LogError, LogFiles, LogOptions, LogPosition, Opened, StdFiles};

/// Segments and blocks so small that a few records show everything.
const SMALL: LogOptions = LogOptions {
    segment_bytes: 1 << 10,
    block_bytes_max: 300,
    unwaited_for: Duration::ZERO,
};

/// Where tests that use a disk in memory keep their log.
fn directory() -> &'static Path {
    Path::new("/node/log")
}

fn open(directory: &Path) -> (Log, Opened) {
    Log::open(directory, Arc::new(StdFiles), SMALL).unwrap()
}

/// Waits until everything appended is durable.
fn sync(log: &Log) -> Result<LogPosition, LogError> {
    let (sender, receiver) = mpsc::channel();
    log.when_durable(Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv().unwrap()
}

fn mark(log: &Log) -> Result<LogPosition, LogError> {
    let (sender, receiver) = mpsc::channel();
    log.mark(Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv().unwrap()
}

/// The records at and after a position, without their positions.
fn records(log: &Log, from: LogPosition) -> Vec<Vec<u8>> {
    log.read(from).map(|record| record.unwrap().1).collect()
}

/// Record number `number`, of a length that depends on it.
fn record(number: u64) -> Vec<u8> {
    let length = usize::try_from(number * 7 % 60).unwrap();
    let mut record = number.to_le_bytes().to_vec();
    record.resize(8 + length, u8::try_from(number % 251).unwrap());
    record
}

#[test]
fn records_come_back_in_order_after_a_restart_and_numbering_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut all = Vec::new();
    let mut end = LogPosition(0);
    for life in 0..4 {
        let (log, opened) = open(&path);
        assert_eq!(opened.cut, None);
        assert_eq!((opened.start, opened.end), (LogPosition(0), end));
        for number in 0..40 {
            all.push(record(life * 40 + number));
            log.append(all.last().unwrap().clone());
        }
        end = sync(&log).unwrap();
        assert_eq!(log.durable(), end);
        assert_eq!(log.appended(), 40);
        assert_eq!(records(&log, LogPosition(0)), all);
        log.close().unwrap();
    }
    let names = StdFiles.list(&path).unwrap();
    assert!(names.len() > 3, "several segments: {names:?}");
    let known = |name: &String| name.ends_with(".log") || name == "acknowledged";
    assert!(names.iter().all(known), "{names:?}");
}

#[test]
fn records_that_are_queued_together_lie_like_those_queued_alone() {
    let directory = tempfile::tempdir().expect("a folder");
    let options = LogOptions {
        // Some batches fit into a block, others do not.
        block_bytes_max: 400,
        ..LogOptions::default()
    };
    let (log, _) = Log::open(directory.path(), Arc::new(StdFiles), options).expect("it opens");
    let mut expected = Vec::new();
    let mut number = 0;
    for batch in 0..20 {
        let records: Vec<_> = (number..number + batch).map(record).collect();
        number += batch;
        expected.extend(records.iter().cloned());
        log.append_all(records.into_iter().collect());
        expected.push(record(number));
        log.append(record(number));
        number += 1;
    }
    sync(&log).expect("it syncs");
    assert_eq!(records(&log, LogPosition(0)), expected);
    assert_eq!(log.appended(), number);
}

#[test]
fn reading_starts_at_any_record_and_at_any_mark() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path());
    let mut marks = Vec::new();
    for number in 0..100 {
        marks.push(mark(&log).unwrap());
        log.append(record(number));
    }
    sync(&log).unwrap();
    let all: Vec<_> = log.read(LogPosition(0)).map(Result::unwrap).collect();
    assert_eq!(all.len(), 100);
    for (number, (position, _)) in all.iter().enumerate() {
        assert!(marks[number] <= *position);
        assert!(number == 0 || marks[number] > all[number - 1].0);
        for from in [marks[number], *position] {
            let rest: Vec<_> = log.read(from).map(Result::unwrap).collect();
            assert_eq!(rest, all[number..]);
        }
    }
    assert_eq!(log.read(log.durable()).count(), 0);
    assert_eq!(log.read(LogPosition(u64::MAX)).count(), 0);
}

#[test]
fn a_record_larger_than_a_segment_gets_one_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path());
    let sizes = [10, 5000, 3, 960, 961, 900, 100_000, 0, 1];
    let all: Vec<Vec<u8>> = sizes.iter().map(|size| vec![7; *size]).collect();
    for record in &all {
        log.append(record.clone());
    }
    sync(&log).unwrap();
    assert_eq!(records(&log, LogPosition(0)), all);
    log.close().unwrap();
    let (log, opened) = open(directory.path());
    assert_eq!(opened.cut, None);
    assert_eq!(records(&log, LogPosition(0)), all);
}

#[test]
fn many_threads_append_and_each_finds_its_records_in_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path());
    thread::scope(|scope| {
        for writer in 0..4_u8 {
            let log = log.clone();
            scope.spawn(move || {
                for number in 0..200_u8 {
                    log.append(vec![writer, number]);
                    if number % 50 == 0 {
                        sync(&log).unwrap();
                    }
                }
                sync(&log).unwrap();
                let found = records(&log, LogPosition(0));
                let mine: Vec<_> = found.iter().filter(|record| record[0] == writer).collect();
                let numbers: Vec<u8> = mine.iter().map(|record| record[1]).collect();
                assert_eq!(numbers, (0..200).collect::<Vec<_>>());
            });
        }
    });
    assert_eq!(records(&log, LogPosition(0)).len(), 800);
    log.close().unwrap();
}

#[test]
fn a_reader_never_sees_what_is_not_durable_when_it_begins() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path());
    log.append(record(1));
    sync(&log).unwrap();
    let mut reader = log.read(LogPosition(0));
    for number in 2..100 {
        log.append(record(number));
    }
    sync(&log).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().1, record(1));
    assert!(reader.next().is_none());
}

#[test]
fn old_segments_go_and_the_rest_opens() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path());
    log.reserve_seq(77);
    for number in 0..200 {
        log.append(record(number));
    }
    sync(&log).unwrap();
    let all: Vec<_> = log.read(LogPosition(0)).map(Result::unwrap).collect();
    let (keep, _) = all[150];
    log.truncate_before(keep).unwrap();
    let start = log.start();
    assert!(LogPosition(0) < start && start <= keep);
    assert!(matches!(
        log.read(LogPosition(0)).next(),
        Some(Err(LogError::Truncated { wanted, start: from })) if wanted == LogPosition(0) && from == start
    ));
    assert_eq!(records(&log, keep).len(), 50);
    log.truncate_before(LogPosition(u64::MAX)).unwrap();
    let start = log.start();
    log.close().unwrap();
    let left = StdFiles.list(directory.path()).unwrap();
    assert_eq!(left.len(), 2, "one segment and the note: {left:?}");
    let (log, opened) = open(directory.path());
    assert_eq!((opened.start, opened.reserved_seq), (start, 77));
    log.append(record(1000));
    sync(&log).unwrap();
    assert_eq!(records(&log, opened.end), [record(1000)]);
}

#[test]
fn the_reserved_seq_bound_only_grows_and_survives() {
    let directory = tempfile::tempdir().unwrap();
    for (bound, expected) in [(0, 0), (100, 100), (50, 100), (101, 101)] {
        let (log, _) = open(directory.path());
        log.reserve_seq(bound);
        sync(&log).unwrap();
        log.close().unwrap();
        let (log, opened) = open(directory.path());
        assert_eq!(opened.reserved_seq, expected);
        log.close().unwrap();
    }
}

#[test]
fn dropping_the_last_handle_writes_what_is_queued() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path());
    let (sender, receiver) = mpsc::channel();
    log.append(record(1));
    log.when_durable(Box::new(move |result| sender.send(result).unwrap()));
    drop(log);
    receiver.recv().unwrap().unwrap();
    let (log, _) = open(directory.path());
    assert_eq!(records(&log, LogPosition(0)), [record(1)]);
}

#[test]
fn records_that_nobody_waits_for_wait_for_whoever_does() {
    let directory = tempfile::tempdir().unwrap();
    let options = LogOptions {
        unwaited_for: Duration::from_secs(3600),
        ..SMALL
    };
    let (log, opened) = Log::open(directory.path(), Arc::new(StdFiles), options).unwrap();
    log.append(record(1));
    log.reserve_seq(7);
    assert!(mark(&log).unwrap() > opened.end);
    assert_eq!(log.durable(), opened.end);
    let (sender, receiver) = mpsc::channel();
    let batch = [record(2), record(3)].into_iter().collect();
    log.append_all_then(
        batch,
        Box::new(move |result, _| sender.send(result).unwrap()),
    );
    assert_eq!(receiver.recv().unwrap().unwrap(), log.durable());
    assert_eq!(
        records(&log, LogPosition(0)),
        [record(1), record(2), record(3)]
    );
    assert_eq!(log.appended(), 3);
    log.append(record(4));
    drop(log.clone());
    log.close().unwrap();
    let (log, opened) = open(directory.path());
    assert_eq!(opened.reserved_seq, 7);
    log.append(record(5));
    sync(&log).unwrap();
    assert_eq!(records(&log, LogPosition(0)).len(), 5);
}

#[test]
fn records_that_nobody_waits_for_are_synced_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (log, opened) =
        Log::open(directory.path(), Arc::new(StdFiles), LogOptions::default()).unwrap();
    log.append(record(1));
    while log.durable() == opened.end {
        thread::yield_now();
    }
    assert_eq!(records(&log, LogPosition(0)), [record(1)]);
}

#[test]
fn whoever_comes_after_the_close_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path());
    let other = log.clone();
    log.append(record(1));
    log.close().unwrap();
    other.append(record(2));
    assert!(matches!(sync(&other), Err(LogError::Closed)));
    assert!(matches!(mark(&other), Err(LogError::Closed)));
    assert_eq!(records(&other, LogPosition(0)), [record(1)]);
    other.close().unwrap();
}

#[test]
fn a_waiter_that_panics_does_not_stop_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path());
    log.append(record(1));
    log.when_durable(Box::new(|_| std::panic::resume_unwind(Box::new(()))));
    sync(&log).unwrap();
    log.append(record(2));
    sync(&log).unwrap();
    assert_eq!(records(&log, LogPosition(0)).len(), 2);
    log.close().unwrap();
}
