//! The files of `src/bindings/`: read with their mistakes named, written whole.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use interstice_abi::binding::ModuleBinding;

use crate::problem::{Outcome, Problem};

/// The build script that a module with bindings needs.
const BUILD_SCRIPT: &str = include_str!("../../../template/build.rs");

/// The bindings of one crate.
pub(super) struct Bindings {
    root: PathBuf,
}

/// A binding of a module of the same node, and where it is written.
pub(super) struct Bound {
    pub(super) path: PathBuf,
    pub(super) binding: ModuleBinding,
}

impl Bindings {
    /// The bindings of the crate in `root`.
    pub(super) fn of_crate(root: &Path) -> Outcome<Self> {
        if !root.join("Cargo.toml").is_file() {
            return Err(Problem::failed(format!(
                "{} is not a module's crate: it has no Cargo.toml",
                root.display()
            ))
            .advise("give the folder of the crate that uses the binding"));
        }
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    /// `src/bindings`.
    pub(super) fn folder(&self) -> PathBuf {
        self.root.join("src").join("bindings")
    }

    /// Where a module's binding goes that has none.
    pub(super) fn path_for(&self, module: &str) -> PathBuf {
        self.folder().join(format!("{module}.toml"))
    }

    /// All bindings of modules of the same node, by file name. Those of other nodes, which have an
    /// address, are passed over.
    pub(super) fn read(&self) -> Outcome<Vec<Bound>> {
        let folder = self.folder();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Problem::file("read", &folder, &error)),
        };
        let mut paths = entries
            .map(|entry| {
                entry
                    .map(|entry| entry.path())
                    .map_err(|error| Problem::file("read", &folder, &error))
            })
            .collect::<Outcome<Vec<PathBuf>>>()?;
        paths.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        });
        paths.sort();
        paths
            .into_iter()
            .filter_map(|path| read(path).transpose())
            .collect()
    }

    /// Writes a binding.
    pub(super) fn write(&self, path: &Path, binding: &ModuleBinding) -> Outcome<()> {
        let text = toml::to_string(binding).map_err(|error| {
            Problem::failed(format!(
                "the binding of {} cannot be written: {error}",
                binding.name
            ))
        })?;
        let folder = self.folder();
        fs::create_dir_all(&folder)
            .map_err(|error| Problem::file("make the folder", &folder, &error))?;
        // Written beside it first: an editor or cargo never sees half of it.
        let temporary = path.with_extension("toml.new");
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, path))
            .map_err(|error| Problem::file("write", path, &error))
    }

    /// Makes `build.rs` where it is missing. Returns whether the manifest has the dependency that
    /// it needs.
    pub(super) fn require_build_script(&self) -> Outcome<bool> {
        let script = self.root.join("build.rs");
        if !script.exists() {
            fs::write(&script, BUILD_SCRIPT)
                .map_err(|error| Problem::file("write", &script, &error))?;
        }
        let path = self.root.join("Cargo.toml");
        let text =
            fs::read_to_string(&path).map_err(|error| Problem::file("read", &path, &error))?;
        let manifest: toml::Table = toml::from_str(&text).map_err(|error| {
            Problem::failed(format!("{} is not valid: {error}", path.display()))
        })?;
        Ok(manifest
            .get("build-dependencies")
            .is_some_and(|table| table.get("interstice-sdk").is_some()))
    }
}

fn read(path: PathBuf) -> Outcome<Option<Bound>> {
    let wrong = |problem: String| {
        Problem::failed(format!("{} is not a binding: {problem}", path.display()))
    };
    let text = fs::read_to_string(&path).map_err(|error| Problem::file("read", &path, &error))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if table.contains_key("address") {
        return Ok(None);
    }
    let binding: ModuleBinding = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    binding
        .to_schema()
        .map_err(|problems| wrong(problems.join("; ")))?;
    Ok(Some(Bound { path, binding }))
}
