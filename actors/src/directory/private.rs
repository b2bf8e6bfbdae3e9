//! Keeping a node's files to its user: what others could read is taken from them, whoever made it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Makes `root` and everything in it private to the user. What was not, is returned.
///
/// # Errors
/// What the system says, with the path.
#[cfg(unix)]
pub(super) fn make_private(root: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    use std::{fs, os::unix::fs::PermissionsExt as _};
    let mut mended = Vec::new();
    let mut ahead = vec![root.to_path_buf()];
    while let Some(path) = ahead.pop() {
        let wrong = |error: io::Error| (path.clone(), error);
        // A link is not followed: what it leads to may be anybody's.
        let metadata = fs::symlink_metadata(&path).map_err(wrong)?;
        if metadata.is_symlink() {
            continue;
        }
        let mode = metadata.permissions().mode();
        if mode & 0o077 != 0 {
            let private = fs::Permissions::from_mode(mode & 0o700);
            fs::set_permissions(&path, private).map_err(wrong)?;
            mended.push(path.clone());
        }
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).map_err(wrong)? {
                ahead.push(entry.map_err(wrong)?.path());
            }
        }
    }
    Ok(mended)
}

/// Elsewhere files get what their folder hands down.
#[cfg(not(unix))]
pub(super) fn make_private(_: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    Ok(Vec::new())
}

/// Files and folders that this process makes from here on are private to its user, those of
/// libraries too.
pub fn keep_files_private() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}
