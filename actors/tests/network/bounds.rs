//! What clients may have under way, each and together, and what they are told beyond it.

use interstice_abi::{
    failure::Code,
    wire::{Ack, RequestBody},
};
use interstice_client::{Client, ConnectOptions, Error, Identity};

use crate::{
    crowd::serves,
    door::{Network, Seen},
    raw::Raw,
};

#[tokio::test]
async fn where_all_places_are_in_use_guests_are_told_and_owners_come_in() {
    let mut network = Network::start_with(|options| options.connections_max = 2).unwrap();
    let guests = [
        network.connect(&Identity::generate()).await,
        network.connect(&Identity::generate()).await,
    ];
    let held = guests
        .each_ref()
        .map(|guest| guest.call("m", "hold", vec![], Ack::Applied));
    for _ in &held {
        network.until(&Seen::Held).await;
    }
    let third = Identity::generate();
    let refused = Client::connect(&third, &network.target(), &ConnectOptions::default()).await;
    assert!(
        matches!(&refused, Err(Error::Failed(failure)) if failure.code == Code::Busy),
        "{refused:?}"
    );
    let owner = network.connect(&network.owner).await;
    owner
        .call("m", "release", vec![], Ack::Applied)
        .await
        .unwrap();
    for held in held {
        held.await.unwrap();
    }
    drop(guests);
    while !matches!(network.seen.recv().await, Some(Seen::Disconnected(_))) {}
    while network.handle.connections() > 2 {
        tokio::task::yield_now().await;
    }
    network.connect(&third).await.ping().await.unwrap();
}

#[tokio::test]
async fn what_all_clients_have_under_way_is_bounded() {
    let mut network = Network::start_with(|options| options.bounds.all_requests = 2).unwrap();
    let first = network.connect(&Identity::generate()).await;
    let second = network.connect(&Identity::generate()).await;
    let held = [&first, &second].map(|client| client.call("m", "hold", vec![], Ack::Applied));
    for _ in &held {
        network.until(&Seen::Held).await;
    }
    let busy = second
        .call("m", "echo", vec![], Ack::Applied)
        .await
        .unwrap_err();
    assert!(busy.to_string().contains("requests_max"), "{busy}");
    let owner = network.connect(&network.owner).await;
    owner
        .call("m", "release", vec![], Ack::Applied)
        .await
        .unwrap();
    second
        .call("m", "echo", vec![], Ack::Applied)
        .await
        .unwrap();
    // What a lost client leaves behind is not counted for ever.
    let gone = network.connect(&Identity::generate()).await;
    let held = gone.call("m", "hold", vec![], Ack::Applied);
    network.until(&Seen::Held).await;
    drop((gone, held));
    owner
        .call("m", "release", vec![], Ack::Applied)
        .await
        .unwrap();
    let both = [&first, &second].map(|client| client.call("m", "hold", vec![], Ack::Applied));
    for _ in &both {
        network.until(&Seen::Held).await;
    }
}

#[tokio::test]
async fn bytes_of_one_client_and_of_all_are_bounded() {
    let mut network = Network::start_with(|options| {
        options.bounds.request_bytes = 20_000;
        options.bounds.all_request_bytes = 30_000;
    })
    .unwrap();
    let first = network.connect(&Identity::generate()).await;
    let second = network.connect(&Identity::generate()).await;
    let call = |client: &Client, bytes: usize, reducer: &str| {
        client.call("m", reducer, vec![7; bytes], Ack::Applied)
    };
    let held = call(&first, 15_000, "hold");
    network.until(&Seen::Held).await;
    let mine = call(&first, 10_000, "echo").await.unwrap_err().to_string();
    assert!(mine.contains("bytes_per_client_max"), "{mine}");
    let all = call(&second, 16_000, "echo").await.unwrap_err().to_string();
    assert!(all.contains("admission.bytes_max"), "{all}");
    call(&second, 10_000, "echo").await.unwrap();
    call(&first, 100, "release").await.unwrap();
    held.await.unwrap();
    call(&first, 18_000, "echo").await.unwrap();
}

#[tokio::test]
async fn answers_of_all_clients_that_are_not_read_are_bounded() {
    let network = Network::start_with(|options| {
        options.bounds.all_unsent_bytes = 16 * 1024 * 1024;
    })
    .unwrap();
    let megabytes = |id: u64| RequestBody::Query {
        module: "m".into(),
        query: (4 * 1024 * 1024).to_string(),
        arguments: vec![id as u8],
        ack: Ack::Applied,
    };
    // They ask and do not read: what does not fit into the system's buffers waits in the node.
    let mut silent = Vec::new();
    for _ in 0..6 {
        let mut raw = Raw::greeted(&network).await;
        for id in 2..4 {
            raw.ask(id, megabytes(id)).await;
        }
        silent.push(raw);
    }
    let mut busy = 0;
    for raw in &mut silent {
        for _ in 2..4 {
            match raw.answer().await {
                Some(answer) => {
                    busy += u32::from(
                        matches!(&answer.body, Err(failure) if failure.code == Code::Busy),
                    )
                }
                None => busy += 1,
            }
        }
    }
    assert!(busy > 0, "48 MiB were taken");
    serves(&network).await;
}
