//! What a build has made, read off cargo's messages: paths are never guessed.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::package::{Package, is_module};
use crate::problem::{Outcome, Problem};

/// The messages that matter, out of those that `--message-format=json` prints.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    out_dir: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

/// What cargo has said of a build.
pub(super) struct Messages(Vec<Message>);

impl Messages {
    /// Reads cargo's output, one message a line.
    pub(super) fn read(printed: &[u8]) -> Self {
        let lines = printed.split(|byte| *byte == b'\n');
        Self(
            lines
                .filter_map(|line| serde_json::from_slice(line).ok())
                .collect(),
        )
    }

    /// The WASM file of `package`.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(super) fn module(&self, package: &Package) -> Outcome<PathBuf> {
        let made = self.artifacts().filter(|message| {
            let is_module = |target: &Target| is_module(&target.kind);
            message.package_id == package.id && message.target.as_ref().is_some_and(is_module)
        });
        let mut files = made
            .flat_map(|message| &message.filenames)
            .filter(|path| path.extension().is_some_and(|ending| ending == "wasm"));
        match (files.next(), files.next()) {
            (Some(path), None) => Ok(path.clone()),
            (first, _) => Err(Problem::failed(format!(
                "the build of {} in {} has made {} WASM library",
                package.id,
                package.folder.display(),
                if first.is_some() {
                    "more than one"
                } else {
                    "no"
                }
            ))),
        }
    }

    /// The hashes by which cargo tells apart what it has built of packages outside `workspace`:
    /// those are the same whichever crate they are built for.
    pub(super) fn dependencies(&self, workspace: &Path) -> BTreeSet<String> {
        let is_outside = |message: &&Message| {
            let manifest = message.manifest_path.as_ref();
            manifest.is_some_and(|manifest| !manifest.starts_with(workspace))
        };
        let outside: Vec<&Message> = self.artifacts().filter(is_outside).collect();
        let ids: BTreeSet<&str> = outside
            .iter()
            .map(|message| message.package_id.as_str())
            .collect();
        let ran = self
            .0
            .iter()
            .filter(|message| ids.contains(message.package_id.as_str()))
            .filter_map(|message| message.out_dir.as_ref());
        let made = outside.iter().flat_map(|message| &message.filenames);
        let parts = made.chain(ran).flat_map(|path| path.iter());
        parts
            .filter_map(|part| unit(part.to_str()?))
            .map(str::to_string)
            .collect()
    }

    fn artifacts(&self) -> impl Iterator<Item = &Message> {
        let artifacts = self.0.iter();
        artifacts.filter(|message| message.reason == "compiler-artifact")
    }
}

/// The hash in the name of a file or folder that cargo has made for one unit of its work: sixteen
/// hexadecimal digits at the end, before what follows a point.
pub(super) fn unit(name: &str) -> Option<&str> {
    let stem = name.split('.').find(|part| !part.is_empty())?;
    let (before, hash) = stem.split_at_checked(stem.len().checked_sub(16)?)?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_hash = hash.bytes().all(is_digit) && (before.is_empty() || before.ends_with('-'));
    is_hash.then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(id: &str) -> Package {
        Package {
            id: id.to_string(),
            name: id.to_string(),
            version: semver::Version::new(1, 0, 0),
            folder: PathBuf::from("/w/a"),
            workspace: PathBuf::from("/w"),
            members: Vec::new(),
            shares_file_name: false,
        }
    }

    fn artifact(id: &str, manifest: &str, kind: &str, file: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"{id}","manifest_path":"{manifest}","target":{{"kind":["{kind}"]}},"filenames":["{file}"]}}"#
        )
    }

    #[test]
    fn the_library_of_one_package_is_found_among_others() {
        let messages = [
            artifact("b", "/w/b/Cargo.toml", "cdylib", "/t/b.wasm"),
            artifact("a", "/w/a/Cargo.toml", "custom-build", "/t/build"),
            artifact("a", "/w/a/Cargo.toml", "cdylib", "/t/a.wasm"),
            artifact("d", "/w/d/Cargo.toml", "cdylib", "/t/d.wasm"),
            artifact("d", "/w/d/Cargo.toml", "cdylib", "/t/d2.wasm"),
            r#"{"reason":"build-finished","success":true}"#.to_string(),
            "not JSON".to_string(),
        ];
        let messages = Messages::read(messages.join("\n").as_bytes());
        let found = |id| messages.module(&package(id));
        assert_eq!(found("a"), Ok(PathBuf::from("/t/a.wasm")));
        for wrong in ["c", "d"] {
            assert!(found(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dependencies_are_what_lies_outside_the_workspace() {
        let hash = |digit: char| digit.to_string().repeat(16);
        let file = |name: &str, digit| format!("/t/deps/{name}-{}.rlib", hash(digit));
        let messages = [
            artifact(
                "serde",
                "/registry/serde/Cargo.toml",
                "lib",
                &file("libserde", '1'),
            ),
            artifact("own", "/w/own/Cargo.toml", "lib", &file("libown", '2')),
            format!(
                r#"{{"reason":"build-script-executed","package_id":"serde","out_dir":"/t/build/serde-{}/out"}}"#,
                hash('3')
            ),
            format!(
                r#"{{"reason":"build-script-executed","package_id":"own","out_dir":"/t/build/own-{}/out"}}"#,
                hash('4')
            ),
        ];
        let messages = Messages::read(messages.join("\n").as_bytes());
        let found = messages.dependencies(Path::new("/w"));
        assert_eq!(found, BTreeSet::from([hash('1'), hash('3')]));
    }

    #[test]
    fn units_are_named_by_their_hash() {
        let check = |name, expected| assert_eq!(unit(name), expected, "{name}");
        let hash = "0123456789abcdef";
        check("libsyn-0123456789abcdef.rlib", Some(hash));
        check("syn-0123456789abcdef", Some(hash));
        check("0123456789abcdef", Some(hash));
        check("syn-0123456789ABCDEF", None);
        check("syn0123456789abcdef", None);
        check("release", None);
        check(".fingerprint", None);
    }
}
