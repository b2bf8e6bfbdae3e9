//! Reading files that people can put anything in place of: never more than a bound is read.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// The content of the regular file `path`.
///
/// # Errors
/// What the system says; `InvalidInput` when it is no regular file, or longer than `bytes_max`.
pub fn read_small_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let wrong = |problem: String| io::Error::new(io::ErrorKind::InvalidInput, problem);
    // Before it is opened: a pipe would wait for a writer.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(wrong("it is not a file".into()));
    }
    let too_long = |bytes: u64| wrong(format!("it has {bytes} bytes; the limit is {bytes_max}"));
    if metadata.len() > bytes_max {
        return Err(too_long(metadata.len()));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= bytes_max => Ok(bytes),
        _ => Err(too_long(bytes_max + 1)),
    }
}
