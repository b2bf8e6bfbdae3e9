//! Opening sled's database though the last handle on it has only just been dropped.
//!
//! sled 0.34 locks its file, and threads of its own may hold that lock for a moment after the
//! handle is gone. Nobody else can have it: the directory's lock is the caller's.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a held lock is waited for: sled lets go in milliseconds, also on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How long it is waited between two looks; sled tells nobody.
const PAUSE: Duration = Duration::from_millis(2);

/// What sled says of a lock that is held; its error has no kind of its own.
const HELD: &str = "could not acquire lock";

/// Opens sled's database in `tables`, and waits for its lock.
pub(super) fn open(tables: &Path, cache_bytes: u64) -> sled::Result<sled::Db> {
    let begun = Instant::now();
    loop {
        let opened = sled::Config::new()
            .path(tables)
            .cache_capacity(cache_bytes)
            .flush_every_ms(None)
            .open();
        match opened {
            Err(sled::Error::Io(error))
                if begun.elapsed() < WAIT_MAX && error.to_string().contains(HELD) =>
            {
                thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::thread;
    use std::time::Duration;

    use crate::store::{CACHE_BYTES, Store};

    #[test]
    fn a_store_that_is_opened_while_sled_has_not_let_go_of_its_file_waits() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), CACHE_BYTES).unwrap();
        store.commit(b"a").unwrap();
        drop(store);
        // As a thread of sled would.
        let held = File::open(folder.path().join("tables/db")).unwrap();
        held.lock().unwrap();
        let (tell, told) = channel();
        let path = folder.path().to_owned();
        let opening = thread::spawn(move || {
            let marker = Store::open(&path, CACHE_BYTES).and_then(|store| store.marker());
            tell.send(marker.unwrap()).unwrap();
        });
        let early = told.recv_timeout(Duration::from_millis(50));
        assert_eq!(early, Err(RecvTimeoutError::Timeout));
        drop(held);
        assert_eq!(told.recv().unwrap().as_deref(), Some(&b"a"[..]));
        opening.join().unwrap();
    }
}
