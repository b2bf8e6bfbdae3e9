//! Binaries whose sections are valid and whose content is bent: each is loaded or refused, and
//! what is loaded keeps its promises.
#![no_main]

use std::sync::{Arc, LazyLock};

use interstice_fuzz::{guest, memory, schemas};
use interstice_host::wasm::Engine;
use libfuzzer_sys::{arbitrary::Unstructured, fuzz_target};

static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| {
    memory::limit(512 * 1024 * 1024);
    Engine::new(None).expect("an engine starts")
});

fuzz_target!(|data: &[u8]| {
    let Ok(wasm) = guest::binary(&mut Unstructured::new(data)) else {
        return;
    };
    if let Ok(binary) = ENGINE.load(&wasm, &schemas::limits()) {
        schemas::check_accepted(&binary.schema);
    }
});
