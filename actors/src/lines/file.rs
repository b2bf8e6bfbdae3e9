//! The files of `node.log`: the one that is written, and the one with older lines.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::KEPT_BYTES;

/// Where older lines go.
pub(super) fn rotated(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

/// The last [`KEPT_BYTES`] of a file; nothing where there is none.
pub(super) fn end_of(path: &Path) -> io::Result<String> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        opened => opened?,
    };
    let wanted = u64::try_from(KEPT_BYTES).unwrap_or(u64::MAX);
    let from = file.metadata()?.len().saturating_sub(wanted);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(wanted).read_to_end(&mut bytes)?;
    // A piece may begin inside a character.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens a file that only its user may read, to write after what is in it.
pub(super) fn append_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}
