//! The environment of a cargo that this program runs.
//!
//! Run by `cargo run`, or inside a test, this program inherits what the outer cargo and rustup
//! have set for it: flags, a toolchain, a target folder, a job server. None of it is meant for the
//! module's build. What a person sets to reach the network or a registry stays.

use std::process::Command;

/// Variables that change what is compiled or by which compiler.
const FOR_THE_OUTER_BUILD: [&str; 14] = [
    "LD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "MAKEFLAGS",
    "MFLAGS",
    "OUT_DIR",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
];

/// The beginnings of cargo's variables that say where things are fetched from and how cargo talks.
const STAYS: [&str; 7] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
];

/// Takes out of a command's environment what was meant for the program that runs it.
pub fn clear(command: &mut Command) {
    for name in FOR_THE_OUTER_BUILD {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        let is_cargos = name.to_str().is_some_and(is_for_the_outer_cargo);
        if is_cargos {
            command.env_remove(name);
        }
    }
}

fn is_for_the_outer_cargo(name: &str) -> bool {
    let is_cargos = name == "CARGO" || name.starts_with("CARGO_");
    is_cargos && !STAYS.iter().any(|stays| name.starts_with(stays))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_folders_go_and_the_way_to_the_registry_stays() {
        for name in [
            "CARGO",
            "CARGO_TARGET_DIR",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_MANIFEST_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_PROFILE_RELEASE_LTO",
        ] {
            assert!(is_for_the_outer_cargo(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_PROXY",
            "PATH",
            "CARGOES",
        ] {
            assert!(!is_for_the_outer_cargo(name), "{name}");
        }
    }
}
