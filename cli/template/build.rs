//! Rebuilds the module when its bindings change.

fn main() {
    interstice_sdk::bindings::generate_bindings();
}
