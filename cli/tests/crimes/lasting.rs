//! Crimes whose steps commit: cascades, timers that make more of themselves, logs of megabytes;
//! and one at the installation.

use interstice_abi::{failure::Code, wire::RequestBody};

use super::{amount, built, deployed, state_of};

/// Lines that a module may say in one step, and the one that says that there were more.
const LINES_PER_STEP_MAX: usize = 1001;

/// What is said is kept in memory up to this.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cascade_that_feeds_itself_ends_at_the_budget_and_its_caller_is_told() {
    let (mut world, owner) = deployed().await;
    let called = owner
        .call("crimes", "cascade", &[])
        .await
        .expect("its own step commits");
    assert!(called.dropped > 0, "{called:?}");
    assert_eq!(called.failed, 0, "{called:?}");
    let sparks = owner.rows("crimes", "spark").await.expect("is there");
    // 300 steps: the first lays one spark, each of the others two.
    assert_eq!(sparks.len(), 1 + 2 * 299);
    let lines = owner.lines("crimes").await;
    let said = lines
        .iter()
        .any(|line| line.text.contains("limit of 300 steps"));
    assert!(said, "the log says so");
    owner
        .call("crimes", "behave", &[1])
        .await
        .expect("it serves");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_init_refuses_the_install_and_undoes_what_it_called() {
    let mut world = crate::World::configured(super::strict);
    world.start().await;
    let owner = world.owner().await;
    owner.upload(&built("bank")).await.expect("is installed");
    owner
        .call("bank", "open", &[666, amount(1)])
        .await
        .expect("it opens");
    let before = state_of(&owner, "bank").await;
    let failure = owner.upload(&built("crimes")).await.expect_err("crashes");
    assert_eq!(failure.code, Code::Trap, "{failure}");
    assert!(failure.message.contains("before it has begun"), "{failure}");
    assert_eq!(state_of(&owner, "bank").await, before);
    let names: Vec<String> = owner
        .modules()
        .await
        .into_iter()
        .map(|module| module.name.to_string())
        .collect();
    assert_eq!(names, ["bank"], "nothing was installed");
    owner
        .call("bank", "open", &[667, amount(1)])
        .await
        .expect("what `init` had opened is not there");
    world.restart().await;
    let owner = world.owner().await;
    assert_eq!(owner.modules().await.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_timers_fire_once_each_and_callers_are_served_between_them() {
    let (mut world, owner) = deployed().await;
    let before = owner.status("crimes").await.counters.reducers;
    owner
        .call("crimes", "timer_storm", &[3000])
        .await
        .expect("they are set");
    let status = owner
        .status_when("crimes", |status| status.counters.reducers >= before + 3001)
        .await;
    assert_eq!(status.counters.reducers, before + 3001);
    assert_eq!(status.counters.faults, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_that_make_more_of_themselves_end_when_an_owner_stops_the_module() {
    let (mut world, owner) = deployed().await;
    owner
        .call("crimes", "timer_fork", &[])
        .await
        .expect("they are set");
    owner
        .status_when("crimes", |status| status.counters.reducers > 500)
        .await;
    owner
        .call("bank", "open", &[1, amount(1)])
        .await
        .expect("others are served");
    let module = "crimes".to_string();
    owner
        .request(RequestBody::Unload { module })
        .await
        .expect("an owner stops it");
    let stopped = owner.status("crimes").await.counters.reducers;
    owner
        .call("bank", "open", &[2, amount(1)])
        .await
        .expect("others are served");
    assert_eq!(
        owner.status("crimes").await.counters.reducers,
        stopped,
        "no timer fires any more"
    );
    let module = "crimes".to_string();
    owner
        .request(RequestBody::Remove { module })
        .await
        .expect("and is rid of it");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn megabytes_of_log_are_cut_per_line_per_step_and_in_all() {
    let (mut world, owner) = deployed().await;
    owner
        .call("crimes", "chatter", &[5000, 100])
        .await
        .expect("it only talks");
    let lines = owner.lines("crimes").await;
    assert_eq!(lines.len(), LINES_PER_STEP_MAX);
    let last = lines.last().expect("there are lines");
    assert!(
        last.text.contains("beyond that is dropped"),
        "{}",
        last.text
    );
    owner
        .call("crimes", "chatter", &[1, 1_000_000])
        .await
        .expect("it only talks");
    let longest = owner.lines("crimes").await.pop().expect("there are lines");
    assert!(longest.text.len() < 20_000, "{}", longest.text.len());
    for _ in 0..15 {
        owner
            .call("crimes", "chatter", &[150, 16_000])
            .await
            .expect("it only talks");
    }
    let kept: usize = owner
        .lines("crimes")
        .await
        .iter()
        .map(|line| line.text.len())
        .sum();
    assert!(kept <= KEPT_BYTES_MAX, "{kept} bytes are kept in memory");
    let lines = owner.lines("crimes").await;
    assert!(
        lines
            .iter()
            .any(|line| line.text.contains("dropped until it says less")),
        "it is told that it says too much"
    );
    let file = std::fs::metadata(world.directory().join("node.log")).expect("is there");
    assert!(
        file.len() <= 17 * 1024 * 1024,
        "it has rotated: {}",
        file.len()
    );
    owner
        .call("crimes", "behave", &[1])
        .await
        .expect("it serves");
    world.stop().await;
}
