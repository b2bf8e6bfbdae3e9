//! What clients get that do not keep to the protocol, while everybody else is served.

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use interstice_abi::{
    failure::Code,
    wire::{Ack, Request, RequestBody, Response, ResponseBody},
};
use interstice_client::{Identity, frame::encode};
use proptest::{
    prelude::any, strategy::Strategy as _, strategy::ValueTree as _, test_runner::TestRunner,
};

use crate::{
    door::{Network, Seen},
    raw::Raw,
};

impl Raw {
    pub(crate) async fn open(network: &Network) -> Self {
        Self::open_at(&network.handle.addresses()[0], &Identity::generate()).await
    }

    pub(crate) async fn greeted(network: &Network) -> Self {
        Self::greeted_at(&network.handle.addresses()[0], &Identity::generate()).await
    }
}

async fn still_serves(network: &Network) {
    network
        .connect(&Identity::generate())
        .await
        .ping()
        .await
        .unwrap();
}

#[tokio::test]
async fn the_first_message_must_be_a_greeting() {
    let network = Network::start();
    let mut raw = Raw::open(&network).await;
    raw.ask(1, RequestBody::Ping).await;
    assert_eq!(raw.refused().await.code, Code::BadArguments);
    still_serves(&network).await;
}

#[tokio::test]
async fn a_frame_that_claims_4_gib_is_refused_at_once() {
    let network = Network::start();
    let mut raw = Raw::greeted(&network).await;
    raw.say(&u32::MAX.to_le_bytes()).await;
    let failure = raw.refused().await;
    assert_eq!(failure.code, Code::Corrupt);
    assert!(failure.message.contains("4294967295"), "{failure}");
    still_serves(&network).await;
}

#[tokio::test]
async fn a_stranger_can_claim_no_more_than_a_greeting() {
    let network = Network::start();
    let mut raw = Raw::open(&network).await;
    raw.say(&5000_u32.to_le_bytes()).await;
    assert!(raw.refused().await.message.contains("4096"));
}

#[tokio::test]
async fn garbage_is_refused_and_what_came_before_it_is_answered() {
    let network = Network::start();
    let mut raw = Raw::greeted(&network).await;
    let mut bytes = Vec::new();
    let call = RequestBody::Call {
        module: "m".into(),
        reducer: "echo".into(),
        arguments: vec![],
        ack: Ack::Applied,
    };
    encode(&Request { id: 2, body: call }, &mut bytes).unwrap();
    bytes.extend([3, 0, 0, 0, 255, 255, 255]);
    raw.say(&bytes).await;
    assert_eq!(raw.answer().await.unwrap().id, 2);
    assert_eq!(raw.refused().await.code, Code::Corrupt);
    still_serves(&network).await;
}

#[tokio::test]
async fn a_name_of_60_mib_is_refused_in_a_line_and_never_reaches_the_node() {
    let mut network = Network::start();
    let mut raw = Raw::greeted(&network).await;
    // As `RequestBody::Schema` is encoded, by a client that does not keep to the bound of names.
    let schema = RequestBody::Schema {
        module: String::new(),
    };
    let mut content = postcard::to_allocvec(&Request {
        id: 2,
        body: schema,
    })
    .unwrap();
    content.pop();
    let name = "\u{1b}".repeat(60 * 1024 * 1024);
    content.extend(postcard::to_allocvec(&name).unwrap());
    let mut bytes = u32::try_from(content.len()).unwrap().to_le_bytes().to_vec();
    bytes.append(&mut content);
    raw.say(&bytes).await;
    let failure = raw.refused().await;
    assert_eq!(failure.code, Code::Corrupt);
    assert!(failure.message.contains("256 bytes"), "{failure}");
    assert!(failure.message.len() < 200, "{failure}");
    while !matches!(network.seen.recv().await, Some(Seen::Disconnected(_))) {}
    still_serves(&network).await;
}

#[tokio::test]
async fn a_truncated_frame_ends_the_stream_and_nothing_else() {
    let network = Network::start();
    let mut raw = Raw::greeted(&network).await;
    raw.say(&[200, 0, 0, 0, 1, 2, 3]).await;
    raw.stream.close().await.unwrap();
    assert!(raw.refused().await.message.contains("inside a frame"));
    still_serves(&network).await;
}

