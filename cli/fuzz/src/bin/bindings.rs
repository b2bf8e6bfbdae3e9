//! Binding files: any text is taken or refused; what is taken says the same once it is written and
//! read again.
#![no_main]

use std::sync::Once;

use interstice_abi::binding::{ModuleBinding, NodeBinding};
use interstice_fuzz::{memory, schemas};
use libfuzzer_sys::fuzz_target;

static BEGIN: Once = Once::new();

fuzz_target!(|text: &str| {
    BEGIN.call_once(|| memory::limit(64 * 1024 * 1024));
    if let Ok(module) = toml::from_str::<ModuleBinding>(text) {
        schemas::check_bound(&module, None);
    }
    if let Ok(node) = toml::from_str::<NodeBinding>(text) {
        let _ = node.check();
        for module in &node.modules {
            schemas::check_bound(module, Some(&node));
        }
    }
});
