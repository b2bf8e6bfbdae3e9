//! `dev`: build and deploy, again whenever the source changes, with the module's log in between.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use interstice_abi::wire::{DeployOptions, LogLine, LogsMode};
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::{deploy, logs};
use crate::{
    app::App,
    build::Module,
    node_process,
    output::reader_has_gone,
    problem::{Outcome, Problem},
    session::{Answers, Session},
};

/// How long the source must rest before it is built: editors save in several steps.
const REST: Duration = Duration::from_millis(200);

/// Folders of a crate whose changes come from building.
const BUILT: &str = "target";

/// Files of a crate that cargo writes.
const LOCK_FILE: &str = "Cargo.lock";

/// Rebuild and redeploy a module whenever its source changes
#[derive(Debug, Args)]
#[command(
    long_about = "Build and deploy a module, show its log, and do so again whenever its source changes, until Ctrl-C. What does \
        not build or is refused is shown, and the module that runs stays.",
    after_help = "Examples:\n  interstice-cli dev ./bank\n  interstice-cli dev ./bank --node garden"
)]
pub(crate) struct Dev {
    /// The crate's folder
    path: PathBuf,
}

impl Dev {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let folder = std::fs::canonicalize(&self.path)
            .map_err(|error| Problem::file("find the module", &self.path, &error))?;
        let session = Session::open_as_owner(app, None).await?;
        // Before the first deploy, so that what `init` and `load` write is shown too.
        let mut lines = session.logs(None, 0, None, LogsMode::Follow)?;
        let changed = Arc::new(Notify::new());
        // Watches as long as it lives.
        let _watcher = watch(&folder, changed.clone())?;
        let end = node_process::end_signal();
        let left = reader_has_gone();
        tokio::pin!(end, left);
        let mut name = module_name(&folder)?;
        loop {
            let built = tokio::select! {
                signal = &mut end => return signal,
                built = build(app, &folder) => built,
                ended = follow(app, &session, &name, &mut lines) => return ended,
            };
            // Lines wait while it uploads: they would tear the progress bar.
            tokio::select! {
                signal = &mut end => return signal,
                result = deploy(app, &session, built) => result?,
            }
            app.output
                .say(format!("waiting for changes in {}", folder.display()));
            tokio::select! {
                signal = &mut end => return signal,
                () = &mut left => return Ok(()),
                () = rest(&changed) => {}
                ended = follow(app, &session, &name, &mut lines) => return ended,
            }
            // A manifest that cannot be read at the moment is the build's to complain about.
            name = module_name(&folder).unwrap_or(name);
        }
    }
}

/// The name of the module that the crate in `folder` makes: that of its package.
fn module_name(folder: &Path) -> Outcome<String> {
    let path = folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Problem::file("read the module's manifest", &path, &error))?;
    let manifest: toml::Table = toml::from_str(&text)
        .map_err(|error| Problem::failed(format!("{} is not valid: {error}", path.display())))?;
    let name = manifest
        .get("package")
        .and_then(|package| package.get("name")?.as_str());
    name.map(str::to_string).ok_or_else(|| {
        Problem::failed(format!("{} names no package", path.display()))
            .advise("give the folder of a module's crate; of a workspace, that of one member")
    })
}

async fn build(app: &App, folder: &Path) -> Outcome<Module> {
    let (builder, path) = (app.builder(), folder.to_path_buf());
    tokio::task::spawn_blocking(move || builder.module(&path))
        .await
        .map_err(|panic| Problem::failed(format!("the build ended badly: {panic}")))?
}

/// Deploys what was built. What the person can mend is printed.
async fn deploy(app: &App, session: &Session, built: Outcome<Module>) -> Outcome<()> {
    let module = match built {
        Ok(module) => module,
        Err(problem) => {
            app.output.problem(&problem);
            return Ok(());
        }
    };
    deploy::warn_of_timers(app, &module.wasm);
    match deploy::upload(app, session, &module.wasm, DeployOptions::default()).await {
        Ok(report) if app.output.is_json() => app.output.json_line(&report),
        Ok(_) => Ok(()),
        Err(problem) if problem.code().is_some() => {
            app.output.problem(&problem);
            Ok(())
        }
        Err(problem) => Err(problem),
    }
}

/// Prints what the module and the node write from here on; ends only when the node does.
async fn follow(
    app: &App,
    session: &Session,
    module: &str,
    lines: &mut Answers<Vec<LogLine>>,
) -> Outcome<()> {
    while let Some(batch) = lines.next().await? {
        let others = |line: &LogLine| {
            line.module
                .as_ref()
                .is_some_and(|name| name.as_str() != module)
        };
        for line in batch.iter().filter(|line| !others(line)) {
            logs::print(app, line)?;
        }
    }
    Err(Problem::unreachable(format!(
        "node {} has stopped",
        session.label()
    )))
}

/// Waits for a change, and until no more come.
async fn rest(changed: &Notify) {
    changed.notified().await;
    while tokio::time::timeout(REST, changed.notified()).await.is_ok() {}
}

/// Tells `changed` whenever something was written that is part of the source.
fn watch(folder: &Path, changed: Arc<Notify>) -> Outcome<notify::RecommendedWatcher> {
    let failed = |error: notify::Error| {
        Problem::failed(format!("cannot watch {}: {error}", folder.display()))
    };
    let root = folder.to_path_buf();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // A watcher that lost events says so by an error: better one build too many.
        let matters = event.map_or(true, |event| {
            !matches!(event.kind, EventKind::Access(_))
                && event.paths.iter().any(|path| is_source(&root, path))
        });
        if matters {
            changed.notify_one();
        }
    })
    .map_err(failed)?;
    watcher
        .watch(folder, RecursiveMode::Recursive)
        .map_err(failed)?;
    Ok(watcher)
}

/// Whether a path below `root` is written by people: not by cargo, and not hidden.
fn is_source(root: &Path, path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(root) else {
        return false;
    };
    let is_lock = inside == Path::new(LOCK_FILE);
    let is_other = inside.components().any(|part| match part {
        Component::Normal(name) => name == BUILT || name.to_string_lossy().starts_with('.'),
        _ => true,
    });
    !is_lock && !is_other && inside != Path::new("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_called_as_its_package() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |text: &str| std::fs::write(folder.path().join("Cargo.toml"), text);
        assert!(module_name(folder.path()).is_err());
        write("[workspace]\n").expect("writes");
        assert!(module_name(folder.path()).is_err());
        write("[package]\nname = \"my-module\"\n").expect("writes");
        assert_eq!(module_name(folder.path()), Ok("my-module".to_string()));
    }

    #[test]
    fn what_cargo_and_editors_write_is_not_source() {
        let root = Path::new("/a/module");
        for path in [
            "/a/module/src/lib.rs",
            "/a/module/Cargo.toml",
            "/a/module/src/bindings/bank.toml",
        ] {
            assert!(is_source(root, Path::new(path)), "{path}");
        }
        for path in [
            "/a/module/target/x",
            "/a/module/Cargo.lock",
            "/a/module/.git/HEAD",
            "/a/module/src/.lib.rs.swp",
            "/a/b",
            "/a/module",
        ] {
            assert!(!is_source(root, Path::new(path)), "{path}");
        }
    }
}
