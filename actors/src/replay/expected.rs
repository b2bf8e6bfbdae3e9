//! What a replay must come to: the tables that the node would come back to, recovered from a copy
//! of its store.
//!
//! Opening a store writes to it, so the node's own is never opened here.

use std::{collections::BTreeMap, io, sync::Arc};

use interstice_abi::id::{ModuleName, TableId};
use interstice_host::{
    log::Opened,
    store::Store,
    table::{Change, Tables},
    wasm::Engine,
};

use super::{ModuleReplayed, ReplayError, RowDifference, Written};
use crate::{
    config::Config,
    directory::Directory,
    files_copy::copy_folder,
    node::NodeError,
    recovery::recover,
    supervisor::install::{compiling::Compiles, installer::Installer},
};

/// Rows that are compared at once, and their bytes.
const ROWS: usize = 1000;
const ROWS_BYTES: usize = 1024 * 1024;

/// The tables to come to.
pub(super) struct Expected(BTreeMap<ModuleName, Tables>);

impl Expected {
    /// What the node in `directory` comes back to. A running node's store is in use: without it
    /// the log, which is whole, leads to the same.
    pub(super) fn of(
        directory: &Arc<Directory>,
        config: &Config,
        engine: Arc<Engine>,
        log: &Written,
    ) -> Result<Self, ReplayError> {
        let files = |error: io::Error| ReplayError::Files {
            problem: error.to_string(),
        };
        let scratch = tempfile::tempdir().map_err(files)?;
        let copy = scratch.path().join("db");
        if directory.is_locked() {
            copy_folder(&directory.path("db"), &copy).map_err(files)?;
        }
        let store =
            Store::open(&copy, config.store_cache_bytes).map_err(|error| NodeError::Store {
                problem: error.to_string(),
            })?;
        let installer = Installer {
            engine,
            directory: directory.clone(),
            arbiters: Arc::default(),
            compiles: Compiles::default(),
        };
        let opened = Opened {
            cut: log.found.cut.clone(),
            reserved_seq: log.found.reserved_seq,
            start: log.found.start(),
            end: log.found.end(),
        };
        let read = |from| log.read(from);
        let recovered = recover(&installer, config, &store, &opened, read)?;
        let modules = recovered.modules.into_iter();
        Ok(Self(
            modules
                .map(|(name, module)| (name, module.tables))
                .collect(),
        ))
    }

    /// Compares module by module.
    pub(super) fn compare(
        mut self,
        mut replayed: BTreeMap<ModuleName, Tables>,
    ) -> Vec<ModuleReplayed> {
        let mut names: Vec<ModuleName> = self.0.keys().chain(replayed.keys()).cloned().collect();
        names.sort();
        names.dedup();
        let compared = names.into_iter().map(|module| {
            let mut expected = self.0.remove(&module);
            let mut replayed = replayed.remove(&module);
            let mut came_to = ModuleReplayed {
                module,
                replayed: replayed.as_mut().map(Tables::digest),
                expected: expected.as_mut().map(Tables::digest),
                row: None,
            };
            if let (Some(expected), Some(replayed), false) =
                (&expected, &replayed, came_to.agrees())
            {
                came_to.row = first_row(expected, replayed);
            }
            came_to
        });
        compared.collect()
    }
}

/// The first row that only one side has, or that differs. What is not in a declared table has none.
fn first_row(expected: &Tables, replayed: &Tables) -> Option<RowDifference> {
    let schema = expected.schema();
    (0..schema.tables.len())
        .filter_map(|table| u16::try_from(table).ok().map(TableId))
        .find_map(|table| {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page =
                    |tables: &Tables| tables.rows_after(table, after.as_deref(), ROWS, ROWS_BYTES);
                let (left, right) = (page(expected).ok()?, page(replayed).ok()?);
                let place = (0..left.len().max(right.len()))
                    .find(|place| left.get(*place) != right.get(*place));
                if let Some(place) = place {
                    let mut recorded = left.get(place).map(|row| change(table, row));
                    let mut came_out = right.get(place).map(|row| change(table, row));
                    // Rows stand in the order of their keys: the smaller key is missing on the
                    // other side.
                    if let (Some(left), Some(right)) = (&recorded, &came_out) {
                        match left.key.cmp(&right.key) {
                            std::cmp::Ordering::Less => came_out = None,
                            std::cmp::Ordering::Greater => recorded = None,
                            std::cmp::Ordering::Equal => {}
                        }
                    }
                    return Some(RowDifference {
                        schema: schema.clone(),
                        table,
                        recorded,
                        replayed: came_out,
                    });
                }
                after = Some(left.last()?.0.to_vec());
            }
        })
}

fn change(table: TableId, (key, row): &(Box<[u8]>, Box<[u8]>)) -> Change {
    Change {
        table,
        key: (**key).into(),
        before: None,
        after: Some((**row).into()),
    }
}
