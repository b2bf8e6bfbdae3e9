//! Nodes of this machine: made, run in this process until a signal or an owner ends them, or in a process of their own.
//!
//! A node in a process of its own is this program again, run as `up … --detached --json`. It prints one line when it
//! listens; whoever started it waits for that line and goes.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use interstice_abi::id::{NodeId, check_name};
use interstice_actors::{
    config::Config,
    node::{self, Listen, Node, NodeLog, StartOptions, keep_files_private},
};
use serde_json::Value as Json;

use crate::{
    app::App,
    home::write_private,
    problem::{Outcome, Problem},
    registry::{Entry, Registry},
    session,
};

/// The file in a node's folder that its process locks for as long as it lives.
const LOCK_FILE: &str = "lock";

/// The first port that is given to a node.
const FIRST_PORT: u16 = 4400;

/// A node whose folder is on this machine.
#[derive(Clone, Debug)]
pub struct LocalNode {
    /// What it is called.
    pub name: String,
    /// Its id.
    pub id: NodeId,
    /// Its folder.
    pub folder: PathBuf,
}

/// How a node is to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Where it listens.
    pub listen: Listen,
    /// The port, instead of that of its configuration.
    pub port: Option<u16>,
}

/// The local node called `word`, or `None` where nothing is called so.
///
/// # Errors
/// When the name is that of a node elsewhere.
pub fn find(app: &App, word: &str) -> Outcome<Option<LocalNode>> {
    let registry = Registry::read(&app.home)?;
    let Some(entry) = registry.find(word) else {
        return Ok(None);
    };
    let folder = app.home.node(&entry.id);
    if !folder.is_dir() {
        return Err(Problem::failed(format!(
            "node `{}` is not one of this machine: it is at {}",
            entry.name, entry.address
        )));
    }
    let path = folder.join("node.toml");
    if let Err(error) = fs::metadata(&path) {
        return Err(
            Problem::file("read the configuration of the node", &path, &error).advise(format!(
                "put the file back, from a backup or with the fields of another node's; `node remove {}` deletes the node",
                entry.name
            )),
        );
    }
    Ok(Some(LocalNode {
        name: entry.name.clone(),
        id: NodeId::from(entry.id.clone()),
        folder,
    }))
}

/// Makes a node that this command line owns. Without a port: the first free one.
///
/// # Errors
/// When the name is taken or not allowed, no port is free, or the folder cannot be written.
pub fn create(app: &App, name: &str, port: Option<u16>, listen: Listen) -> Outcome<LocalNode> {
    check_name("node name", name, true).map_err(Problem::usage)?;
    let owner = session::own_id(&app.home)?;
    let home = &app.home;
    Registry::change(home, |registry| {
        if registry.nodes().iter().any(|entry| entry.name == name) {
            return Err(Problem::failed(format!("there is a node `{name}` already"))
                .advise("choose another name; `node list` shows all"));
        }
        let port = match port {
            Some(port) => port,
            None => free_port(registry)?,
        };
        let (id, folder) =
            node::create(&home.nodes(), name, port, vec![owner]).map_err(Problem::failed)?;
        if listen != Listen::default() {
            let path = folder.join("node.toml");
            let config = Config::read(&path).map_err(Problem::failed)?;
            let text = Config { listen, ..config }
                .to_toml()
                .map_err(Problem::failed)?;
            write_private(&path, text.as_bytes())?;
        }
        registry.add(Entry {
            name: name.to_string(),
            address: format!("{}:{port}", Ipv4Addr::LOCALHOST),
            id: id.to_string(),
        })?;
        Ok(LocalNode {
            name: name.to_string(),
            id,
            folder,
        })
    })
}

/// The first port that no node of the registry has and nobody listens on.
fn free_port(registry: &Registry) -> Outcome<u16> {
    let taken = |port: &u16| {
        registry
            .nodes()
            .iter()
            .any(|entry| entry.address == format!("{}:{port}", Ipv4Addr::LOCALHOST))
    };
    (FIRST_PORT..=u16::MAX)
        .find(|port| !taken(port) && is_free(*port))
        .ok_or_else(|| {
            Problem::failed(format!("no port from {FIRST_PORT} on is free"))
                .advise("choose one with --port")
        })
}

/// Whether a node could listen on this port, on all addresses of the machine.
fn is_free(port: u16) -> bool {
    check_port(port).is_ok()
}

