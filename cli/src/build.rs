//! The one place that knows how to build a module crate to WASM: `deploy`, `example`, `dev`,
//! `bindings` and the tests use it.
//!
//! The build is a cargo of its own, in an environment of its own ([`environment`]), with a
//! toolchain that can do it ([`toolchain`]), in a folder that belongs to the crate's workspace
//! alone (`folder`). The crate's own `Cargo.lock` and `.cargo/config.toml` do not stand in the
//! way: the lock file may be updated, and what the configuration says of targets and folders is
//! overridden. What was built is the module of the crate that was asked for, or the build fails:
//! cargo is asked for one package by its id (`package`), the binary is the one that cargo names
//! for that id (`artifact`), and it says its name and version itself (`check`).

mod artifact;
mod check;
pub mod environment;
mod folder;
mod package;
mod sources;
pub mod toolchain;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use artifact::Messages;
use folder::BuildFolder;
use package::Package;
use toolchain::Toolchain;

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
    builds: PathBuf,
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
    /// A builder that keeps what it has compiled in `builds`, in a folder for each workspace.
    /// Builders may share it.
    #[must_use]
    pub fn new(builds: impl Into<PathBuf>, talk: Talk) -> Self {
        Self {
            builds: builds.into(),
            talk,
        }
    }

    /// The module at `path`: a `.wasm` file as it is, a crate's folder or `Cargo.toml` after it
    /// was built.
    ///
    /// # Errors
    /// What cannot be read, what the compiler says, or what is missing to build.
    pub fn module(&self, path: &Path) -> Outcome<Module> {
        let is_wasm = path
            .extension()
            .is_some_and(|extension| extension == "wasm");
        if is_wasm {
            read(path)
        } else {
            self.build(&crate_folder(path)?)
        }
    }

    /// Builds the crate in `folder`, and makes sure that the binary is its module.
    fn build(&self, folder: &Path) -> Outcome<Module> {
        let toolchain = toolchain::choose(folder)?;
        toolchain.require_wasm_target(folder)?;
        let package = Package::read(&toolchain, folder)?;
        // Locked until the binary was read.
        let place = BuildFolder::open(&self.builds, &package)?;
        place.prepare(&self.builds, &package)?;
        let messages = self.run_cargo(&toolchain, &package, &place.target())?;
        let module = read(&messages.module(&package)?)?;
        place.note(&package, &messages, &module.path)?;
        let hash = blake3::hash(&module.wasm);
        let checked = format!("{hash} {} {}", package.name, package.version);
        if place.checked().as_ref() != Some(&checked) {
            check::is_module_of(&package, &module.wasm)?;
            place.note_checked(&checked)?;
        }
        Ok(module)
    }

    fn run_cargo(
        &self,
        toolchain: &Toolchain,
        package: &Package,
        target: &Path,
    ) -> Outcome<Messages> {
        let mut cargo = toolchain.command("cargo");
        cargo
            .current_dir(&package.folder)
            .args([
                "build",
                "--release",
                "--lib",
                "--target",
                WASM_TARGET,
                "--message-format=json-render-diagnostics",
                "--target-dir",
            ])
            .arg(target)
            .arg("--manifest-path")
            .arg(package.folder.join("Cargo.toml"))
            .args(["--package", &package.id])
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
                package.folder.display(),
                said.trim_end()
            )));
        }
        Ok(Messages::read(&output.stdout))
    }
}

fn read(path: &Path) -> Outcome<Module> {
    let wasm = fs::read(path).map_err(|error| Problem::file("read the module", path, &error))?;
    Ok(Module {
        path: path.to_path_buf(),
        wasm,
    })
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
        let builder = Builder::new(folder.path().join("builds"), Talk::Quiet);
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
