//! Large records: what is queued beside them does not wait for their bytes, the order is that of
//! the queue, and a crash leaves them whole or not at all.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::disk::{Disk, Faults, Kind, Lasting, Random};
use super::{SMALL, directory, record, records, sync};
use crate::log::{Access, Log, LogFile, LogFiles, LogPosition, Records, survey};

/// A record larger than a segment.
fn large(number: u64) -> Vec<u8> {
    let mut bytes = record(number);
    bytes.resize(5000 + usize::try_from(number).unwrap(), 0x4c);
    bytes
}

fn open(disk: &Disk) -> Log {
    Log::open(directory(), Arc::new(disk.clone()), SMALL)
        .unwrap()
        .0
}

/// Appends records, every third one large and staged; all of them.
fn filled(log: &Log, from: u64, count: u64) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for number in from..from + count {
        if number % 3 == 0 {
            let record = large(number);
            assert!(log.is_large(record.len()));
            log.append_staged(log.stage(&record).unwrap());
            all.push(record);
        } else {
            let two = [record(number), record(number + 1000)];
            log.append_all(two.iter().cloned().collect::<Records>());
            all.extend(two);
        }
        if number % 4 == 0 {
            sync(log).unwrap();
        }
    }
    all
}

#[test]
fn staged_records_stand_among_the_others_in_the_order_of_the_queue_also_after_restarts() {
    let disk = Disk::default();
    let mut all = Vec::new();
    for life in 0..4 {
        let log = open(&disk);
        assert_eq!(records(&log, LogPosition(0)), all);
        // The first record of a life may be a large one, in front of which the segment is empty.
        all.extend(filled(&log, life * 20, 20));
        let end = sync(&log).unwrap();
        assert_eq!(end, log.durable());
        assert_eq!(records(&log, LogPosition(0)), all);
        log.close().unwrap();
    }
    let found = survey(directory(), &disk).unwrap();
    assert!(found.is_whole() && found.cut.is_none(), "{found:?}");
    let left = disk.files();
    let is_left = |path: &&PathBuf| path.to_string_lossy().ends_with(".new");
    assert_eq!(left.keys().filter(is_left).count(), 0);
}

#[test]
fn a_record_that_is_staged_and_not_appended_leaves_nothing() {
    let disk = Disk::default();
    let log = open(&disk);
    log.append(record(1));
    let staged = log.stage(&large(1)).unwrap();
    let before: BTreeMap<PathBuf, Vec<u8>> = disk.files();
    assert!(before.keys().any(|path| path.ends_with("large-1.new")));
    drop(staged);
    sync(&log).unwrap();
    assert!(
        !disk
            .files()
            .keys()
            .any(|path| path.ends_with("large-1.new"))
    );
    log.close().unwrap();
    // Left behind by a crash.
    let log = open(&Disk::of(&before));
    assert!(records(&log, LogPosition(0)).len() <= 1);
    let after = Disk::of(&before);
    let log = (open(&after), log).0;
    assert!(
        !after
            .files()
            .keys()
            .any(|path| path.ends_with("large-1.new"))
    );
    log.close().unwrap();
}

#[test]
fn a_power_cut_leaves_a_staged_record_whole_or_not_at_all_and_nothing_acknowledged_is_lost() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let disk = Disk::default();
        let log = open(&disk);
        let all = filled(&log, 0, 1 + random.below(20));
        let acknowledged = if random.below(2) == 0 {
            sync(&log).unwrap();
            all.len()
        } else {
            0
        };
        let cut = disk.after_power_cut(&mut random);
        drop(log);
        let log = open(&cut);
        let found = records(&log, LogPosition(0));
        assert!(found.len() >= acknowledged, "seed {seed}");
        assert_eq!(found, all[..found.len()], "seed {seed}");
        log.append(record(7));
        sync(&log).unwrap();
    }
}

#[test]
fn a_disk_that_fails_while_a_record_is_staged_or_adopted_costs_no_acknowledged_record() {
    for kind in [
        Kind::Create,
        Kind::Write,
        Kind::Sync,
        Kind::Rename,
        Kind::SyncDir,
    ] {
        for after in 0..6 {
            let disk = Disk::default();
            let log = open(&disk);
            log.append(record(1));
            sync(&log).unwrap();
            disk.set_faults(Faults {
                one: Some((kind, after, Lasting::Once)),
                ..Faults::default()
            });
            let staged = log.stage(&large(3));
            let expected = match staged {
                Ok(staged) => {
                    log.append_staged(staged);
                    large(3)
                }
                // The log is as it was.
                Err(_) => {
                    log.append(record(2));
                    record(2)
                }
            };
            let synced = sync(&log);
            disk.set_faults(Faults::default());
            drop(log);
            let log = open(&disk);
            let found = records(&log, LogPosition(0));
            assert_eq!(found[0], record(1));
            assert!(found.len() <= 2, "{kind:?} {after}");
            if synced.is_ok() {
                assert_eq!(found.get(1), Some(&expected), "{kind:?} {after}");
            }
            log.append(record(9));
            sync(&log).unwrap();
        }
    }
}

/// A disk that holds up files of large records until a gate is opened.
#[derive(Clone)]
struct Gated(Disk, Arc<(Mutex<bool>, Condvar)>);

struct GatedFile(Box<dyn LogFile>, Option<Gated>);

impl Gated {
    fn wait(&self) {
        let (is_open, opened) = &*self.1;
        let closed = is_open.lock().unwrap();
        drop(opened.wait_while(closed, |is_open| !*is_open).unwrap());
    }

    fn open_gate(&self) {
        *self.1.0.lock().unwrap() = true;
        self.1.1.notify_all();
    }
}

impl LogFiles for Gated {
    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        self.0.create_dir(directory)
    }
    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.0.list(directory)
    }
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn LogFile>> {
        let is_large = path.to_string_lossy().contains("large-");
        let file = self.0.create(path, bytes)?;
        Ok(Box::new(GatedFile(file, is_large.then(|| self.clone()))))
    }
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn LogFile>> {
        self.0.open(path, access)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        self.0.sync_dir(directory)
    }
}

impl LogFile for GatedFile {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        if let Some(gate) = &self.1 {
            gate.wait();
        }
        self.0.write_at(offset, bytes)
    }
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

#[test]
fn small_records_are_durable_while_the_disk_takes_a_large_one() {
    let gated = Gated(Disk::default(), Arc::default());
    let (log, _) = Log::open(directory(), Arc::new(gated.clone()), SMALL).unwrap();
    let staging = {
        let log = log.clone();
        thread::spawn(move || log.append_staged(log.stage(&large(3)).unwrap()))
    };
    for number in 10..20 {
        log.append(record(number));
        sync(&log).unwrap();
    }
    gated.open_gate();
    staging.join().unwrap();
    log.append(record(20));
    sync(&log).unwrap();
    let mut expected: Vec<Vec<u8>> = (10..20).map(record).collect();
    expected.extend([large(3), record(20)]);
    assert_eq!(records(&log, LogPosition(0)), expected);
}
