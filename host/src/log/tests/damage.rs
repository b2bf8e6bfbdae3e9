//! What a crash leaves behind is cut; everything else that is wrong is refused by name and place.
//! No record ever comes back changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::Disk;
use super::{SMALL, directory, record, records, sync};
use crate::log::format::SegmentHeader;
use crate::log::{Log, LogError, LogPosition, Opened, acknowledged, examine};

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A small log with a block per record: its files and its records with their positions.
fn small_log(count: u64) -> (Files, Vec<(LogPosition, Vec<u8>)>) {
    let disk = Disk::default();
    let (log, _) = Log::open(directory(), Arc::new(disk.clone()), SMALL).unwrap();
    for number in 0..count {
        log.append(record(number));
        sync(&log).unwrap();
    }
    let all = log.read(LogPosition(0)).map(Result::unwrap).collect();
    log.close().unwrap();
    (disk.files(), all)
}

fn open(files: &Files) -> Result<(Log, Opened), LogError> {
    Log::open(directory(), Arc::new(Disk::of(files)), SMALL)
}

/// The last segment.
fn last_file(files: &Files) -> PathBuf {
    let segment = |path: &&PathBuf| path.extension().is_some();
    files.keys().rfind(segment).unwrap().clone()
}

/// The files without the note of what was acknowledged: nothing in the last block was, or an older
/// version wrote them.
fn without_note(files: &Files) -> Files {
    let mut files = files.clone();
    files.remove(&acknowledged::path(directory())).unwrap();
    files
}

/// Where the blocks of the last segment end, in bytes from the start of the file.
fn last_segment_end(files: &Files) -> usize {
    let found = examine(directory(), &Disk::of(files)).unwrap();
    let last = found.segments.last().unwrap();
    usize::try_from(64 + last.end.0 - last.first.0).unwrap()
}

/// A log that opens, whose records begin like `expected`; how many it has. It must take more, and
/// keep everything.
fn check_opens(files: &Files, expected: &[Vec<u8>]) -> (usize, Opened) {
    let disk = Disk::of(files);
    let (log, opened) = Log::open(directory(), Arc::new(disk.clone()), SMALL).unwrap();
    let found = records(&log, LogPosition(0));
    assert_eq!(found, expected[..found.len()]);
    log.append(b"afterwards".to_vec());
    sync(&log).unwrap();
    log.close().unwrap();
    let (log, again) = Log::open(directory(), Arc::new(disk), SMALL).unwrap();
    assert_eq!(again.cut, None);
    let mut longer = found.clone();
    longer.push(b"afterwards".to_vec());
    assert_eq!(records(&log, LogPosition(0)), longer);
    (found.len(), opened)
}

#[test]
fn a_crash_at_every_byte_of_the_tail_is_cut_at_the_last_whole_block() {
    let (files, all) = small_log(11);
    let files = without_note(&files);
    let expected: Vec<_> = all.iter().map(|(_, record)| record.clone()).collect();
    let path = last_file(&files);
    let end = last_segment_end(&files);
    let before = examine(directory(), &Disk::of(&files)).unwrap();
    let first = before.segments.last().unwrap().first;
    let whole_at = |at: usize| {
        let position = first.0 + at as u64 - 64;
        let ends = all.iter().skip(1).map(|(next, _)| next.0 - 64);
        let ends = ends.chain([before.end().0]);
        ends.filter(|end| *end <= position).count()
    };
    let block_ends = || {
        let ends = all.iter().skip(1).map(|(next, _)| next.0 - 64);
        let ends = ends.chain([before.end().0]);
        let ends = ends.filter_map(|end| end.checked_sub(first.0));
        ends.map(|end| usize::try_from(end + 64).unwrap())
    };
    for at in 64..=end {
        let mut torn = files.clone();
        torn.get_mut(&path).unwrap()[at..].fill(0);
        let mut short = files.clone();
        short.get_mut(&path).unwrap().truncate(at);
        // The rest of one block: only one is unsynced at a time.
        let mut rubbish = files.clone();
        let bytes = rubbish.get_mut(&path).unwrap();
        let block_ends = block_ends().find(|end| *end > at).unwrap_or(at);
        bytes[at..block_ends].fill(0xa5);
        bytes[block_ends..].fill(0);
        for damaged in [torn, short, rubbish] {
            let (count, opened) = check_opens(&damaged, &expected);
            assert!(count >= whole_at(at), "at {at}");
            if let Some(cut) = opened.cut {
                assert_eq!(cut.file, path);
                assert!(cut.offset <= at as u64 && cut.bytes > 0);
            }
        }
    }
}

