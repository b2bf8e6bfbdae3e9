//! The example modules' own tests are part of this workspace's tests.

use std::path::Path;

use interstice_cli::build::toolchain;

use crate::place::{modules_folder, modules_target};

fn cargo(folder: &Path, words: &[&str]) {
    let toolchain = toolchain::choose(folder).expect("is found");
    let mut command = toolchain.command("cargo");
    command
        .current_dir(folder)
        .args(words)
        .arg("--target-dir")
        .arg(modules_target());
    let output = command.output().expect("cargo runs");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn modules_pass_their_own_tests() {
    cargo(&modules_folder(), &["test", "--quiet"]);
}
