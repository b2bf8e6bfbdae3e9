//! Every request of the protocol, and who may make it. A request that is added does not compile here until it is classified,
//! and fails here until there is one to try.

use interstice_abi::failure::Code;
use interstice_abi::fingerprint::Fingerprint;
use interstice_abi::id::{Seq, TimerId};
use interstice_abi::schema::Description;
use interstice_abi::wire::{
    Ack, DeployHow, DeployOptions, GrantChange, GrantTarget, HistoryOrder, LogsMode, Request,
    RequestBody, ResponseBody,
};
use interstice_client::Identity;
use serde::{Deserialize, Deserializer, de};

use crate::{common::world::World, raw::Raw, strangers::city};

/// Who may make a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Anyone,
    Owners,
}

fn who(body: &RequestBody) -> Who {
    match body {
        RequestBody::Hello { .. }
        | RequestBody::Ping
        | RequestBody::Cancel { .. }
        | RequestBody::Call { .. }
        | RequestBody::CallAs { .. }
        | RequestBody::Query { .. }
        | RequestBody::QueryAs { .. }
        | RequestBody::Rows { .. }
        | RequestBody::RowsAs { .. }
        | RequestBody::RowsAt { .. }
        | RequestBody::RowsAtAs { .. }
        | RequestBody::Watch { .. }
        | RequestBody::WatchAs { .. }
        | RequestBody::Schema { .. }
        | RequestBody::NodeStatus
        | RequestBody::ModuleStatus { .. }
        | RequestBody::TimerCounts => Who::Anyone,
        RequestBody::Logs { .. }
        | RequestBody::UploadBegin { .. }
        | RequestBody::UploadChunk { .. }
        | RequestBody::UploadEnd
        | RequestBody::Deploy { .. }
        | RequestBody::DeployAll { .. }
        | RequestBody::Unload { .. }
        | RequestBody::UnloadNeeded { .. }
        | RequestBody::Load { .. }
        | RequestBody::Remove { .. }
        | RequestBody::Grants { .. }
        | RequestBody::ChangeGrant { .. }
        | RequestBody::Stop
        | RequestBody::History { .. }
        | RequestBody::Backup
        | RequestBody::BackupPiece { .. }
        | RequestBody::BackupEnd { .. }
        | RequestBody::Timers { .. }
        | RequestBody::CancelTimer { .. }
        | RequestBody::Turns
        | RequestBody::DropTurn { .. } => Who::Owners,
    }
}

/// One of each.
fn all() -> Vec<RequestBody> {
    let mut all = untyped();
    all.extend(typed());
    all.extend(of_several());
    all.extend(of_timers());
    all
}

/// Those that do not name a signature or row type.
fn untyped() -> Vec<RequestBody> {
    let module = || "city".to_string();
    vec![
        RequestBody::Hello {
            agent: "test".into(),
        },
        RequestBody::Ping,
        RequestBody::Cancel { id: 99 },
        RequestBody::Call {
            module: module(),
            reducer: "build".into(),
            arguments: vec![1, 1],
            ack: Ack::Durable,
        },
        RequestBody::Query {
            module: module(),
            query: "houses".into(),
            arguments: vec![],
            ack: Ack::Durable,
        },
        RequestBody::Rows {
            module: module(),
            table: "houses".into(),
            after: None,
            limit: 1,
            filter: None,
        },
        RequestBody::Watch {
            module: module(),
            table: "houses".into(),
            from: None,
        },
        RequestBody::Logs {
            module: None,
            tail: 1,
            after: None,
            follow: LogsMode::Kept,
        },
        RequestBody::Schema { module: module() },
        RequestBody::NodeStatus,
        RequestBody::ModuleStatus { module: None },
        RequestBody::UploadBegin {
            bytes: 1,
            hash: [0; 32],
        },
        RequestBody::UploadChunk { bytes: vec![1] },
        RequestBody::Deploy {
            options: DeployOptions::default(),
        },
        RequestBody::Unload { module: module() },
        RequestBody::Load { module: module() },
        RequestBody::Remove { module: module() },
        RequestBody::Grants { module: module() },
        RequestBody::ChangeGrant {
            module: module(),
            target: GrantTarget::Time,
            change: GrantChange::Revoke,
        },
        RequestBody::Stop,
        RequestBody::Backup,
        RequestBody::BackupPiece {
            number: 1,
            offset: 0,
        },
        RequestBody::BackupEnd { number: 1 },
        RequestBody::History {
            module: module(),
            from: None,
            order: HistoryOrder::Forward,
            limit: 1,
        },
        RequestBody::RowsAt {
            module: module(),
            table: "houses".into(),
            at: Seq(2),
            limit: 1,
            filter: None,
        },
    ]
}

