//! A log that is dropped under a reader leaves no gap in silence.

use interstice_abi::id::{Epoch, StepIndex};
use interstice_host::log::{LogOptions, StdFiles};

use super::*;

const RECORDS: u64 = 256;

/// A log of several segments on disk.
fn filled(folder: &std::path::Path) -> Log {
    let options = LogOptions {
        segment_bytes: 4096,
        ..LogOptions::default()
    };
    let (log, _) = Log::open(folder, Arc::new(StdFiles), options).expect("opens");
    for seq in 1..=RECORDS {
        let record = Record::Step(Box::new(StepRecord {
            seq: Seq(seq),
            step: StepIndex(0),
            timestamp_ms: 0,
            input: Some(Input::NodeStart {
                disconnected: Vec::new(),
            }),
            ran: None,
            outcome: Outcome::Committed,
            effects: Vec::new(),
            counters: Vec::new(),
            starts: Vec::new(),
            dropped: 0,
            answers: Vec::new(),
            renewed: Vec::new(),
        }));
        log.append(record.encode().expect("is small"));
        let (tell, told) = std::sync::mpsc::channel();
        log.when_durable(Box::new(move |result| drop(tell.send(result))));
        told.recv().expect("is told").expect("is written");
    }
    log
}

fn all(log: &Log) -> Range {
    Range {
        start: LogPosition(0),
        end: log.durable(),
        first: Seq(1),
        last: Seq(RECORDS),
    }
}

#[test]
fn a_log_that_was_dropped_before_it_is_read_is_said_and_leaves_no_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = filled(folder.path());
    let range = all(&log);
    let found: Vec<_> = steps(&log, range, LogPosition(0)).collect();
    assert!(u64::try_from(found.len()) == Ok(RECORDS) && found.iter().all(Result::is_ok));
    log.truncate_before(log.durable()).expect("drops segments");
    assert!(log.start() > LogPosition(0));
    let mut left = steps(&log, range, LogPosition(0));
    let failure = left.next().expect("something").expect_err("is gone");
    assert_eq!(failure.code, Code::NotFound, "{failure}");
    assert!(
        failure.message.contains("watch without --from"),
        "{failure}"
    );
    assert!(left.next().is_none());
}

#[test]
fn a_log_that_is_dropped_while_it_is_read_is_no_corruption() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = filled(folder.path());
    let mut reading = steps(&log, all(&log), LogPosition(0));
    assert!(reading.next().is_some_and(|first| first.is_ok()));
    log.truncate_before(log.durable()).expect("drops segments");
    let failure = reading.find_map(Result::err).expect("comes to the gap");
    assert_eq!(failure.code, Code::NotFound, "{failure}");
}

#[test]
fn rows_get_what_upgrades_have_given_to_them() {
    let change = Change {
        table: TableId(0),
        key: [1].as_slice().into(),
        before: Some([1, 2].as_slice().into()),
        after: None,
    };
    let position = Position {
        epoch: Epoch(0),
        ..Position::default()
    };
    let found = changed(position, &change, &[9]);
    assert_eq!((found.before, found.after), (Some(vec![1, 2, 9]), None));
}
