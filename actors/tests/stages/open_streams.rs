//! Streams of rows that are open when the catalogue changes: those of clients that lose the right
//! to read end with `denied`, the others go on.

use std::time::Duration;

use interstice_abi::{
    failure::{Code, Failure},
    id::Seq,
    schema::Visibility,
    types::{ColumnType, Field},
    wire::{Request, RequestBody, Response, ResponseBody, TableAt, WatchEvent},
};
use interstice_client::{ConnectOptions, Identity, Pipeline, Target};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, insert, must, reg},
    peer::Peer,
    world::World,
};

/// Rows of the large table, each of [`ROW_BYTES`]: far more than a connection holds unread.
const LARGE_ROWS: u64 = 64;

const ROW_BYTES: u32 = 512 * 1024;

/// A public module with a small table and a large one.
fn notes() -> GuestModule {
    let blob = ColumnType::Vec(Box::new(ColumnType::U8));
    let row = vec![reg(0), Value::Bytes(ROW_BYTES)];
    let large = must(Op::Insert {
        table: "large".into(),
        row,
        into: 1,
    });
    GuestModule::new("notes")
        .table(GuestTable::new("Small", &["value"]))
        .table(GuestTable::new("Large", &[]).field(Field::new("blob", blob)))
        .reducer("put", 2, vec![must(insert("small", [arg(0), arg(1)]))])
        .reducer(
            "fill",
            0,
            vec![Op::Repeat {
                register: 0,
                times: LARGE_ROWS.into(),
                body: vec![large],
            }],
        )
}

/// The next version, with both tables private.
fn closed() -> GuestModule {
    let mut module = notes().version(0, 1, 1);
    for table in &mut module.tables {
        table.visibility = Visibility::Private;
    }
    module
}

/// A guest that reads only when it is asked to.
struct SlowGuest {
    pipeline: Pipeline,
    answers: Vec<Response>,
}

impl SlowGuest {
    async fn asks(world: &World, body: RequestBody) -> Self {
        let target: Target = format!("127.0.0.1:{}", world.port())
            .parse()
            .expect("an address");
        let options = ConnectOptions::default();
        let mut pipeline = Pipeline::connect(&Identity::generate(), &target, &options)
            .await
            .expect("the node answers");
        pipeline.push(&Request { id: 7, body }).expect("fits");
        let mut guest = Self {
            pipeline,
            answers: Vec::new(),
        };
        guest.read().await;
        guest
    }

    async fn read(&mut self) {
        let before = self.answers.len();
        let reading = async {
            while self.answers.len() == before {
                self.pipeline
                    .turn(&mut self.answers)
                    .await
                    .expect("the connection stays");
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reading)
            .await
            .expect("an answer comes");
    }

    /// Reads on to the end: how many rows came in all, and why no more.
    async fn rest(mut self) -> (u64, Failure) {
        let mut rows = 0;
        loop {
            for answer in self.answers.drain(..) {
                rows += match answer.body {
                    Ok(ResponseBody::Watch(WatchEvent::Rows { rows, .. }))
                    | Ok(ResponseBody::TableAt(TableAt::Rows(rows))) => rows.len() as u64,
                    Ok(ResponseBody::TableAt(TableAt::Schema(_))) => 0,
                    Ok(other) => unreachable!("{other:?}"),
                    Err(failure) => return (rows, failure),
                };
            }
            self.read().await;
        }
    }
}

async fn noted() -> (World, Peer, Seq) {
    let world = World::started().await;
    let owner = world.owner().await;
    owner.install(&notes()).await;
    let filled = owner.call("notes", "fill", &[]).await.expect("fills");
    (world, owner, filled.seq)
}

fn denied(failure: &Failure) {
    assert_eq!(failure.code, Code::Denied, "{failure}");
    assert!(failure.message.contains("no longer allowed"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guests_watch_ends_when_its_table_becomes_private() {
    let (world, owner, _) = noted().await;
    let stranger = world.stranger().await;
    let mut theirs = stranger.watch("notes", "small", None).await;
    theirs.rows().await;
    let mut own = owner.watch("notes", "small", None).await;
    own.rows().await;
    let behind = SlowGuest::asks(
        &world,
        RequestBody::Watch {
            module: "notes".into(),
            table: "large".into(),
            from: None,
        },
    )
    .await;
    owner.install(&closed()).await;
    owner.call("notes", "put", &[1, 5]).await.expect("commits");
    denied(&theirs.failure().await);
    let (rows, failure) = behind.rest().await;
    denied(&failure);
    assert!(rows < LARGE_ROWS, "{rows} rows came");
    let seen = own.changes(1).await;
    assert_eq!(seen[0].after, Some(vec![1, 5]), "an owner goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guests_watch_ends_when_its_module_becomes_private() {
    let (world, owner, _) = noted().await;
    let stranger = world.stranger().await;
    let mut theirs = stranger.watch("notes", "small", None).await;
    let (_, complete) = theirs.rows().await;
    owner.install(&notes().version(0, 1, 1).private()).await;
    denied(&theirs.failure().await);
    // A guest is not told that a private module is there.
    let again = stranger.watch("notes", "small", Some(complete)).await;
    assert_eq!(again.failure().await.code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guests_reading_of_the_past_ends_with_its_right() {
    let (world, owner, at) = noted().await;
    let ask = || RequestBody::RowsAt {
        module: "notes".into(),
        table: "large".into(),
        at,
        limit: u64::MAX,
        filter: None,
    };
    let closing = SlowGuest::asks(&world, ask()).await;
    owner.install(&closed()).await;
    let (rows, failure) = closing.rest().await;
    denied(&failure);
    assert!(rows < LARGE_ROWS, "{rows} rows came");

    owner.install(&notes().version(0, 1, 2)).await;
    let removing = SlowGuest::asks(&world, ask()).await;
    owner
        .request(RequestBody::Remove {
            module: "notes".into(),
        })
        .await
        .expect("goes");
    let (_, failure) = removing.rest().await;
    denied(&failure);
    let all = owner.rows_at("notes", "small", at).await;
    assert_eq!(all, Ok(Vec::new()), "owners may read what is gone");
}
