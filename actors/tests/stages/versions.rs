//! What a client has encoded by one version of a module is never read by another one.

use futures::StreamExt as _;
use interstice_abi::{
    failure::{Code, Failure},
    fingerprint::Fingerprint,
    schema::ModuleSchema,
    types::{ColumnType, Field},
    wire::{Ack, OnConflict, RowFilter, WatchEvent},
};
use interstice_client::{Error, Followed};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, insert, must},
    peer::{Peer, decoded, encoded, within},
    world::World,
};

/// `bank.pay` with its arguments in this order; it writes down who has paid whom.
fn bank(arguments: [&str; 2], patch: u32) -> GuestModule {
    let place = |name: &str| arguments.iter().position(|known| *known == name);
    let of = |name: &str| arg(place(name).expect("an argument"));
    let row = [0.into(), of("from"), of("to")];
    let mut bank = GuestModule::new("bank")
        .version(0, 1, patch)
        .table(GuestTable::new("Paid", &["from", "to"]).auto_inc())
        .reducer("pay", 2, vec![must(insert("paid", row))])
        .query(
            "minus",
            2,
            vec![Op::Return(Value::from(100).plus(of("from")))],
        );
    let named: Vec<Field> = arguments
        .iter()
        .map(|name| Field::new(*name, ColumnType::U64))
        .collect();
    bank.reducers[0].arguments = named.clone();
    bank.queries[0].arguments = named;
    bank
}

fn signature(schema: &ModuleSchema) -> Fingerprint {
    let pay = schema.reducer("pay").expect("is there");
    Fingerprint::of_reducer(pay, &schema.types)
}

fn code<T>(outcome: Result<T, Error>) -> Result<T, Code> {
    outcome.map_err(|error| match error {
        Error::Failed(failure) => failure.code,
        other => unreachable!("{other}"),
    })
}

