//! The content of the files that a build was made from.
//!
//! Cargo compares time stamps only: a file that was replaced by an older one (a folder that was
//! moved into the place of another one, an unpacked archive, `cp -p`) looks to it as if nothing
//! had changed. The list says where that has happened.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use blake3::{Hash, Hasher};

/// Folders in folders that are looked into. No source lies deeper.
const DEPTH_MAX: usize = 32;

/// The name of the folder that cargo builds into by itself. Its content is not source.
const BUILT: &str = "target";

/// Files and their content at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sources {
    /// A time before the first file was read.
    taken: SystemTime,
    files: BTreeMap<PathBuf, Hash>,
}

impl Sources {
    /// Reads these files, and those in these folders. A file that cannot be read is left out:
    /// cargo builds again for it.
    pub(super) fn read(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let taken = SystemTime::now();
        let mut files = BTreeMap::new();
        for path in paths {
            add(&path, DEPTH_MAX, &mut files);
        }
        Self { taken, files }
    }

    /// The same files as they are at this moment.
    pub(super) fn again(&self) -> Self {
        Self::read(self.files.keys().cloned())
    }

    /// The files that do not lie below `folder`.
    pub(super) fn outside(mut self, folder: &Path) -> Self {
        self.files.retain(|path, _| !path.starts_with(folder));
        self
    }

    /// Adds the files of `other`.
    pub(super) fn join(mut self, other: Self) -> Self {
        self.taken = self.taken.min(other.taken);
        self.files.extend(other.files);
        self
    }

    /// A file whose content differs in `later` although its time stamp is older than this list.
    /// Cargo takes it for unchanged.
    pub(super) fn replaced_unseen(&self, later: &Self) -> Option<&Path> {
        let differs =
            |path: &Path, hash: &Hash| later.files.get(path).is_some_and(|now| now != hash);
        let looks_old = |path: &Path| {
            let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
            changed.is_ok_and(|changed| changed <= self.taken)
        };
        let mut files = self.files.iter();
        files
            .find(|(path, hash)| differs(path, hash) && looks_old(path))
            .map(|(path, _)| path.as_path())
    }

    /// The list as text: the time in nanoseconds, then a hash and a path per line.
    pub(super) fn to_text(&self) -> String {
        let taken = self.taken.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut text = format!("{}\n", taken.as_nanos());
        for (path, hash) in &self.files {
            // A path that cannot stand in a line is left to cargo.
            let Some(path) = path.to_str().filter(|path| !path.contains('\n')) else {
                continue;
            };
            // Writing into a string does not fail.
            let _ = writeln!(text, "{} {path}", hash.to_hex());
        }
        text
    }

    /// The list that [`Self::to_text`] has written; `None` for other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let nanoseconds = lines.next()?.parse().ok()?;
        let mut files = BTreeMap::new();
        for line in lines {
            let (hash, path) = line.split_once(' ')?;
            files.insert(PathBuf::from(path), Hash::from_hex(hash).ok()?);
        }
        let taken = UNIX_EPOCH.checked_add(Duration::from_nanos(nanoseconds))?;
        Some(Self { taken, files })
    }
}

/// The files that an artifact was made from, by the file that cargo writes beside it.
pub(super) fn listed_beside(artifact: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_to_string(artifact.with_extension("d")).map(|text| listed(&text))
}

/// The paths after the colon of `made: source source …`. Spaces in paths are written `\ `.
fn listed(text: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for line in text.lines() {
        let Some((_, sources)) = line.split_once(": ") else {
            continue;
        };
        let mut path = String::new();
        let mut characters = sources.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                '\\' if characters.next_if_eq(&' ').is_some() => path.push(' '),
                ' ' => paths.push(PathBuf::from(std::mem::take(&mut path))),
                c => path.push(c),
            }
        }
        paths.push(PathBuf::from(path));
    }
    paths.retain(|path| !path.as_os_str().is_empty());
    paths
}

fn add(path: &Path, depth: usize, files: &mut BTreeMap<PathBuf, Hash>) {
    if !path.is_dir() {
        let mut hasher = Hasher::new();
        let read = fs::File::open(path).and_then(|file| hasher.update_reader(file).map(drop));
        if read.is_ok() {
            files.insert(path.to_path_buf(), hasher.finalize());
        }
        return;
    }
    let (Some(depth), Ok(entries)) = (depth.checked_sub(1), fs::read_dir(path)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_other = name == BUILT || name.to_string_lossy().starts_with('.');
        if !is_other {
            add(&entry.path(), depth, files);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, content: &str, modified: SystemTime) {
        fs::write(path, content).expect("is written");
        let file = fs::File::options().write(true).open(path);
        file.and_then(|file| file.set_modified(modified))
            .expect("has a time");
    }

    #[test]
    fn a_file_that_an_older_one_has_replaced_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("src/lib.rs");
        fs::create_dir(folder.path().join("src")).expect("is made");
        let old = SystemTime::now() - Duration::from_secs(3600);
        let later = SystemTime::now() + Duration::from_secs(3600);
        write(&path, "a", old);
        let sources = Sources::read([folder.path().to_path_buf()]);
        let unseen = || sources.replaced_unseen(&sources.again()).is_some();
        assert!(!unseen(), "nothing has changed");
        write(&path, "a", later);
        assert!(!unseen(), "the content is the same");
        write(&path, "b", later);
        assert!(!unseen(), "cargo sees the time");
        write(&path, "b", old);
        assert!(unseen());
        fs::remove_file(&path).expect("is removed");
        assert!(!unseen(), "cargo sees that it is gone");
    }

    #[test]
    fn the_list_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a b.rs"), "a").expect("is written");
        fs::create_dir(folder.path().join("target")).expect("is made");
        fs::write(folder.path().join("target/c.rs"), "c").expect("is written");
        let sources = Sources::read([folder.path().to_path_buf()]);
        assert_eq!(sources.files.len(), 1, "what was built is not source");
        assert_eq!(Sources::parse(&sources.to_text()), Some(sources.clone()));
        for text in ["", "x", "1\nnot a hash a.rs"] {
            assert_eq!(Sources::parse(text), None, "{text}");
        }
        let none = sources.clone().outside(folder.path());
        assert!(none.files.is_empty());
        assert_eq!(none.join(sources.clone()).files, sources.files);
    }

    #[test]
    fn paths_with_spaces_are_read_from_the_list_of_cargo() {
        let text = "/t/a.wasm: /s/src/lib.rs /my\\ crates/a.rs /s/src\\x\n";
        let expected = ["/s/src/lib.rs", "/my crates/a.rs", "/s/src\\x"];
        assert_eq!(listed(text), expected.map(PathBuf::from));
        assert!(listed("nothing").is_empty());
    }
}
