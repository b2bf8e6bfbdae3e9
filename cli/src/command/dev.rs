//! `dev`: build and deploy, again whenever the source changes, with the module's log in between.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use interstice_abi::wire::{DeployOptions, LogsMode};
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::{deploy, logs};
use crate::{
    app::App,
    build::Module,
    node_process,
    problem::{Outcome, Problem},
    session::Session,
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
        let changed = Arc::new(Notify::new());
        // Watches as long as it lives.
        let _watcher = watch(&folder, changed.clone())?;
        let end = node_process::end_signal();
        tokio::pin!(end);
        let mut following = None;
        loop {
            tokio::select! {
                signal = &mut end => return signal,
                name = round(app, &session, &folder) => {
                    if following.is_none() {
                        following = name?;
                    }
                }
            }
            app.output
                .say(format!("waiting for changes in {}", folder.display()));
            tokio::select! {
                signal = &mut end => return signal,
                () = rest(&changed) => {}
                result = follow(app, &session, following.as_deref()) => return result,
            }
        }
    }
}

/// Builds and deploys once. What the person can mend is printed; the module's name comes back once it is installed.
async fn round(app: &App, session: &Session, folder: &Path) -> Outcome<Option<String>> {
    let (builder, path) = (app.builder(), folder.to_path_buf());
    let built = tokio::task::spawn_blocking(move || builder.module(&path)).await;
    let module: Module =
        match built.map_err(|panic| Problem::failed(format!("the build ended badly: {panic}")))? {
            Ok(module) => module,
            Err(problem) => {
                app.output.problem(&problem);
                return Ok(None);
            }
        };
    match deploy::upload(app, session, &module.wasm, DeployOptions::default()).await {
        Ok(report) => {
            if app.output.is_json() {
                app.output.line(&report)?;
            }
            Ok(report
                .get("module")
                .and_then(|name| name.as_str())
                .map(str::to_string))
        }
        Err(problem) if problem.code().is_some() => {
            app.output.problem(&problem);
            Ok(None)
        }
        Err(problem) => Err(problem),
    }
}

/// Prints what the module writes from here on; ends only when the node does.
async fn follow(app: &App, session: &Session, module: Option<&str>) -> Outcome<()> {
    let Some(module) = module else {
        return std::future::pending().await;
    };
    let lines = session.logs(Some(module), 0, LogsMode::Follow)?;
    logs::print_all(app, lines).await?;
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
