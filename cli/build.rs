//! Gathers the sources that the program carries: the guest SDK and the example modules, so that
//! `init` and `example` work where no checkout is. Writes a table of `include_bytes!` lines; what
//! becomes of the files is in `src/sources.rs`.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is carried, relative to the workspace: single files, and folders with everything below.
const CARRIED: [&str; 10] = [
    "Cargo.toml",
    "LICENSE",
    "macros/Cargo.toml",
    "macros/src",
    "modules",
    "rust-toolchain.toml",
    "sdk/Cargo.toml",
    "sdk/abi/Cargo.toml",
    "sdk/abi/src",
    "sdk/src",
];

/// Folders of the carried crates that are made by building, not by writing.
const LEFT_OUT: [&str; 1] = ["target"];

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = here
        .parent()
        .ok_or("the crate has no folder above it")?
        .to_path_buf();
    let mut files = Vec::new();
    for carried in CARRIED {
        let path = root.join(carried);
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
            gather(&path, &mut files)?;
        }
    }
    files.sort();
    let mut table = String::from("[\n");
    for file in &files {
        let name = file
            .strip_prefix(&root)?
            .components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect::<Vec<_>>()
            .join("/");
        writeln!(
            table,
            "    ({name:?}, include_bytes!({:?}).as_slice()),",
            file.display().to_string()
        )?;
    }
    table.push_str("]\n");
    fs::write(
        PathBuf::from(env::var("OUT_DIR")?).join("carried.rs"),
        table,
    )?;
    println!("cargo:rustc-env=INTERSTICE_COMMIT={}", commit(&root));
    Ok(())
}

/// The commit that this program is built from, for benchmark results; `unknown` where there is no
/// repository.
fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(root)
            .output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    // Moves with every commit and checkout.
    if let Some(path) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={}", root.join(path).display());
    }
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_string();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]).as_deref() {
        Some("") => commit,
        _ => format!("{commit}+"),
    }
}

fn gather(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if path.is_file() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let left_out = LEFT_OUT.iter().any(|name| entry.file_name() == *name);
        if !left_out {
            gather(&entry.path(), files)?;
        }
    }
    Ok(())
}
