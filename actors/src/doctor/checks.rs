//! What the doctor looks at: each part of a node's directory by itself, and whether together they
//! bring the node back.
//!
//! Opening a store writes to it, so a copy is opened.

use std::{path::Path, sync::Arc};

use interstice_abi::{
    failure::Failure,
    id::{Epoch, ModuleName, Seq},
};
use interstice_host::{
    log::{LogPosition, Opened, StdFiles, Survey, survey},
    store::Store,
    wasm::{Binary, Engine, damaged_entries},
};
use tempfile::TempDir;

use super::{DoctorError, Finding, Part, Remedy, Report, io_error, plan::Plan};
use crate::{
    base::{self, Base},
    config::Config,
    directory::Directory,
    files_copy::copy_folder,
    node::assemble::held_by,
    recovery::recover,
    supervisor::{
        checkpoint::marker::{Clean, Marker},
        install::{compiling::Compiles, installer::Installer},
    },
};

/// The checkpoint in `db/`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checkpoint {
    /// The epoch in which it was taken.
    pub(super) epoch: Epoch,
    /// The last turn that it holds.
    pub(super) seq: Seq,
    /// Where recovery reads the log from.
    pub(super) position: LogPosition,
    /// Whether the node was stopped in order behind it: then there was no later turn.
    pub(super) is_all: bool,
}

/// What was found.
pub(super) struct Checks {
    pub(super) directory: Arc<Directory>,
    pub(super) config: Result<Config, String>,
    key: Result<(), String>,
    pub(super) log: Survey,
    /// The checkpoint, if there is one; or what is wrong with `db/`.
    pub(super) tables: Result<Option<Checkpoint>, String>,
    /// The bases that are whole, oldest first, that of the node's creation included where the log
    /// reaches back to it.
    pub(super) bases: Vec<Base>,
    /// The others, with what is wrong.
    pub(super) broken_bases: Vec<(Base, String)>,
    /// A copy of `db/`.
    scratch: TempDir,
}

impl Checks {
    pub(super) fn of(directory: Directory) -> Result<Self, DoctorError> {
        let root = directory.root().to_path_buf();
        let scratch = tempfile::tempdir()
            .map_err(|source| io_error("make a folder in", &std::env::temp_dir(), source))?;
        let folder = directory.path("log");
        let log = if folder.exists() {
            survey(&folder, &StdFiles)?
        } else {
            Survey::default()
        };
        let start = log.segments.keys().next().copied().unwrap_or_default();
        let found = base::list(&root, start)
            .map_err(|source| io_error("list", &directory.path(base::FOLDER), source))?;
        let (mut bases, mut broken_bases) = (Vec::new(), Vec::new());
        for base in found {
            match base.check() {
                Ok(()) => bases.push(base),
                Err(error) => broken_bases.push((base, error.to_string())),
            }
        }
        let config = Config::read(&directory.path("node.toml")).map_err(|error| error.to_string());
        let cache_bytes = config.as_ref().map_or_else(
            |_| Config::default().store_cache_bytes,
            |config| config.store_cache_bytes,
        );
        let copy = scratch.path().join("db");
        copy_folder(&directory.path("db"), &copy)
            .map_err(|source| io_error("copy", &directory.path("db"), source))?;
        Ok(Self {
            key: directory.key().map(drop).map_err(|error| error.to_string()),
            tables: tables(&copy, cache_bytes)
                .map_err(|problem| original(&problem, &copy, &directory.path("db"))),
            directory: Arc::new(directory),
            config,
            log,
            bases,
            broken_bases,
            scratch,
        })
    }

    /// Where the log that recovery reads must begin at the latest, by the checkpoint and by each
    /// base, the best first.
    pub(super) fn beginnings(&self) -> impl Iterator<Item = (Source<'_>, LogPosition)> {
        let checkpoint = match &self.tables {
            Ok(Some(checkpoint)) => Some((Source::Checkpoint, checkpoint.position)),
            _ => None,
        };
        let bases = self
            .bases
            .iter()
            .rev()
            .map(|base| (Source::Base(base), base.position));
        checkpoint.into_iter().chain(bases)
    }

    /// Everything in words.
    pub(super) fn report(&self, plan: &Plan<'_>) -> Report {
        let mut findings = Vec::new();
        let by_hand = |part, name: &str, problem: &str, advice: &str| Finding {
            part,
            file: self.directory.path(name),
            offset: None,
            problem: problem.to_string(),
            remedy: Remedy::ByHand(advice.to_string()),
        };
        if let Err(problem) = &self.config {
            let advice = "mend the field that it names; the file is text";
            findings.push(by_hand(Part::Config, "node.toml", problem, advice));
        }
        if let Err(problem) = &self.key {
            let advice = "the key is what the node is known by and cannot be made again: bring it back from a backup of the node";
            findings.push(by_hand(Part::Key, "key", problem, advice));
        }
        findings.extend(self.log_findings(plan));
        findings.extend(self.cache_findings());
        if let Err(problem) = &self.tables {
            findings.push(Finding {
                part: Part::Tables,
                file: self.directory.path("db"),
                offset: None,
                problem: problem.clone(),
                remedy: plan.for_tables(),
            });
        }
        for (base, problem) in &self.broken_bases {
            findings.push(Finding {
                part: Part::Base,
                file: base.path.clone().unwrap_or_default(),
                offset: None,
                problem: problem.clone(),
                remedy: plan.for_base(),
            });
        }
        let comes_back_to = match self.comes_back_to() {
            Ok((seq, modules)) => {
                findings.extend(modules);
                Some(seq)
            }
            // Said already, and better.
            Err(_)
                if !findings
                    .iter()
                    .all(|finding| matches!(finding.remedy, Remedy::Start(_))) =>
            {
                None
            }
            Err(problem) => {
                findings.push(Finding {
                    part: Part::Node,
                    file: self.directory.root().to_path_buf(),
                    offset: None,
                    problem,
                    remedy: plan.for_node(),
                });
                None
            }
        };
        Report {
            findings,
            comes_back_to,
            repaired: Vec::new(),
            aside: None,
        }
    }

