//! A node's process, and how much memory it has.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

/// A node's process.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: String,
}

impl Running {
    /// Starts `up` and waits until it says where the node listens.
    pub(crate) fn up(home: &Path) -> Self {
        Self::up_with(home, ":")
    }

    /// The same in a shell that has run `setting`.
    pub(crate) fn up_with(home: &Path, setting: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_interstice-cli");
        // Tests run side by side, and the program looks for a free port no better than they do.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = port.expect("there is a free port").port();
        let script =
            format!("{setting} && exec '{program}' up --name loaded --local --port {port} --json");
        let child = Command::new("sh")
            .env("INTERSTICE_HOME", home)
            .env_remove("INTERSTICE_NODE")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        let mut running = Self {
            child,
            address: String::new(),
        };
        let said = running.child.stdout.take().expect("it is piped");
        let mut heard = String::new();
        for line in BufReader::new(said).lines() {
            let line = line.expect("it is text");
            let mut words = line.split(['"', ' ', ',']);
            if let Some(address) = words.find(|word| word.starts_with("/ip4/127.0.0.1/")) {
                running.address = address.to_string();
                return running;
            }
            heard.push_str(&line);
        }
        unreachable!("the node ended without saying where it listens: {heard}");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only when a check has failed; otherwise it is dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of a process.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kibibytes.expect("the system tells") * 1024
}
