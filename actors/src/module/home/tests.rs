//! Cores at home and away: what is served by a visitor, what waits meanwhile, and that nothing
//! overtakes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use interstice_abi::{failure::Failure, id::ModuleName};
use interstice_host::module::{ForeignRead, ReadRequest};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::yield_now};

use super::{Core, ModuleActor, ModuleAddress, Places, Ticket, Traffic};
use crate::{
    ingress::Replies,
    module::{
        NewPlace, Order,
        broken::tests::{empty, shared},
        core::StatisticsDepth,
        nested::NestedRead,
        query::Pass,
    },
    supervisor::catalogue::ModuleIndex,
};

fn core(folder: &TempDir, places: impl IntoIterator<Item = NewPlace>) -> Core {
    let name = ModuleName::new("empty").expect("a name");
    let mut core = Core::new(name, shared(folder), empty());
    places.into_iter().for_each(|place| core.place(place));
    core
}

fn hold(ticket: u64) -> NewPlace {
    NewPlace::Hold(Ticket(ticket))
}

type Answer = oneshot::Receiver<Result<Vec<u8>, Failure>>;

/// A read of a table that is not there: that is its answer.
fn read(ticket: u64) -> (Traffic, Answer) {
    let (reply, answer) = oneshot::channel();
    let request = ForeignRead {
        module: "empty".to_string(),
        table: "none".to_string(),
        read: ReadRequest::Count,
    };
    let read = NestedRead {
        ticket: Ticket(ticket),
        request,
        reply,
    };
    (Traffic::Read(Box::new(read)), answer)
}

/// A place that counts when it has its turn.
fn counted(ticket: u64, count: &Arc<AtomicUsize>) -> NewPlace {
    let count = count.clone();
    NewPlace::Pass(Box::new(Pass {
        ticket: Ticket(ticket),
        module: ModuleIndex(0),
        guest: None,
        then: Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        }),
        replies: Replies::new(1 << 20, 1 << 20),
        request: ticket,
    }))
}

/// Lets the actor take in what it was sent, as often as anything here needs.
async fn let_it_work() {
    for _ in 0..20 {
        yield_now().await;
    }
}

fn unread(address: &ModuleAddress) -> usize {
    address.home.unread.load(Ordering::SeqCst)
}

#[actix::test]
async fn a_call_that_has_its_turn_is_served_in_its_callers_task() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = ModuleActor::of(core(&folder, [hold(1), hold(2)]), None);
    let (later, mut later_answer) = read(2);
    assert!(!address.visit(Ticket(2), later, None).await);
    let (now, mut answer) = read(1);
    assert!(address.visit(Ticket(1), now, None).await);
    assert!(answer.try_recv().is_ok(), "it was served");
    assert!(
        later_answer.try_recv().is_err(),
        "an earlier turn is not over"
    );
    address.deliver(Traffic::Release(Ticket(1)));
    assert_eq!(unread(&address), 0, "a module at home needs no message");
    assert!(later_answer.await.expect("its actor answers").is_err());
    // An earlier turn that is over and left something to do does not stand in the way.
    let (third, mut answer) = read(3);
    address.do_send(Places(vec![hold(3)]));
    let_it_work().await;
    address.deliver(Traffic::Commit(Ticket(2)));
    address.deliver(Traffic::Release(Ticket(2)));
    assert!(address.visit(Ticket(3), third, None).await);
    assert!(answer.try_recv().is_ok());
}

#[actix::test]
async fn what_arrives_during_a_visit_waits_and_comes_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = ModuleActor::of(core(&folder, [hold(1)]), None);
    let (first, mut answer) = read(1);
    let visit = address.hand_over(first, |_| true).expect("it is at home");
    let count = Arc::new(AtomicUsize::new(0));
    address.do_send(Places(vec![counted(2, &count)]));
    address.deliver(Traffic::Release(Ticket(1)));
    assert_eq!(
        unread(&address),
        1,
        "a module that is away is sent a message"
    );
    let_it_work().await;
    assert_eq!(unread(&address), 0);
    assert_eq!(address.home.locked().waiting.len(), 2);
    let (second, mut second_answer) = read(1);
    assert!(!address.visit(Ticket(1), second, None).await);
    drop(visit);
    assert_eq!(unread(&address), 1);
    let (third, _) = read(1);
    address.deliver(third);
    assert_eq!(unread(&address), 2, "nothing overtakes what is on its way");
    let_it_work().await;
    assert_eq!(unread(&address), 0);
    assert!(answer.try_recv().is_ok() && second_answer.try_recv().is_ok());
    assert_eq!(count.load(Ordering::SeqCst), 1, "its turn has come");
}

#[actix::test]
async fn a_panic_during_a_visit_is_told_and_nothing_runs_there_any_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut core = core(&folder, [hold(1)]);
    core.mishap = Some(|| std::panic::resume_unwind(Box::new("a bug of ours")));
    let address = ModuleActor::of(core, None);
    for visited in [true, false] {
        let (read, answer) = read(1);
        assert_eq!(address.visit(Ticket(1), read, None).await, visited);
        assert!(answer.await.is_err(), "nobody answers");
    }
}

#[actix::test]
async fn a_visitor_that_vanishes_in_the_middle_leaves_nobody_waiting() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = ModuleActor::of(core(&folder, [hold(1)]), None);
    let (first, answer) = read(1);
    let mut visit = address.hand_over(first, |_| true).expect("it is at home");
    let (reply, statistics) = oneshot::channel();
    address.do_send(Order::Statistics(StatisticsDepth::Counts, reply));
    let_it_work().await;
    visit.is_whole = false;
    drop(visit);
    assert!(answer.await.is_err());
    assert!(statistics.await.is_err());
    let (reply, statistics) = oneshot::channel();
    address.do_send(Order::Statistics(StatisticsDepth::Counts, reply));
    assert!(statistics.await.is_err());
}