/// Tries whether a node could listen on this port, on all addresses of the machine.
///
/// # Errors
/// Why it could not: somebody else has the port, or it needs a right.
pub fn check_port(port: u16) -> Outcome<()> {
    let bound = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
    bound.map(drop).map_err(|error| no_port(port, &error))
}

fn no_port(port: u16, error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            Problem::failed(format!("port {port} is in use by another program or node"))
                .advise("choose another one with --port")
        }
        io::ErrorKind::PermissionDenied => Problem::failed(format!(
            "this user may not listen on port {port}: ports below 1024 usually need a right"
        ))
        .advise("choose a port from 1024 on with --port, or give the program the right (CAP_NET_BIND_SERVICE on Linux)"),
        _ => Problem::failed(format!("cannot listen on port {port}: {error}")),
    }
}

/// Whether a process has a node's folder.
#[must_use]
pub fn is_locked(folder: &Path) -> bool {
    File::open(folder.join(LOCK_FILE)).is_ok_and(|file| file.try_lock().is_err())
}

/// Starts a node in this process; it listens when this returns.
///
/// # Errors
/// Why it cannot start.
pub fn start(app: &App, local: &LocalNode, run: &Run) -> Outcome<Running> {
    let options = StartOptions {
        listen: run.listen,
        port: run.port,
        workers: None,
    };
    keep_pages_small();
    // What libraries make in the node's folder is private as well.
    keep_files_private();
    let node = Node::start(&local.folder, options)
        .map_err(|error| Problem::failed(with_causes(&error)))?;
    let address = format!("{}:{}", Ipv4Addr::LOCALHOST, node.port());
    Registry::change(&app.home, |registry| {
        registry.set_address(local.id.as_str(), &address);
        Ok(())
    })?;
    Ok(Running {
        addresses: node.addresses(),
        stop: Arc::new(node.stopper()),
        node,
    })
}

/// For how many milliseconds the allocator of a node in the background keeps memory that was freed: checkpoints, which follow each other
/// under load, need the same amount again, and what comes from the kernel must be cleared first.
const KEPT_MEMORY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "1000");

/// The kernel clears a huge page in one piece, which holds a module's thread for half a millisecond and more, again and again
/// while tables grow. Small pages cost the same in all.
#[cfg(target_os = "linux")]
pub fn keep_pages_small() {
    // Where it may not be changed the node works as well, with longer waits.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(not(target_os = "linux"))]
pub fn keep_pages_small() {}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// A node in this process.
pub struct Running {
    /// Where it listens, as multiaddresses.
    pub addresses: Vec<String>,
    stop: Arc<dyn Fn() + Send + Sync>,
    node: Node,
}

impl Running {
    /// The node's log.
    #[must_use]
    pub fn log(&self) -> NodeLog {
        self.node.log()
    }

    /// Stops the node at once when something after its start has failed.
    pub fn abandon(self) {
        (self.stop)();
        // What went wrong before is what matters to the person.
        let _ = self.node.wait();
    }

    /// Waits until the node has ended: by Ctrl-C, by SIGTERM, or by an owner's order. `on_signal` runs when a signal came.
    ///
    /// # Errors
    /// When it did not end in order.
    pub async fn until_it_ends(self, end: EndSignal, on_signal: impl FnOnce()) -> Outcome<()> {
        let stop = self.stop.clone();
        let node = self.node;
        let mut ended = tokio::task::spawn_blocking(move || node.wait());
        let result = tokio::select! {
            result = &mut ended => result,
            signal = end.came() => {
                signal?;
                on_signal();
                stop();
                ended.await
            }
        };
        match result {
            Ok(result) => result.map_err(|error| Problem::failed(with_causes(&error))),
            Err(panic) => Err(Problem::failed(format!("the node ended badly: {panic}"))),
        }
    }
}

/// Ctrl-C, or a request to terminate. From the moment it is made neither ends the process, and none is missed.
#[derive(Debug)]
pub struct EndSignal {
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl EndSignal {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system does not let us wait for signals.
    pub fn listen() -> Outcome<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                hangup: None,
                interrupt: signal(SignalKind::interrupt()).map_err(no_signals)?,
                terminate: signal(SignalKind::terminate()).map_err(no_signals)?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// The same, with the end of the terminal, unless the process was started to outlive it (`nohup`).
    ///
    /// # Errors
    /// When the system does not let us wait for signals.
    pub fn or_hangup(self) -> Outcome<Self> {
        #[cfg(unix)]
        if !hangup_is_ignored() {
            use tokio::signal::unix::{SignalKind, signal};
            let hangup = signal(SignalKind::hangup()).map_err(no_signals)?;
            return Ok(Self {
                hangup: Some(hangup),
                ..self
            });
        }
        Ok(self)
    }

    /// Waits until one has come.
    ///
    /// # Errors
    /// When the system does not let us wait for signals.
    pub async fn came(mut self) -> Outcome<()> {
        #[cfg(unix)]
        {
            let hangup = async {
                match &mut self.hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                _ = hangup => {}
            }
            Ok(())
        }
        #[cfg(not(unix))]
        {
            tokio::signal::ctrl_c().await.map_err(no_signals)
        }
    }
}

/// Whether the process was started with the hang-up signal ignored. Where the system does not show it, it was not.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_first_ignored(&status)
}

/// Whether signal 1, the hang-up, is ignored, as `/proc/<pid>/status` shows it.
fn is_first_ignored(status: &str) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn no_signals(error: io::Error) -> Problem {
    Problem::failed(format!("cannot wait for signals: {error}"))
}

/// Waits for Ctrl-C or a request to terminate.
///
/// # Errors
/// When the system does not let us wait for signals.
pub async fn end_signal() -> Outcome<()> {
    EndSignal::listen()?.came().await
}

/// Lets a node outlive the terminal it was started from: the hang-up signal is received, and nothing is done about it.
pub fn ignore_hangup() {
    #[cfg(unix)]
    tokio::spawn(async {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut hangup) = signal(SignalKind::hangup()) {
            while hangup.recv().await.is_some() {}
        }
    });
}

