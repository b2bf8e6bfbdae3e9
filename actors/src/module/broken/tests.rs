//! An actor's core whose work panics: everybody is answered, and the core is still there.

use std::sync::Arc;

use interstice_abi::{
    ABI_VERSION,
    id::{Epoch, NodeId, Seq, TableId},
    schema::{Description, ModuleHeader, Version, Visibility},
};
use interstice_host::{
    limits::Limits,
    log::{Log, LogOptions, StdFiles},
    module::Module,
    table::Tables,
    wasm::Engine,
};
use tempfile::TempDir;

use super::{Core, Replies};
use crate::{
    clock::{NodeClock, SystemClocks},
    lines::Lines,
    module::{
        NewPlace, Order,
        lane::Lane,
        query::{ReadRows, RowsMode},
        turn::Ticket,
    },
    remote::NotConnected,
    shared::{Shared, Who},
    supervisor::catalogue::ModuleIndex,
};

pub(in crate::module) fn shared(folder: &TempDir) -> Arc<Shared> {
    let options = LogOptions::default();
    let (log, _) =
        Log::open(&folder.path().join("log"), Arc::new(StdFiles), options).expect("opens");
    let lines = Lines::open(&folder.path().join("node.log")).expect("opens");
    let lane = Lane::start(1).expect("a thread");
    Arc::new(Shared::new(
        Who {
            id: NodeId::from("node"),
            seed: [0; 32],
            epoch: Epoch(1),
        },
        log,
        Arc::new(lines),
        Arc::new(NotConnected),
        lane,
        NodeClock::after(0, Arc::new(SystemClocks::default())),
    ))
}

/// A module that has nothing.
pub(in crate::module) fn empty() -> Module {
    let header = Description::Module(ModuleHeader {
        abi_version: ABI_VERSION,
        name: "empty".into(),
        version: Version {
            major: 0,
            minor: 1,
            patch: 0,
        },
        visibility: Visibility::Public,
        authorities: Vec::new(),
        replicated_tables: Vec::new(),
        dependencies: Vec::new(),
    });
    let bytes = postcard::to_allocvec(&header).expect("encodes");
    let data: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let length = bytes.len();
    let text = format!(
        r#"(module
        (import "interstice" "output_write" (func $output_write (param i32 i32)))
        (memory (export "memory") 1)
        (func (export "__interstice_describe__module") (call $output_write (i32.const 0) (i32.const {length})))
        (data (i32.const 0) "{data}"))"#
    );
    let wasm = wat::parse_str(text).expect("is a module");
    let limits = Limits::default();
    let engine = Engine::new(None).expect("starts");
    let binary = engine.load(&wasm, &limits).expect("is a module");
    let tables = Tables::new(binary.schema.clone(), limits.rows()).expect("has none");
    Module::new(engine, binary, tables, limits)
}

fn rows(ticket: u64, replies: &Replies) -> NewPlace {
    NewPlace::Rows(Box::new(ReadRows {
        ticket: Ticket(ticket),
        module: ModuleIndex(0),
        guest: None,
        table: TableId(0),
        mode: RowsMode::Alone(None),
        limit: 1,
        filter: None,
        seq: Seq(0),
        replies: replies.clone(),
        request: ticket,
    }))
}

#[tokio::test]
async fn whoever_waits_for_an_actor_that_has_panicked_is_answered_then_and_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = interstice_abi::id::ModuleName::new("empty").expect("a name");
    let mut core = Box::new(Core::new(name, shared(&folder), empty()));
    let replies = Replies::new(1 << 20, 1 << 20);
    replies.begun(4);
    for ticket in 1..=3 {
        core.place(rows(ticket, &replies));
    }
    core.mishap = Some(|| std::panic::resume_unwind(Box::new("a bug of ours")));
    let mut core = core.drive().await;
    assert_eq!(replies.in_flight(), 1, "three have waited, three are told");
    assert!(!core.has_work());
    core.place(rows(4, &replies));
    assert_eq!(replies.in_flight(), 0, "who comes later is told at once");
    let lines = core
        .shared()
        .lines
        .kept(None, crate::lines::Begin::Tail(10))
        .expect("lines are kept");
    let said = lines.iter().any(|line| line.text.contains("this is a bug"));
    assert!(said, "{lines:?}");
}

#[tokio::test]
async fn whoever_waits_for_an_actor_of_a_node_that_stops_is_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = interstice_abi::id::ModuleName::new("empty").expect("a name");
    let mut core = Box::new(Core::new(name, shared(&folder), empty()));
    let replies = Replies::new(1 << 20, 1 << 20);
    replies.begun(1);
    core.place(NewPlace::Hold(Ticket(1)));
    core.place(rows(2, &replies));
    let core = core.drive().await;
    assert_eq!(replies.in_flight(), 1, "it waits for another module's turn");
    let mut core = core;
    core.order(Order::Abandon(super::abandoned("a test says so")));
    assert_eq!(replies.in_flight(), 0);
}
