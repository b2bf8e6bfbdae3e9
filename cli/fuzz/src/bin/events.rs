//! Words with a grammar: event strings, names, addresses. Anything is taken or refused; what is
//! taken prints as something that reads as the same.
#![no_main]

use std::sync::Once;

use interstice_abi::{event::Event, id::ModuleName};
use interstice_client::Target;
use interstice_fuzz::memory;
use libfuzzer_sys::fuzz_target;

static BEGIN: Once = Once::new();

fuzz_target!(|text: &str| {
    BEGIN.call_once(|| memory::limit(16 * 1024 * 1024));
    if let Ok(event) = text.parse::<Event>() {
        assert_eq!(event.to_string().parse::<Event>().as_ref(), Ok(&event));
        let sent = postcard::to_allocvec(&event).expect("a vector takes it");
        assert_eq!(postcard::from_bytes::<Event>(&sent).as_ref(), Ok(&event));
    }
    if let Ok(name) = ModuleName::new(text) {
        assert_eq!(name.as_str(), text);
        let only = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        assert!(!text.is_empty() && text.bytes().all(only), "{text:?}");
    }
    if let Ok(target) = text.parse::<Target>() {
        let shown = target.to_string();
        let again = shown.parse::<Target>().expect("what is printed is read");
        let place = (target.host(), target.port());
        assert_eq!((again.host(), again.port()), place);
    }
});
