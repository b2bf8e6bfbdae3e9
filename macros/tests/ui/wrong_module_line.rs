#![allow(unused, reason = "the errors are what is looked at")]

use interstice_sdk::*;

interstice_module!(
    visibility: Hidden,
    authorities: [Gpu, Keyboard, Gpu],
    replicated_tables: ["table", "node.module.table", "node.module.table"],
    visibility: Public,
);

mod unknown {
    interstice_sdk::interstice_module!(name: "other");
}

fn main() {}
