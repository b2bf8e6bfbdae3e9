//! Heads of bases, as this program and older ones write them.

use interstice_abi::id::{Epoch, NodeId, Seq};
use interstice_host::{
    archive::ArchiveWriter,
    limits::{Limits, StepBytes},
    log::LogPosition,
};

use super::{Base, FOLDER, Head, KIND, stored, write};
use crate::record::NamedLimits;

fn head() -> Head {
    Head {
        epoch: Epoch(2),
        seq: Seq(7),
        timestamp_ms: 3,
        modules: Vec::new(),
        connected: vec![NodeId::from("x")],
        limits: NamedLimits(Limits {
            deadline_ms: 5,
            turn_bytes_max: 6,
            ..Limits::default()
        }),
    }
}

#[test]
fn the_head_of_a_base_reads_back_and_that_of_an_older_node_has_no_limit_that_it_did_not_know() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join(FOLDER)).expect("a folder");
    let base = write(folder.path(), &head(), LogPosition(0), &Default::default());
    let base = base.expect("it is written");
    assert_eq!(base.head().expect("it is whole"), Some(head()));

    let path = folder.path().join("older");
    let mut writer = ArchiveWriter::create(&path, KIND).expect("a file");
    let (older, _) = stored(&head());
    writer.item(&older).expect("it is written");
    writer.finish().expect("it is written");
    let base = Base {
        path: Some(path),
        ..base
    };
    let older = base.head().expect("it is whole").expect("it is there");
    assert_eq!(older.connected, head().connected);
    assert_eq!(
        older.limits.0,
        Limits {
            turn_bytes_max: u64::MAX,
            step_bytes: StepBytes::Written,
            ..head().limits.0
        }
    );
}