#[tokio::test]
async fn a_second_greeting_is_an_error_of_its_own() {
    let network = Network::start();
    let mut raw = Raw::greeted(&network).await;
    raw.ask(
        2,
        RequestBody::Hello {
            agent: "again".into(),
        },
    )
    .await;
    assert_eq!(
        raw.answer().await.unwrap().body.unwrap_err().code,
        Code::BadArguments
    );
    raw.ask(3, RequestBody::Ping).await;
    assert_eq!(
        raw.answer().await,
        Some(Response {
            id: 3,
            body: Ok(ResponseBody::Done)
        })
    );
}

#[tokio::test]
async fn a_guest_that_skips_the_announcement_cannot_upload_either() {
    let network = Network::start();
    let mut raw = Raw::greeted(&network).await;
    for (id, body) in [
        (2, RequestBody::UploadChunk { bytes: vec![1] }),
        (
            3,
            RequestBody::Deploy {
                options: Default::default(),
            },
        ),
    ] {
        raw.ask(id, body).await;
        let answer = raw.answer().await.unwrap();
        assert_eq!(
            (answer.id, answer.body.unwrap_err().code),
            (id, Code::Denied)
        );
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let mut network =
        Network::start_with(|options| options.bounds.unsent_bytes_max = 4 * 1024 * 1024).unwrap();
    let mut raw = Raw::greeted(&network).await;
    for id in 2..12 {
        let query = RequestBody::Query {
            module: "m".into(),
            query: (2 * 1024 * 1024).to_string(),
            arguments: vec![],
            ack: Ack::Applied,
        };
        let mut bytes = Vec::new();
        encode(&Request { id, body: query }, &mut bytes).unwrap();
        // The cut may come in the middle.
        if raw.stream.write_all(&bytes).await.is_err() || raw.stream.flush().await.is_err() {
            break;
        }
    }
    while !matches!(network.seen.recv().await, Some(Seen::Disconnected(_))) {}
    let mut rest = Vec::new();
    // Its end or a reset, as long as it ends.
    let _ = raw.stream.read_to_end(&mut rest).await;
    assert!(rest.len() < 20 * 1024 * 1024);
    still_serves(&network).await;
}

#[tokio::test]
async fn cancels_of_nothing_do_not_reach_the_node() {
    let mut network = Network::start();
    let mut raw = Raw::greeted(&network).await;
    raw.ask(2, RequestBody::Cancel { id: 77 }).await;
    let watch = RequestBody::Watch {
        module: "m".into(),
        table: "t".into(),
        from: None,
    };
    raw.ask(3, watch).await;
    raw.ask(4, RequestBody::Cancel { id: 3 }).await;
    raw.ask(5, RequestBody::Cancel { id: 3 }).await;
    raw.ask(6, RequestBody::Ping).await;
    let (mut ended, mut pinged) = (0, 0);
    // Answers come in any order.
    while ended == 0 || pinged == 0 {
        let response = raw.answer().await.unwrap();
        ended += u32::from(response.body == Ok(ResponseBody::Ended));
        pinged += u32::from(response.id == 6);
    }
    assert_eq!((ended, pinged), (1, 1));
    assert!(matches!(
        network.seen.recv().await,
        Some(Seen::Connected(..))
    ));
    assert_eq!(network.seen.recv().await, Some(Seen::Canceled(3)));
    assert!(network.seen.try_recv().is_err());
}

#[tokio::test]
async fn random_bytes_never_hurt_anybody_else() {
    let network = Network::start();
    let witness = network.connect(&Identity::generate()).await;
    let mut runner = TestRunner::deterministic();
    let content = proptest::collection::vec(any::<u8>(), 1..600);
    for _ in 0..40 {
        let bytes = content.new_tree(&mut runner).unwrap().current();
        let mut raw = Raw::greeted(&network).await;
        let mut framed = u32::try_from(bytes.len()).unwrap().to_le_bytes().to_vec();
        framed.extend(bytes);
        raw.say(&framed).await;
        // Random bytes that happen to be a request are answered; the stream's end comes anyhow.
        let _ = raw.stream.close().await;
        while raw.answer().await.is_some() {}
        witness.ping().await.unwrap();
    }
}
