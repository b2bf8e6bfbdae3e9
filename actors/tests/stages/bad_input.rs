//! What nobody should send or do: each ends in a clear error for whoever did it, leaves nothing,
//! and the node goes on.

use std::{io::Write, net::TcpStream};

use interstice_abi::{
    failure::{Code, Failure},
    schema::{Access, Description, TableAccess},
    types::ColumnType,
    wire::OnConflict,
};
use interstice_actors::node::{Listen, Node, StartOptions};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{arg, insert, must},
    peer::Peer,
    world::World,
};

fn honest(name: &str) -> GuestModule {
    GuestModule::new(name)
        .table(GuestTable::new("Rows", &["value"]))
        .reducer("put", 1, vec![must(insert("rows", [arg(0), arg(0)]))])
}

/// The reducer's description in what a module says of itself.
fn reducer_of(all: &mut [(String, Description)]) -> &mut interstice_abi::schema::ReducerSchema {
    let found = all
        .iter_mut()
        .find_map(|(_, description)| match description {
            Description::Reducer { reducer, .. } => Some(reducer),
            _ => None,
        });
    found.expect("the module has a reducer")
}

fn table_of(all: &mut [(String, Description)]) -> &mut interstice_abi::schema::TableSchema {
    let found = all
        .iter_mut()
        .find_map(|(_, description)| match description {
            Description::Table { table, .. } => Some(table),
            _ => None,
        });
    found.expect("the module has a table")
}

/// Modules whose schema lies, and a word that the refusal must say.
fn liars() -> Vec<(GuestModule, &'static str)> {
    vec![
        (honest("a/b"), "a/b"),
        (honest(".."), ".."),
        (honest("bell\u{7}"), "name"),
        (
            honest("doubled").lying(|all| {
                let again = all
                    .iter()
                    .find(|(name, _)| name == "table__rows")
                    .cloned()
                    .expect("is there");
                all.push(("table__more".into(), again.1));
            }),
            "rows",
        ),
        (
            honest("dangling").lying(|all| {
                reducer_of(all).arguments[0].ty = ColumnType::Named("Nowhere".into());
            }),
            "Nowhere",
        ),
        (
            honest("grasping").lying(|all| {
                let table = interstice_abi::event::TableRef {
                    node: None,
                    module: None,
                    table: "elsewhere".into(),
                };
                reducer_of(all).capabilities.push(TableAccess {
                    table,
                    access: Access::READ,
                });
            }),
            "elsewhere",
        ),
        (
            honest("keyless").lying(|all| table_of(all).primary_key = 9),
            "key",
        ),
        (
            honest("voiceless").lying(|all| all.retain(|(name, _)| !name.starts_with("reducer"))),
            "put",
        ),
        (
            honest("nameless").lying(|all| all.retain(|(name, _)| name != "module")),
            "module",
        ),
    ]
}

