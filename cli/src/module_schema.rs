//! The schema of a module that no node runs yet: read out of its binary, in the same sandbox in
//! which nodes run modules.

use std::path::{Path, PathBuf};

use interstice_abi::schema::ModuleSchema;
use interstice_host::{limits::Limits, wasm::Engine};

use crate::{
    app::App,
    problem::{Outcome, Problem},
};

/// The path that `word` is written as, or `None` when it may be a module's name.
#[must_use]
pub fn written_path(word: &str) -> Option<PathBuf> {
    let path = Path::new(word);
    let is_path = word.contains(['/', '\\'])
        || matches!(word, "." | "..")
        || path
            .extension()
            .is_some_and(|extension| extension == "wasm");
    is_path.then(|| path.to_path_buf())
}

/// As [`written_path`], and the path of a crate's folder of that name, for words that are not a
/// module's name.
#[must_use]
pub fn path(word: &str) -> Option<PathBuf> {
    let folder = Path::new(word);
    let is_crate = folder.join("Cargo.toml").is_file();
    written_path(word).or_else(|| is_crate.then(|| folder.to_path_buf()))
}

/// The schema of the `.wasm` file or crate at `path`, which is built.
///
/// # Errors
/// What the compiler says, or what is wrong with the binary.
pub fn of_path(app: &App, path: &Path) -> Outcome<ModuleSchema> {
    let module = app.builder().module(path)?;
    let spinner = app.output.spinner("reading the schema");
    let engine = Engine::new(None).map_err(Problem::from)?;
    let binary = engine
        .load(&module.wasm, &Limits::default())
        .map_err(|failure| Problem::from(failure).about(module.path.display()));
    spinner.finish_and_clear();
    Ok(binary?.schema.as_ref().clone())
}
