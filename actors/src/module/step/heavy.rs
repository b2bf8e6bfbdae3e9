//! Records of megabytes: made and brought to the disk on a thread of their own, so that nobody
//! waits for them but the modules that the step has touched.
//!
//! The step keeps its places until its record is in the log's queue, so the order of records is the
//! same as if the step had run for longer. What was recorded before is handed on first.

use interstice_abi::failure::Failure;
use interstice_host::{
    log::{Log, Staged},
    module::Effect,
};

use crate::{module::core::Core, record::StepRecord};

/// Bytes of rows and arguments from which a record is made elsewhere: encoding and packing them
/// takes longer than going to another thread.
const HEAVY_BYTES: u64 = 1024 * 1024;

/// A record that is ready for the log.
enum Made {
    Bytes(Vec<u8>),
    /// It is on the disk already.
    Staged(Staged),
}

/// Whether encoding this record would keep others from the core.
pub(super) fn is_heavy(record: &StepRecord) -> bool {
    let mut sizes = record.effects.iter().map(|effect| match effect {
        Effect::Change { change, .. } => change.row_bytes(),
        Effect::Called { arguments, .. } => u64::try_from(arguments.len()).unwrap_or(u64::MAX),
    });
    let mut left = HEAVY_BYTES;
    sizes.any(|bytes| {
        left = left.saturating_sub(bytes);
        left == 0
    })
}

impl Core {
    /// As [`Core::record`], on another thread. Everything that was gathered is handed on before.
    pub(super) async fn record_apart(&mut self, record: StepRecord) {
        self.flush();
        let log = self.shared.log.clone();
        let made = tokio::task::spawn_blocking(move || made(&log, &record)).await;
        match made {
            Ok(Ok(Made::Bytes(bytes))) => self.shared.append(bytes),
            Ok(Ok(Made::Staged(staged))) => self.shared.append_staged(staged),
            Ok(Err(failure)) => self.shared.stop_because(&failure.message),
            Err(panic) => {
                let text = format!("the record of a step could not be made: {panic}");
                self.shared.stop_because(&text);
            }
        }
    }
}

fn made(log: &Log, record: &StepRecord) -> Result<Made, Failure> {
    let mut bytes = Vec::new();
    record.encode_into(&mut bytes)?;
    if !log.is_large(bytes.len()) {
        return Ok(Made::Bytes(bytes));
    }
    Ok(match log.stage(&bytes) {
        Ok(staged) => Made::Staged(staged),
        Err(error) => {
            // The log itself is as it was; it may still have the room, or says what is wrong.
            tracing::warn!("a large record could not be written beside the log: {error}");
            Made::Bytes(bytes)
        }
    })
}
