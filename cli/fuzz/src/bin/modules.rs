//! Binaries given to deploy: any bytes are loaded or refused, within the time and memory that
//! describing may take.
#![no_main]

use std::sync::{Arc, LazyLock};

use interstice_fuzz::{memory, schemas};
use interstice_host::wasm::Engine;
use libfuzzer_sys::fuzz_target;

static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| {
    memory::limit(512 * 1024 * 1024);
    Engine::new(None).expect("an engine starts")
});

fuzz_target!(|data: &[u8]| {
    if let Ok(binary) = ENGINE.load(data, &schemas::limits()) {
        schemas::check_accepted(&binary.schema);
    }
});
