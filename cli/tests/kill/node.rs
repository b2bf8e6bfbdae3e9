//! The process that is killed, where it lives, and the modules that it runs.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use interstice_cli::build::{Builder, Talk};
use interstice_client::{Client, ConnectOptions, Identity, Target};
use tempfile::TempDir;

/// Bytes of the log between two checkpoints: a few dozen calls.
const CHECKPOINT_BYTES: i64 = 8192;

/// For an `init` that reads thousands of rows in a node that is not optimized.
const STEP_DEADLINE_MS: i64 = 30_000;

/// A home with one node.
pub(crate) struct Place {
    home: TempDir,
    port: u16,
}

/// A running node.
pub(crate) struct Node {
    child: Child,
    pub(crate) address: String,
}

/// The binaries.
#[derive(Clone)]
pub(crate) struct Modules {
    pub(crate) vault: Arc<[u8]>,
    pub(crate) ledger: Arc<[u8]>,
    pub(crate) mirror: Arc<[u8]>,
    pub(crate) echo: Arc<[u8]>,
    /// The second version of `echo`: its table has one column more.
    pub(crate) echo_2: Arc<[u8]>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            home: tempfile::tempdir().expect("a folder"),
            port: free_port(),
        }
    }

    /// The owner's key.
    pub(crate) fn key(&self) -> PathBuf {
        self.home.path().join("key")
    }

    /// Starts the process.
    pub(crate) fn spawn(&self) -> Child {
        let program = std::env::var("INTERSTICE_PROGRAM");
        let program = program.unwrap_or_else(|_| env!("CARGO_BIN_EXE_interstice-cli").into());
        Command::new(program)
            .env("INTERSTICE_HOME", self.home.path())
            .env_remove("INTERSTICE_NODE")
            .args(["up", "--name", "killed", "--local", "--json", "--port"])
            .arg(self.port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts")
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
        deadline: crate::DEADLINE,
        ..ConnectOptions::default()
    };
    Client::connect(identity, &target, &options).await
}

/// A port below those that systems give to outgoing connections: it must still be free after each kill.
fn free_port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 1000).unwrap_or(0) * 10;
    let mut ports = first..first + 1000;
    let free = ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.expect("not all of them are taken")
}

impl Modules {
    /// Builds them as `deploy` does.
    pub(crate) fn build() -> Self {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../modules");
        let built = |target: &Path, folder: &Path| {
            let built = Builder::new(target, Talk::Quiet).module(folder);
            let module = built.unwrap_or_else(|problem| unreachable!("{problem}"));
            Arc::from(module.wasm)
        };
        let second = tempfile::tempdir().expect("a folder");
        second_echo(&modules, second.path());
        Self {
            vault: built(&target, &modules.join("vault")),
            ledger: built(&target, &modules.join("ledger")),
            mirror: built(&target, &modules.join("mirror")),
            echo: built(&target, &modules.join("echo")),
            echo_2: built(&target, second.path()),
        }
    }
}

/// Writes the crate of the second version of `echo`.
fn second_echo(modules: &Path, into: &Path) {
    let read = |path: &str| fs::read_to_string(modules.join(path)).expect("the module is there");
    let write = |path: &str, text: &str| {
        fs::write(into.join(path), text).expect("a crate is written");
    };
    let changed = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "the module has changed: {from}");
        text.replace(from, to)
    };
    fs::create_dir_all(into.join("src/bindings")).expect("a crate is written");
    let sdk = modules.join("../sdk").display().to_string();
    let manifest = changed(&read("echo/Cargo.toml"), "../../sdk", &sdk);
    let manifest = changed(&manifest, "version = \"0.1.0\"", "version = \"0.2.0\"");
    let workspace = read("Cargo.toml");
    let profile = workspace
        .split_once("[profile.release]")
        .expect("has one")
        .1;
    write(
        "Cargo.toml",
        &format!("{manifest}\n[workspace]\n\n[profile.release]{profile}"),
    );
    write("Cargo.lock", &read("Cargo.lock"));
    write("build.rs", &read("echo/build.rs"));
    write(
        "src/bindings/mirror.toml",
        &read("echo/src/bindings/mirror.toml"),
    );
    let source = read("echo/src/lib.rs");
    let source = changed(
        &source,
        "    pub heard: u64,\n}",
        "    pub heard: u64,\n    /// 7 where it came before the column.\n    #[default(7)]\n    pub grade: u64,\n}",
    );
    let source = changed(
        &source,
        "Echo { id: 0, heard }",
        "Echo { id: 0, heard, grade: 9 }",
    );
    write("src/lib.rs", &source);
}
