//! What a module's `build.rs` calls.
//!
//! The bindings themselves are made by `interstice_module!`, which reads `src/bindings/`; the
//! compiler does not know that, so Cargo has to be told when to compile again.

/// Has Cargo compile the module again when a file in `src/bindings/` is added, changed or removed.
#[expect(
    clippy::print_stdout,
    reason = "this is how a build script talks to Cargo"
)]
pub fn generate_bindings() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.toml");
    // `src` rather than `src/bindings`: Cargo would run the script at every build while the named
    // path is missing.
    if std::path::Path::new("src/bindings").exists() {
        println!("cargo::rerun-if-changed=src/bindings");
    } else {
        println!("cargo::rerun-if-changed=src");
    }
}
