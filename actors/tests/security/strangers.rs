//! What a key that is no owner's can do and what not, and who has not even that: the lines of the
//! README's table.

use std::time::Duration;

use interstice_abi::{
    event::RowEvent,
    failure::{Code, Failure},
    id::Seq,
    schema::Visibility,
    wire::{Ack, FRAME_BYTES_MAX, RequestBody, Response, ResponseBody, Standing, WatchEvent},
};
use interstice_client::{Client, ConnectOptions, Error, Identity, Target};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    common::{
        guest::{GuestModule, GuestTable},
        op::{Op, arg, insert, must, reg},
        peer::Peer,
        world::World,
    },
    raw::Raw,
};

/// A public module with a public and a private table, and a reducer that handles an event.
pub(crate) fn city() -> GuestModule {
    let count = Op::Count {
        table: "houses".into(),
        into: 0,
    };
    GuestModule::new("city")
        .table(GuestTable::new("Houses", &["rooms"]))
        .table(GuestTable::new("Secrets", &["value"]).private())
        .reducer("build", 2, vec![must(insert("houses", [arg(0), arg(1)]))])
        .on_row(
            "houses",
            RowEvent::Insert,
            "built",
            vec![must(insert("secrets", [arg(0), arg(1)]))],
        )
        .query("houses", 0, vec![count, Op::Return(reg(0))])
}

fn cellar() -> GuestModule {
    GuestModule::new("cellar")
        .private()
        .table(GuestTable::new("Wines", &["year"]))
        .reducer("store", 2, vec![must(insert("wines", [arg(0), arg(1)]))])
        .query("first", 0, vec![Op::Return(1.into())])
}

async fn world() -> World {
    let world = World::started().await;
    let owner = world.owner().await;
    owner.install(&city()).await;
    owner.install(&cellar()).await;
    world
}

fn target(world: &World) -> Target {
    Target::new("127.0.0.1", world.port())
}

async fn client(world: &World, identity: &Identity) -> Client {
    Client::connect(identity, &target(world), &ConnectOptions::default())
        .await
        .unwrap()
}

async fn raw(world: &World) -> Raw {
    let address = format!("/ip4/127.0.0.1/tcp/{}", world.port())
        .parse()
        .unwrap();
    Raw::greeted_at(&address, &Identity::generate()).await
}

#[tokio::test]
async fn any_key_can_connect_ping_and_see_the_node() {
    let world = world().await;
    let stranger = client(&world, &Identity::generate()).await;
    assert_eq!(stranger.welcome().standing, Standing::Guest);
    stranger.ping().await.unwrap();
    assert_eq!(stranger.node_status().await.unwrap().name, "tested");
}

#[tokio::test]
async fn any_key_can_call_reducers_and_query_and_read_and_watch_public_tables_of_public_modules() {
    let world = world().await;
    let stranger = world.stranger().await;
    stranger.call("city", "build", &[1, 4]).await.unwrap();
    assert_eq!(stranger.query("city", "houses", &[]).await, Ok(1));
    assert_eq!(stranger.rows("city", "houses").await, Ok(vec![vec![1, 4]]));
    let mut watch = stranger.watch("city", "houses", None).await;
    assert_eq!(watch.rows().await.0, [vec![1, 4]]);
    stranger.call("city", "build", &[2, 5]).await.unwrap();
    assert_eq!(watch.changes(1).await[0].after, Some(vec![2, 5]));
}

#[tokio::test]
async fn any_key_can_fetch_the_public_schema_and_see_the_counters_of_public_modules_and_no_more() {
    let world = world().await;
    let stranger = world.stranger().await;
    let schema = stranger.schema("city").await.unwrap();
    assert!(
        schema
            .tables
            .iter()
            .all(|table| table.visibility == Visibility::Public)
    );
    let modules = stranger.modules().await;
    let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    assert_eq!(names, ["city"]);
    let tables: Vec<&str> = modules[0]
        .tables
        .iter()
        .map(|table| table.name.as_str())
        .collect();
    assert_eq!(tables, ["houses"]);
    assert_eq!(
        (modules[0].digest, modules[0].last_fault.clone()),
        (None, None)
    );
}

