//! Arguments that stand in a file (`@FILE`) or come from standard input (`@-`).

use std::{
    fs::File,
    io::{self, Read},
    sync::atomic::{AtomicBool, Ordering},
};

use interstice_abi::wire::FRAME_BYTES_MAX;

/// Largest content in bytes. No call is larger, whatever a node is configured to take; a device or
/// pipe that never ends is read up to here.
const BYTES_MAX: u64 = FRAME_BYTES_MAX as u64;

/// What stands for standard input.
const STANDARD_INPUT: &str = "-";

/// Set once standard input has been read: it can be read to its end only once.
static INPUT_IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The content of the file called `name`, or standard input for `-`.
///
/// # Errors
/// A sentence that says why it cannot be read, or that it is too large.
pub(super) fn read(name: &str) -> Result<Vec<u8>, String> {
    let read = if name == STANDARD_INPUT {
        if INPUT_IS_TAKEN.swap(true, Ordering::Relaxed) {
            return Err("standard input can stand for one argument only".to_string());
        }
        up_to_limit(io::stdin().lock())
    } else {
        File::open(name).and_then(up_to_limit)
    };
    let shown = match name {
        STANDARD_INPUT => "standard input".to_string(),
        name => crate::output::clean(name),
    };
    match read {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(format!(
            "{shown} has not ended after {BYTES_MAX} bytes, and no call can have that many"
        )),
        Err(error) => Err(format!("cannot read {shown}: {error}")),
    }
}

/// Everything up to the end; `None` when that does not come.
fn up_to_limit(from: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= BYTES_MAX).then_some(bytes))
}
