//! One outbox and several under one meter.

use std::sync::Arc;

use super::*;
use crate::frame::Decoder;

const STALL: Duration = Duration::from_secs(5);

#[tokio::test]
async fn what_waits_is_written_at_once_and_in_order() {
    let outbox = Outbox::new(1000);
    outbox.push(&1_u32).unwrap();
    outbox.push_all([2_u32, 3], |_, error| panic!("{error}"));
    outbox.finish();
    assert_eq!(outbox.push(&4_u32), Err(PushError::Closed));
    let mut written = Vec::new();
    outbox.write_to(&mut written, STALL).await.unwrap();
    let mut decoder = Decoder::<u32>::new(10);
    decoder.extend(&written);
    for expected in [1, 2, 3] {
        assert_eq!(decoder.message().unwrap().unwrap().0, expected);
    }
    assert_eq!((decoder.message(), outbox.unsent()), (Ok(None), 0));
}

#[tokio::test]
async fn where_all_are_crowded_small_messages_pass_and_large_ones_do_not() {
    let meter = Arc::new(Meter::new(FAIR_BYTES));
    let (slow, other) = (
        Outbox::metered(usize::MAX, meter.clone()),
        Outbox::metered(usize::MAX, meter.clone()),
    );
    let large = vec![7_u8; FAIR_BYTES];
    let unsent = meter.unsent();
    assert!(matches!(slow.push(&large), Err(PushError::Crowded { .. })));
    assert_eq!((meter.unsent(), slow.unsent()), (unsent, 0));
    slow.push(&&large[..FAIR_BYTES - 10]).unwrap();
    other.push(&1_u32).unwrap();
    other.push_all([&large], |_, error| {
        assert!(matches!(error, PushError::Crowded { .. }), "{error}");
        None
    });
    assert!(!other.is_closed(), "its reader keeps up");
    slow.push_all([1_u32; 100], |_, _| None);
    assert!(slow.is_closed(), "nobody reads it");
    other.finish();
    other
        .write_to(&mut futures::io::sink(), STALL)
        .await
        .unwrap();
    assert_eq!(meter.unsent(), 0);
}

#[tokio::test]
async fn a_full_outbox_refuses_and_room_is_waited_for() {
    let outbox = Arc::new(Outbox::new(8));
    outbox.push(&[0_u8; 10]).unwrap();
    assert_eq!(
        outbox.push(&1_u32),
        Err(PushError::Full {
            unsent: 14,
            limit: 8
        })
    );
    let writing = tokio::spawn({
        let outbox = outbox.clone();
        async move { outbox.write_to(&mut futures::io::sink(), STALL).await }
    });
    outbox.room(0).await;
    outbox.push(&1_u32).unwrap();
    outbox.close();
    outbox.closed().await;
    writing.await.unwrap().unwrap();
}
