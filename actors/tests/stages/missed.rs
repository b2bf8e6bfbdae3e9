//! Modules that were stopped: they hear of the changes that they have missed, each once and in
//! order, before they serve again.

use interstice_abi::{
    codec::Column,
    event::{Event, RowEvent},
    id::Seq,
    types::{ColumnType, Field},
    wire::{GrantChange, GrantTarget, HistoryInput, HistoryOrder, ModuleState, RequestBody},
};
use interstice_actors::node::Ground;
use interstice_host::log::LogOptions;

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, call, delete, insert, must, when_equal, when_less},
    peer::{Order, Peer},
    world::World,
};

/// What a row of `mentions.seen` says.
const INSERTED: u64 = 1;
const CHANGED: u64 = 2;
const DELETED: u64 = 3;
const GAP: u64 = 4;
const LOADED: u64 = 5;

/// `chat` with messages of (id, text); `grown` has a column more.
fn chat(grown: bool) -> GuestModule {
    let mut message = GuestTable::new("Message", &["text"]).auto_inc();
    if grown {
        message = message.field(Field {
            default: Some(70_u64.to_bytes()),
            ..Field::new("likes", ColumnType::U64)
        });
    }
    chat_of(message, grown).version(0, 1, u32::from(grown))
}

fn chat_of(message: GuestTable, grown: bool) -> GuestModule {
    let likes = || grown.then(|| 900.into());
    let put = Op::Insert {
        table: "message".into(),
        row: [0.into(), arg(0)].into_iter().chain(likes()).collect(),
        into: 0,
    };
    let change = Op::Update {
        table: "message".into(),
        row: [arg(0), arg(1)].into_iter().chain(likes()).collect(),
    };
    GuestModule::new("chat")
        .table(message)
        .reducer("put", 1, vec![must(put)])
        .reducer("change", 2, vec![must(change)])
        .reducer("drop", 1, vec![must(delete("message", arg(0)))])
}

/// `mentions` notes all that it hears of: (kind, id, text).
fn mentions() -> GuestModule {
    listener().on_row(
        "chat.message",
        RowEvent::Delete,
        "hear_deleted",
        vec![note(DELETED, 0, 1)],
    )
}

/// The same without deletes.
fn listener() -> GuestModule {
    GuestModule::new("mentions")
        .depends_on(&chat(false))
        .table(GuestTable::new("Seen", &["kind", "message", "text"]).auto_inc())
        .on_row(
            "chat.message",
            RowEvent::Insert,
            "hear",
            vec![
                note(INSERTED, 0, 1),
                when_equal(arg(1), 666, vec![Op::Trap]),
            ],
        )
        .on_row(
            "chat.message",
            RowEvent::Update,
            "hear_changed",
            vec![note(CHANGED, 0, 3)],
        )
        .on_gap(
            "chat.message",
            "hear_gap",
            vec![must(insert(
                "seen",
                [0.into(), GAP.into(), arg(0), 0.into()],
            ))],
        )
        .on(
            Event::Load,
            "begin",
            vec![must(insert(
                "seen",
                [0.into(), LOADED.into(), 0.into(), 0.into()],
            ))],
        )
}

fn note(kind: u64, message: usize, text: usize) -> Op {
    must(insert(
        "seen",
        [0.into(), kind.into(), arg(message), arg(text)],
    ))
}

async fn put(peer: &Peer, text: u64) -> Seq {
    let called = peer.call("chat", "put", &[text]).await;
    called.expect("commits").seq
}

async fn unload(peer: &Peer) {
    let module = "mentions".into();
    let unload = RequestBody::Unload { module };
    peer.request(unload).await.expect("it stops");
}

async fn load(peer: &Peer) {
    let module = "mentions".into();
    let load = RequestBody::Load { module };
    peer.request(load).await.expect("it starts");
}

/// What `mentions` has noted, without ids.
async fn seen(peer: &Peer) -> Vec<[u64; 3]> {
    let rows = peer.rows("mentions", "seen").await.expect("reads");
    let noted = |row: &Vec<u64>| [row[1], row[2], row[3]];
    rows.iter().map(noted).collect()
}

