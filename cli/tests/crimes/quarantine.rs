//! A module that crashes again and again where nobody asked it to is put into quarantine: how it
//! comes in, what others see, what becomes of its timers and subscriptions, and how it comes out.

use interstice_abi::{
    failure::Code,
    wire::{ModuleState, RequestBody},
};

use super::{amount, built, deployed};
use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{arg, insert, must},
    peer::Peer,
};

/// Crashes in a row after which a module is quarantined.
const FAULTS: u64 = 16;

async fn quarantine(owner: &Peer) -> String {
    owner
        .call("crimes", "crashing_timers", &[FAULTS])
        .await
        .expect("they are set");
    let status = owner
        .status_when("crimes", |status| status.state != ModuleState::Loaded)
        .await;
    match status.state {
        ModuleState::Quarantined { reason } => reason,
        other => unreachable!("{other:?}"),
    }
}

async fn load(owner: &Peer) {
    let module = "crimes".to_string();
    let loaded = owner.request(RequestBody::Load { module }).await;
    loaded.expect("an owner does");
    assert_eq!(owner.status("crimes").await.state, ModuleState::Loaded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_crashing_timers_quarantine_and_everybody_is_told_why_and_what_to_do() {
    let (mut world, owner) = deployed().await;
    owner
        .call("crimes", "crashing_timers", &[FAULTS - 1])
        .await
        .expect("they are set");
    owner
        .status_when("crimes", |status| status.counters.faults == FAULTS - 1)
        .await;
    owner
        .call("crimes", "timer_storm", &[1])
        .await
        .expect("one that does not crash");
    owner
        .status_when("crimes", |status| status.counters.reducers >= FAULTS + 2)
        .await;
    assert_eq!(owner.status("crimes").await.state, ModuleState::Loaded);
    let reason = quarantine(&owner).await;
    assert!(
        reason.contains("crash") && reason.contains("a timer crashes"),
        "{reason}"
    );

    let stranger = world.stranger().await;
    for failure in [
        stranger.call("crimes", "behave", &[1]).await.map(drop),
        stranger
            .query("crimes", "endless_query", &[])
            .await
            .map(drop),
    ] {
        let failure = failure.expect_err("is stopped");
        assert_eq!(failure.code, Code::Quarantined);
        assert!(failure.message.contains("a timer crashes"), "{failure}");
        assert!(failure.message.contains("`load`"), "{failure}");
    }
    stranger
        .rows("crimes", "loot")
        .await
        .expect("its rows can be read: nothing of it runs for that");
    let said = owner.lines("crimes").await;
    assert!(
        said.iter().any(|line| line.text.contains("is quarantined")),
        "its log says so"
    );
    world.crash().await;
    let owner = world.owner().await;
    assert!(
        matches!(
            owner.status("crimes").await.state,
            ModuleState::Quarantined { .. }
        ),
        "a restart does not free it"
    );
    load(&owner).await;
    owner
        .call("crimes", "behave", &[1])
        .await
        .expect("serves again");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_frees_a_quarantined_module_and_the_same_faults_bring_it_back() {
    let (mut world, owner) = deployed().await;
    quarantine(&owner).await;
    owner
        .upload(&built("crimes"))
        .await
        .expect("the same binary is taken too");
    assert_eq!(owner.status("crimes").await.state, ModuleState::Loaded);
    owner
        .call("crimes", "behave", &[1])
        .await
        .expect("serves again");
    quarantine(&owner).await;
    load(&owner).await;
    quarantine(&owner).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_of_a_quarantined_module_wait_and_what_others_did_meanwhile_it_never_hears() {
    let (mut world, owner) = deployed().await;
    // Another module whose timer is due later than the criminal's: an event to wait for.
    let clock = GuestModule::new("clock")
        .table(GuestTable::new("Rings", &["value"]).auto_inc())
        .reducer("ring", 0, vec![must(insert("rings", [0.into(), 1.into()]))])
        .reducer(
            "after",
            1,
            vec![must(crate::common::op::Op::Schedule {
                reducer: "ring".into(),
                delay_ms: arg(0),
                into: 0,
            })],
        );
    owner.install(&clock).await;
    owner
        .call("crimes", "alarm", &[1500])
        .await
        .expect("it is set");
    quarantine(&owner).await;
    let mut rings = owner.watch("clock", "rings", None).await;
    assert_eq!(rings.rows().await.0.len(), 0);
    owner
        .call("clock", "after", &[1600])
        .await
        .expect("it is set");
    rings.changes(1).await;
    owner
        .call("bank", "open", &[1, amount(1)])
        .await
        .expect("others go on");
    load(&owner).await;
    // It was due long ago, so it fires as soon as the module serves again; until then nothing of
    // it was done.
    let mut loot = owner.watch("crimes", "loot", None).await;
    let (rows, _) = loot.rows().await;
    if rows.is_empty() {
        loot.changes(1).await;
    }
    let rows = owner.rows("crimes", "loot").await.expect("is there");
    let sizes: Vec<u64> = rows.iter().map(|row| row[1]).collect();
    assert_eq!(sizes, [4242], "once");
    world.stop().await;
}
