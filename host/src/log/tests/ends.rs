//! Where a log ends: what was acknowledged is never taken for a torn tail, and a torn tail is
//! never taken for damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::{SMALL, directory, record, records, sync};
use crate::log::survey::survey;
use crate::log::{Held, Log, LogError, LogOptions, LogPosition, Opened, StdFiles, acknowledged};

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// One segment, in which a block ends at each of the positions.
fn one_segment() -> (Files, PathBuf, Vec<usize>) {
    let disk = Disk::default();
    let (log, _) = Log::open(
        directory(),
        Arc::new(disk.clone()),
        LogOptions {
            segment_bytes: 64 << 10,
            ..SMALL
        },
    )
    .unwrap();
    let mut ends = vec![64];
    for number in 0..40 {
        log.append(record(number));
        let end = sync(&log).unwrap();
        ends.push(usize::try_from(end.0).unwrap() + 64);
    }
    log.close().unwrap();
    let files = disk.files();
    let segment = directory().join("00000000000000000000.log");
    (files, segment, ends)
}

fn open(files: &Files) -> Result<(Log, Opened), LogError> {
    Log::open(directory(), Arc::new(Disk::of(files)), SMALL)
}

/// The file and the offset of the damage that keeps the log from being opened.
fn damage_of(files: &Files) -> (PathBuf, u64) {
    match open(files) {
        Err(LogError::Damaged { file, offset, .. }) => (file, offset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn garbage_or_zeros_over_acknowledged_blocks_at_the_end_are_damage() {
    let (files, segment, ends) = one_segment();
    for (from, to) in [(8, 40), (39, 40), (8, 400), (0, 40)] {
        let to = ends.get(to).copied().unwrap_or(64 << 10);
        for fill in [0xa5, 0] {
            let mut damaged = files.clone();
            damaged.get_mut(&segment).unwrap()[ends[from]..to].fill(fill);
            let expected = (segment.clone(), ends[from] as u64);
            assert_eq!(damage_of(&damaged), expected, "{from} {to} {fill}");
        }
    }
    let mut gone = files.clone();
    gone.remove(&segment);
    assert_eq!(damage_of(&gone), (directory().to_owned(), 0));
}

#[test]
fn a_tail_after_what_was_acknowledged_is_cut_and_holds_nothing_that_was_noted() {
    let (mut files, segment, ends) = one_segment();
    let end = *ends.last().unwrap();
    files.get_mut(&segment).unwrap()[end..end + 300].fill(0xa5);
    let (log, opened) = open(&files).unwrap();
    let cut = opened.cut.unwrap();
    assert_eq!((cut.offset, cut.bytes), (end as u64, 300));
    assert_eq!(cut.held, Held::NothingNoted);
    assert_eq!(records(&log, LogPosition(0)).len(), 40);
}

#[test]
fn a_log_without_the_note_opens_and_does_not_claim_to_know_what_its_tail_held() {
    let (mut files, segment, ends) = one_segment();
    files.remove(&acknowledged::path(directory())).unwrap();
    files.get_mut(&segment).unwrap()[ends[38]..ends[40]].fill(0xa5);
    let (log, opened) = open(&files).unwrap();
    assert_eq!(opened.cut.unwrap().held, Held::Unknown);
    assert_eq!(records(&log, LogPosition(0)).len(), 38);
}

#[test]
fn a_note_of_before_a_power_cut_is_not_taken_for_the_whole_truth() {
    let disk = Disk::default();
    let (log, _) = Log::open(directory(), Arc::new(disk.clone()), SMALL).unwrap();
    log.append(record(0));
    let noted = sync(&log).unwrap();
    let note = disk.files()[&acknowledged::path(directory())].clone();
    log.append(record(1));
    sync(&log).unwrap();
    // The power goes: the last note has not reached the disk, which loses a synced block as well.
    let mut files = disk.files();
    files.insert(acknowledged::path(directory()), note);
    let segment = directory().join("00000000000000000000.log");
    let end = usize::try_from(noted.0).unwrap() + 64;
    files.get_mut(&segment).unwrap()[end + 8] ^= 1;
    let (log, opened) = open(&files).unwrap();
    assert_eq!(opened.cut.unwrap().held, Held::NothingNoted);
    assert_eq!(records(&log, LogPosition(0)).len(), 1);
}

#[test]
fn bytes_after_the_length_of_a_torn_block_are_damage() {
    let (mut files, segment, ends) = one_segment();
    files.remove(&acknowledged::path(directory())).unwrap();
    let bytes = files.get_mut(&segment).unwrap();
    // The header of the block is whole, its records are not.
    bytes[ends[39] + 66] ^= 1;
    assert!(open(&files).is_ok());
    let bytes = files.get_mut(&segment).unwrap();
    bytes[ends[40] + 10] = 1;
    assert_eq!(damage_of(&files), (segment, ends[39] as u64));
}

#[test]
fn a_repair_ends_the_log_before_its_damage_and_keeps_the_note_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (log, aside) = (folder.path().join("log"), folder.path().join("aside"));
    fs::create_dir_all(&log).unwrap();
    fs::create_dir_all(&aside).unwrap();
    let (mut files, segment, ends) = one_segment();
    files.get_mut(&segment).unwrap()[ends[8]..].fill(0xa5);
    let place = |folder: &Path, path: &Path| folder.join(path.file_name().unwrap());
    for (path, bytes) in &files {
        fs::write(place(&log, path), bytes).unwrap();
    }
    let found = survey(&log, &StdFiles).unwrap();
    assert!(
        found.is_damaged_at_end() && found.cut.is_none(),
        "{found:?}"
    );
    assert_eq!(found.damages[0].offset, ends[8] as u64);
    found.end_at(found.end(), &log, &aside).unwrap();
    for (path, bytes) in &files {
        assert_eq!(fs::read(place(&aside, path)).unwrap(), *bytes);
    }
    assert!(survey(&log, &StdFiles).unwrap().is_whole());
    let (opened, found) = Log::open(&log, Arc::new(StdFiles), SMALL).unwrap();
    assert_eq!(found.cut, None);
    assert_eq!(records(&opened, LogPosition(0)).len(), 8);
}
