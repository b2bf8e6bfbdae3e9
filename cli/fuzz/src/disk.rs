//! A directory of log files in memory, as an input has left it.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use interstice_host::log::{Access, LogFile, LogFiles};

/// Where the log is said to be.
pub const DIRECTORY: &str = "/log";

/// The bytes of files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Files by name. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<BTreeMap<String, Open>>>);

/// A file's bytes, shared with those who have it open: it may be renamed in the meantime.
#[derive(Clone, Default)]
struct Open(Arc<Mutex<Vec<u8>>>);

impl Disk {
    /// A disk with these files.
    #[must_use]
    pub fn of(files: Files) -> Self {
        let files = files.into_iter();
        let files = files.map(|(name, bytes)| (name, Open(Arc::new(Mutex::new(bytes)))));
        Self(Arc::new(Mutex::new(files.collect())))
    }

    /// The files as they are.
    #[must_use]
    pub fn files(&self) -> Files {
        let files = lock(&self.0);
        let files = files.iter();
        files
            .map(|(name, file)| (name.clone(), lock(&file.0).clone()))
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl LogFiles for Disk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(lock(&self.0).keys().cloned().collect())
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn LogFile>> {
        let file = Open(Arc::new(Mutex::new(vec![0; place(bytes)])));
        lock(&self.0).insert(name(path), file.clone());
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path, _: Access) -> io::Result<Box<dyn LogFile>> {
        match lock(&self.0).get(&name(path)) {
            Some(file) => Ok(Box::new(file.clone())),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = lock(&self.0);
        let file = files.remove(&name(from)).ok_or(io::ErrorKind::NotFound)?;
        files.insert(name(to), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = lock(&self.0).remove(&name(path));
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl LogFile for Open {
    fn length(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut file = lock(&self.0);
        let start = place(offset);
        let end = start.saturating_add(bytes.len());
        if file.len() < end {
            file.resize(end, 0);
        }
        if let Some(room) = file.get_mut(start..end) {
            room.copy_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let file = lock(&self.0);
        let rest = file.get(place(offset)..).unwrap_or_default();
        let read = rest.len().min(bytes.len());
        for (to, from) in bytes.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(read)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
