//! Rebuilds the module when its binding files change.

fn main() {
    interstice_sdk::bindings::generate_bindings();
}