#[test]
fn a_torn_tail_is_reported_with_its_place() {
    let (mut files, all) = small_log(2);
    let path = last_file(&files);
    let end = last_segment_end(&files);
    files.get_mut(&path).unwrap()[end..end + 5].copy_from_slice(b"torn\0");
    let (_, opened) = open(&files).unwrap();
    let cut = opened.cut.unwrap();
    assert_eq!((cut.file, cut.offset, cut.bytes), (path, end as u64, 4));
    assert!(opened.end > all[1].0);
}

#[test]
fn every_flipped_bit_is_harmless_or_cuts_the_last_block_or_is_refused() {
    let (files, all) = small_log(13);
    check_flipped_bits(&files, &all, 0);
    check_flipped_bits(&without_note(&files), &all, 1);
}

/// Flips every bit. At most `lost_max` records may be lost without an error.
fn check_flipped_bits(files: &Files, all: &[(LogPosition, Vec<u8>)], lost_max: usize) {
    assert!(files.len() > 1);
    let expected: Vec<_> = all.iter().map(|(_, record)| record.clone()).collect();
    let last = last_file(files);
    let end = last_segment_end(files);
    for (path, bytes) in files {
        for bit in 0..bytes.len() * 8 {
            let mut damaged = files.clone();
            damaged.get_mut(path).unwrap()[bit / 8] ^= 1 << (bit % 8);
            match open(&damaged) {
                Ok((log, opened)) => {
                    let found = records(&log, LogPosition(0));
                    assert_eq!(found, expected[..found.len()], "{path:?} bit {bit}");
                    let lost = expected.len() - found.len();
                    assert!(lost <= lost_max, "{path:?} bit {bit} lost {lost}");
                    assert_eq!(
                        opened.cut.is_some(),
                        lost == 1 || (*path == last && bit / 8 >= end)
                    );
                }
                Err(LogError::Damaged { file, offset, .. }) => {
                    assert!(
                        file == *path && offset <= bit as u64 / 8,
                        "{path:?} bit {bit}"
                    );
                }
                Err(error) => panic!("{path:?} bit {bit}: {error}"),
            }
        }
    }
}

#[test]
fn a_broken_block_before_a_whole_one_is_refused_by_name_and_place_and_nothing_changes() {
    let (mut files, all) = small_log(3);
    let path = last_file(&files);
    let second = usize::try_from(all[1].0.0).unwrap();
    files.get_mut(&path).unwrap()[second + 3] ^= 1;
    let disk = Disk::of(&files);
    let error = Log::open(directory(), Arc::new(disk.clone()), SMALL).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("00000000000000000000.log"), "{message}");
    assert!(message.contains(&format!("byte {second}")), "{message}");
    assert_eq!(disk.files(), files);
}

/// Found by the fuzz target `log`: positions behind such a header do not fit into a number.
#[test]
fn a_segment_at_a_position_that_no_log_reaches_is_refused() {
    for first in [u64::MAX / 2 + 1, u64::MAX - 64, u64::MAX] {
        let header = SegmentHeader {
            first: LogPosition(first),
            previous: [0; 16],
            reserved_seq: 0,
        };
        let mut bytes = header.encode().to_vec();
        bytes.resize(1000, 1);
        let path = directory().join(format!("{first:020}.log"));
        match open(&Files::from([(path.clone(), bytes)])) {
            Err(LogError::Damaged { file, offset, .. }) => assert_eq!((file, offset), (path, 0)),
            other => panic!("{first}: {other:?}"),
        }
    }
}

#[test]
fn a_missing_or_renamed_segment_is_refused() {
    let (files, _) = small_log(40);
    assert!(files.len() > 3);
    let middle = files.keys().nth(1).unwrap().clone();
    let mut missing = files.clone();
    let bytes = missing.remove(&middle).unwrap();
    assert!(matches!(open(&missing), Err(LogError::Damaged { .. })));
    let mut renamed = missing.clone();
    renamed.insert(directory().join("00000000000000000001.log"), bytes);
    assert!(matches!(open(&renamed), Err(LogError::Damaged { .. })));
}

#[test]
fn damage_that_appears_while_the_log_is_open_is_an_error_of_the_reader() {
    let temporary = tempfile::tempdir().unwrap();
    let (log, _) = super::open(temporary.path());
    for number in 0..40 {
        log.append(record(number));
        sync(&log).unwrap();
    }
    let path = temporary.path().join("00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let read: Vec<_> = log.read(LogPosition(0)).collect();
    let (last, whole) = read.split_last().unwrap();
    assert!(whole.iter().all(Result::is_ok));
    assert!(matches!(last, Err(LogError::Damaged { file, .. }) if *file == path));
}