/// The node has nothing but `honest`, and that works.
async fn is_well(peer: &Peer, number: u64) {
    let names: Vec<String> = peer
        .modules()
        .await
        .into_iter()
        .map(|module| module.name.to_string())
        .collect();
    assert_eq!(names, ["honest"]);
    peer.call("honest", "put", &[number])
        .await
        .expect("the node goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_is_none_or_lies_is_refused_with_a_reason() {
    let mut world = World::configured(|config| config.limits.module_bytes_max = 100_000);
    world.start().await;
    let peer = world.owner().await;
    peer.install(&honest("honest")).await;
    for (number, (module, word)) in (1..).zip(liars()) {
        let failure = peer
            .deploy(&module, OnConflict::Refuse)
            .await
            .expect_err(&module.name);
        assert!(
            matches!(failure.code, Code::BadArguments | Code::SchemaConflict),
            "{}: {failure:?}",
            module.name
        );
        assert!(failure.message.contains(word), "{}: {failure}", module.name);
        is_well(&peer, number).await;
    }
    let foreign = wat::parse_str(
        "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32))) (memory (export \"memory\") 1))",
    );
    let other_signature = wat::parse_str(
        "(module (import \"interstice\" \"seq\" (func (param i32))) (memory (export \"memory\") 1))",
    );
    let mut cut = honest("cut").wasm();
    cut.truncate(cut.len() / 2);
    let mut damaged = honest("damaged").wasm();
    for byte in damaged.iter_mut().skip(600).step_by(97) {
        *byte ^= 0x55;
    }
    let binaries: [(Vec<u8>, &str); 7] = [
        (b"#!/bin/sh".to_vec(), "not a WebAssembly module"),
        (Vec::new(), ""),
        (
            foreign.expect("it is text"),
            "wasi_snapshot_preview1.fd_write",
        ),
        (other_signature.expect("it is text"), "seq"),
        (wat::parse_str("(module)").expect("it is text"), "memory"),
        (cut, ""),
        (damaged, ""),
    ];
    for (number, (wasm, words)) in (100..).zip(binaries) {
        let failure: Failure = peer.upload(&wasm).await.expect_err(words);
        assert!(failure.message.contains(words), "{failure}");
        is_well(&peer, number).await;
    }
    let failure = peer
        .upload(&vec![0; 200_000])
        .await
        .expect_err("is too large");
    assert_eq!(failure.code, Code::TooLarge, "{failure}");
    is_well(&peer, 200).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_do_not_fit_say_what_would() {
    let world = World::started().await;
    let peer = world.owner().await;
    peer.install(&honest("honest")).await;
    for (module, reducer, arguments, code, word) in [
        ("honset", "put", vec![1], Code::NotFound, "honest"),
        ("honest", "pat", vec![1], Code::NotFound, "put"),
        ("honest@7", "put", vec![1], Code::NotFound, "7"),
        ("honest", "put", vec![], Code::BadArguments, "put"),
        ("honest", "put", vec![1, 2], Code::BadArguments, "put"),
    ] {
        let failure = peer
            .call(module, reducer, &arguments)
            .await
            .expect_err(word);
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(word), "{failure}");
    }
    let failure = peer
        .rows("honest", "row")
        .await
        .expect_err("is a slip of the finger");
    assert!(
        failure.code == Code::NotFound && failure.message.contains("rows"),
        "{failure}"
    );
    is_well(&peer, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_node_on_a_directory_or_a_port_is_told_so_and_the_first_goes_on() {
    let world = World::started().await;
    let peer = world.owner().await;
    peer.install(&honest("honest")).await;
    let start = |directory: std::path::PathBuf, port| {
        let options = StartOptions {
            listen: Listen::Loopback,
            port: Some(port),
            workers: None,
        };
        tokio::task::spawn_blocking(move || {
            Node::start(&directory, options).map(|node| node.stop())
        })
    };
    let second = start(world.directory().to_path_buf(), 0)
        .await
        .expect("does not panic")
        .expect_err("is taken");
    assert!(
        second
            .to_string()
            .contains(&world.directory().display().to_string()),
        "{second}"
    );
    let elsewhere = World::configured(|_| {});
    let second = start(elsewhere.directory().to_path_buf(), world.port())
        .await
        .expect("does not panic")
        .expect_err("is taken");
    assert!(
        second.to_string().contains(&world.port().to_string()),
        "{second}"
    );
    is_well(&peer, 1).await;
    // The one that could not listen has let go of its directory.
    let mut elsewhere = elsewhere;
    elsewhere.start().await;
    elsewhere.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_that_speak_another_language_disturb_nobody() {
    let world = World::started().await;
    let peer = world.owner().await;
    peer.install(&honest("honest")).await;
    let mut open = Vec::new();
    for (number, said) in (1..).zip([
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 4096],
        &[0; 1],
        b"\x13/multistream/1.0.0\n\x07/noise\n\xff\xff\xff\xff",
    ]) {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port())).expect("it listens");
        stream.write_all(said).expect("it is sent");
        // Stays open, and silent, while others work.
        open.push(stream);
        is_well(&peer, number).await;
        world
            .stranger()
            .await
            .rows("honest", "rows")
            .await
            .expect("new clients come in");
    }
}
