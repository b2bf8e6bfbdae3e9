//! Where an instance remembers the handle of a table, one static per row type.
//!
//! Inside a node an instance is one thread and forgets everything when it is renewed, handles included. Natively
//! every test has tables of its own, so nothing is remembered there.

use interstice_abi::{event::TableRef, schema::TableSchema, types::TypeSet};

use crate::{
    Error,
    host::{self, imports},
};

/// The handle of a table, once it is open.
#[derive(Debug)]
pub struct TableSlot {
    /// The handle + 1; 0 while the table is not open.
    #[cfg(target_arch = "wasm32")]
    handle: std::sync::atomic::AtomicU32,
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
            #[cfg(target_arch = "wasm32")]
            handle: std::sync::atomic::AtomicU32::new(0),
        }
    }

    #[cfg(target_arch = "wasm32")]
    pub(super) fn open(
        &self,
        node: Option<&str>,
        module: Option<&str>,
        table: &str,
        _: fn(&mut TypeSet) -> TableSchema,
    ) -> Result<u32, Error> {
        use std::sync::atomic::Ordering;
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
