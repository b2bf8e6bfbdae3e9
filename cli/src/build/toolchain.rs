//! Which Rust builds a module: the one that its folder chooses, or the one this program was built
//! with where that is missing or too old. The WASM target is added through rustup where it is
//! missing.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{WASM_TARGET, cannot_run, environment};
use crate::{
    output,
    problem::{Outcome, Problem},
};

/// The oldest Rust that compiles the SDK.
const OLDEST: semver::Version = semver::Version::new(1, 95, 0);

/// The toolchain that is known to compile the SDK.
const KNOWN: &str = "1.95.0";

/// A Rust that can build modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// The name for `RUSTUP_TOOLCHAIN`; `None` for the folder's own choice.
    name: Option<String>,
}

/// The toolchain for the crate in `folder`.
///
/// # Errors
/// When there is none that can build modules, with what to install.
pub fn choose(folder: &Path) -> Outcome<Toolchain> {
    let own = Toolchain { name: None };
    match own.version(folder) {
        Ok(Some(version)) if version >= OLDEST => return Ok(own),
        Ok(_) => {}
        Err(error) => return Err(cannot_run("rustc", &error)),
    }
    let known = Toolchain {
        name: Some(KNOWN.to_string()),
    };
    match known.version(folder) {
        Ok(Some(version)) if version >= OLDEST => Ok(known),
        _ => Err(Problem::failed(format!(
            "modules need Rust {OLDEST} or later, and the one for {} is older or missing",
            folder.display()
        ))
        .advise(format!(
            "run `rustup toolchain install {KNOWN} --target {WASM_TARGET}`"
        ))),
    }
}

impl Toolchain {
    /// A program of this toolchain, in an environment of its own.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        environment::clear(&mut command);
        if let Some(name) = &self.name {
            command.env("RUSTUP_TOOLCHAIN", name);
        }
        command
    }

    /// Its version in `folder`; `None` when rustup has none to offer there.
    fn version(&self, folder: &Path) -> std::io::Result<Option<semver::Version>> {
        let output = self
            .command("rustc")
            .current_dir(folder)
            .arg("--version")
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(said.split_whitespace().nth(1).and_then(|word| {
            let mut version = semver::Version::parse(word).ok()?;
            // A nightly of 1.95 is a 1.95.
            version.pre = semver::Prerelease::EMPTY;
            Some(version)
        }))
    }

    /// Sees to it that the WASM target is there, adding it where rustup can.
    ///
    /// # Errors
    /// When it is missing and cannot be added, with the command to run.
    pub fn require_wasm_target(&self, folder: &Path) -> Outcome<()> {
        if self.has_wasm_target(folder)? {
            return Ok(());
        }
        let name = self
            .name
            .as_ref()
            .map_or_else(String::new, |name| format!(" --toolchain {name}"));
        let by_hand = format!("rustup target add {WASM_TARGET}{name}");
        output::Output::new(output::Format::Text)
            .say(format!("Rust's target {WASM_TARGET} is missing; adding it with `{by_hand}`, which may take a minute"));
        let mut rustup = self.command("rustup");
        rustup
            .current_dir(folder)
            .args(["target", "add", WASM_TARGET])
            .stdin(Stdio::null());
        if let Some(name) = &self.name {
            rustup.args(["--toolchain", name]);
        }
        // What rustup says is talk.
        let status = rustup.stdout(Stdio::null()).status();
        match status {
            Ok(status) if status.success() && self.has_wasm_target(folder)? => Ok(()),
            _ => Err(Problem::failed(format!(
                "Rust's target {WASM_TARGET} is missing and could not be added"
            ))
            .advise(format!("in {}, run: {by_hand}", folder.display()))),
        }
    }

    fn has_wasm_target(&self, folder: &Path) -> Outcome<bool> {
        let output = self
            .command("rustc")
            .current_dir(folder)
            .args(["--print", "target-libdir", "--target", WASM_TARGET])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| cannot_run("rustc", &error))?;
        let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        Ok(output.status.success() && path.is_dir())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_toolchain_is_the_one_of_the_workspace() {
        let file: toml::Table =
            toml::from_str(include_str!("../../../rust-toolchain.toml")).expect("is TOML");
        let channel = file.get("toolchain").and_then(|table| table.get("channel"));
        assert_eq!(channel.and_then(toml::Value::as_str), Some(KNOWN));
    }

    #[test]
    fn a_toolchain_that_builds_modules_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let toolchain = choose(folder.path()).expect("is found");
        toolchain
            .require_wasm_target(folder.path())
            .expect("has the target");
    }
}
