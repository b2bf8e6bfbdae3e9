//! The one place that knows how to build a module crate to WASM: `deploy`, `example`, `dev`, `bindings` and the tests use it.
//!
//! The build is a cargo of its own, in an environment of its own ([`environment`]), with a toolchain that can do it
//! ([`toolchain`]) and a target folder that is not the crate's. The crate's own `Cargo.lock` and `.cargo/config.toml` do not
//! stand in the way: the lock file may be updated, and what the configuration says of targets and folders is overridden.

mod artifact;
pub mod environment;
pub mod toolchain;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::problem::{Outcome, Problem};

/// The target that modules are compiled for.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// What cargo says while it builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// Everything, on standard error, as it comes.
    Aloud,
    /// Nothing; the compiler's errors are part of the problem that is returned.
    Quiet,
}

/// How a module is built.
#[derive(Clone, Debug)]
pub struct Builder {
    target_folder: PathBuf,
    talk: Talk,
}

/// A module's binary.
#[derive(Clone, Debug)]
pub struct Module {
    /// The file.
    pub path: PathBuf,
    /// Its content.
    pub wasm: Vec<u8>,
}

impl Builder {
    /// A builder that keeps what it has compiled in `target_folder`, which modules may share.
    #[must_use]
    pub fn new(target_folder: impl Into<PathBuf>, talk: Talk) -> Self {
        Self {
            target_folder: target_folder.into(),
            talk,
        }
    }

    /// The module at `path`: a `.wasm` file as it is, a crate's folder or `Cargo.toml` after it was built.
    ///
    /// # Errors
    /// What cannot be read, what the compiler says, or what is missing to build.
    pub fn module(&self, path: &Path) -> Outcome<Module> {
        let is_wasm = path
            .extension()
            .is_some_and(|extension| extension == "wasm");
        let file = if is_wasm {
            path.to_path_buf()
        } else {
            self.build(&crate_folder(path)?)?
        };
        let wasm =
            fs::read(&file).map_err(|error| Problem::file("read the module", &file, &error))?;
        Ok(Module { path: file, wasm })
    }

    /// Builds the crate in `folder` and returns the path of its binary.
    fn build(&self, folder: &Path) -> Outcome<PathBuf> {
        let toolchain = toolchain::choose(folder)?;
        toolchain.require_wasm_target(folder)?;
        let mut cargo = toolchain.command("cargo");
        cargo
            .current_dir(folder)
            .args([
                "build",
                "--release",
                "--target",
                WASM_TARGET,
                "--message-format=json-render-diagnostics",
                "--target-dir",
            ])
            .arg(&self.target_folder)
            .arg("--manifest-path")
            .arg(folder.join("Cargo.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        match self.talk {
            Talk::Aloud => cargo.stderr(Stdio::inherit()),
            Talk::Quiet => cargo.arg("--quiet").stderr(Stdio::piped()),
        };
        let output = cargo
            .output()
            .map_err(|error| cannot_run("cargo", &error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let separator = if said.is_empty() { "" } else { ":\n" };
            return Err(Problem::failed(format!(
                "the crate in {} does not build{separator}{}",
                folder.display(),
                said.trim_end()
            )));
        }
        artifact::find(&output.stdout, folder)
    }
}

/// The folder of the crate that a person means by `path`.
fn crate_folder(path: &Path) -> Outcome<PathBuf> {
    let is_manifest = path.file_name() == Some(OsStr::new("Cargo.toml"));
    let folder = match path.parent() {
        Some(parent) if is_manifest && !parent.as_os_str().is_empty() => parent,
        _ if is_manifest => Path::new("."),
        _ => path,
    };
    let folder =
        fs::canonicalize(folder).map_err(|error| Problem::file("find the module", path, &error))?;
    if folder.join("Cargo.toml").is_file() {
        Ok(folder)
    } else {
        Err(Problem::failed(format!(
            "{} is not a module: it has no Cargo.toml",
            folder.display()
        ))
        .advise("give the folder of a module's crate, or a .wasm file; `init` makes a crate"))
    }
}

fn cannot_run(program: &str, error: &std::io::Error) -> Problem {
    Problem::failed(format!("cannot run {program}: {error}"))
        .advise("building a module needs Rust; https://rustup.rs installs it, and a .wasm file can be deployed without")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_crate_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let builder = Builder::new(folder.path().join("target"), Talk::Quiet);
        for path in [
            folder.path().to_path_buf(),
            folder.path().join("missing"),
            folder.path().join("a.wasm"),
        ] {
            let problem = builder.module(&path).expect_err("is nothing").to_string();
            assert!(
                problem.contains(&folder.path().display().to_string()),
                "{problem}"
            );
        }
    }
}