async fn banked() -> (World, Peer, ModuleSchema) {
    let world = World::started().await;
    let owner = world.owner().await;
    owner.install(&bank(["from", "to"], 0)).await;
    let schema = owner.schema("bank").await.expect("is there");
    (world, owner, schema)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_of_another_version_are_refused_and_nothing_runs() {
    let (_world, owner, schema) = banked().await;
    let client = owner.client();
    let pay = || {
        client.call_as(
            ("bank", "pay"),
            encoded(&[1, 2]),
            signature(&schema),
            Ack::Durable,
        )
    };
    within(pay()).await.expect("commits");
    owner.install(&bank(["to", "from"], 1)).await;
    assert_eq!(
        code(within(pay()).await.map(drop)),
        Err(Code::SchemaConflict)
    );
    let minus = schema.query("minus").expect("is there");
    let asked = client.query_as(
        ("bank", "minus"),
        encoded(&[1, 2]),
        Fingerprint::of_query(minus, &schema.types),
        Ack::Durable,
    );
    assert_eq!(
        code(within(asked).await.map(drop)),
        Err(Code::SchemaConflict)
    );
    assert_eq!(owner.rows("bank", "paid").await, Ok(vec![vec![1, 1, 2]]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_library_puts_arguments_where_their_names_are() {
    let (_world, owner, schema) = banked().await;
    let client = owner.client();
    owner.install(&bank(["to", "from"], 1)).await;
    let paid = client.call_by(&schema, ("bank", "pay"), encoded(&[1, 2]), Ack::Durable);
    within(paid).await.expect("commits");
    assert_eq!(owner.rows("bank", "paid").await, Ok(vec![vec![1, 1, 2]]));
    let asked = client.query_by(&schema, ("bank", "minus"), encoded(&[1, 2]), Ack::Durable);
    let (value, _) = within(asked).await.expect("answers");
    assert_eq!(decoded(&value), [101]);

    let mut renamed = bank(["from", "to"], 2);
    renamed.reducers[0].arguments[1].name = "payee".into();
    owner.install(&renamed).await;
    let paid = client.call_by(&schema, ("bank", "pay"), encoded(&[1, 2]), Ack::Durable);
    assert_eq!(
        code(within(paid).await.map(drop)),
        Err(Code::SchemaConflict)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_wait_for_an_upgrade_are_checked_by_what_it_brings() {
    let (world, owner, schema) = banked().await;
    let payer = world.owner().await;
    let next = bank(["to", "from"], 1);
    let deployed = owner.install(&next);
    let paying = async {
        let mut refused = 0;
        while refused == 0 {
            let calls = (0..50).map(|_| {
                let arguments = encoded(&[1, 2]);
                let named = ("bank", "pay");
                payer
                    .client()
                    .call_as(named, arguments, signature(&schema), Ack::Applied)
            });
            for outcome in within(futures::future::join_all(calls)).await {
                match code(outcome.map(drop)) {
                    Ok(()) => {}
                    Err(code) => {
                        assert_eq!(code, Code::SchemaConflict);
                        refused += 1;
                    }
                }
            }
        }
    };
    tokio::join!(deployed, paying);
    let rows = owner.rows("bank", "paid").await.expect("reads");
    assert!(rows.iter().all(|row| row[1..] == [1, 2]), "{rows:?}");
}

/// `notes` with these columns after its key.
fn notes(columns: &[&str], patch: u32) -> GuestModule {
    let mut table = GuestTable::new("Rows", &[]);
    for column in columns {
        let mut field = Field::new(*column, ColumnType::U64);
        field.default = Some(vec![7]);
        table = table.field(field);
    }
    let row = std::iter::once(arg(0)).chain(columns.iter().map(|_| 5.into()));
    let put = must(Op::Insert {
        table: "rows".into(),
        row: row.collect(),
        into: 0,
    });
    GuestModule::new("notes")
        .version(0, 1, patch)
        .table(table)
        .reducer("put", 1, vec![put])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_when_columns_are_appended() {
    let world = World::started().await;
    let owner = world.owner().await;
    owner.install(&notes(&["a"], 0)).await;
    let schema = owner.schema("notes").await.expect("is there");
    let mut knows = owner.watch_as(&schema, "rows", None).await;
    knows.rows().await;
    let mut says_nothing = owner.watch("notes", "rows", None).await;
    says_nothing.rows().await;
    owner.call("notes", "put", &[1]).await.expect("commits");
    owner.install(&notes(&["a", "b"], 1)).await;
    owner.call("notes", "put", &[2]).await.expect("commits");
    let seen = knows.changes(2).await;
    assert_eq!(seen[0].after, Some(vec![1, 5]));
    assert_eq!(
        seen[1].after,
        Some(vec![2, 5, 5]),
        "the new column is the last"
    );

    let first = says_nothing.changes(1).await;
    let failure = says_nothing.failure().await;
    assert_eq!(failure.code, Code::SchemaConflict, "{failure}");
    let last = first[0].position;
    assert!(
        failure.message.contains(&format!("--from {last}")),
        "{failure}"
    );
    let mut again = owner.watch("notes", "rows", Some(last)).await;
    assert_eq!(again.changes(1).await, seen[1..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_type_that_the_table_does_not_have_is_refused() {
    let world = World::started().await;
    let owner = world.owner().await;
    owner.install(&notes(&["a"], 0)).await;
    let put = owner.call("notes", "put", &[1]).await.expect("commits");
    let schema = owner.schema("notes").await.expect("is there");
    let wiped = owner.deploy(&notes(&["b"], 1), OnConflict::Wipe).await;
    wiped.expect("drops the rows");
    let failure = owner.watch_as(&schema, "rows", None).await.failure().await;
    assert_eq!(failure.code, Code::SchemaConflict, "{failure}");

    let now = owner.schema("notes").await.expect("is there");
    let (_, table) = now.table("rows").expect("is there");
    let filter = RowFilter {
        column: "a".into(),
        value: encoded(&[5]),
    };
    let row_type = Fingerprint::of_row(table, &now.types);
    let at = (("notes", "rows"), put.seq);
    let rows = owner
        .client()
        .rows_at_as(at.0, at.1, 10, Some(filter), row_type);
    let first = within(rows.expect("asks").next()).await.expect("answers");
    assert_eq!(code(first.map(drop)), Err(Code::SchemaConflict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_goes_on_with_the_new_schema_when_rows_change_their_type() {
    let world = World::started().await;
    let owner = world.owner().await;
    owner.install(&notes(&["a"], 0)).await;
    owner.call("notes", "put", &[1]).await.expect("commits");
    let mut followed = owner.client().follow("notes", "rows", None);
    let mut next = async || -> Result<Followed, Failure> {
        match within(followed.next()).await.expect("goes on") {
            Ok(next) => Ok(next),
            Err(Error::Failed(failure)) => Err(failure),
            Err(other) => unreachable!("{other}"),
        }
    };
    let is_schema = |next: &Followed, column: &str| match next {
        Followed::Schema(schema) => schema.tables[0].fields[1].name == column,
        Followed::Event(_) => false,
    };
    assert!(is_schema(&next().await.expect("comes"), "a"));
    assert!(matches!(
        next().await,
        Ok(Followed::Event(WatchEvent::Rows { rows, complete: Some(_) })) if rows.len() == 1
    ));
    let wiped = owner.deploy(&notes(&["b"], 1), OnConflict::Wipe).await;
    wiped.expect("drops the rows");
    loop {
        match next().await.expect("goes on") {
            Followed::Event(WatchEvent::Changes(changes)) => {
                assert!(changes.iter().all(|change| change.after.is_none()));
            }
            other => {
                assert!(is_schema(&other, "b"), "{other:?}");
                break;
            }
        }
    }
    assert!(matches!(
        next().await,
        Ok(Followed::Event(WatchEvent::Rows { rows, complete: Some(_) })) if rows.is_empty()
    ));
    owner.call("notes", "put", &[3]).await.expect("commits");
    assert!(matches!(
        next().await,
        Ok(Followed::Event(WatchEvent::Changes(changes))) if changes.len() == 1
    ));
}
