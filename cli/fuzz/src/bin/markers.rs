//! The marker of a store: any bytes are refused before anything else is opened, unless their
//! checksum is right; then the store says that it is behind its marker, or opens.
#![no_main]

use std::sync::{LazyLock, Once};

use interstice_fuzz::memory;
use interstice_host::store::{CACHE_BYTES, Store, StoreError};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static BEGIN: Once = Once::new();
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("has a folder"));

fuzz_target!(|data: &[u8]| {
    BEGIN.call_once(|| memory::limit(256 * 1024 * 1024));
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    let mut marker = rest.to_vec();
    // Opening sled takes its time: few inputs get that far.
    if how % 64 == 1 {
        seal(&mut marker);
    }
    std::fs::write(FOLDER.path().join("marker"), &marker).expect("the folder takes files");
    match Store::open(FOLDER.path(), CACHE_BYTES) {
        Ok(store) => {
            let content = marker.get(40..).unwrap_or_default();
            let found = store.marker().expect("a store that opens is sound");
            assert_eq!(found.as_deref(), Some(content));
            assert_eq!(marker.get(16..24), Some(&[0; 8][..]));
        }
        Err(StoreError::Marker { .. } | StoreError::Behind { .. }) => {}
        Err(error) => panic!("{error}"),
    }
});

/// Makes the checksum right.
fn seal(marker: &mut [u8]) {
    let Some((head, content)) = marker.split_at_checked(40) else {
        return;
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(head.get(..24).unwrap_or_default());
    hasher.update(content);
    let hash = hasher.finalize();
    for (to, from) in marker
        .iter_mut()
        .skip(24)
        .zip(hash.as_bytes().iter().take(16))
    {
        *to = *from;
    }
}
