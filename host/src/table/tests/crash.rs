//! Checkpoints that are cut anywhere, and recovery from what the store and the log have then.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    model::{Model, Op, apply, check, ops},
    tables,
};
use crate::table::{Change, Counter, PageWrite, Tables};

/// A store as `store` would keep it.
#[derive(Clone, Default)]
pub(super) struct Disk(BTreeMap<(String, Vec<u8>), Vec<u8>>);

impl Disk {
    pub(super) fn write(&mut self, writes: &[PageWrite]) {
        for write in writes {
            let place = (write.tree.to_string(), write.key.to_vec());
            match &write.page {
                Some(page) => self.0.insert(place, page.encode()),
                None => self.0.remove(&place),
            };
        }
    }

    pub(super) fn restore(&self, tables: &mut Tables) {
        for ((tree, key), page) in self.0.iter().rev() {
            tables
                .restore_page(tree, key, page)
                .expect("a page of ours");
        }
        tables.finish_restore().expect("finishes");
    }

    fn loaded(&self) -> Tables {
        let mut tables = tables();
        self.restore(&mut tables);
        tables
    }
}

type Log = Vec<(Vec<Change>, Vec<Counter>)>;

fn redo(log: &[(Vec<Change>, Vec<Counter>)], tables: &mut Tables) {
    for (changes, counters) in log {
        tables.redo(changes, counters).expect("fits");
    }
    tables.clear_ephemeral();
}

#[derive(Clone, Debug)]
enum Event {
    Step(Vec<Op>),
    Checkpoint,
    /// A checkpoint of which only a part of the writes reached the store, then a crash.
    Crash(prop::sample::Index),
    /// A checkpoint whose writes failed, so that they are taken back.
    Failed(prop::sample::Index),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => prop::collection::vec(ops(), 1..12).prop_map(Event::Step),
        2 => Just(Event::Checkpoint),
        2 => any::<prop::sample::Index>().prop_map(Event::Crash),
        1 => any::<prop::sample::Index>().prop_map(Event::Failed),
    ];
    prop::collection::vec(event, 1..25)
}

fn step(tables: &mut Tables, model: &mut Model, ops: &[Op], log: &mut Log) {
    let savepoint = tables.savepoint();
    for op in ops {
        apply(op, tables, model);
    }
    let changes = tables.changes_since(savepoint).to_vec();
    let record = (
        changes,
        tables.counters_since(savepoint).collect::<Vec<_>>(),
    );
    let bytes = postcard::to_allocvec(&record).expect("encodes");
    let read: (Vec<Change>, Vec<Counter>) = postcard::from_bytes(&bytes).expect("decodes");
    assert_eq!(read, record);
    log.push(record);
    tables.commit();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_lost_wherever_a_checkpoint_is_cut(events in events()) {
        let mut tables = tables();
        let mut model = Model::default();
        let mut disk = Disk::default();
        let mut log = Log::new();
        let mut marker = 0;
        for event in &events {
            match event {
                Event::Step(ops) => step(&mut tables, &mut model, ops, &mut log),
                Event::Checkpoint => {
                    disk.write(&tables.freeze());
                    marker = log.len();
                }
                Event::Crash(cut) => {
                    let writes = tables.freeze();
                    disk.write(&writes[..cut.index(writes.len() + 1)]);
                    tables = disk.loaded();
                    redo(&log[marker..], &mut tables);
                    redo(&log[marker..], &mut tables);
                    model.forget_ephemeral();
                    check(&mut tables, &model, true);
                }
                Event::Failed(cut) => {
                    let writes = tables.freeze();
                    disk.write(&writes[..cut.index(writes.len() + 1)]);
                    tables.thaw(&writes);
                }
            }
        }
        check(&mut tables, &model, true);
        disk.write(&tables.freeze());
        prop_assert!(tables.freeze().is_empty(), "nothing has changed since");
        let mut loaded = disk.loaded();
        check(&mut loaded, &model, false);
        prop_assert!(loaded.freeze().is_empty(), "what was loaded is unchanged");
    }
}

#[test]
fn a_large_table_goes_to_disk_and_back_and_shrinks_again() {
    use super::{ACCOUNT, account};
    use interstice_abi::codec::Column;

    let mut tables = tables();
    let mut disk = Disk::default();
    for id in 1..3000_u64 {
        // A walk over all ids that is not in order.
        let id = id * 1009 % 3001;
        let row = account(
            id,
            &format!("{id}"),
            i32::try_from(id).expect("small"),
            0,
            20,
        );
        tables.insert(ACCOUNT, &row.to_bytes()).expect("inserts");
    }
    tables.commit();
    let digest = tables.digest();
    let writes = tables.freeze();
    assert!(
        writes.len() > 20 && writes.len() < 200,
        "{} pages",
        writes.len()
    );
    disk.write(&writes);
    let mut loaded = disk.loaded();
    assert_eq!(loaded.digest(), digest);
    for id in 1..3000_u64 {
        let id = id * 1009 % 3001;
        if id % 100 != 0 {
            loaded.delete(ACCOUNT, &id.to_bytes()).expect("deletes");
        }
    }
    loaded.commit();
    disk.write(&loaded.freeze());
    assert!(
        disk.0.len() < 8,
        "sparse pages were merged: {}",
        disk.0.len()
    );
    assert_eq!(disk.loaded().digest(), loaded.digest());
}
