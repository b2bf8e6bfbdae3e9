//! `node.toml` and the registry: any text is taken or refused with the file in the message; what
//! is taken says the same once it is written and read again, and no name in it can become a path.
#![no_main]

use std::{
    path::PathBuf,
    sync::{LazyLock, Once},
};

use interstice_actors::config::Config;
use interstice_cli::{home::Home, registry::Registry};
use interstice_fuzz::memory;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static BEGIN: Once = Once::new();
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("has a folder"));

fuzz_target!(|text: &str| {
    BEGIN.call_once(|| memory::limit(64 * 1024 * 1024));
    let path = file("node.toml", text);
    match Config::read(&path) {
        Ok(config) => {
            assert!(!config.name.contains(['/', '\\', '.', '\0']));
            let written = config.to_toml().expect("a valid configuration is written");
            let again = Config::read(&file("again.toml", &written));
            assert_eq!(again.expect("what was written can be read"), config);
        }
        Err(error) => assert!(error.to_string().contains("node.toml")),
    }
    let home = Home::at(FOLDER.path());
    std::fs::write(home.registry(), text).expect("the folder takes files");
    match Registry::read(&home) {
        Ok(registry) => {
            for node in registry.nodes() {
                assert!(registry.find(&node.name).is_some());
                assert!(!node.name.contains(['/', '\\', '.', '\0']));
                assert!(!node.id.contains(['/', '\\', '.', '\0']));
            }
        }
        Err(problem) => assert!(problem.to_string().contains("nodes.toml")),
    }
});

fn file(name: &str, text: &str) -> PathBuf {
    let path = FOLDER.path().join(name);
    std::fs::write(&path, text).expect("the folder takes files");
    path
}
