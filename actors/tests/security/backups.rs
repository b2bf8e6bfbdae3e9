//! A backup waits for what is under way, but only for a time.
//!
//! The call that it waits for asks another node and gets no answer until the test lets it.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use interstice_abi::{
    codec::Column,
    failure::{Code, Failure},
    host_call::CallRequest,
};
use interstice_actors::remote::Remote;
use interstice_client::Error;
use interstice_host::module::CallKind;
use tokio::sync::watch;

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, insert, must, query, reg},
    world::World,
};

/// Another node that answers when the gate is open.
struct Gate {
    asked: watch::Sender<u64>,
    opened: watch::Sender<bool>,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            asked: watch::Sender::new(0),
            opened: watch::Sender::new(false),
        })
    }

    /// Waits until this many questions have come.
    async fn asked(&self, count: u64) {
        let mut asked = self.asked.subscribe();
        let wait = asked.wait_for(|asked| *asked >= count);
        let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
        waited.expect("it is asked").unwrap();
    }

    fn open(&self) {
        self.opened.send_replace(true);
    }
}

impl Remote for Gate {
    fn call<'a>(
        &'a self,
        _: CallKind,
        _: &'a CallRequest,
    ) -> BoxFuture<'a, Result<Vec<u8>, Failure>> {
        let mut opened = self.opened.subscribe();
        self.asked.send_modify(|asked| *asked += 1);
        Box::pin(async move {
            opened.wait_for(|opened| *opened).await.unwrap();
            Ok(7_u64.to_bytes())
        })
    }
}

fn far() -> GuestModule {
    GuestModule::new("far").query("ask", 0, vec![Op::Return(1.into())])
}

fn ask() -> Op {
    query("elsewhere/far", "ask", [], 0)
}

/// `wait` ends when the gate is open, `mark` at once.
fn busy() -> GuestModule {
    GuestModule::new("busy")
        .depends_on(&far())
        .of_node("elsewhere")
        .table(GuestTable::new("Rows", &["value"]).auto_inc())
        .reducer(
            "wait",
            0,
            vec![ask(), must(insert("rows", [0.into(), reg(0)]))],
        )
        .reducer("mark", 1, vec![must(insert("rows", [0.into(), arg(0)]))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_waits_too_long_for_a_call_is_refused_by_the_modules_name_and_leaves_nothing()
{
    let gate = Gate::new();
    let mut world = World::configured(|config| config.backup_wait_ms = 500);
    world.start_beside(None, Some(gate.clone())).await;
    let owner = world.owner().await;
    owner.install(&busy()).await;
    let client = world.stranger().await;
    let mut called = pin!(client.call("busy", "wait", &[]));
    tokio::select! {
        _ = &mut called => panic!("the gate is closed"),
        () = gate.asked(1) => {}
    }
    let refused = owner.client().begin_backup().await.unwrap_err();
    let Error::Failed(failure) = refused else {
        panic!("{refused}");
    };
    assert_eq!(failure.code, Code::Busy, "{failure}");
    assert!(failure.message.contains("under way in `busy`"), "{failure}");
    let left = std::fs::read_dir(world.directory().join("backups"));
    assert_eq!(left.map_or(0, Iterator::count), 0);
    gate.open();
    called.await.unwrap();
    let backup = owner.client().begin_backup().await.unwrap();
    assert!(backup.bytes > 0);
    world.stop().await;
}
