//! What honest clients get.

use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use interstice_abi::{
    failure::Code,
    wire::{ANSWER_BYTES_MAX, Ack, DeployOptions, Standing, WatchEvent},
};
use interstice_actors::network::NetworkError;
use interstice_client::{Client, ConnectOptions, Error, Identity, Progress, Target};

use crate::door::{Network, Seen};

fn code(error: Error) -> Code {
    match error {
        Error::Failed(failure) => failure.code,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_client_and_a_node_greet_each_other() {
    let mut network = Network::start();
    let guest = Identity::generate();
    let client = network.connect(&guest).await;
    assert_eq!(
        (client.node(), client.welcome().standing),
        (&network.id, Standing::Guest)
    );
    assert_eq!(
        network.seen.recv().await,
        Some(Seen::Connected(guest.id().clone(), Standing::Guest))
    );
    assert_eq!(network.handle.connections(), 1);
    client.ping().await.unwrap();
    drop(client);
    network.until(&Seen::Disconnected(guest.id().clone())).await;
    let owner = network.connect(&network.owner).await;
    assert_eq!(owner.welcome().standing, Standing::Owner);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_in_any_order() {
    let mut network = Network::start();
    let client = network.connect(&Identity::generate()).await;
    let held = client.call("m", "hold", vec![], Ack::Applied);
    network.until(&Seen::Held).await;
    assert_eq!(
        client
            .call("m", "echo", vec![0; 5], Ack::Applied)
            .await
            .unwrap()
            .seq
            .0,
        5
    );
    assert_eq!(
        code(
            client
                .call("m", "fail", vec![], Ack::Applied)
                .await
                .unwrap_err()
        ),
        Code::Rejected
    );
    client
        .call("m", "release", vec![], Ack::Applied)
        .await
        .unwrap();
    assert_eq!(held.await.unwrap().seq.0, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_requests_under_way_each_get_their_own_answer() {
    let network = Network::start();
    let client = network.connect(&Identity::generate()).await;
    let calls: Vec<_> = (0..5000)
        .map(|n| client.call("m", "echo", vec![0; n % 700], Ack::Applied))
        .collect();
    for (n, called) in futures::future::join_all(calls)
        .await
        .into_iter()
        .enumerate()
    {
        assert_eq!(called.unwrap().seq.0, (n % 700) as u64);
    }
}

#[tokio::test]
async fn large_messages_travel_both_ways() {
    let network = Network::start();
    let client = network.connect(&Identity::generate()).await;
    let bytes = 5 * 1024 * 1024;
    let called = client
        .call("m", "echo", vec![1; bytes], Ack::Applied)
        .await
        .unwrap();
    assert_eq!(called.seq.0, bytes as u64);
    let (value, _) = client
        .query("m", &bytes.to_string(), vec![], Ack::Applied)
        .await
        .unwrap();
    assert_eq!(value.len(), bytes);
    // No frame holds it, so it comes in parts.
    let parts = 66 * 1024 * 1024;
    let (value, _) = client
        .query("m", &parts.to_string(), vec![], Ack::Applied)
        .await
        .unwrap();
    assert!(value.len() == parts, "{} bytes", value.len());
    let too_large = client
        .query(
            "m",
            &(ANSWER_BYTES_MAX + 1).to_string(),
            vec![],
            Ack::Applied,
        )
        .await;
    let too_large = too_large.map(|(value, _)| value.len());
    assert_eq!(too_large.map_err(code), Err(Code::TooLarge));
    client.ping().await.unwrap();
}

#[tokio::test]
async fn a_watch_streams_until_it_is_dropped() {
    let mut network = Network::start();
    let client = network.connect(&Identity::generate()).await;
    let mut watch = client.watch("m", "t", None).unwrap();
    for row in 0..3 {
        let expected = WatchEvent::Rows {
            rows: vec![vec![row]],
            complete: None,
        };
        assert_eq!(watch.next().await, Some(Ok(expected)));
    }
    drop(watch);
    while !matches!(network.seen.recv().await, Some(Seen::Canceled(_))) {}
    client.ping().await.unwrap();
}

#[tokio::test]
async fn an_owner_uploads_in_pieces_with_progress() {
    let mut network = Network::start();
    let client = network.connect(&network.owner).await;
    let wasm: Vec<u8> = (0..3_000_001_u32).map(|n| (n % 251) as u8).collect();
    let told = Arc::new(Mutex::new(Vec::new()));
    let progress = |progress: Progress| told.lock().unwrap().push(progress);
    let report = client
        .deploy(&wasm, DeployOptions::default(), progress)
        .await
        .unwrap();
    assert_eq!(report.module.as_str(), "uploaded");
    network.until(&Seen::Deployed(wasm)).await;
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 12);
    assert!(told.is_sorted_by_key(|progress| progress.sent));
    assert_eq!(
        told.last(),
        Some(&Progress {
            sent: 3_000_001,
            total: 3_000_001
        })
    );
}

#[tokio::test]
async fn a_guest_cannot_upload() {
    let network = Network::start();
    let client = network.connect(&Identity::generate()).await;
    let error = client
        .deploy(b"wasm", DeployOptions::default(), |_| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("owners"), "{error}");
    assert_eq!(code(error), Code::Denied);
}

#[tokio::test]
async fn a_module_that_is_too_large_is_refused_before_it_is_sent() {
    let network = Network::start_with(|options| options.bounds.module_bytes_max = 10).unwrap();
    let client = network.connect(&network.owner).await;
    let error = client
        .deploy(&[0; 11], DeployOptions::default(), |_| panic!("sent"))
        .await
        .unwrap_err();
    assert_eq!(code(error), Code::TooLarge);
}

#[tokio::test]
async fn more_requests_under_way_than_allowed_are_busy() {
    let mut network = Network::start_with(|options| options.bounds.requests_in_flight = 2).unwrap();
    let client = network.connect(&Identity::generate()).await;
    let held = [
        client.call("m", "hold", vec![], Ack::Applied),
        client.call("m", "hold", vec![], Ack::Applied),
    ];
    network.until(&Seen::Held).await;
    network.until(&Seen::Held).await;
    assert_eq!(
        code(
            client
                .call("m", "echo", vec![], Ack::Applied)
                .await
                .unwrap_err()
        ),
        Code::Busy
    );
    client.ping().await.unwrap();
    drop(held);
}

#[tokio::test]
async fn what_was_under_way_when_the_connection_is_lost_is_unknown_or_lost() {
    let mut network = Network::start();
    let client = network.connect(&Identity::generate()).await;
    let call = client.call("m", "hold", vec![], Ack::Applied);
    network.until(&Seen::Held).await;
    let mut watch = client.watch("m", "t", None).unwrap();
    for _ in 0..3 {
        watch.next().await.unwrap().unwrap();
    }
    network.stop();
    client.lost().await;
    let error = call.await.unwrap_err();
    assert!(
        matches!(error, Error::OutcomeUnknown { what: "call", .. }),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("whether the call happened is unknown"),
        "{error}"
    );
    assert!(matches!(watch.next().await, Some(Err(Error::Lost { .. }))));
    assert_eq!(watch.next().await, None);
    assert!(matches!(
        client.call("m", "echo", vec![], Ack::Applied).await,
        Err(Error::Lost { .. })
    ));
}

#[tokio::test]
async fn a_pinned_id_that_does_not_match_is_refused() {
    let network = Network::start();
    let other = Identity::generate().id().clone();
    let target = network.target().pinned(&other).unwrap();
    let error = Client::connect(&Identity::generate(), &target, &ConnectOptions::default())
        .await
        .unwrap_err();
    let expected = Error::WrongNode {
        target: network.target().to_string(),
        expected: other,
        found: network.id.clone(),
    };
    assert_eq!(error, expected);
    let right = network.target().pinned(&network.id).unwrap();
    Client::connect(&Identity::generate(), &right, &ConnectOptions::default())
        .await
        .unwrap();
    let named = Target::new("localhost", network.target().port());
    Client::connect(&Identity::generate(), &named, &ConnectOptions::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn where_nobody_listens_the_error_says_so() {
    let mut network = Network::start();
    let target = network.target();
    network.stop();
    let error = Client::connect(&Identity::generate(), &target, &ConnectOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert!(error.to_string().contains(&target.to_string()), "{error}");
}

#[test]
fn a_port_in_use_is_named() {
    let network = Network::start();
    let port = network.target().port();
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    let second = Network::start_with(|options| options.listen = vec![address.parse().unwrap()]);
    let Err(error) = second else {
        panic!("it started")
    };
    assert!(
        matches!(error, NetworkError::PortInUse { port: named } if named == port),
        "{error}"
    );
    assert!(error.to_string().contains(&port.to_string()));
}

#[tokio::test]
async fn a_network_that_stops_sends_what_is_unsent() {
    let mut network = Network::start();
    let client = network.connect(&Identity::generate()).await;
    let held: Vec<_> = (0..100)
        .map(|_| client.call("m", "hold", vec![], Ack::Applied))
        .collect();
    for _ in 0..100 {
        network.until(&Seen::Held).await;
    }
    client
        .call("m", "release", vec![], Ack::Applied)
        .await
        .unwrap();
    network.stop();
    for called in futures::future::join_all(held).await {
        called.unwrap();
    }
}

#[tokio::test]
async fn clients_stay_when_nobody_new_is_accepted() {
    let network = Network::start();
    let client = network.connect(&Identity::generate()).await;
    let handle = network.handle.clone();
    handle.stop_accepting().await;
    client.ping().await.unwrap();
    let options = ConnectOptions {
        deadline: std::time::Duration::from_secs(2),
        ..ConnectOptions::default()
    };
    let late = Client::connect(&Identity::generate(), &network.target(), &options).await;
    assert!(matches!(late, Err(Error::Unreachable { .. })), "{late:?}");
}
