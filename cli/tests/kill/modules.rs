//! The modules that the node runs, and a second version of one of them.

use std::{fs, path::Path, sync::Arc};

use interstice_cli::build::{Builder, Talk};

/// The binaries.
#[derive(Clone)]
pub(crate) struct Modules {
    pub(crate) vault: Arc<[u8]>,
    pub(crate) ledger: Arc<[u8]>,
    pub(crate) mirror: Arc<[u8]>,
    pub(crate) echo: Arc<[u8]>,
    /// The second version of `echo`: its table has one column more.
    pub(crate) echo_2: Arc<[u8]>,
}

impl Modules {
    /// Builds them as `deploy` does.
    pub(crate) fn build() -> Self {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../modules");
        let built = |target: &Path, folder: &Path| {
            let built = Builder::new(target, Talk::Quiet).module(folder);
            let module = built.unwrap_or_else(|problem| unreachable!("{problem}"));
            Arc::from(module.wasm)
        };
        let second = tempfile::tempdir().expect("a folder");
        second_echo(&modules, second.path());
        Self {
            vault: built(&target, &modules.join("vault")),
            ledger: built(&target, &modules.join("ledger")),
            mirror: built(&target, &modules.join("mirror")),
            echo: built(&target, &modules.join("echo")),
            echo_2: built(&target, second.path()),
        }
    }
}

/// Writes the crate of the second version of `echo`.
fn second_echo(modules: &Path, into: &Path) {
    let read = |path: &str| fs::read_to_string(modules.join(path)).expect("the module is there");
    let write = |path: &str, text: &str| {
        fs::write(into.join(path), text).expect("a crate is written");
    };
    let changed = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "the module has changed: {from}");
        text.replace(from, to)
    };
    fs::create_dir_all(into.join("src/bindings")).expect("a crate is written");
    let sdk = modules.join("../sdk").display().to_string();
    let manifest = changed(&read("echo/Cargo.toml"), "../../sdk", &sdk);
    let manifest = changed(&manifest, "version = \"0.1.0\"", "version = \"0.2.0\"");
    let workspace = read("Cargo.toml");
    let profile = workspace
        .split_once("[profile.release]")
        .expect("has one")
        .1;
    write(
        "Cargo.toml",
        &format!("{manifest}\n[workspace]\n\n[profile.release]{profile}"),
    );
    write("Cargo.lock", &read("Cargo.lock"));
    write("build.rs", &read("echo/build.rs"));
    write(
        "src/bindings/mirror.toml",
        &read("echo/src/bindings/mirror.toml"),
    );
    let source = read("echo/src/lib.rs");
    let source = changed(
        &source,
        "    pub heard: u64,\n}",
        "    pub heard: u64,\n    /// 7 where it came before the column.\n    #[default(7)]\n    pub grade: u64,\n}",
    );
    let source = changed(
        &source,
        "Echo { id: 0, heard }",
        "Echo { id: 0, heard, grade: 9 }",
    );
    write("src/lib.rs", &source);
}
