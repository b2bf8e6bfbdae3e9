//! Where a crate is built: a folder for each workspace, so that crates of one name cannot get into
//! each other's way.
//!
//! ```text
//! builds/<name>-<hash of the workspace's path>/
//!     lock            held while the crate is built and its binary read
//!     crate           the workspace's path
//!     target/         cargo's
//!     sources         what the build was made from (`sources`)
//!     dependencies    what another workspace's folder may begin with
//!     checked         the binary that was checked last
//! ```
//!
//! Cargo takes packages of one name and one place below their workspaces for the same, and gives
//! libraries of one name one file; so no two workspaces share a folder. The dependencies outside
//! of a workspace are the same for all: a new folder begins with a copy of those that were built
//! last. All of it can be deleted at any time.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    artifact::{Messages, unit},
    package::Package,
    sources::{self, Sources},
};
use crate::{
    home,
    output::{Format, Output},
    problem::{Outcome, Problem},
};

/// How long a folder stays that nothing is built in: it takes about a hundred megabytes.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How much of the crate's name stands in that of the folder.
const NAME_CHARACTERS_MAX: usize = 40;

/// The folder of one workspace, for the sole use of this process until it is dropped.
#[derive(Debug)]
pub(super) struct BuildFolder {
    root: PathBuf,
    /// Unlocks the folder when it is dropped.
    _lock: File,
}

impl BuildFolder {
    /// The folder for `package` in `builds`, made when it is not there. Waits for other builds in
    /// it.
    ///
    /// # Errors
    /// When it cannot be made or locked.
    pub(super) fn open(builds: &Path, package: &Package) -> Outcome<Self> {
        let root = builds.join(name(package));
        home::make_private_folder(&root)?;
        let path = root.join("lock");
        let lock = match home::try_lock(&path)? {
            Some(lock) => lock,
            None => {
                Output::new(Format::Text).say("waiting for another build of this crate to end");
                home::lock(&path)?
            }
        };
        Ok(Self { root, _lock: lock })
    }

    /// Cargo's target folder.
    pub(super) fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Makes the folder ready for cargo: what cargo would take for unchanged and is not goes, and
    /// a new folder begins with the dependencies of another one.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(super) fn prepare(&self, builds: &Path, package: &Package) -> Outcome<()> {
        let own = Sources::read(package.members.iter().map(|member| member.join("src")));
        let before = self.read("sources").and_then(|text| Sources::parse(&text));
        let mut now = match &before {
            Some(before) => before.again(),
            None => own,
        };
        let replaced = before
            .as_ref()
            .and_then(|before| before.replaced_unseen(&now));
        if replaced.is_some() {
            remove(&self.target())?;
        }
        if !self.target().is_dir() {
            sweep(builds, &self.root);
            self.write("crate", path_text(&package.workspace).as_bytes())?;
            if let Some(borrowed) = self.borrow_dependencies(builds) {
                now = now.join(borrowed.outside(&package.workspace));
            }
        }
        // Before cargo reads the files: a build that is broken off has read them as they are in
        // the list, or changed later.
        self.write("sources", now.to_text().as_bytes())
    }

    /// Notes what has been built, and from what.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(super) fn note(
        &self,
        package: &Package,
        messages: &Messages,
        artifact: &Path,
    ) -> Outcome<()> {
        // Without cargo's list the one from before the build stays.
        if let Ok(listed) = sources::listed_beside(artifact) {
            self.write("sources", Sources::read(listed).to_text().as_bytes())?;
        }
        let units: Vec<String> = messages
            .dependencies(&package.workspace)
            .into_iter()
            .collect();
        self.write("dependencies", units.join("\n").as_bytes())
    }

    /// What was noted of the last binary that was checked.
    pub(super) fn checked(&self) -> Option<String> {
        self.read("checked")
    }

    /// Notes of a binary that it was checked.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(super) fn note_checked(&self, what: &str) -> Outcome<()> {
        self.write("checked", what.as_bytes())
    }

    /// Copies the dependencies of the folder in which something was built last, and returns what
    /// that build was made from. `None` where there is nothing to copy; cargo builds them then.
    fn borrow_dependencies(&self, builds: &Path) -> Option<Sources> {
        let others = folders(builds).filter(|folder| *folder != self.root);
        let (_, from) = others
            .filter_map(|folder| Some((modified(&folder.join("dependencies"))?, folder)))
            .max()?;
        // One that is being built in is in motion.
        let _lock = home::try_lock(&from.join("lock")).ok()??;
        let sources = Sources::parse(&fs::read_to_string(from.join("sources")).ok()?)?;
        let units = fs::read_to_string(from.join("dependencies")).ok()?;
        let units: BTreeSet<&str> = units.lines().collect();
        // Renamed when it is whole.
        let unfinished = self.root.join("target.tmp");
        let copied = remove(&unfinished)
            .map_err(io::Error::other)
            .and_then(|()| copy_units(&from.join("target"), &unfinished, &units))
            .and_then(|()| fs::rename(&unfinished, self.target()));
        if copied.is_err() {
            // A leftover takes room and does no harm; the next attempt removes it.
            let _ = remove(&unfinished);
        }
        copied.ok().map(|()| sources)
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.root.join(file)).ok()
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Outcome<()> {
        home::write_private(&self.root.join(file), bytes)
    }
}

