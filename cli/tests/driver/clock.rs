//! The wall clock of the node's process, which the test sets: a library that the process loads
//! before all others adds an offset to it, and the offset stands in a file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::OnceLock,
    time::Duration,
};

/// Sets the wall clock of each process that has its [`WallClock::environment`].
pub(crate) struct WallClock {
    offset: PathBuf,
    library: &'static Path,
}

impl WallClock {
    /// The system's clock until it is set. The offset stands in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        let clock = Self {
            offset: folder.join("clock.offset"),
            library: library(),
        };
        clock.write(0);
        clock
    }

    /// Sets the clock ahead or back, in relation to the system's.
    pub(crate) fn set(&self, offset: Duration, is_back: bool) {
        let nanos = i64::try_from(offset.as_nanos()).expect("some hours");
        self.write(if is_back { -nanos } else { nanos });
    }

    fn write(&self, nanos: i64) {
        // In place: the process has mapped this file.
        let options = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.offset);
        let mut file = options.expect("a file of the test");
        std::io::Write::write_all(&mut file, &nanos.to_ne_bytes()).expect("it is written");
    }

    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("LD_PRELOAD", self.library.to_path_buf()),
            ("INTERSTICE_TEST_CLOCK", self.offset.clone()),
        ]
    }
}

/// The library, which is built once.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libclock.so");
        // Another run of this test may use it.
        let new = path.with_extension(process::id().to_string());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/driver/clock/preload.rs");
        let built = Command::new("rustc")
            .args(["--edition", "2024", "--crate-type", "cdylib"])
            .args(["-C", "panic=abort", "-C", "opt-level=2", "-o"])
            .arg(&new)
            .arg(source)
            .output();
        let built = built.expect("rustc runs");
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        fs::rename(new, &path).expect("one folder");
        path
    })
}
