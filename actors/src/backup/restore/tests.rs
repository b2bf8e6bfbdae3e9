//! Backups that somebody has made by hand: nothing is written outside the folder of nodes, and
//! nothing stays in it.

use std::collections::BTreeSet;

use interstice_host::archive::ArchiveWriter;

use super::*;

fn head(node: &str) -> Head {
    Head {
        node: NodeId::from(node.to_string()),
        name: "../../name".to_string(),
        epoch: Epoch(0),
        seq: Seq(0),
        timestamp_ms: 0,
        digests: Vec::new(),
    }
}

fn all_below(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            found.extend(all_below(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}

#[test]
fn a_backup_whose_names_are_paths_unpacks_nothing_anywhere() {
    let id = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    let config = "name = \"../../evil\"\nport = 1\n";
    for node in ["..", "../../evil", "/tmp/evil", "a\0b", "", ".", id] {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, nodes) = (
            folder.path().join("backup"),
            folder.path().join("a/b/nodes"),
        );
        let mut archive = ArchiveWriter::create(&file, KIND).expect("is made");
        archive.item(&head(node)).expect("is written");
        archive
            .item(&Part::Config(config.into()))
            .expect("is written");
        archive.item(&Part::Key(vec![7; 68])).expect("is written");
        archive.item(&Part::End { records: 0 }).expect("is written");
        archive.finish().expect("is written");
        let error = restore(&file, &nodes, Adopt::default())
            .expect_err(node)
            .to_string();
        let left = all_below(folder.path());
        let expected = ["backup", "a", "a/b", "a/b/nodes"].map(|path| folder.path().join(path));
        assert!(
            left.iter().all(|path| expected.contains(path)),
            "{node:?}: {error}: {left:?}"
        );
    }
}

#[test]
fn numbers_that_no_node_reaches_are_refused() {
    let id = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    for (epoch, seq) in [(u32::MAX, 0), (0, u64::MAX)] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("backup");
        let mut archive = ArchiveWriter::create(&file, KIND).expect("is made");
        let head = Head {
            epoch: Epoch(epoch),
            seq: Seq(seq),
            ..head(id)
        };
        archive.item(&head).expect("is written");
        archive.finish().expect("is written");
        let nodes = folder.path().join("nodes");
        let error = restore(&file, &nodes, Adopt::default()).expect_err("is refused");
        assert!(error.to_string().contains("claims epoch"), "{error}");
    }
}
