//! What a build has made, read off cargo's messages: paths are never guessed.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::problem::{Outcome, Problem};

/// The messages that matter, out of those that `--message-format=json` prints.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

/// The WASM file of the crate in `folder`.
pub(super) fn find(messages: &[u8], folder: &Path) -> Outcome<PathBuf> {
    let manifest = folder.join("Cargo.toml");
    let mut found: Vec<PathBuf> = messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .filter(|message| {
            message.reason == "compiler-artifact"
                && message.manifest_path.as_deref() == Some(&manifest)
        })
        .filter(|message| {
            message
                .target
                .as_ref()
                .is_some_and(|target| target.kind.iter().any(|kind| kind == "cdylib"))
        })
        .flat_map(|message| message.filenames)
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(path), true) => Ok(path),
        (Some(_), false) => Err(Problem::failed(format!("the crate in {} makes more than one WASM library", folder.display()))),
        (None, _) => Err(Problem::failed(format!("the crate in {} makes no WASM library", folder.display()))
            .advise("a module's Cargo.toml has [lib] with crate-type = [\"cdylib\"]; of a workspace, give the folder of one member")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_of_this_crate_is_found_among_others() {
        let line = |manifest: &str, kind: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{manifest}","target":{{"kind":["{kind}"]}},"filenames":["{file}"]}}"#
            )
        };
        let messages = [
            line("/b/Cargo.toml", "cdylib", "/t/b.wasm"),
            line("/a/Cargo.toml", "custom-build", "/t/build"),
            line("/a/Cargo.toml", "cdylib", "/t/a.wasm"),
            r#"{"reason":"build-finished","success":true}"#.to_string(),
            "not JSON".to_string(),
        ]
        .join("\n");
        let found = |folder| find(messages.as_bytes(), Path::new(folder));
        assert_eq!(found("/a"), Ok(PathBuf::from("/t/a.wasm")));
        assert!(found("/c").is_err());
    }
}
