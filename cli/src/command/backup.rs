//! `backup` and `restore`: a node in one file, and back again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use clap::Args;
use interstice_abi::id::check_name;
use interstice_actors::node::{self, Adopt, RestoreError, Restored};
use interstice_host::{archive::ArchiveError, files};
use serde_json::json;

use crate::{
    app::App,
    problem::{Outcome, Problem},
    registry::{Entry, Registry},
    session::{self, Session},
};

/// Copy a running node into one file
#[derive(Debug, Args)]
#[command(
    long_about = "Copy a running node into one file: its tables, history, modules, configuration and key, consistent at one turn. The node \
        goes on working. The file is compressed and checksummed, and private like the node itself: whoever has it can be the node.",
    after_help = "Examples:\n  \
        interstice-cli backup garden garden.backup\n  \
        interstice-cli backup local /mnt/backups/$(date +%F).backup"
)]
pub(crate) struct Backup {
    /// The node
    at: String,
    /// The file, which must not be there
    file: PathBuf,
}

/// Make a node from a backup
#[derive(Debug, Args)]
#[command(
    long_about = "Make a node from a backup, and compare the digests of its tables with those of the backup. A node that is there is never \
        overwritten. The restored node has the same id and begins a new epoch. The key of this command line becomes one of its owners, beside those \
        of the backup. `node start` starts it.",
    after_help = "Examples:\n  \
        interstice-cli restore garden.backup\n  \
        interstice-cli restore garden.backup --name garden-again"
)]
pub(crate) struct Restore {
    /// The backup
    file: PathBuf,
    /// What to call the node, instead of its old name
    #[arg(long)]
    name: Option<String>,
}

/// The file of a backup that is being fetched; it goes when it is not completed.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It has another name once it is complete.
        let _ = fs::remove_file(&self.0);
    }
}

impl Backup {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        refuse_existing(&self.file)?;
        let session = Session::open_as_owner(app, Some(&self.at)).await?;
        let spinner = app.output.spinner("the node writes the backup");
        let begun = session.client().begin_backup().await;
        spinner.finish_and_clear();
        let backup = begun.map_err(|error| session.problem(error))?;
        let unfinished = Unfinished(beside(&self.file));
        let mut file = create(&unfinished.0)?;
        let bar = app.output.bar("fetching", backup.bytes);
        let mut offset = 0;
        loop {
            let piece = session.client().backup_piece(&backup, offset).await;
            let piece = piece.map_err(|error| session.problem(error))?;
            if piece.is_empty() {
                break;
            }
            file.write_all(&piece)
                .map_err(|error| Problem::file("write", &unfinished.0, &error))?;
            offset += u64::try_from(piece.len()).unwrap_or(0);
            bar.set_position(offset);
        }
        bar.finish_and_clear();
        if offset != backup.bytes {
            return Err(Problem::failed(format!(
                "the node has sent {offset} of {} bytes",
                backup.bytes
            ))
            .advise("try again"));
        }
        file.sync_all()
            .and_then(|()| files::name_finished(&unfinished.0, &self.file))
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => exists(&self.file),
                _ => Problem::file("write", &self.file, &error),
            })?;
        session
            .client()
            .end_backup(&backup)
            .await
            .map_err(|error| session.problem(error))?;
        if app.output.is_json() {
            return app.output.json(&json!({
                "file": self.file, "bytes": backup.bytes, "seq": backup.seq.0, "node": session.node(),
            }));
        }
        app.output.line(format!(
            "{}: node {} up to turn {}, {} bytes",
            self.file.display(),
            session.label(),
            backup.seq,
            backup.bytes
        ))
    }
}

impl Restore {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        if let Some(name) = &self.name {
            check_name("node name", name, true).map_err(Problem::usage)?;
            refuse_taken(&Registry::read(&app.home)?, name)?;
        }
        app.home.make()?;
        let (file, nodes, name) = (self.file, app.home.nodes(), self.name);
        let owner = session::own_id(&app.home)?;
        let spinner = app.output.spinner("restoring and comparing digests");
        let key = owner.clone();
        let work = move || {
            let adopt = Adopt {
                name: name.as_deref(),
                owner: Some(&key),
            };
            node::restore(&file, &nodes, adopt)
        };
        let restored = tokio::task::spawn_blocking(work).await;
        spinner.finish_and_clear();
        let restored = restored
            .map_err(|panic| Problem::failed(format!("the restore ended badly: {panic}")))?
            .map_err(|error| refused(&error))?;
        if let Err(problem) = register(app, &restored) {
            // Without a name it could not be reached, and trying again would find it in the way.
            fs::remove_dir_all(&restored.directory)
                .map_err(|error| Problem::file("remove", &restored.directory, &error))?;
            return Err(problem);
        }
        if app.output.is_json() {
            return app.output.json(&json!({
                "name": restored.name, "id": restored.id, "seq": restored.seq.0, "epoch": restored.epoch.0,
                "modules": restored.modules, "owner": owner,
            }));
        }
        app.output.line(format!(
            "node `{}` {} restored up to turn {}; the digests of {} modules agree",
            restored.name, restored.id, restored.seq, restored.modules
        ))?;
        app.output.say(format!(
            "the key of this command line, {owner}, is one of its owners"
        ));
        app.output
            .say(format!("`node start {}` starts it", restored.name));
        Ok(())
    }
}

/// What is said of a backup that was not restored.
fn refused(error: &RestoreError) -> Problem {
    let problem = Problem::failed(error);
    match error {
        RestoreError::Archive(ArchiveError::Damaged { .. }) => problem.advise(
            "nothing of it was restored; use another copy of the backup, or another backup",
        ),
        RestoreError::Archive(ArchiveError::Foreign { .. }) => {
            problem.advise("`backup NODE FILE` makes one of a running node")
        }
        _ => problem,
    }
}

fn register(app: &App, restored: &Restored) -> Outcome<()> {
    Registry::change(&app.home, |registry| {
        // The same node may be known from elsewhere.
        if registry.find(restored.id.as_str()).is_some() {
            registry.remove(restored.id.as_str());
        }
        refuse_taken(registry, &restored.name)?;
        registry.add(Entry {
            name: restored.name.clone(),
            address: format!("{}:{}", Ipv4Addr::LOCALHOST, restored.port),
            id: restored.id.to_string(),
        })
    })
}

fn refuse_taken(registry: &Registry, name: &str) -> Outcome<()> {
    if registry.nodes().iter().any(|entry| entry.name == *name) {
        return Err(Problem::failed(format!("there is a node `{name}` already"))
            .advise("give the restored one another name with --name"));
    }
    Ok(())
}

fn refuse_existing(file: &Path) -> Outcome<()> {
    if file.symlink_metadata().is_ok() {
        return Err(exists(file));
    }
    Ok(())
}

fn exists(file: &Path) -> Problem {
    Problem::failed(format!("{} is there already", file.display()))
        .advise("choose another name, or move it away")
}

/// Where the file is until it is complete.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.unfinished", std::process::id()));
    file.with_file_name(name)
}

fn create(path: &Path) -> Outcome<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .map_err(|error| Problem::file("create", path, &error))
}
