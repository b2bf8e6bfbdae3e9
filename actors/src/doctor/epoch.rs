//! A new epoch behind turns that were given up: those turns had numbers, and whoever watched them
//! has positions.
//!
//! As after a restore, the node goes on in another epoch and behind all numbers that were given
//! out, so that none of them is used again for something else and a watch from such a position is
//! refused.

use std::sync::Arc;

use interstice_abi::id::Epoch;
use interstice_host::{
    limits::Limits,
    log::{Log, LogOptions, StdFiles},
};

use super::{DoctorError, checks::Checks};
use crate::{
    base::Base,
    node::NodeError,
    record::{NamedLimits, Record},
};

/// Ends the log, which is whole by now, with the beginning of a new epoch; which one.
///
/// # Errors
/// When the log cannot be read or written.
pub(super) fn begin(checks: &Checks) -> Result<Epoch, DoctorError> {
    let folder = checks.directory.path("log");
    let (log, opened) = Log::open(&folder, Arc::new(StdFiles), LogOptions::default())?;
    let checkpoint = checks.tables.as_ref().ok().and_then(Option::as_ref);
    let mut last = checkpoint
        .map_or(Epoch(0), |checkpoint| checkpoint.epoch)
        .max(of_bases(&checks.bases));
    for entry in log.read(opened.start) {
        let (_, bytes) = entry?;
        // What is no record is said by the look that follows a repair.
        if let Ok(Record::Restart { epoch, .. } | Record::Restarted { epoch, .. }) =
            Record::decode(&bytes)
        {
            last = last.max(epoch);
        }
    }
    let epoch = Epoch(last.0.saturating_add(1));
    // The limits in force are in the record of the next start, before any step.
    let limits = checks
        .config
        .as_ref()
        .map_or_else(|_| Limits::default(), |config| config.limits.clone());
    let limits = NamedLimits(limits);
    let restart = Record::Restarted { epoch, limits };
    log.reserve_seq(checks.log.reserved_seq);
    log.append(restart.encode().map_err(NodeError::Recovery)?);
    log.close()?;
    Ok(epoch)
}

/// The greatest epoch of bases that are whole.
fn of_bases(bases: &[Base]) -> Epoch {
    let heads = bases.iter().filter_map(|base| base.head().ok().flatten());
    heads.map(|head| head.epoch).max().unwrap_or(Epoch(0))
}