/// Those that do.
fn typed() -> Vec<RequestBody> {
    let module = || "city".to_string();
    vec![
        RequestBody::CallAs {
            module: module(),
            reducer: "build".into(),
            arguments: vec![2, 1],
            ack: Ack::Durable,
            signature: fingerprint("reducer__build"),
        },
        RequestBody::QueryAs {
            module: module(),
            query: "houses".into(),
            arguments: vec![],
            ack: Ack::Durable,
            signature: fingerprint("query__houses"),
        },
        RequestBody::WatchAs {
            module: module(),
            table: "houses".into(),
            from: None,
            row_type: fingerprint("table__houses"),
        },
        RequestBody::RowsAtAs {
            module: module(),
            table: "houses".into(),
            at: Seq(2),
            limit: 1,
            filter: None,
            row_type: fingerprint("table__houses"),
        },
        RequestBody::RowsAs {
            module: module(),
            table: "houses".into(),
            after: None,
            limit: 1,
            filter: None,
            row_type: Some(fingerprint("table__houses")),
        },
    ]
}

/// Those about several modules at once.
fn of_several() -> Vec<RequestBody> {
    vec![
        RequestBody::UploadEnd,
        RequestBody::DeployAll {
            options: DeployOptions::default(),
            how: DeployHow::Plan,
        },
        RequestBody::UnloadNeeded {
            module: "city".to_string(),
        },
    ]
}

/// Those about timers and turns.
fn of_timers() -> Vec<RequestBody> {
    let module = || "city".to_string();
    vec![
        RequestBody::TimerCounts,
        RequestBody::Timers {
            module: module(),
            after: None,
            limit: 1,
        },
        RequestBody::CancelTimer {
            module: module(),
            timer: TimerId(1),
        },
        RequestBody::Turns,
        RequestBody::DropTurn { seq: Seq(1) },
    ]
}

/// Of a function or table of the city, by the export that describes it.
fn fingerprint(export: &str) -> Fingerprint {
    let all = city().descriptions();
    let (_, found) = all
        .into_iter()
        .find(|(name, _)| name == export)
        .expect("the city has it");
    match found {
        Description::Reducer { reducer, types } => Fingerprint::of_reducer(&reducer, &types),
        Description::Query { query, types } => Fingerprint::of_query(&query, &types),
        Description::Table { table, types } => Fingerprint::of_row(&table, &types),
        Description::Module(_) => unreachable!("a module has none"),
    }
}

/// Finds out what an enum's variants are called.
struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = de::value::Error;

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = variants;
        Err(de::Error::custom("only the names are wanted"))
    }

    fn deserialize_any<V: de::Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("not an enum"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[test]
fn every_request_of_the_protocol_is_tried() {
    let mut names: &[&str] = &[];
    RequestBody::deserialize(Names(&mut names)).unwrap_err();
    let tried: Vec<String> = all()
        .iter()
        .map(|body| {
            let text = format!("{body:?}");
            text.split([' ', '{']).next().unwrap().to_string()
        })
        .collect();
    assert_eq!(tried, names);
}

#[tokio::test]
async fn only_owners_administer() {
    let world = World::started().await;
    world.owner().await.install(&city()).await;
    let address = format!("/ip4/127.0.0.1/tcp/{}", world.port())
        .parse()
        .unwrap();
    let mut stranger = Raw::greeted_at(&address, &Identity::generate()).await;
    for (id, body) in (10..).zip(all()) {
        if matches!(body, RequestBody::Hello { .. } | RequestBody::Cancel { .. }) {
            continue;
        }
        let (who, request) = (who(&body), Request { id, body });
        stranger.ask(id, request.body.clone()).await;
        let answer = loop {
            let answer = stranger.answer().await.unwrap();
            // Others are answers of the watch, and those of a read of the past before its last: until
            // then it holds the one slot that a stranger has.
            let is_part = matches!(answer.body, Ok(ResponseBody::TableAt(_)));
            if answer.id == id && !is_part {
                break answer;
            }
        };
        match who {
            Who::Anyone => assert!(answer.body.is_ok(), "{request:?}: {answer:?}"),
            Who::Owners => {
                let failure = answer.body.expect_err("it is for owners");
                assert_eq!(failure.code, Code::Denied, "{request:?}: {failure}");
                assert!(failure.message.contains("owners"), "{failure}");
            }
        }
    }
    assert_eq!(
        world.owner().await.modules().await.len(),
        1,
        "nothing has happened"
    );
}
