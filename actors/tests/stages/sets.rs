//! Several modules that are installed together: all of them, or none.

use interstice_abi::{
    event::{Event, RowEvent},
    failure::Code,
    wire::{HistoryInput, HistoryOrder, OnConflict, RequestBody},
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, call, insert, must},
    world::World,
};

/// `chat.put` takes as many numbers as its version says.
fn chat(numbers: usize) -> GuestModule {
    let patch = u32::try_from(numbers).expect("is small");
    GuestModule::new("chat")
        .version(0, 1, patch)
        .table(GuestTable::new("Message", &["text"]).auto_inc())
        .reducer(
            "put",
            numbers,
            vec![must(insert("message", [0.into(), arg(0)]))],
        )
}

/// Calls and hears `chat`.
fn bot(numbers: usize) -> GuestModule {
    let arguments = (0..numbers).map(|_| 7.into()).collect();
    let speak = Op::Call {
        module: "chat".into(),
        reducer: "put".into(),
        arguments,
    };
    GuestModule::new("bot")
        .version(0, 1, u32::try_from(numbers).expect("is small"))
        .depends_on(&chat(numbers))
        .table(GuestTable::new("Heard", &["text"]).auto_inc())
        .table(GuestTable::new("Loads", &[]).auto_inc())
        .reducer("speak", 0, vec![must(speak)])
        .on(
            Event::Load,
            "loaded",
            vec![must(insert("loads", [0.into()]))],
        )
        .on_row(
            "chat.message",
            RowEvent::Insert,
            "hear",
            vec![must(insert("heard", [0.into(), arg(1)]))],
        )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modules_that_only_fit_each_other_are_upgraded_in_one_turn() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    let reports = peer.deploy_all(&[bot(1), chat(1)]).await.expect("are new");
    let order: Vec<&str> = reports
        .iter()
        .map(|report| report.module.as_str())
        .collect();
    assert_eq!(order, ["chat", "bot"]);
    peer.call("bot", "speak", &[]).await.expect("commits");
    for alone in [chat(2), bot(2)] {
        let refused = peer.deploy(&alone, OnConflict::Refuse).await;
        let refused = refused.expect_err("the other one is of before");
        assert!(refused.message.contains("`deploy chat bot`"), "{refused}");
    }
    let reports = peer.deploy_all(&[bot(2), chat(2)]).await.expect("they fit");
    assert_eq!(reports[0].seq, reports[1].seq, "one turn");
    peer.call("bot", "speak", &[]).await.expect("commits");
    let heard = vec![vec![1, 7], vec![2, 7]];
    assert_eq!(peer.rows("bot", "heard").await, Ok(heard.clone()));
    assert_eq!(
        peer.rows("bot", "loads").await.map(|rows| rows.len()),
        Ok(2)
    );
    let page = peer.history("bot", None, HistoryOrder::Reverse, 20).await;
    let page = page.expect("is kept");
    let together = |input: &HistoryInput| matches!(input, HistoryInput::InstallAll { modules } if modules.len() == 2);
    let mut inputs = page.steps.iter().filter_map(|step| step.input.as_ref());
    assert!(inputs.any(together));

    world.crash().await;
    let peer = world.owner().await;
    assert_eq!(peer.status("chat").await.version, chat(2).version);
    assert_eq!(peer.status("bot").await.version, bot(2).version);
    assert_eq!(peer.rows("bot", "heard").await, Ok(heard));
    peer.call("bot", "speak", &[]).await.expect("commits");
    world.stop().await;
    let replayed = world.replay().await.expect("replays");
    assert!(replayed.agrees(), "{replayed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_of_which_one_is_refused_changes_nothing() {
    let world = World::started().await;
    let peer = world.owner().await;
    let failing =
        GuestModule::new("last").on(Event::Init, "begin", vec![Op::Fail("not today".into())]);
    let refused = peer.deploy_all(&[chat(1), bot(1), failing.clone()]).await;
    let refused = refused.expect_err("`init` fails");
    assert!(refused.message.contains("not today"), "{refused}");
    assert_eq!(peer.modules().await.len(), 0);

    peer.deploy_all(&[chat(1), bot(1)]).await.expect("are new");
    let lacks = GuestModule::new("lacks")
        .depends_on(&GuestModule::new("nowhere"))
        .reducer("go", 0, vec![call("nowhere", "go", [])]);
    let refused = peer.deploy_all(&[chat(2), bot(2), lacks]).await;
    let refused = refused.expect_err("a module is missing");
    assert_eq!(refused.code, Code::NotFound);
    let refused = peer.deploy_all(&[chat(2), bot(2), failing]).await;
    let refused = refused.expect_err("its `init` could not be undone together with upgrades");
    assert!(refused.message.contains("deploy it by itself"), "{refused}");
    assert_eq!(peer.status("chat").await.version, chat(1).version);
    peer.call("bot", "speak", &[]).await.expect("commits");
    let refused = peer.deploy_all(&[chat(1), chat(2)]).await;
    refused.expect_err("it is there twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_others_need_stops_when_that_is_asked_for_and_their_load_runs_again() {
    let mut world = World::started().await;
    let peer = world.owner().await;
    peer.deploy_all(&[chat(1), bot(1)]).await.expect("are new");
    let module = || String::from("chat");
    let refused = peer.request(RequestBody::Unload { module: module() }).await;
    let refused = refused.expect_err("`bot` needs it");
    assert!(refused.message.contains("`bot`"), "{refused}");
    assert!(refused.message.contains("--force"), "{refused}");
    peer.call("bot", "speak", &[]).await.expect("commits");
    let unload = RequestBody::UnloadNeeded { module: module() };
    peer.request(unload).await.expect("stops");
    let failure = peer.call("bot", "speak", &[]).await;
    let failure = failure.expect_err("`chat` is stopped");
    assert!(failure.message.contains("unloaded"), "{failure}");
    let load = RequestBody::Load { module: module() };
    peer.request(load).await.expect("starts");
    peer.call("bot", "speak", &[]).await.expect("commits");
    let loads = peer.rows("bot", "loads").await.expect("reads").len();
    assert_eq!(loads, 2, "at its install, and now");

    world.crash().await;
    world.stop().await;
    let replayed = world.replay().await.expect("replays");
    assert!(replayed.agrees(), "{replayed:?}");
}
