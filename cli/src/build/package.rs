//! The crate that is to be built, as cargo knows it: its id, name, version, and the workspace that
//! it belongs to.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde::Deserialize;

use super::{cannot_run, toolchain::Toolchain};
use crate::problem::{Outcome, Problem};

/// The kind of a library that becomes a WASM file.
const MODULE_KIND: &str = "cdylib";

/// A module's crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    /// Names it in cargo's commands and messages.
    pub(super) id: String,
    /// What its module must be called.
    pub(super) name: String,
    /// The version that its module must have.
    pub(super) version: semver::Version,
    /// Its folder.
    pub(super) folder: PathBuf,
    /// The folder of its workspace: its own folder, or one above it.
    pub(super) workspace: PathBuf,
    /// The folders of the workspace's members, this one among them.
    pub(super) members: Vec<PathBuf>,
    /// Whether another member's library has the same file name (`foo-bar` and `foo_bar`).
    pub(super) shares_file_name: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Described {
    id: String,
    name: String,
    version: semver::Version,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Package {
    /// Asks cargo for the crate in `folder`, a canonical path.
    ///
    /// # Errors
    /// What is wrong with its manifest, or that it makes no module.
    pub(super) fn read(toolchain: &Toolchain, folder: &Path) -> Outcome<Self> {
        let output = toolchain
            .command("cargo")
            .current_dir(folder)
            .args(["metadata", "--no-deps", "--format-version=1", "--quiet"])
            .arg("--manifest-path")
            .arg(folder.join("Cargo.toml"))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| cannot_run("cargo", &error))?;
        if output.status.success() {
            return Self::find(&output.stdout, folder);
        }
        Err(Problem::failed(format!(
            "cargo cannot read the crate in {}:\n{}",
            folder.display(),
            String::from_utf8_lossy(&output.stderr).trim_end()
        )))
    }

    /// The crate in `folder`, out of what `cargo metadata` has printed.
    fn find(printed: &[u8], folder: &Path) -> Outcome<Self> {
        let metadata: Metadata = serde_json::from_slice(printed).map_err(|error| {
            Problem::failed(format!(
                "cargo's description of {} cannot be read: {error}",
                folder.display()
            ))
        })?;
        let manifest = folder.join("Cargo.toml");
        let Some(own) = metadata
            .packages
            .iter()
            .find(|package| package.manifest_path == manifest)
        else {
            return Err(no_module(
                folder,
                "is a workspace and no crate; give the folder of one member",
            ));
        };
        let Some(file) = own.module_file() else {
            return Err(no_module(folder, "makes no WASM library"));
        };
        let mut files: BTreeMap<String, usize> = BTreeMap::new();
        for file in metadata.packages.iter().filter_map(Described::module_file) {
            *files.entry(file).or_default() += 1;
        }
        let folder_of = |package: &Described| package.manifest_path.parent().map(Path::to_path_buf);
        Ok(Self {
            id: own.id.clone(),
            name: own.name.clone(),
            version: own.version.clone(),
            folder: folder.to_path_buf(),
            workspace: metadata.workspace_root,
            members: metadata.packages.iter().filter_map(folder_of).collect(),
            shares_file_name: files.get(&file).is_some_and(|count| *count > 1),
        })
    }
}

impl Described {
    /// The name of the library's file, without its ending; `None` when the crate makes no module.
    fn module_file(&self) -> Option<String> {
        let target = self.targets.iter().find(|target| is_module(&target.kind))?;
        Some(target.name.replace('-', "_"))
    }
}

/// Whether a target with these kinds is a module.
pub(super) fn is_module(kinds: &[String]) -> bool {
    kinds.iter().any(|kind| kind == MODULE_KIND)
}

fn no_module(folder: &Path, why: &str) -> Problem {
    Problem::failed(format!("{} {why}", folder.display()))
        .advise("a module's Cargo.toml has [lib] with crate-type = [\"cdylib\"]; `init` makes a crate that has it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(folder: &str, name: &str, kind: &str) -> String {
        let file = name.replace('-', "_");
        format!(
            r#"{{"id":"path+file:///{folder}#{name}@1.2.3","name":"{name}","version":"1.2.3","manifest_path":"/{folder}/Cargo.toml",
            "targets":[{{"name":"{file}","kind":["{kind}"]}},{{"name":"build-script-build","kind":["custom-build"]}}]}}"#
        )
    }

    fn find(packages: &[String], folder: &str) -> Outcome<Package> {
        let packages = packages.join(",");
        let printed = format!(r#"{{"packages":[{packages}],"workspace_root":"/w"}}"#);
        Package::find(printed.as_bytes(), Path::new(folder))
    }

    #[test]
    fn the_crate_of_a_folder_is_found_among_the_members_of_its_workspace() {
        let all = [
            described("w/a", "alpha", "cdylib"),
            described("w/b", "beta", "cdylib"),
            described("w/common", "common", "lib"),
        ];
        let beta = find(&all, "/w/b").expect("is there");
        assert_eq!(
            (beta.name.as_str(), beta.id.as_str()),
            ("beta", "path+file:///w/b#beta@1.2.3")
        );
        assert_eq!(beta.workspace, Path::new("/w"));
        assert_eq!(beta.members.len(), 3);
        assert!(!beta.shares_file_name);
        for folder in ["/w", "/w/common"] {
            let problem = find(&all, folder).expect_err("is no module").to_string();
            assert!(problem.contains(folder), "{problem}");
        }
    }

    #[test]
    fn members_with_one_file_name_are_noticed() {
        let all = [
            described("w/a", "foo-bar", "cdylib"),
            described("w/b", "foo_bar", "cdylib"),
            described("w/c", "other", "cdylib"),
        ];
        let shares = |folder| find(&all, folder).expect("is there").shares_file_name;
        assert!(shares("/w/a") && shares("/w/b") && !shares("/w/c"));
    }
}
