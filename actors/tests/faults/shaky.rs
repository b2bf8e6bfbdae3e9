//! Files of the log that fail on order, over the real ones; and a power cut, which takes back what
//! was not synced.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use interstice_host::log::{Access, LogFile, LogFiles, StdFiles};

/// What a disk writes whole.
const SECTOR: u64 = 512;

/// What is done to files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A segment is filled with zeros.
    Create,
    Write,
    /// A part of the bytes is written before it fails.
    PartOfWrite,
    Sync,
    Rename,
    Remove,
    SyncDir,
}

/// The `place`-th operation of a kind fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) place: usize,
    /// And all later ones.
    pub(crate) lasting: bool,
}

/// Clones are the same files.
#[derive(Clone, Default)]
pub(crate) struct Shaky(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    seen: usize,
    failed: usize,
    /// Open files by number, under their names at the moment.
    names: BTreeMap<u64, PathBuf>,
    next: u64,
    /// What was there before bytes that are not synced: file, offset, bytes.
    unsynced: Vec<(u64, u64, Vec<u8>)>,
}

impl Shaky {
    pub(crate) fn failing(fault: Fault) -> Self {
        let shaky = Self::default();
        shaky.state().fault = Some(fault);
        shaky
    }

    /// How many operations have failed.
    pub(crate) fn failed(&self) -> usize {
        self.state().failed
    }

    /// Nothing is written to the log while `work` goes on.
    pub(crate) fn meanwhile<T>(&self, work: impl FnOnce() -> T) -> T {
        let _state = self.state();
        work()
    }

    /// Takes back, sector by sector as the seed says, what was written and not synced.
    pub(crate) fn lose_power(&self, mut seed: u64) {
        let mut state = self.state();
        let unsynced = std::mem::take(&mut state.unsynced);
        for (file, offset, before) in unsynced.into_iter().rev() {
            let Some(path) = state.names.get(&file) else {
                continue;
            };
            let disk = fs::OpenOptions::new().write(true).open(path);
            let disk = disk.expect("the segment is there");
            let mut lost = false;
            for (place, byte) in (offset..).zip(before) {
                if place == offset || place % SECTOR == 0 {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    lost = seed >> 63 == 0;
                }
                if lost {
                    disk.write_at(&[byte], place).expect("it is written");
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics here")
    }
}

impl State {
    fn operation(&mut self, kind: Kind) -> io::Result<()> {
        let Some(fault) = self.fault.filter(|fault| fault.kind == kind) else {
            return Ok(());
        };
        self.seen += 1;
        let fails = self.seen - 1 == fault.place || fault.lasting && self.seen > fault.place;
        if fails {
            self.failed += 1;
            return Err(io::Error::other("the disk fails on order"));
        }
        Ok(())
    }

    fn opened(&mut self, path: &Path) -> u64 {
        let known = self.names.iter().find(|(_, name)| *name == path);
        if let Some((number, _)) = known {
            return *number;
        }
        self.next += 1;
        self.names.insert(self.next, path.to_owned());
        self.next
    }
}

impl LogFiles for Shaky {
    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        StdFiles.create_dir(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        StdFiles.list(directory)
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn LogFile>> {
        let mut state = self.state();
        state.operation(Kind::Create)?;
        let file = StdFiles.create(path, bytes)?;
        state.names.retain(|_, name| name != path);
        let number = state.opened(path);
        Ok(Box::new(Segment {
            file,
            number,
            files: self.clone(),
        }))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn LogFile>> {
        let file = StdFiles.open(path, access)?;
        let number = self.state().opened(path);
        Ok(Box::new(Segment {
            file,
            number,
            files: self.clone(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation(Kind::Rename)?;
        StdFiles.rename(from, to)?;
        for name in state.names.values_mut().filter(|name| *name == from) {
            *name = to.to_owned();
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation(Kind::Remove)?;
        StdFiles.remove(path)?;
        state.names.retain(|_, name| name != path);
        Ok(())
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        self.state().operation(Kind::SyncDir)?;
        StdFiles.sync_dir(directory)
    }
}

struct Segment {
    file: Box<dyn LogFile>,
    number: u64,
    files: Shaky,
}

impl LogFile for Segment {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.files.state();
        state.operation(Kind::Write)?;
        let partly = state.operation(Kind::PartOfWrite);
        let bytes = match &partly {
            Ok(()) => bytes,
            Err(_) => bytes.get(..bytes.len() / 2).unwrap_or_default(),
        };
        let mut before = vec![0; bytes.len()];
        let read = self.file.read_at(offset, &mut before)?;
        before.truncate(read);
        let written = self.file.write_at(offset, bytes)?;
        state.unsynced.push((self.number, offset, before));
        partly.map(|()| written)
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.files.state();
        state.operation(Kind::Sync)?;
        self.file.sync()?;
        let number = self.number;
        state.unsynced.retain(|(file, _, _)| *file != number);
        Ok(())
    }
}
