//! The files that this process may have open, and so many connections as fit.
//!
//! Each connection is an open file. The soft limit is raised to the hard one, which every process
//! may do; where that is still too little, fewer connections are taken, so that accepting never
//! takes the descriptors of the log and the tables.

use crate::ingress::EntranceBounds;

use super::NetworkOptions;

/// Open files for everything else: log, tables, binaries, threads, and what the libraries open.
const RESERVE: u64 = 128;

/// The least of each kind of connection; with fewer nobody could be served.
const CONNECTIONS_MIN: u64 = 8;

/// Stages before the greeting.
const STAGES: u64 = 3;

/// The bounds of `options`, or those that fit into the open files of this process.
pub(super) fn fitting(options: &NetworkOptions) -> EntranceBounds {
    let wanted = (
        u64::from(options.waiting_connections_max),
        u64::from(options.connections_max),
    );
    let (waiting, guests) = fit(open_files_max(), wanted);
    if (waiting, guests) != wanted {
        tracing::warn!(
            waiting,
            guests,
            "this process may open too few files for the connections in node.toml; fewer are taken (raise `ulimit -n`)"
        );
    }
    EntranceBounds {
        waiting_max: usize::try_from(waiting).unwrap_or(usize::MAX),
        guests_max: usize::try_from(guests).unwrap_or(usize::MAX),
        deadline: options.greeting_deadline,
        held_bytes_max: options.bounds.all_held_bytes,
    }
}

/// Connections waiting per stage, and guests.
fn fit(files: u64, (waiting, guests): (u64, u64)) -> (u64, u64) {
    let available = files.saturating_sub(RESERVE);
    if waiting * STAGES + guests <= available {
        return (waiting, guests);
    }
    // Half for each, unless one wants less.
    let for_waiting = (waiting * STAGES).min((available / 2).max(available.saturating_sub(guests)));
    let for_guests = available.saturating_sub(for_waiting);
    (
        (for_waiting / STAGES).max(CONNECTIONS_MIN).min(waiting),
        for_guests.max(CONNECTIONS_MIN).min(guests),
    )
}

/// The raised limit.
#[cfg(unix)]
fn open_files_max() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let raised = rustix::process::Rlimit {
            current: limit.maximum.or(limit.current),
            ..limit
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    limit.current.unwrap_or(u64::MAX)
}

/// Elsewhere sockets have no such limit.
#[cfg(not(unix))]
fn open_files_max() -> u64 {
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_into_the_files_that_may_be_open() {
        let wanted = (256, 1024);
        assert_eq!(fit(u64::MAX, wanted), wanted);
        assert_eq!(fit(2000, wanted), wanted);
        for files in [300, 512, 1024, 1500] {
            let (waiting, guests) = fit(files, wanted);
            assert!(
                waiting * STAGES + guests + RESERVE <= files,
                "{files}: {waiting} {guests}"
            );
            assert!(
                waiting >= CONNECTIONS_MIN && guests > CONNECTIONS_MIN,
                "{files}"
            );
        }
        assert_eq!(fit(1, wanted), (CONNECTIONS_MIN, CONNECTIONS_MIN));
        assert_eq!(fit(1, (2, 3)), (2, 3));
    }
}
