//! Types of the authority `Module`.

use crate::interstice_type;

/// A node that modules can be loaded on.
#[interstice_type]
#[derive(Debug)]
pub enum NodeSelection {
    /// This one.
    Current,
    /// Another one, by its name in the bindings.
    Other(String),
}

/// Somebody asks for a change of the node's modules.
#[interstice_type]
#[derive(Debug)]
pub enum ModuleEvent {
    /// To load one.
    LoadRequest {
        /// Who asks.
        node_id: String,
        /// The module's name.
        module_name: String,
        /// The module.
        wasm_binary: Vec<u8>,
    },
    /// To remove one.
    RemoveRequest {
        /// Who asks.
        node_id: String,
        /// The module's name.
        module_name: String,
    },
}
