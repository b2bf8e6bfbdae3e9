//! What a module says of itself: any descriptions are put together or refused, and what is
//! accepted keeps the promises on which tables, bindings and upgrades rely.
#![no_main]

use std::sync::Once;

use interstice_abi::schema::Description;
use interstice_fuzz::{memory, schemas};
use interstice_host::schema;
use libfuzzer_sys::fuzz_target;

static BEGIN: Once = Once::new();

fuzz_target!(|data: &[u8]| {
    BEGIN.call_once(|| memory::limit(256 * 1024 * 1024));
    let mut rest = data;
    let mut descriptions = Vec::new();
    while let Ok((description, behind)) = postcard::take_from_bytes::<Description>(rest) {
        descriptions.push(description);
        rest = behind;
    }
    if let Ok(accepted) = schema::assemble(descriptions) {
        schemas::check_accepted(&accepted);
    }
});
