//! Whether a binary is the module of the crate that was asked for: its own name and version say so.

use interstice_abi::{id::ModuleName, schema::Version};
use interstice_host::{limits::Limits, wasm::Engine};

use super::package::Package;
use crate::problem::{Outcome, Problem};

/// Reads the name and version out of a binary, in the sandbox in which nodes run modules, and
/// compares them.
///
/// # Errors
/// When the binary is not a module, or that of another crate.
pub(super) fn is_module_of(package: &Package, wasm: &[u8]) -> Outcome<()> {
    // A node's own limits decide what it takes; here only name and version matter.
    let limits = Limits {
        module_bytes_max: u64::MAX,
        memory_bytes: u64::MAX,
        ..Limits::default()
    };
    let binary = Engine::new(None)
        .and_then(|engine| engine.load(wasm, &limits))
        .map_err(|failure| Problem::from(failure).about(package.folder.display()))?;
    compare(package, &binary.schema.name, binary.schema.version)
}

fn compare(package: &Package, name: &ModuleName, version: Version) -> Outcome<()> {
    let wanted = &package.version;
    let found = [version.major, version.minor, version.patch].map(u64::from);
    if package.name == name.as_str() && found == [wanted.major, wanted.minor, wanted.patch] {
        return Ok(());
    }
    Err(Problem::failed(format!(
        "the build of {} has made module `{name}` {version}, and its Cargo.toml says `{}` {wanted}",
        package.folder.display(),
        package.name
    )))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_name_and_version_of_another_crate_are_refused() {
        let package = Package {
            id: String::new(),
            name: "foo-bar".to_string(),
            version: semver::Version::parse("1.2.3-beta.4").expect("is a version"),
            folder: PathBuf::from("/w/one"),
            workspace: PathBuf::from("/w"),
            members: Vec::new(),
            shares_file_name: false,
        };
        let check = |name: &str, patch| {
            let version = Version {
                major: 1,
                minor: 2,
                patch,
            };
            compare(
                &package,
                &ModuleName::new(name).expect("is a name"),
                version,
            )
        };
        assert_eq!(check("foo-bar", 3), Ok(()));
        for problem in [check("foo_bar", 3), check("foo-bar", 4)] {
            let problem = problem.expect_err("is another one").to_string();
            assert!(problem.contains("/w/one"), "{problem}");
        }
    }
}
