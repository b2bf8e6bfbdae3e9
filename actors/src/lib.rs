//! The actors of an Interstice node: who runs when.
//!
//! Everything that enters a node goes this way; the modules stand in its order.
//!
//! 1. [`ingress`] turns frames into requests and refuses what is malformed.
//! 2. The supervisor stamps, checks and routes.
//! 3. The module actor runs one turn at a time; the guest itself runs in `interstice-host` (stages
//!    4 to 6).
//! 4. The module actor matches the step's changes against the routes (stage 7), and hands the
//!    record to the log (stage 8).
//! 5. A reaction goes to another module actor, a reply to its connection (stage 9).
//!
//! [`node`] puts it together: a data directory, recovery, the actors, the [`network`].

pub mod node;

pub mod config;

mod directory;

mod base;

mod backup;

mod recovery;

mod shared;

mod shedding;

mod slots;

mod turns;

mod lines;

#[doc(hidden)]
pub mod clock;

pub mod network;

pub mod ingress;

mod supervisor;

mod module;

mod record;

mod history;

#[doc(hidden)]
pub mod remote;

pub mod replay;

pub mod doctor;

mod files_copy;

mod apart;

mod one_or_more;

use interstice_abi::schema::Version;

/// The version of Interstice that this is.
#[must_use]
pub fn version() -> Version {
    let mut parts = env!("CARGO_PKG_VERSION")
        .split('.')
        .map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    Version {
        major: next(),
        minor: next(),
        patch: next(),
    }
}
