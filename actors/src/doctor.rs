//! The doctor: looks through the data directory of a stopped node, says what is damaged and what
//! that means, and repairs what can be repaired.
//!
//! [`examine`] changes nothing. [`repair`] never destroys what is intact: whatever it changes or
//! takes away is in a folder `damaged-<n>` of the node first, as it was. It gives up acknowledged
//! turns only when it is told to ([`Consent::CutLog`]). What is looked at is in `checks`, what is
//! to be done about it in `plan`.

mod checks;
mod epoch;
mod plan;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use interstice_abi::id::Seq;
use interstice_host::files;
use thiserror::Error;

use self::{checks::Checks, plan::Plan};
use crate::{directory::Directory, node::NodeError};

/// What of a node a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `node.toml`.
    Config,
    /// `key`.
    Key,
    /// `log/`.
    Log,
    /// `db/`: the tables of the last checkpoint.
    Tables,
    /// A file in `bases/`.
    Base,
    /// A file in `modules/`.
    Module,
    /// `cache/`: modules as they were compiled.
    Cache,
    /// What all of it comes to.
    Node,
}

impl Part {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Config => "configuration",
            Self::Key => "key",
            Self::Log => "log",
            Self::Tables => "tables",
            Self::Base => "base",
            Self::Module => "module",
            Self::Cache => "cache",
            Self::Node => "node",
        }
    }
}

/// What can be done about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing needs to be done: the next start sees to it.
    Start(String),
    /// [`repair`] does this, and nothing acknowledged is lost.
    Repair(String),
    /// [`repair`] does this with [`Consent::CutLog`] only: acknowledged turns are lost.
    CutLog(String),
    /// Not the doctor; whoever reads this.
    ByHand(String),
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub part: Part,
    /// Where it is.
    pub file: PathBuf,
    /// Where in the file, in bytes, where that is known.
    pub offset: Option<u64>,
    /// What is wrong.
    pub problem: String,
    /// What can be done.
    pub remedy: Remedy,
}

/// What the doctor has found.
#[derive(Clone, Debug)]
pub struct Report {
    /// What is not as it should be, the worst of each part first.
    pub findings: Vec<Finding>,
    /// The last turn that the node comes back to; `None` when it does not start as it is.
    pub comes_back_to: Option<Seq>,
    /// What was done, in order.
    pub repaired: Vec<String>,
    /// Where everything is that was changed or taken away.
    pub aside: Option<PathBuf>,
}

impl Report {
    /// Whether the node starts, and nothing is damaged.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let harmless = |finding: &Finding| matches!(finding.remedy, Remedy::Start(_));
        self.comes_back_to.is_some() && self.findings.iter().all(harmless)
    }
}

/// What a repair may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Nothing that was acknowledged.
    LoseNothing,
    /// The turns behind damage in the log, where there is no other way.
    CutLog,
}

/// Why nothing could be looked at or repaired.
#[derive(Debug, Error)]
pub enum DoctorError {
    /// The node runs.
    #[error("the node in {} runs; stop it first: the doctor must be alone with its files", directory.display())]
    Runs {
        /// Its directory.
        directory: PathBuf,
    },
    /// It is no node's directory, or cannot be locked.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The operating system refuses.
    #[error("cannot {operation} {}: {source}; check the disk, its space and the permissions", path.display())]
    Io {
        /// What was attempted: a verb.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The log cannot be looked at or mended.
    #[error("{0}")]
    Log(#[from] interstice_host::log::LogError),
}

/// Looks through the directory of a stopped node and changes nothing. Blocks, and reads
/// everything: seconds for a gigabyte.
///
/// # Errors
/// When the node runs, or something cannot be read; damage is no error but a finding.
pub fn examine(directory: &Path) -> Result<Report, DoctorError> {
    let directory = locked(directory)?;
    let checks = Checks::of(directory)?;
    let plan = Plan::of(&checks);
    Ok(checks.report(&plan))
}

/// Looks through the directory of a stopped node and repairs what can be repaired at that price;
/// what the node is like then.
///
/// An interrupted repair can be done again.
///
/// # Errors
/// As [`examine`], and when the disk is full or refuses: everything is then where it was or in the
/// folder aside.
pub fn repair(directory: &Path, consent: Consent) -> Result<Report, DoctorError> {
    let directory = locked(directory)?;
    let root = directory.root().to_path_buf();
    let checks = Checks::of(directory)?;
    let plan = Plan::of(&checks);
    if !plan.changes_anything(consent) {
        return Ok(checks.report(&plan));
    }
    let aside = fresh_aside(&root)?;
    let mut repaired = plan.carry_out(&checks, &aside)?;
    // The lock is given back and taken again: the checks hold it.
    drop(checks);
    let mut again = Checks::of(locked(&root)?)?;
    // A log that is damaged at its beginning and at its end takes two repairs.
    if Plan::of(&again).changes_log(consent) {
        repaired.extend(Plan::of(&again).carry_out(&again, &aside)?);
        drop(again);
        again = Checks::of(locked(&root)?)?;
    }
    let plan = Plan::of(&again);
    Ok(Report {
        repaired,
        aside: Some(aside),
        ..again.report(&plan)
    })
}

fn locked(directory: &Path) -> Result<Directory, DoctorError> {
    let found = Directory::look(directory)?;
    if !found.is_locked() {
        return Err(DoctorError::Runs {
            directory: directory.to_path_buf(),
        });
    }
    Ok(found)
}

/// A folder of the node that is not there yet.
fn fresh_aside(root: &Path) -> Result<PathBuf, DoctorError> {
    let free = (1..)
        .map(|number| root.join(format!("damaged-{number}")))
        .find(|path| !path.exists());
    let aside = free.unwrap_or_else(|| root.join("damaged"));
    files::create_private_dir(&aside).map_err(|source| io_error("create", &aside, source))?;
    Ok(aside)
}

fn io_error(operation: &'static str, path: &Path, source: io::Error) -> DoctorError {
    DoctorError::Io {
        operation,
        path: path.to_path_buf(),
        source,
    }
}

/// Moves a file or folder of the node into `aside`.
fn move_aside(path: &Path, aside: &Path) -> Result<(), DoctorError> {
    let Some((name, parent)) = path.file_name().zip(path.parent()) else {
        return Ok(());
    };
    fs::rename(path, aside.join(name)).map_err(|source| io_error("move away", path, source))?;
    files::sync_dir(aside).map_err(|source| io_error("sync", aside, source))?;
    files::sync_dir(parent).map_err(|source| io_error("sync", parent, source))
}
