//! A home for one test, what runs in it, and the modules that all tests share.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use interstice_cli::build::{Builder, Talk};
use serde_json::Value as Json;
use tempfile::TempDir;

/// A home, which ends with the nodes that run in it.
pub(crate) struct Place {
    home: TempDir,
    nodes: Mutex<Vec<String>>,
}

/// What a command has done.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A command that goes on; it is ended when it is dropped.
pub(crate) struct Going {
    pub(crate) child: Child,
    /// Its standard output, until it is closed.
    lines: Option<BufReader<ChildStdout>>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            home: tempfile::tempdir().expect("a folder"),
            nodes: Mutex::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_interstice-cli"));
        command
            .args(words)
            .current_dir(self.path())
            .env("INTERSTICE_HOME", self.path().join("home"))
            .env("NO_COLOR", "1")
            .env_remove("INTERSTICE_NODE")
            .env_remove("COLUMNS")
            .stdin(Stdio::null());
        command
    }

    /// The program in a shell that has run `setting`.
    pub(crate) fn shell(&self, setting: &str, words: &[&str]) -> Command {
        let program = self.command(words);
        let script = format!("{setting} && exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &script])
            .arg(program.get_program())
            .args(words)
            .current_dir(self.path())
            .envs(
                program
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env_remove("INTERSTICE_NODE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        shell
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        let output = self.command(words).output().expect("the program runs");
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("is text"),
            err: String::from_utf8(output.stderr).expect("is text"),
        }
    }

    /// Runs a command that must succeed; what it prints, without the last line break.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, Some(0), "{words:?}: {ran:?}");
        ran.out.trim_end().to_string()
    }

    /// As [`Place::ok`], with `--json`.
    pub(crate) fn json(&self, words: &[&str]) -> Json {
        let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
        let out = self.ok(&words);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words:?}: {error}: {out}"))
    }

    /// Runs a command that must fail with `code`; what it says.
    pub(crate) fn fails(&self, code: i32, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, Some(code), "{words:?}: {ran:?}");
        ran.err
    }

    /// Starts a command that goes on.
    pub(crate) fn go(&self, words: &[&str]) -> Going {
        let mut child = self
            .command(words)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let lines = Some(BufReader::new(child.stdout.take().expect("is piped")));
        Going { child, lines }
    }

    /// Starts a node in the background, on the loopback address, with these modules. Its report.
    pub(crate) fn up(&self, name: &str, modules: &[&str]) -> Json {
        let port = free_port().to_string();
        self.up_with(name, &["--port", &port], modules)
    }

    /// As [`Place::up`], with other options.
    pub(crate) fn up_with(&self, name: &str, options: &[&str], modules: &[&str]) -> Json {
        let mut words = vec!["up", "--name", name, "--local", "--detach"];
        words.extend(options);
        let paths: Vec<String> = modules
            .iter()
            .map(|module| built(module).display().to_string())
            .collect();
        for path in &paths {
            words.extend(["--module", path]);
        }
        self.will_run(name);
        self.json(&words)
    }

    /// Notes that a node of this name is to be stopped at the end.
    pub(crate) fn will_run(&self, name: &str) {
        self.nodes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(name.to_string());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for name in self.nodes.get_mut().unwrap_or_else(PoisonError::into_inner) {
            // It may have been stopped by the test.
            let _ = Command::new(env!("CARGO_BIN_EXE_interstice-cli"))
                .args(["down", name.as_str()])
                .env("INTERSTICE_HOME", self.home.path().join("home"))
                .output();
        }
    }
}

impl Going {
    /// Reads lines until one contains `wanted`, and returns that one.
    pub(crate) fn wait_for(&mut self, wanted: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let lines = self.lines.as_mut().expect("is open");
            let count = lines.read_line(&mut line).expect("is text");
            assert!(count > 0, "it ended before `{wanted}` came: {seen}");
            if line.contains(wanted) {
                return line.trim_end().to_string();
            }
            seen.push_str(&line);
        }
    }

    /// Stops reading, and waits for the end. The exit code.
    pub(crate) fn leave(&mut self) -> Option<i32> {
        self.lines = None;
        self.child.wait().expect("it ends").code()
    }

    /// Sends a signal, and waits for the end. The exit code.
    pub(crate) fn signal(&mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("has an address").port()
}

/// The folder of the workspace's example modules.
pub(crate) fn modules_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules")
}

/// Where modules are built, beside what the workspace is built into.
pub(crate) fn modules_target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../modules")
}

/// The binary of an example module.
pub(crate) fn built(folder: &str) -> PathBuf {
    let builder = Builder::new(modules_target(), Talk::Quiet);
    let module = builder
        .module(&modules_folder().join(folder))
        .unwrap_or_else(|problem| panic!("{problem}"));
    module.path
}
