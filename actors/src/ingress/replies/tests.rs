//! Answers are counted, streams end before their connection does, and what does not fit becomes a
//! failure.

use interstice_abi::wire::{ANSWER_BYTES_MAX, FRAME_BYTES_MAX, ResponseBody};
use interstice_client::frame::Decoder;

use super::*;

fn value(id: u64, bytes: usize) -> Response {
    let body = ResponseBody::Value {
        bytes: vec![7; bytes],
        seq: Default::default(),
    };
    Response { id, body: Ok(body) }
}

#[test]
fn each_last_answer_ends_one_request() {
    let replies = Replies::new(1000, 100);
    replies.begun(3);
    replies.more(value(1, 1));
    assert_eq!(replies.in_flight(), 3);
    replies.send(value(1, 1));
    replies.send_all([value(2, 1), value(3, 1)]);
    assert_eq!(replies.in_flight(), 0);
}

#[tokio::test]
async fn an_encoded_answer_is_the_same_to_its_client() {
    let sent = |send: &dyn Fn(&Replies)| {
        let replies = Replies::new(1000, 100);
        send(&replies);
        replies.outbox().finish();
        replies
    };
    let response = value(300, 20);
    let body = postcard::to_allocvec(&response.body).unwrap();
    let whole = sent(&|replies| replies.stream(response.clone()).unwrap());
    let encoded = sent(&|replies| replies.stream_encoded(300, &body).unwrap());
    let mut written = [Vec::new(), Vec::new()];
    for (replies, written) in [whole, encoded].iter().zip(&mut written) {
        let stall = std::time::Duration::from_secs(5);
        replies.outbox().write_to(written, stall).await.unwrap();
    }
    assert!(!written[0].is_empty());
    assert_eq!(written[0], written[1]);
}

#[test]
fn a_stream_is_refused_before_the_connection_is_cut() {
    let replies = Replies::new(1000, 100);
    assert_eq!(replies.stream(value(1, 200)), Ok(()));
    assert!(matches!(replies.stream(value(1, 1)), Err(Overflow { unsent }) if unsent > 200));
    replies.send(value(2, 900));
    assert!(!replies.is_closed());
    replies.send(value(3, 1));
    assert!(replies.is_closed());
}

#[tokio::test]
async fn an_answer_larger_than_any_becomes_a_failure() {
    let replies = Replies::new(1000, 100);
    replies.send(value(9, usize::try_from(ANSWER_BYTES_MAX).unwrap() + 1));
    replies.outbox().finish();
    let mut written = Vec::new();
    replies
        .outbox()
        .write_to(&mut written, std::time::Duration::from_secs(5))
        .await
        .unwrap();
    let mut decoder = Decoder::<Response>::new(FRAME_BYTES_MAX);
    decoder.extend(&written);
    let (response, _) = decoder.message().unwrap().unwrap();
    assert_eq!(
        (response.id, response.body.unwrap_err().code),
        (9, Code::TooLarge)
    );
}
