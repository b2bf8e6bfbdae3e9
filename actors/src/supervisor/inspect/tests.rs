//! Answers are made when there is room for them, and not before.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::AsyncWrite;
use interstice_abi::{
    id::ModuleName,
    schema::{ModuleSchema, Persistence, TableSchema, Version, Visibility},
    types::{ColumnType, Field, TypeSet},
    wire::FRAME_BYTES_MAX,
};
use interstice_client::{frame::Decoder, outbox::FAIR_BYTES};

use super::*;
use crate::ingress::Bounds;

/// Requests of the flood.
const REQUESTS: u64 = 300;

/// A schema whose encoding has some 80 KiB.
fn large_schema() -> Arc<ModuleSchema> {
    let table = |place: usize| TableSchema {
        name: format!("a_table_with_a_long_name_{place}"),
        type_name: format!("ATableWithALongName{place}"),
        fields: vec![Field::new("key", ColumnType::U64)],
        primary_key: 0,
        primary_key_auto_inc: false,
        indexes: Vec::new(),
        visibility: Visibility::Public,
        persistence: Persistence::Logged,
    };
    Arc::new(ModuleSchema {
        abi_version: 1,
        name: ModuleName::new("large").unwrap(),
        version: Version::default(),
        visibility: Visibility::Public,
        authorities: Vec::new(),
        replicated_tables: Vec::new(),
        dependencies: Vec::new(),
        tables: (0..1000).map(table).collect(),
        reducers: Vec::new(),
        queries: Vec::new(),
        types: TypeSet::default(),
    })
}

/// A client that reads slowly, counts its answers, and looks at what waits for it.
struct Reader<'a> {
    replies: &'a Replies,
    decoder: Decoder<Response>,
    answers: u64,
    most_unsent: usize,
}

impl AsyncWrite for Reader<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = bytes.get(..bytes.len().min(16 * 1024)).unwrap();
        self.most_unsent = self.most_unsent.max(self.replies.outbox().unsent());
        self.decoder.extend(taken);
        while let Some((response, _)) = self.decoder.message().unwrap() {
            assert!(matches!(response.body, Ok(ResponseBody::Schema(_))));
            self.answers += 1;
        }
        if self.answers == REQUESTS {
            self.replies.outbox().finish();
        }
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[actix::test]
async fn a_flood_of_requests_holds_a_few_answers_and_each_is_answered_once() {
    let (inspector, schema) = (Inspector::default(), large_schema());
    let replies = Replies::alone(&Bounds::default());
    replies.begun(u32::try_from(REQUESTS).unwrap());
    for id in 1..=REQUESTS {
        let subject = Subject::Schema(schema.clone(), Standing::Guest);
        inspector.ask(subject, &replies, id);
    }
    let one = encoded_schema(&schema, Standing::Guest).len();
    let mut reader = Reader {
        replies: &replies,
        decoder: Decoder::new(FRAME_BYTES_MAX),
        answers: 0,
        most_unsent: 0,
    };
    let outbox = replies.outbox();
    let written = outbox.write_to(&mut reader, Duration::from_secs(30));
    written.await.unwrap();
    assert_eq!(reader.answers, REQUESTS);
    let most = reader.most_unsent;
    assert!(most <= FAIR_BYTES + 2 * one, "{most} bytes, {one} each");
    assert!(replies.is_idle());
}

#[actix::test]
async fn what_a_client_that_has_gone_has_asked_is_forgotten() {
    let (inspector, schema) = (Inspector::default(), large_schema());
    let replies = Replies::alone(&Bounds::default());
    for id in 1..=REQUESTS {
        let subject = Subject::Schema(schema.clone(), Standing::Owner);
        inspector.ask(subject, &replies, id);
    }
    replies.outbox().close();
    while !inspector.waiting().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&schema), 1);
}
