//! `init`: a new module crate that builds, deploys and answers as it is.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use clap::Args;
use interstice_abi::id::ModuleName;
use serde_json::json;

use crate::{
    app::App,
    problem::{Outcome, Problem},
    sources::Sources,
};

/// The crate's manifest; `{name}` and `{sdk}` are filled in.
const MANIFEST: &str = include_str!("../../template/Cargo.toml.txt");

/// What a module's crate is made of besides.
const FILES: [(&str, &str); 3] = [
    ("src/lib.rs", include_str!("../../template/lib.rs")),
    ("build.rs", include_str!("../../template/build.rs")),
    (".gitignore", "target/\n"),
];

/// Names that Rust, cargo or Interstice keep for themselves.
const RESERVED: [&str; 61] = [
    "Self",
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "interstice",
    "interstice-abi",
    "interstice-macros",
    "interstice-sdk",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Make a new module crate
#[derive(Debug, Args)]
#[command(
    long_about = "Make a new module crate with a table, a reducer, a query and a test. It builds as it is.\n\n\
        With NAME, it goes into a new folder of that name, otherwise into the current folder, under the folder's name.",
    after_help = "Examples:\n  \
        interstice-cli init greeter\n  \
        interstice-cli deploy greeter\n  \
        interstice-cli call greeter add 'buy milk'"
)]
pub(crate) struct Init {
    /// The module's name
    name: Option<String>,
}

impl Init {
    pub(crate) fn run(self, app: &App) -> Outcome<()> {
        let here = env::current_dir()
            .map_err(|error| Problem::failed(format!("the current folder is gone: {error}")))?;
        let (folder, name) = match self.name {
            Some(name) => (here.join(&name), name),
            None => {
                let name = here
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                (here, name)
            }
        };
        check(&name)?;
        let sources = Sources::unpack(&app.home)?;
        write(&folder, &name, &sources.sdk())?;
        if app.output.is_json() {
            return app
                .output
                .json(&json!({"module": name, "folder": folder.display().to_string()}));
        }
        app.output
            .line(format!("made module {name} in {}", folder.display()))?;
        app.output.say(format!(
            "`cargo test` runs its test; `up --module {0}` starts a node with it, `deploy {0}` puts it on one that runs",
            folder.display()
        ));
        Ok(())
    }
}

fn check(name: &str) -> Outcome<()> {
    ModuleName::new(name).map_err(Problem::usage)?;
    if RESERVED.contains(&name) {
        return Err(Problem::usage(format!(
            "the module name `{name}` means something to Rust or Interstice already; choose another"
        )));
    }
    Ok(())
}

fn write(folder: &Path, name: &str, sdk: &Path) -> Outcome<()> {
    let sdk = toml::Value::from(sdk.display().to_string()).to_string();
    let manifest = MANIFEST.replace("{name}", name).replace("{sdk}", &sdk);
    let files = FILES.into_iter().chain([("Cargo.toml", manifest.as_str())]);
    let files: Vec<(PathBuf, &str)> = files
        .map(|(path, content)| (folder.join(path), content))
        .collect();
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(
            Problem::failed(format!("{} is there already", path.display()))
                .advise("choose another name or folder"),
        );
    }
    for (path, content) in files {
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .map_err(|error| Problem::file("make the folder", parent, &error))?;
        fs::write(&path, content).map_err(|error| Problem::file("write", &path, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_a_crate_are_refused() {
        for name in ["", "a/b", "..", "1a", "a b", "fn", "test", "self", "ä"] {
            assert!(check(name).is_err(), "{name}");
        }
        for name in ["greeter", "my-module", "module_manager"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("build.rs"), "mine").expect("writes");
        assert!(write(folder.path(), "a", Path::new("/sdk")).is_err());
        let files: Vec<_> = fs::read_dir(folder.path()).expect("lists").collect();
        assert_eq!(files.len(), 1);
    }

    #[test]
    fn the_manifest_is_toml_whatever_the_folder_is_called() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "a", Path::new("/a \"b\"\\c")).expect("writes");
        let text = fs::read_to_string(folder.path().join("Cargo.toml")).expect("reads");
        let manifest: toml::Table = toml::from_str(&text).expect("is TOML");
        let path = manifest
            .get("dependencies")
            .and_then(|table| table.get("interstice-sdk")?.get("path"));
        assert_eq!(path.and_then(toml::Value::as_str), Some("/a \"b\"\\c"));
    }
}