/// The folder's name: readable, and another one for each workspace. Members whose libraries have
/// one file name have one each.
fn name(package: &Package) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(package.workspace.as_os_str().as_encoded_bytes());
    let mut place = &package.workspace;
    if package.shares_file_name {
        place = &package.folder;
        hasher.update(&[0]);
        hasher.update(place.as_os_str().as_encoded_bytes());
    }
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .take(NAME_CHARACTERS_MAX)
        .collect();
    let hash = hasher.finalize().to_hex();
    format!("{name}-{}", hash.chars().take(16).collect::<String>())
}

/// Removes folders whose crate is gone, and those in which nothing was built for long.
fn sweep(builds: &Path, own: &Path) {
    for folder in folders(builds).filter(|folder| folder != own) {
        let Ok(path) = fs::read_to_string(folder.join("crate")) else {
            continue;
        };
        let is_gone = !Path::new(&path).join("Cargo.toml").is_file();
        let is_old = modified(&folder.join("sources"))
            .and_then(|time| SystemTime::now().duration_since(time).ok())
            .is_some_and(|age| age > KEPT);
        let is_free = || home::try_lock(&folder.join("lock")).is_ok_and(|lock| lock.is_some());
        if (is_gone || is_old) && is_free() {
            // It takes room and does no harm.
            let _ = remove(&folder);
        }
    }
}

fn folders(builds: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(builds).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
}

fn remove(folder: &Path) -> Outcome<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Problem::file("remove", folder, &error))
        }
        _ => Ok(()),
    }
}

/// Copies what cargo has made for these units, with its time stamps, out of one target folder into
/// another.
fn copy_units(from: &Path, to: &Path, units: &BTreeSet<&str>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let of = name.to_str().and_then(unit);
        match of {
            Some(unit) if units.contains(unit) => copy(&entry, &to.join(name))?,
            None if entry.is_dir() => copy_units(&entry, &to.join(name), units)?,
            _ => {}
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    let modified = fs::metadata(from)?.modified()?;
    fs::copy(from, to)?;
    File::options().write(true).open(to)?.set_modified(modified)
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &Path, workspace: &Path) -> Package {
        Package {
            id: String::new(),
            name: "a".to_string(),
            version: semver::Version::new(1, 0, 0),
            folder: folder.to_path_buf(),
            workspace: workspace.to_path_buf(),
            members: vec![folder.to_path_buf()],
            shares_file_name: false,
        }
    }

    #[test]
    fn every_workspace_has_a_folder_of_its_own() {
        let one = package(Path::new("/w/one"), Path::new("/w/one"));
        let two = package(Path::new("/w/two"), Path::new("/w/two"));
        let member = |name: &str| package(&Path::new("/w").join(name), Path::new("/w"));
        assert_ne!(name(&one), name(&two));
        assert_eq!(name(&member("one")), name(&member("two")));
        let alone = |name: &str| Package {
            shares_file_name: true,
            ..member(name)
        };
        assert_ne!(name(&alone("one")), name(&alone("two")));
        let odd = Path::new("/../ü\n");
        assert!(name(&package(odd, odd)).starts_with('-'));
    }

    #[test]
    fn a_new_folder_begins_with_the_dependencies_of_another_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let (builds, old) = (folder.path().join("builds"), SystemTime::UNIX_EPOCH);
        let crates = ["one", "two"].map(|name| folder.path().join(name));
        for path in &crates {
            fs::create_dir(path).expect("is made");
            fs::write(path.join("Cargo.toml"), "").expect("is written");
        }
        let [one, two] = crates.map(|path| package(&path, &path));
        let from = BuildFolder::open(&builds, &one).expect("opens");
        from.prepare(&builds, &one).expect("is ready");
        let (shared, own) = ("1".repeat(16), "2".repeat(16));
        for path in [
            format!("release/deps/libserde-{shared}.rlib"),
            format!("release/deps/libone-{own}.rlib"),
            "release/one.d".to_string(),
        ] {
            let path = from.target().join(path);
            fs::create_dir_all(path.parent().expect("has one")).expect("is made");
            fs::write(&path, "x").expect("is written");
            let file = File::options().write(true).open(&path);
            file.and_then(|file| file.set_modified(old))
                .expect("has a time");
        }
        from.write("dependencies", shared.as_bytes())
            .expect("is noted");
        drop(from);
        let to = BuildFolder::open(&builds, &two).expect("opens");
        to.prepare(&builds, &two).expect("is ready");
        let deps = to.target().join("release/deps");
        let copied = deps.join(format!("libserde-{shared}.rlib"));
        assert_eq!(modified(&copied), Some(old));
        assert_eq!(fs::read_dir(&deps).expect("lists").count(), 1);
        assert!(!to.target().join("release/one.d").exists());
        drop(to);

        // A crate that is gone leaves nothing.
        fs::remove_dir_all(folder.path().join("one")).expect("is removed");
        fs::remove_dir_all(builds.join(name(&two)).join("target")).expect("is removed");
        let to = BuildFolder::open(&builds, &two).expect("opens");
        to.prepare(&builds, &two).expect("is ready");
        assert!(!builds.join(name(&one)).exists());
    }
}