/// All that refuses to say something of a module, and of a table and a reducer of the city.
async fn told_of(stranger: &Peer, module: &str, table: &str, reducer: &str) -> Vec<Failure> {
    let at = Seq(2);
    let status = RequestBody::ModuleStatus {
        module: Some(module.into()),
    };
    let watched = |module: String, table: String| async move {
        let watch = stranger.watch(&module, &table, None).await;
        watch.failure().await
    };
    vec![
        stranger.call(module, "store", &[1, 1]).await.unwrap_err(),
        stranger.query(module, "first", &[]).await.unwrap_err(),
        stranger.rows(module, "wines").await.unwrap_err(),
        stranger.rows_at(module, "wines", at).await.unwrap_err(),
        stranger.schema(module).await.unwrap_err(),
        stranger.request(status).await.unwrap_err(),
        watched(module.into(), "wines".into()).await,
        stranger.rows("city", table).await.unwrap_err(),
        stranger.rows_at("city", table, at).await.unwrap_err(),
        watched("city".into(), table.into()).await,
        stranger.call("city", reducer, &[1, 1]).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn only_owners_use_read_or_see_private_modules_and_tables() {
    let world = world().await;
    let stranger = world.stranger().await;
    // What is private is told apart from what is not there by nothing but the name that was asked
    // for.
    let hidden = told_of(&stranger, "cellar", "secrets", "built").await;
    let missing = told_of(&stranger, "museum", "museums", "burnt").await;
    for (hidden, mut missing) in hidden.into_iter().zip(missing) {
        assert_eq!(hidden.code, Code::NotFound, "{hidden}");
        for (other, name) in [
            ("museums", "secrets"),
            ("museum", "cellar"),
            ("burnt", "built"),
        ] {
            missing.message = missing.message.replace(other, name);
        }
        // A slip of the finger may have another near name.
        let without_hint = |text: &str| text.replace("; did you mean `build`?", "");
        assert_eq!(
            without_hint(&hidden.message),
            without_hint(&missing.message)
        );
    }
    for (near, name) in [("cella", "cellar"), ("celler@1", "cellar")] {
        let failure = stranger.schema(near).await.unwrap_err();
        assert!(!failure.message.contains(name), "{failure}");
    }
    let failure = stranger.rows("city", "secret").await.unwrap_err();
    assert!(!failure.message.contains("secrets"), "{failure}");
    assert_eq!(stranger.node().await.modules, 1);
    let owner = world.owner().await;
    owner.call("cellar", "store", &[1, 1]).await.unwrap();
    assert_eq!(owner.rows("cellar", "wines").await, Ok(vec![vec![1, 1]]));
}

#[tokio::test]
async fn nobody_calls_reducers_of_events() {
    let world = world().await;
    for peer in [world.stranger().await, world.owner().await] {
        peer.call("city", "built", &[1, 1]).await.unwrap_err();
    }
    assert_eq!(
        world.owner().await.rows("city", "secrets").await,
        Ok(vec![])
    );
}

#[tokio::test]
async fn a_key_that_is_not_on_the_list_of_a_closed_node_is_told_so_and_does_nothing() {
    let (friend, stranger) = (Identity::generate(), Identity::generate());
    let id = friend.id().clone();
    let mut world = World::configured(|config| config.allowed = vec![id]);
    world.start().await;
    let owner = world.owner().await;
    owner.install(&city()).await;
    let call = |client: Client| async move {
        client
            .call("city", "build", vec![1, 1], Ack::Durable)
            .await
            .unwrap();
    };
    call(client(&world, &friend).await).await;
    let refused = Client::connect(&stranger, &target(&world), &ConnectOptions::default()).await;
    let Err(Error::Failed(failure)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(failure.code, Code::Denied);
    for wanted in [stranger.id().as_str(), "`allowed`", "node.toml", "restart"] {
        assert!(failure.message.contains(wanted), "{failure}");
    }
    assert_eq!(owner.query("city", "houses", &[]).await, Ok(1));
}

#[tokio::test]
async fn several_owners_administer_alike() {
    let second = Identity::generate();
    let id = second.id().clone();
    let mut world = World::configured(|config| config.owners.push(id));
    world.start().await;
    let peer = world.client(&second).await;
    peer.install(&city()).await;
    world
        .owner()
        .await
        .request(RequestBody::Remove {
            module: "city".into(),
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn nobody_can_send_a_frame_over_the_limit() {
    let world = world().await;
    let mut peer = raw(&world).await;
    peer.say(&(FRAME_BYTES_MAX + 1).to_le_bytes()).await;
    assert_eq!(peer.refused().await.code, Code::Corrupt);
}

#[tokio::test]
async fn nobody_can_be_another_key() {
    let mut world = world().await;
    let owner = world.owner_id().clone();
    // Whatever it says of itself, it is what its key is.
    let address = format!("/ip4/127.0.0.1/tcp/{}", world.port())
        .parse()
        .unwrap();
    let mut liar = Raw::open_at(&address, &Identity::generate()).await;
    liar.ask(
        1,
        RequestBody::Hello {
            agent: owner.to_string(),
        },
    )
    .await;
    let Some(Response {
        body: Ok(ResponseBody::Welcome(welcome)),
        ..
    }) = liar.answer().await
    else {
        panic!("it is greeted")
    };
    assert_eq!(welcome.standing, Standing::Guest);
    // Nor does a node pass for another one.
    let other = Identity::generate();
    let pinned = target(&world).pinned(other.id()).unwrap();
    let refused = Client::connect(&Identity::generate(), &pinned, &ConnectOptions::default()).await;
    assert!(
        matches!(refused, Err(Error::WrongNode { .. })),
        "{refused:?}"
    );
    world.stop().await;
}

/// Passes one connection on, and remembers what the client has said.
async fn eavesdrop(listener: TcpListener, to: u16) -> Vec<u8> {
    let (client, _) = listener.accept().await.unwrap();
    let node = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
    let ((mut from_client, mut to_client), (mut from_node, mut to_node)) =
        (client.into_split(), node.into_split());
    let back = tokio::spawn(async move {
        // It ends with either side.
        let _ = tokio::io::copy(&mut from_node, &mut to_client).await;
    });
    let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match from_client.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                heard.extend_from_slice(&piece[..count]);
                if to_node.write_all(&piece[..count]).await.is_err() {
                    break;
                }
            }
        }
    }
    back.abort();
    heard
}

#[tokio::test]
async fn what_was_recorded_cannot_be_said_again() {
    let world = world().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let between = Target::new("127.0.0.1", listener.local_addr().unwrap().port());
    let spy = tokio::spawn(eavesdrop(listener, world.port()));
    let identity = Identity::generate();
    let client = Client::connect(&identity, &between, &ConnectOptions::default())
        .await
        .unwrap();
    client
        .call("city", "build", vec![7, 1], Ack::Durable)
        .await
        .unwrap();
    drop(client);
    let recorded = spy.await.unwrap();
    assert!(recorded.len() > 300, "{} bytes", recorded.len());
    assert!(
        !recorded.windows(4).any(|bytes| bytes == b"city"),
        "it was encrypted"
    );
    let mut again = TcpStream::connect(("127.0.0.1", world.port()))
        .await
        .unwrap();
    // The node may close before all is said.
    let _ = again.write_all(&recorded).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), again.read_to_end(&mut answer));
    // Its end or a reset, as long as it ends.
    let _ = read.await.expect("the node closes the connection");
    assert_eq!(
        world.owner().await.query("city", "houses", &[]).await,
        Ok(1)
    );
}

#[tokio::test]
async fn who_does_not_prove_a_key_is_closed_after_the_deadline_and_gets_nothing() {
    let world = world().await;
    let mut silent = TcpStream::connect(("127.0.0.1", world.port()))
        .await
        .unwrap();
    let mut garbage = TcpStream::connect(("127.0.0.1", world.port()))
        .await
        .unwrap();
    garbage.write_all(&[0xff; 2000]).await.unwrap();
    let mut said = Vec::new();
    let both = async {
        // Their end or a reset, as long as they end.
        let _ = garbage.read_to_end(&mut said).await;
        let _ = silent.read_to_end(&mut said).await;
    };
    tokio::time::timeout(Duration::from_secs(40), both)
        .await
        .expect("both are closed");
    assert!(said.len() < 100, "a name of a protocol at most: {said:?}");
}

#[tokio::test]
async fn a_watch_that_is_cancelled_before_it_begins_ends() {
    let world = world().await;
    let mut peer = raw(&world).await;
    let mut both = Vec::new();
    for round in 0..50_u64 {
        let watch = RequestBody::Watch {
            module: "city".into(),
            table: "houses".into(),
            from: None,
        };
        for (id, body) in [
            (100 + round, watch),
            (1000 + round, RequestBody::Cancel { id: 100 + round }),
        ] {
            interstice_client::frame::encode(
                &interstice_abi::wire::Request { id, body },
                &mut both,
            )
            .unwrap();
        }
    }
    peer.say(&both).await;
    let mut ended = 0;
    while ended < 50 {
        let answer = tokio::time::timeout(Duration::from_secs(20), peer.answer()).await;
        match answer.expect("each of them ends").unwrap().body {
            Ok(ResponseBody::Ended) => ended += 1,
            Ok(ResponseBody::Watch(WatchEvent::Rows { .. })) => {}
            other => panic!("{other:?}"),
        }
    }
}