    fn cache_findings(&self) -> Vec<Finding> {
        let folder = self.directory.path("cache");
        let (damaged, problem) = match damaged_entries(&folder) {
            Ok(damaged) => (damaged, "a compiled module is damaged".to_string()),
            Err(error) => (vec![folder], format!("it cannot be read: {error}")),
        };
        let finding = |file| Finding {
            part: Part::Cache,
            file,
            offset: None,
            problem: problem.clone(),
            remedy: Remedy::Start("removes it and compiles the module again".to_string()),
        };
        damaged.into_iter().map(finding).collect()
    }

    fn log_findings(&self, plan: &Plan<'_>) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .log
            .damages_in_place()
            .map(|(damage, is_at_end)| Finding {
                part: Part::Log,
                file: damage.file.clone(),
                offset: Some(damage.offset),
                problem: match damage.bytes {
                    0 => damage.reason.to_string(),
                    bytes => format!("{} ({bytes} bytes)", damage.reason),
                },
                remedy: plan.for_log(self, is_at_end),
            })
            .collect();
        if let Some(cut) = &self.log.cut {
            findings.push(Finding {
                part: Part::Log,
                file: cut.file.clone(),
                offset: Some(cut.offset),
                problem: format!(
                    "a block was being written when the node ended: {} bytes",
                    cut.bytes
                ),
                remedy: Remedy::Start(format!("cuts it off; {}", held_by(cut))),
            });
        }
        findings
    }

    /// Brings the node back beside itself: the last turn that it has then, and the modules that it
    /// starts without.
    fn comes_back_to(&self) -> Result<(Seq, Vec<Finding>), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let config = self.config.as_ref().map_err(Clone::clone)?;
        self.key.clone()?;
        let examined = interstice_host::log::examine(&self.directory.path("log"), &StdFiles)
            .map_err(|error| text(&error))?;
        let db = self.scratch.path().join("db");
        let store = Store::open(&db, config.store_cache_bytes).map_err(|error| text(&error))?;
        let installer = Installer {
            engine: Engine::new(None).map_err(|error| text(&error))?,
            directory: self.directory.clone(),
            arbiters: Arc::default(),
            compiles: Compiles::default(),
        };
        let opened = Opened {
            cut: examined.cut.clone(),
            reserved_seq: examined.reserved_seq,
            start: examined.start(),
            end: examined.end(),
        };
        let folder = self.directory.path("log");
        let read = |from| examined.read(&folder, Arc::new(StdFiles), from);
        let recovered =
            recover(&installer, config, &store, &opened, read).map_err(|error| text(&error))?;
        let mut modules = Vec::new();
        for (name, module) in &recovered.modules {
            let schema = module.tables.schema().clone();
            let binary = Binary::without_code(schema, module.hash).map_err(|error| text(&error))?;
            if let Err(failure) = installer.add_code(&binary, &config.limits) {
                modules.push(self.without_code(name, &module.hash, &failure));
            }
        }
        Ok((recovered.last_seq, modules))
    }

    fn without_code(&self, name: &ModuleName, hash: &[u8; 32], failure: &Failure) -> Finding {
        Finding {
            part: Part::Module,
            file: self.directory.module_path(hash),
            offset: None,
            problem: format!("module `{name}` cannot run: {failure}"),
            remedy: Remedy::ByHand(
                "the node starts without this module and keeps its tables: deploy the same binary again, or put the file back and \
                 `load` the module"
                    .to_string(),
            ),
        }
    }
}

/// From what a node comes back.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Checkpoint,
    Base(&'a Base),
}

/// Opens the store in `db` and reads every page: where its checkpoint wants the log from.
fn tables(db: &Path, cache_bytes: u64) -> Result<Option<Checkpoint>, String> {
    let store = Store::open(db, cache_bytes).map_err(|error| error.to_string())?;
    for module in store.modules() {
        for tree in store.trees(&module) {
            for page in store.pages(&module, &tree) {
                page.map_err(|error| error.to_string())?;
            }
        }
    }
    let marker = store.marker().map_err(|error| error.to_string())?;
    let marker = marker.map(|bytes| Marker::decode(&bytes)).transpose()?;
    Ok(marker.map(|marker| Checkpoint {
        epoch: marker.epoch,
        seq: marker.seq,
        position: marker.position,
        is_all: marker.clean == Clean::Stopped,
    }))
}

/// A message about the copy is one about the original.
fn original(problem: &str, copy: &Path, folder: &Path) -> String {
    problem.replace(&copy.display().to_string(), &folder.display().to_string())
}
