//! A disk in memory that can fail, and lose power. What is not synced may be there after a crash,
//! or not, sector by sector.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::log::{Access, LogFile, LogFiles};

/// What a disk writes whole.
const SECTOR_BYTES: u64 = 64;

/// When the disk fails. Counts go down with use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    /// After this many operations of any kind but reading, all fail.
    pub(super) operations: Option<u64>,
    /// After this many bytes the disk is full.
    pub(super) bytes: Option<u64>,
    /// After this many syncs, all fail and lose what they should have synced.
    pub(super) syncs: Option<u64>,
    /// Writes take at most this many bytes at a time.
    pub(super) short_writes: Option<usize>,
    /// After this many operations of one kind, one or all of that kind fail.
    pub(super) one: Option<(Kind, u64, Lasting)>,
}

/// What is done to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A segment is filled with zeros.
    Create,
    Write,
    Sync,
    Rename,
    Remove,
    SyncDir,
}

/// How long a fault stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    Once,
    Forever,
}

/// Clones are the same disk.
#[derive(Clone, Default)]
pub(in crate::log) struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    faults: Faults,
    syncs: u64,
    injected: u64,
}

#[derive(Clone, Default)]
struct Inode {
    live: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<(u64, Vec<u8>)>,
}

struct OpenFile {
    disk: Disk,
    inode: usize,
    access: Access,
}

/// A small generator of random numbers (SplitMix64), so that a failing seed can be run again.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

impl Disk {
    pub(super) fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// How many operations have failed because they were to.
    pub(super) fn injected(&self) -> u64 {
        self.state().injected
    }

    /// How many syncs have succeeded.
    pub(super) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// The files as the system shows them.
    pub(in crate::log) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        let live = |inode: &usize| state.inodes[*inode].live.clone();
        let files = state.names.iter();
        files
            .map(|(name, inode)| (name.clone(), live(inode)))
            .collect()
    }

    /// A healthy disk with these files, all synced.
    pub(in crate::log) fn of(files: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let disk = Self::default();
        let mut state = disk.state();
        for (name, bytes) in files {
            let inode = state.inodes.len();
            state.inodes.push(Inode::of(bytes.clone()));
            state.names.insert(name.clone(), inode);
            state.synced_names.insert(name.clone(), inode);
        }
        drop(state);
        disk
    }

    /// A healthy disk as this one could be after a power cut now.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Self {
        let state = self.state();
        let names = if random.below(2) == 0 {
            &state.names
        } else {
            &state.synced_names
        };
        let torn = |inode: &usize, random: &mut Random| state.inodes[*inode].torn(random);
        let files = names
            .iter()
            .map(|(name, inode)| (name.clone(), torn(inode, random)))
            .collect();
        Self::of(&files)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Inode {
    fn of(bytes: Vec<u8>) -> Self {
        Self {
            live: bytes.clone(),
            synced: bytes,
            unsynced: Vec::new(),
        }
    }

    fn torn(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for (offset, written) in &self.unsynced {
            let mut lucky = false;
            for (place, byte) in (*offset..).zip(written) {
                if place == *offset || place % SECTOR_BYTES == 0 {
                    lucky = random.below(2) == 0;
                }
                if lucky {
                    put(&mut bytes, place, &[*byte]);
                }
            }
        }
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, offset: u64, part: &[u8]) {
    let offset = usize::try_from(offset).unwrap();
    let end = offset + part.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(part);
}

impl State {
    fn operation(&mut self, kind: Kind) -> io::Result<()> {
        match &mut self.faults.operations {
            Some(0) => return Err(self.fail("the disk is gone")),
            Some(left) => *left -= 1,
            None => {}
        }
        match &mut self.faults.one {
            Some((one, 0, lasting)) if *one == kind => {
                if *lasting == Lasting::Once {
                    self.faults.one = None;
                }
                return Err(self.fail("this one fails"));
            }
            Some((one, left, _)) if *one == kind => *left -= 1,
            _ => {}
        }
        Ok(())
    }

    fn fail(&mut self, why: &str) -> io::Error {
        self.injected += 1;
        io::Error::other(why)
    }

    /// How many of `bytes` bytes there is room for; takes it.
    fn room(&mut self, bytes: u64) -> io::Result<u64> {
        let Some(left) = &mut self.faults.bytes else {
            return Ok(bytes);
        };
        if *left == 0 && bytes > 0 {
            self.injected += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.min(*left);
        *left -= taken;
        Ok(taken)
    }

    fn sync(&mut self) -> io::Result<()> {
        match &mut self.faults.syncs {
            Some(0) => return Err(self.fail("the sync failed")),
            Some(left) => *left -= 1,
            None => {}
        }
        self.syncs += 1;
        Ok(())
    }
}

impl LogFiles for Disk {
    fn create_dir(&self, _directory: &Path) -> io::Result<()> {
        self.state().operation(Kind::SyncDir)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let names = state.names.keys();
        let inside = names.filter_map(|name| name.strip_prefix(directory).ok());
        Ok(inside
            .map(|name| name.to_str().unwrap().to_owned())
            .collect())
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn LogFile>> {
        let mut state = self.state();
        state.operation(Kind::Create)?;
        let room = state.room(bytes)?;
        let inode = state.inodes.len();
        let length = usize::try_from(room).unwrap();
        state.inodes.push(Inode::of(vec![0; length]));
        state.names.insert(path.to_owned(), inode);
        if room < bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.sync()?;
        Ok(Box::new(OpenFile {
            disk: self.clone(),
            inode,
            access: Access::Write,
        }))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn LogFile>> {
        let found = self.state().names.get(path).copied();
        let inode = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(OpenFile {
            disk: self.clone(),
            inode,
            access,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation(Kind::Rename)?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation(Kind::Remove)?;
        let removed = state.names.remove(path);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation(Kind::SyncDir)?;
        state.sync()?;
        state.synced_names = state.names.clone();
        Ok(())
    }
}

impl LogFile for OpenFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].live.len() as u64)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        assert_eq!(self.access, Access::Write);
        let mut state = self.disk.state();
        state.operation(Kind::Write)?;
        let bytes = match state.faults.short_writes {
            Some(most) => &bytes[..bytes.len().min(most)],
            None => bytes,
        };
        let room = usize::try_from(state.room(bytes.len() as u64)?).unwrap();
        let inode = &mut state.inodes[self.inode];
        put(&mut inode.live, offset, &bytes[..room]);
        inode.unsynced.push((offset, bytes[..room].to_vec()));
        Ok(room)
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        let live = &state.inodes[self.inode].live;
        let rest = live
            .get(usize::try_from(offset).unwrap()..)
            .unwrap_or_default();
        let read = rest.len().min(bytes.len());
        bytes[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn sync(&mut self) -> io::Result<()> {
        assert_eq!(self.access, Access::Write);
        let mut state = self.disk.state();
        let synced = state.operation(Kind::Sync).and_then(|()| state.sync());
        let inode = &mut state.inodes[self.inode];
        let unsynced = std::mem::take(&mut inode.unsynced);
        // A failed sync leaves the bytes in the system's memory, marked as written.
        synced?;
        for (offset, bytes) in unsynced {
            put(&mut inode.synced, offset, &bytes);
        }
        Ok(())
    }
}