/// Starts this program again with `arguments` in the background, and waits for the line that says that it runs.
///
/// # Errors
/// What the other process said when it ended instead.
pub fn detach(app: &App, arguments: &[OsString]) -> Outcome<Json> {
    let program = std::env::current_exe()
        .map_err(|error| Problem::failed(format!("cannot find this program: {error}")))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .args(["--detached", "--json"])
        .env(crate::home::HOME_VARIABLE, app.home.root())
        .env_remove("INTERSTICE_NODE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if std::env::var_os(KEPT_MEMORY.0).is_none() {
        command.env(KEPT_MEMORY.0, KEPT_MEMORY.1);
    }
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        // Out of the terminal's foreground: Ctrl-C there is not for the node.
        command.process_group(0);
    }
    let failed = |error: io::Error| {
        Problem::failed(format!("cannot start the node in the background: {error}"))
    };
    let mut child = command.spawn().map_err(failed)?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line).map_err(failed)?;
    }
    match serde_json::from_str(&line) {
        Ok(report) => Ok(report),
        Err(_) => Err(last_words(child)),
    }
}

/// Why a node in the background did not start.
fn last_words(mut child: Child) -> Problem {
    let mut said = String::new();
    if let Some(mut stream) = child.stderr.take() {
        // What cannot be read cannot be repeated; the message below then stands alone.
        let _ = stream.read_to_string(&mut said);
    }
    // It has closed its output: it is ending, if it has not ended yet.
    let _ = child.wait();
    let error = said
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str::<Json>(line).ok());
    let text = |field: &str| {
        error
            .as_ref()
            .and_then(|error| error.get("error")?.get(field)?.as_str().map(str::to_string))
    };
    let problem = match text("message") {
        Some(message) => Problem::failed(message),
        None => Problem::failed(format!(
            "the node ended before it listened: {}",
            said.trim()
        )),
    };
    match text("advice") {
        Some(advice) => problem.advise(advice),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_without_the_right_is_not_called_in_use() {
        let said = |kind: io::ErrorKind| {
            let problem = no_port(80, &kind.into());
            (problem.to_string(), problem.advice().map(str::to_string))
        };
        let (message, advice) = said(io::ErrorKind::PermissionDenied);
        assert!(message.contains("may not listen on port 80"), "{message}");
        assert!(advice.is_some_and(|advice| advice.contains("1024")));
        let (message, _) = said(io::ErrorKind::AddrInUse);
        assert!(message.contains("port 80 is in use"), "{message}");
        let (message, _) = said(io::ErrorKind::OutOfMemory);
        assert!(message.contains("cannot listen on port 80"), "{message}");
    }

    #[test]
    fn an_ignored_hangup_is_read_from_the_mask() {
        let status = |mask: &str| format!("Name:\ta\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
        assert!(is_first_ignored(&status("0000000000001001")));
        assert!(!is_first_ignored(&status("0000000000001000")));
        assert!(!is_first_ignored("Name:\ta\n"));
    }
}
