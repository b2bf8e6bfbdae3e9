//! From a stored binary to a running actor: describe, compile, make its world, choose its thread.
//! New binaries come in by `compiling.rs`.
//!
//! It knows nothing of the catalogue; recovery starts modules with it as deploys do.

use std::{collections::BTreeMap, sync::Arc};

use actix::prelude::ArbiterHandle;
use interstice_abi::{failure::Failure, id::ModuleName, schema::ModuleSchema};
use interstice_host::{
    limits::Limits,
    module::Module,
    table::Tables,
    wasm::{Binary, Engine},
};

use super::compiling::Compiles;
use crate::{
    config::{Config, Placement},
    directory::Directory,
    module::{ModuleActor, core::Core, home::ModuleAddress},
};

/// What turns binaries into running actors.
#[derive(Clone)]
pub(crate) struct Installer {
    /// Compiles and runs guests.
    pub(crate) engine: Arc<Engine>,
    /// Where binaries are stored.
    pub(crate) directory: Arc<Directory>,
    /// Where actors run.
    pub(crate) arbiters: Arc<Vec<ArbiterHandle>>,
    /// How many modules are being compiled.
    pub(crate) compiles: Compiles,
}

impl Installer {
    /// What a binary that was stored before says of itself. Blocks, and compiles nothing where the
    /// schema is stored. A folder of an older version does not have it in both places, so it is
    /// stored where it is missing.
    ///
    /// # Errors
    /// `Corrupt` when both the schema and the binary are missing or not what they were.
    pub(crate) fn schema(&self, hash: &[u8; 32], limits: &Limits) -> Result<ModuleSchema, Failure> {
        let schema = match self.directory.schema(hash) {
            Some(schema) => schema,
            None => {
                let wasm = self.directory.module(hash)?;
                self.engine.describe(&wasm, limits)?
            }
        };
        self.directory.store_schema(hash, &schema);
        Ok(schema)
    }

    /// Compiles the stored bytes of a binary that has no code. Blocks.
    ///
    /// # Errors
    /// `Corrupt` when they are missing or not what they were; what the compiler says of them.
    pub(crate) fn add_code(&self, binary: &Binary, limits: &Limits) -> Result<(), Failure> {
        let wasm = self.directory.module(&binary.hash)?;
        self.engine.add_code(binary, &wasm, limits)
    }

    /// Makes a module's world.
    pub(crate) fn module(&self, binary: Arc<Binary>, tables: Tables, config: &Config) -> Module {
        Module::new(self.engine.clone(), binary, tables, config.limits.clone())
    }

    /// Starts the actor of a module at its place.
    pub(crate) fn start(&self, core: Core, place: usize) -> ModuleAddress {
        let arbiter = self.arbiters.get(place % self.arbiters.len().max(1));
        ModuleActor::of(core, arbiter)
    }

    /// The arbiter for a new module: that of a module that it depends on, else the next in turn.
    pub(crate) fn place(
        &self,
        schema: &ModuleSchema,
        places: &BTreeMap<ModuleName, usize>,
        config: &Config,
    ) -> usize {
        let beside = schema
            .dependencies
            .iter()
            .filter(|_| config.placement == Placement::Together)
            .filter(|dependency| dependency.node.is_none())
            .find_map(|dependency| places.get(dependency.module.as_str()).copied());
        beside.unwrap_or_else(|| {
            let count = |place: usize| places.values().filter(|used| **used == place).count();
            (0..self.arbiters.len().max(1))
                .min_by_key(|place| (count(*place), *place == 0))
                .unwrap_or(0)
        })
    }
}
