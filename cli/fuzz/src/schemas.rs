//! What must hold of every schema that a host has accepted, and the limits under which it was
//! asked to.

use std::sync::Arc;

use interstice_abi::{
    binding::{ModuleBinding, NodeBinding},
    schema::ModuleSchema,
    walk::Layout,
};
use interstice_host::{limits::Limits, schema, table::Tables};

/// Small enough that an input ends soon.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        memory_bytes: 4 * 1024 * 1024,
        module_bytes_max: 1024 * 1024,
        ..Limits::default()
    }
}

/// A schema that [`schema::assemble`] made can be walked, has tables, is equal to itself, travels,
/// and can be bound.
pub fn check_accepted(accepted: &ModuleSchema) {
    let mut layout = Layout::new(&accepted.types).expect("accepted types can be laid out");
    for table in &accepted.tables {
        layout
            .resolve_fields(&table.fields)
            .expect("accepted columns have types");
    }
    Tables::new(Arc::new(accepted.clone()), limits().rows())
        .expect("an accepted schema has its tables");
    let difference = schema::difference(accepted, accepted);
    assert!(difference.is_empty() && difference.is_compatible());
    let sent = postcard::to_allocvec(accepted).expect("a vector takes it");
    assert_eq!(
        postcard::from_bytes::<ModuleSchema>(&sent).as_ref(),
        Ok(accepted)
    );
    check_binding(accepted);
}

fn check_binding(accepted: &ModuleSchema) {
    let view = accepted.public_view();
    let binding = ModuleBinding::of(accepted);
    let text = toml::to_string(&binding).expect("a binding can be written");
    let read: ModuleBinding = toml::from_str(&text).expect("what was written can be read");
    let bound = read.to_dependency(None).expect("what was written is right");
    assert_eq!(bound.module, accepted.name.as_str());
    assert_eq!(bound.version, accepted.version);
    assert_eq!(bound.tables.len(), view.tables.len());
    schema::check_binding(accepted, &bound, accepted)
        .expect("a module has what its own binding says");
}

/// What a binding file holds that was taken survives being written and read again.
pub fn check_bound(binding: &ModuleBinding, node: Option<&NodeBinding>) {
    let Ok(dependency) = binding.to_dependency(node) else {
        return;
    };
    let text = toml::to_string(binding).expect("a binding can be written");
    let again: ModuleBinding = toml::from_str(&text).expect("what was written can be read");
    assert_eq!(again.to_dependency(node).as_ref(), Ok(&dependency));
    let schema = binding.to_schema().expect("a dependency has a schema");
    let rendered = ModuleBinding::of(&schema);
    let text = toml::to_string(&rendered).expect("a binding can be written");
    let again: ModuleBinding = toml::from_str(&text).expect("what was written can be read");
    assert_eq!(again, rendered);
}
