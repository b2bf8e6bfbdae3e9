//! What an instance remembers of a table, one static per row type: its handle, and how often it
//! was written to.
//!
//! Inside a node an instance is one thread and forgets everything when it is renewed, handles
//! included. Natively every test has tables of its own, so no handle is remembered there; tests
//! share the counts, which makes iterations fetch again now and then.

use std::sync::atomic::{AtomicU32, Ordering};

use interstice_abi::{event::TableRef, schema::TableSchema, types::TypeSet};

use crate::{
    Error,
    host::{self, imports},
};

/// What an instance remembers of a table.
#[derive(Debug)]
pub struct TableSlot {
    /// How often rows may have come.
    inserts: AtomicU32,
    /// How often rows may have been replaced or gone.
    changes: AtomicU32,
    /// The handle + 1; 0 while the table is not open.
    #[cfg(target_arch = "wasm32")]
    handle: AtomicU32,
}

impl TableSlot {
    /// A slot for a table that is not open.
    #[expect(
        clippy::new_without_default,
        reason = "slots are statics: only a const function is of use"
    )]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            inserts: AtomicU32::new(0),
            changes: AtomicU32::new(0),
            #[cfg(target_arch = "wasm32")]
            handle: AtomicU32::new(0),
        }
    }

    pub(super) fn inserts(&self) -> u32 {
        self.inserts.load(Ordering::Relaxed)
    }

    pub(super) fn count_insert(&self) {
        self.inserts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn changes(&self) -> u32 {
        self.changes.load(Ordering::Relaxed)
    }

    pub(super) fn count_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    #[cfg(target_arch = "wasm32")]
    pub(super) fn open(
        &self,
        node: Option<&str>,
        module: Option<&str>,
        table: &str,
        _: fn(&mut TypeSet) -> TableSchema,
    ) -> Result<u32, Error> {
        match self.handle.load(Ordering::Relaxed) {
            0 => {
                let handle = ask(node, module, table)?;
                self.handle
                    .store(handle.saturating_add(1), Ordering::Relaxed);
                Ok(handle)
            }
            known => Ok(known - 1),
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[expect(clippy::unused_self, reason = "natively there is nothing to remember")]
    pub(super) fn open(
        &self,
        node: Option<&str>,
        module: Option<&str>,
        table: &str,
        schema: fn(&mut TypeSet) -> TableSchema,
    ) -> Result<u32, Error> {
        imports::table_declare(&name(node, module, table), schema);
        ask(node, module, table)
    }
}

fn name(node: Option<&str>, module: Option<&str>, table: &str) -> String {
    let reference = TableRef {
        node: node.map(str::to_string),
        module: module.map(str::to_string),
        table: table.to_string(),
    };
    reference.to_string()
}

fn ask(node: Option<&str>, module: Option<&str>, table: &str) -> Result<u32, Error> {
    let name = name(node, module, table);
    host::ask(|out| imports::table_open(name.as_bytes(), out), host::value)
}
