//! The sources that this program carries: the guest SDK, its macros and the example modules.
//!
//! They are unpacked under `INTERSTICE_HOME/sdk/<version>-<hash>/`, as a workspace of their own: a
//! folder with that name is complete and never changes, so that crates can depend on it by path.
//! What is carried is gathered by the build script.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    home::{self, Home},
    problem::{Outcome, Problem},
};

/// Paths relative to the workspace, with `/`, and contents.
static CARRIED: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/carried.rs"));

/// The members of the unpacked workspace.
const MEMBERS: [&str; 3] = ["macros", "sdk", "sdk/abi"];

/// Where the sources lie on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    root: PathBuf,
}

impl Sources {
    /// Unpacks the sources, unless they are there.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn unpack(home: &Home) -> Outcome<Self> {
        let folder = home.sources();
        let root = folder.join(name());
        if root.is_dir() {
            return Ok(Self { root });
        }
        home::make_private_folder(&folder)?;
        let unfinished = folder.join(format!(".{}.{}", name(), std::process::id()));
        let written = CARRIED
            .iter()
            .try_for_each(|(path, content)| write(&unfinished, path, content));
        let done = written.and_then(|()| match fs::rename(&unfinished, &root) {
            Err(error) if !root.is_dir() => Err(Problem::file("make", &root, &error)),
            // Another process was faster; both have the same.
            _ => Ok(()),
        });
        // Only there when it was not renamed.
        let _ = fs::remove_dir_all(&unfinished);
        done.map(|()| Self { root })
    }

    /// The folder of the SDK's crate.
    #[must_use]
    pub fn sdk(&self) -> PathBuf {
        self.root.join("sdk")
    }

    /// The folder of an example module's crate.
    #[must_use]
    pub fn module(&self, folder: &str) -> PathBuf {
        self.root.join("modules").join(folder)
    }
}

/// The name of the folder: the version, and enough of a hash to tell builds of one version apart.
fn name() -> String {
    let mut hasher = blake3::Hasher::new();
    for (path, content) in CARRIED {
        for part in [path.as_bytes(), content] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    let hash = hasher.finalize().to_hex();
    format!(
        "{}-{}",
        env!("CARGO_PKG_VERSION"),
        hash.chars().take(12).collect::<String>()
    )
}

fn write(root: &Path, path: &str, content: &[u8]) -> Outcome<()> {
    let target = path
        .split('/')
        .fold(root.to_path_buf(), |folder, part| folder.join(part));
    if let Some(folder) = target.parent() {
        home::make_private_folder(folder)?;
    }
    let manifest;
    let content = if path == "Cargo.toml" {
        manifest = workspace(content)?;
        manifest.as_bytes()
    } else {
        content
    };
    fs::write(&target, content).map_err(|error| Problem::file("write", &target, &error))
}

/// The manifest of the unpacked workspace: that of the whole one, with fewer members.
fn workspace(content: &[u8]) -> Outcome<String> {
    let wrong = |problem: String| {
        Problem::failed(format!(
            "the sources in this program are damaged: {problem}"
        ))
    };
    let text = std::str::from_utf8(content).map_err(|error| wrong(error.to_string()))?;
    let mut manifest: toml::Table =
        toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    manifest.remove("profile");
    let workspace = manifest
        .get_mut("workspace")
        .and_then(toml::Value::as_table_mut)
        .ok_or_else(|| wrong("there is no [workspace]".to_string()))?;
    workspace.insert(
        "members".to_string(),
        MEMBERS.map(toml::Value::from).to_vec().into(),
    );
    toml::to_string(&manifest).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_are_unpacked_once_and_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::at(folder.path());
        let sources = Sources::unpack(&home).expect("unpacks");
        for path in [
            sources.sdk().join("Cargo.toml"),
            sources.sdk().join("abi/src/lib.rs"),
            sources.sdk().join("../macros/src/lib.rs"),
            sources.module("hello").join("src/lib.rs"),
            sources.module("caller").join("build.rs"),
        ] {
            assert!(path.is_file(), "{}", path.display());
        }
        assert!(!sources.sdk().join("client").exists());
        assert_eq!(Sources::unpack(&home), Ok(sources));
        let left: Vec<_> = fs::read_dir(home.sources()).expect("lists").collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn nothing_that_was_built_is_carried() {
        assert!(
            CARRIED
                .iter()
                .all(|(path, _)| !path.split('/').any(|part| part == "target"))
        );
    }
}
