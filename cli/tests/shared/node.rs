//! The process of a real node, where it lives, and how clients reach it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use interstice_client::{Client, ConnectOptions, Identity, Target};
use tempfile::TempDir;

/// Longer than anything takes on a machine under load.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// More than an answer is ever late.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The name of every node.
pub(crate) const NAME: &str = "killed";

/// Bytes of the log between two checkpoints: a few dozen calls.
const CHECKPOINT_BYTES: i64 = 8192;

/// For an `init` that reads thousands of rows in a node that is not optimized.
const STEP_DEADLINE_MS: i64 = 30_000;

/// A home with one node.
pub(crate) struct Place {
    home: TempDir,
    port: u16,
    /// Further environment of the node's process.
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
}

/// A running node.
pub(crate) struct Node {
    child: Child,
    pub(crate) address: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            home: tempfile::tempdir().expect("a folder"),
            port: free_port(),
            environment: Vec::new(),
        }
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    /// The owner's key.
    pub(crate) fn key(&self) -> PathBuf {
        self.home.path().join("key")
    }

    /// Starts the process.
    pub(crate) fn spawn(&self) -> Child {
        self.command()
            .args(["up", "--name", NAME, "--local", "--json", "--port"])
            .arg(self.port.to_string())
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts")
    }

    /// Runs a command of this home to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let output = self.command().args(words).output();
        output.expect("the program runs")
    }

    fn command(&self) -> Command {
        let program = std::env::var("INTERSTICE_PROGRAM");
        let program = program.unwrap_or_else(|_| env!("CARGO_BIN_EXE_interstice-cli").into());
        let mut command = Command::new(program);
        command
            .env("INTERSTICE_HOME", self.home.path())
            .env_remove("INTERSTICE_NODE")
            .stdin(Stdio::null());
        command
    }

    /// Starts the process and waits until it says where it listens.
    pub(crate) fn start(&self) -> Node {
        let mut child = self.spawn();
        let said = child.stdout.take().expect("it is piped");
        let mut node = Node {
            child,
            address: String::new(),
        };
        let mut heard = String::new();
        for line in BufReader::new(said).lines() {
            let line = line.expect("it is text");
            let mut words = line.split(['"', ' ', ',']);
            if let Some(address) = words.find(|word| word.starts_with("/ip4/127.0.0.1/")) {
                node.address = address.to_string();
                return node;
            }
            heard.push_str(&line);
        }
        unreachable!("the node ended without saying where it listens: {heard}");
    }

    /// Checkpoints all the time, so that they are killed too.
    pub(crate) fn configure(&self) {
        let nodes = fs::read_dir(self.home.path().join("nodes")).expect("a folder");
        let path = nodes
            .flatten()
            .map(|entry| entry.path().join("node.toml"))
            .find(|path| path.is_file())
            .expect("`up` has made a node");
        let text = fs::read_to_string(&path).expect("it is text");
        let mut config: toml::Table = text.parse().expect("it is valid");
        config.insert("checkpoint_bytes".into(), CHECKPOINT_BYTES.into());
        let limits = config.entry("limits").or_insert(toml::Table::new().into());
        let limits = limits.as_table_mut().expect("limits are a table");
        limits.insert("deadline_ms".into(), STEP_DEADLINE_MS.into());
        fs::write(path, config.to_string()).expect("it is written");
    }
}

impl Node {
    pub(crate) async fn connect(&self, identity: &Identity) -> Client {
        let connected = connect(&self.address, identity).await;
        connected.expect("the node answers")
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        // It may have stopped in order already.
        let _ = self.child.kill();
        self.child.wait().expect("it ends");
    }

    /// SIGTERM: the node begins to stop in order.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Only when a check has failed; otherwise it is dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn connect(
    address: &str,
    identity: &Identity,
) -> Result<Client, interstice_client::Error> {
    let target: Target = address.parse().expect("an address");
    let options = ConnectOptions {
        deadline: DEADLINE,
        ..ConnectOptions::default()
    };
    Client::connect(identity, &target, &options).await
}

/// A port below those that systems give to outgoing connections: it must still be free after each
/// kill.
fn free_port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 1000).unwrap_or(0) * 10;
    let mut ports = first..first + 1000;
    let free = ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.expect("not all of them are taken")
}