/// That replay comes to what is there.
async fn replays(world: &mut World) {
    world.stop().await;
    let replayed = world.replay().await.expect("replays");
    assert!(replayed.agrees(), "{replayed:?}");
}

const LOAD: [u64; 3] = [LOADED, 0, 0];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_was_unloaded_hears_of_each_change_once_and_in_order() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&chat(false)).await;
    peer.install(&mentions()).await;
    put(&peer, 10).await;
    unload(&peer).await;
    put(&peer, 20).await;
    peer.call("chat", "change", &[1, 11])
        .await
        .expect("commits");
    peer.call("chat", "drop", &[2]).await.expect("commits");
    // The provider grows meanwhile; the subscriber still reads what it knows.
    peer.install(&chat(true)).await;
    put(&peer, 30).await;
    let mut expected = vec![LOAD, [INSERTED, 1, 10]];
    assert_eq!(seen(&peer).await, expected);
    peer.install(&mentions()).await;
    expected.extend([
        [INSERTED, 2, 20],
        [CHANGED, 1, 11],
        [DELETED, 2, 20],
        [INSERTED, 3, 30],
        LOAD,
    ]);
    assert_eq!(seen(&peer).await, expected);
    put(&peer, 40).await;
    expected.push([INSERTED, 4, 40]);

    // Once more, and the same binary is started again.
    unload(&peer).await;
    put(&peer, 50).await;
    load(&peer).await;
    put(&peer, 60).await;
    expected.extend([[INSERTED, 5, 50], LOAD, [INSERTED, 6, 60]]);
    assert_eq!(seen(&peer).await, expected);

    world.crash().await;
    let peer = world.owner().await;
    expected.push(LOAD);
    assert_eq!(seen(&peer).await, expected);
    let page = peer
        .history("mentions", None, HistoryOrder::Forward, 100)
        .await;
    let steps = page.expect("is kept").steps;
    let missed = steps.iter().filter(|step| {
        matches!(&step.input, Some(HistoryInput::Missed { reducer, .. }) if reducer.starts_with("hear"))
    });
    assert_eq!(missed.count(), 5);
    replays(&mut world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_two_missed_changes_loses_and_doubles_none() {
    const MISSED: usize = 600;
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&chat(false)).await;
    peer.install(&mentions()).await;
    unload(&peer).await;
    let texts = 0..u64::try_from(MISSED).expect("is small");
    let orders: Vec<Order> = texts
        .clone()
        .map(|text| Order::new("chat", "put", &[1000 + text]))
        .collect();
    for outcome in peer.calls(&orders).await {
        outcome.expect("commits");
    }
    peer.install(&mentions()).await;
    let heard = texts.map(|text| [INSERTED, text + 1, text + 1000]);
    let expected: Vec<[u64; 3]> = heard.collect();
    let all = seen(&peer).await;
    assert_eq!(all[0], LOAD);
    assert_eq!(all[1..=MISSED], expected);
    assert_eq!(all[MISSED + 1..], [LOAD]);

    let image = world.copy();
    replays(&mut world).await;
    let segment_bytes = LogOptions::default().segment_bytes;
    // The last record is that of the load; in front of it is one of each missed change.
    for lost in [1, 300, MISSED, MISSED + 1] {
        let mut world = image.copy();
        let records = world.keep_log(segment_bytes, |_| true);
        let mut left = records - lost;
        world.keep_log(segment_bytes, |_| {
            left = left.wrapping_sub(1);
            left != usize::MAX
        });
        world.start().await;
        let peer = world.owner().await;
        peer.status_when("mentions", |status| status.state == ModuleState::Loaded)
            .await;
        let mut noted = seen(&peer).await;
        noted.retain(|row| row[0] != LOADED);
        assert_eq!(noted, expected, "without the last {lost} records");
        put(&peer, 7).await;
        let last = seen(&peer).await.pop();
        assert_eq!(last, Some([INSERTED, 601, 7]));
        replays(&mut world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_are_no_longer_kept_are_told_by_an_event_and_in_the_log() {
    let mut world = World::configured(|config| {
        config.checkpoint_bytes = 2000;
        config.base_bytes = 1;
    });
    let short_segments = || Ground {
        log_options: LogOptions {
            segment_bytes: 4096,
            ..LogOptions::default()
        },
        ..Ground::default()
    };
    world.start_on(short_segments()).await.expect("starts");
    let peer = world.owner().await;
    peer.install(&chat(false)).await;
    peer.install(&mentions()).await;
    unload(&peer).await;
    for text in 1..=100 {
        put(&peer, text).await;
    }
    // Bases are taken and the log before them goes; from here on nothing more does.
    world.stop().await;
    world.configure(|config| config.checkpoint_bytes = 1 << 30);
    world.start_on(short_segments()).await.expect("starts");
    let peer = world.owner().await;
    let mut puts = Vec::new();
    for text in 101..=110 {
        puts.push((put(&peer, text).await, text));
    }
    peer.install(&mentions()).await;
    let all = seen(&peer).await;
    let [first, gap, heard @ .., last] = all.as_slice() else {
        unreachable!("all that was kept is heard: {all:?}");
    };
    assert_eq!((*first, *last), (LOAD, LOAD));
    assert_eq!(gap[0], GAP, "{all:?}");
    let kept = puts.iter().filter(|(seq, _)| seq.0 >= gap[1]);
    let kept: Vec<[u64; 3]> = kept.map(|(_, text)| [INSERTED, *text, *text]).collect();
    assert!(
        kept.len() == puts.len() && heard.ends_with(&kept),
        "{all:?}"
    );
    let texts: Vec<u64> = heard.iter().map(|row| row[2]).collect();
    assert!(texts.is_sorted() && texts.len() < 110, "{texts:?}");
    let wanted = format!(
        "changes of `chat.message` while it was stopped, and hears of those from turn {} on only",
        gap[1]
    );
    for lines in [peer.lines("mentions").await, peer.lines_of_node().await] {
        let said = lines.iter().filter(|line| line.text.contains(&wanted));
        assert_eq!(said.count(), 1, "{wanted}");
    }
    replays(&mut world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_private_meanwhile_has_a_gap() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&chat(false)).await;
    peer.install(&mentions()).await;
    unload(&peer).await;
    put(&peer, 1).await;
    let private = GuestTable::new("Message", &["text"]).auto_inc().private();
    peer.install(&chat_of(private, false)).await;
    put(&peer, 2).await;
    let public = peer.install(&chat(false)).await.seq;
    put(&peer, 3).await;
    peer.install(&mentions()).await;
    let expected = vec![LOAD, [GAP, public.0, 0], [INSERTED, 3, 3], LOAD];
    assert_eq!(seen(&peer).await, expected);
    let lines = peer.lines("mentions").await;
    let said = |line: &str| lines.iter().any(|known| known.text.contains(line));
    assert!(said("was private at turn"), "{lines:?}");
    replays(&mut world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_a_version_newly_has_begins_now() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&chat(false)).await;
    peer.install(&listener()).await;
    unload(&peer).await;
    put(&peer, 1).await;
    peer.call("chat", "drop", &[1]).await.expect("commits");
    put(&peer, 2).await;
    peer.install(&mentions()).await;
    peer.call("chat", "drop", &[2]).await.expect("commits");
    let expected = vec![
        LOAD,
        [INSERTED, 1, 1],
        [INSERTED, 2, 2],
        LOAD,
        [DELETED, 2, 2],
    ];
    assert_eq!(seen(&peer).await, expected);
    replays(&mut world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missed_change_whose_reaction_faults_loses_no_other() {
    let mut world = World::configured(|config| config.second_chance_ms = 300);
    world.start().await;
    let peer = world.owner().await;
    peer.install(&chat(false)).await;
    peer.install(&mentions()).await;
    // An owner's faults quarantine; what comes then is missed.
    let mut ids = 0..;
    while peer.status("mentions").await.state == ModuleState::Loaded {
        put(&peer, 666).await;
        ids.next();
    }
    for text in [1, 666, 2] {
        put(&peer, text).await;
    }
    peer.status_when("mentions", |status| status.state == ModuleState::Loaded)
        .await;
    let next = ids.next().expect("endless");
    put(&peer, 3).await;
    let mut noted = seen(&peer).await;
    noted.retain(|row| row[0] != LOADED);
    let expected = [
        [INSERTED, next + 1, 1],
        [INSERTED, next + 3, 2],
        [INSERTED, next + 4, 3],
    ];
    assert_eq!(noted, expected);
    replays(&mut world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reactions_to_missed_changes_change_is_heard_after_them_and_ends() {
    let mut world = World::configured(|config| config.limits.steps_per_turn_max = 20);
    world.start().await;
    let peer = world.owner().await;
    let counts = |last: u64| {
        let next = when_less(
            arg(1),
            last,
            vec![must(call("chat", "put", [arg(1).plus(1)]))],
        );
        GuestModule::new("mentions")
            .depends_on(&chat(false))
            .table(GuestTable::new("Seen", &["kind", "message", "text"]).auto_inc())
            .table(GuestTable::new("Own", &["text"]).auto_inc())
            .on_row(
                "chat.message",
                RowEvent::Insert,
                "hear",
                vec![note(INSERTED, 0, 1), next],
            )
            .on_row(
                "seen",
                RowEvent::Insert,
                "hear_own",
                vec![must(insert("own", [0.into(), arg(3)]))],
            )
    };
    peer.install(&chat(false)).await;
    peer.install(&counts(103)).await;
    unload(&peer).await;
    put(&peer, 100).await;
    put(&peer, 1).await;
    peer.call("chat", "drop", &[2]).await.expect("commits");
    peer.call("chat", "change", &[1, 101])
        .await
        .expect("commits");
    peer.install(&counts(103)).await;
    let noted = seen(&peer).await;
    let texts = |noted: &[[u64; 3]]| noted.iter().map(|row| row[2]).collect::<Vec<_>>();
    let all = texts(&noted);
    assert_eq!(all[..2], [100, 1]);
    assert_eq!(all[2..6], [101, 2, 102, 3], "{all:?}");
    assert!(all.len() < 100, "it would count to 103");
    let own = peer.rows("mentions", "own").await.expect("reads");
    assert_eq!(own.len(), all.len(), "its own rows are heard at once");
    let lines = peer.lines("mentions").await;
    assert!(
        lines
            .iter()
            .any(|line| line.text.contains("lead to others without end")),
        "{lines:?}"
    );
    replays(&mut world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_modules_come_back_together_and_a_grant_that_was_taken_back_counts() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.install(&chat(false)).await;
    peer.install(&mentions()).await;
    unload(&peer).await;
    put(&peer, 1).await;
    let grant = |change| RequestBody::ChangeGrant {
        module: "mentions".into(),
        target: GrantTarget::Subscriptions {
            module: "chat".into(),
        },
        change,
    };
    let revoke = peer.request(grant(GrantChange::Revoke)).await;
    revoke.expect("it is taken back");
    put(&peer, 2).await;
    let give = peer.request(grant(GrantChange::Grant)).await;
    give.expect("it is given");
    put(&peer, 3).await;
    let reports = peer.deploy_all(&[mentions(), chat(true)]).await;
    let reports = reports.expect("both come");
    assert_eq!(reports.len(), 2);
    put(&peer, 4).await;
    let expected = vec![LOAD, [INSERTED, 3, 3], LOAD, [INSERTED, 4, 4]];
    assert_eq!(seen(&peer).await, expected);
    // An upgrade of a module that serves misses nothing.
    peer.install(&mentions()).await;
    let history = peer
        .history("mentions", None, HistoryOrder::Reverse, 1)
        .await;
    let last = history.expect("is kept").steps.pop();
    let input = last.and_then(|step| step.input);
    assert!(matches!(input, Some(HistoryInput::Load { .. })));
    replays(&mut world).await;
}
