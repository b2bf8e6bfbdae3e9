//! Builds of crates that cargo would take for the same: of one name, in one workspace, or in the
//! place of another one.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use interstice_cli::build::{Builder, Module, Talk};
use tempfile::TempDir;

use crate::place::{modules_folder, modules_target};

/// Folders with crates, built as the command line builds them.
struct Crates {
    folder: TempDir,
    builder: Builder,
}

impl Crates {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            builder: Builder::new(modules_target(), Talk::Quiet),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("has one")).expect("is made");
        fs::write(&path, text).expect("is written");
        // Older than every build: cargo sees no change in a file that takes the place of another
        // one.
        let old = SystemTime::now() - Duration::from_secs(24 * 3600);
        let file = fs::File::options().write(true).open(&path);
        file.and_then(|file| file.set_modified(old))
            .expect("has a time");
    }

    /// Writes a crate whose only query is called `query`.
    fn crate_with(&self, folder: &str, name: &str, version: &str, query: &str) {
        let sdk = modules_folder().join("../sdk");
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n\n\
             [lib]\ncrate-type = [\"cdylib\"]\n\n[dependencies]\ninterstice-sdk = {{ path = {:?} }}\n",
            sdk.display().to_string()
        );
        let source = format!(
            "use interstice_sdk::*;\n\ninterstice_module!(visibility: Public);\n\n\
             #[query]\npub fn {query}(_ctx: QueryContext) -> u64 {{\n    1\n}}\n"
        );
        self.write(&format!("{folder}/Cargo.toml"), &manifest);
        self.write(&format!("{folder}/src/lib.rs"), &source);
    }

    /// Makes `folder` a workspace with these members; with none, of its own crate.
    fn workspace(&self, folder: &str, members: &[&str]) {
        let modules = fs::read_to_string(modules_folder().join("Cargo.toml")).expect("reads");
        let profile = modules.split_once("[profile.release]").expect("has one").1;
        let path = format!("{folder}/Cargo.toml");
        let own = fs::read_to_string(self.path(&path)).unwrap_or_default();
        let text = format!(
            "{own}\n[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n[profile.release]{profile}"
        );
        self.write(&path, &text);
        let lock = fs::read_to_string(modules_folder().join("Cargo.lock")).expect("reads");
        self.write(&format!("{folder}/Cargo.lock"), &lock);
    }

    /// Writes a crate that is its own workspace.
    fn alone(&self, folder: &str, version: &str, query: &str) {
        self.crate_with(folder, "shop", version, query);
        self.workspace(folder, &[]);
    }

    /// Builds the crate in `folder`, whose only query must be called `query`.
    fn check(&self, folder: &str, query: &str) {
        let built = self.builder.module(&self.path(folder));
        let module = built.unwrap_or_else(|problem| panic!("{folder}: {problem}"));
        assert!(exports(&module, query), "{folder} has no query {query}");
        let on_disk = fs::read(&module.path).expect("reads");
        assert_eq!(on_disk, module.wasm, "{folder}");
    }
}

fn exports(module: &Module, query: &str) -> bool {
    let name = format!("query__{query}");
    let mut windows = module.wasm.windows(name.len());
    windows.any(|window| window == name.as_bytes())
}

#[test]
fn crates_of_one_name_keep_their_own_code() {
    let crates = Crates::new();
    crates.alone("one", "0.1.0", "from_one");
    crates.alone("two", "0.1.0", "from_two");
    crates.alone("later", "0.2.0", "from_later");
    for _ in 0..2 {
        crates.check("one", "from_one");
        crates.check("two", "from_two");
        crates.check("later", "from_later");
    }
    // A crate that was moved into the place of another one brings its old time stamps along.
    move_folder(&crates.path("one"), &crates.path("old"));
    move_folder(&crates.path("two"), &crates.path("one"));
    crates.check("one", "from_two");
    crates.write("old/src/extra.rs", "");
    crates.check("old", "from_one");
}

#[test]
fn members_with_one_file_name_keep_their_own_code() {
    let crates = Crates::new();
    for (folder, name) in [("dash", "foo-bar"), ("line", "foo_bar")] {
        crates.crate_with(&format!("work/{folder}"), name, "0.1.0", folder);
    }
    crates.workspace("work", &["dash", "line"]);
    for _ in 0..2 {
        crates.check("work/dash", "dash");
        crates.check("work/line", "line");
    }
    let problem = crates.builder.module(&crates.path("work"));
    let problem = problem.expect_err("is no crate").to_string();
    assert!(problem.contains("the folder of one member"), "{problem}");
}

fn move_folder(from: &Path, to: &Path) {
    fs::rename(from, to).expect("is moved");
}
