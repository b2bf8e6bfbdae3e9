//! Where a module's core stays while nothing of it runs, and the way to its actor.
//!
//! Traffic for a module that is at home is put into its queue at once, and a call that has its turn there runs in its caller's task:
//! the caller waits anyhow, and two mailboxes, two wake-ups and two tasks cost several times as much as a short call. Whatever else
//! reaches the actor meanwhile waits at its home, in order. A module that is busy, or that has traffic on its way, is sent messages.
//!
//! Traffic is never overtaken by traffic that was sent later: what has been sent by message is counted until it is taken in, and
//! before that nothing goes another way.

use std::{
    mem,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use actix::{
    Addr, Handler, Message,
    dev::{MessageResponse, ToEnvelope},
};
use futures::FutureExt;

use super::{
    ModuleActor, Order, Places, Resume, Traffic,
    core::{Core, Work},
    lane::Breather,
    turn::Ticket,
};
use crate::turns::snapshot::Running;

/// The way to a module's actor.
#[derive(Clone)]
pub(crate) struct ModuleAddress {
    actor: Addr<ModuleActor>,
    home: Arc<Home>,
}

/// Where a module's core stays.
#[derive(Default)]
pub(super) struct Home {
    inside: Mutex<Inside>,
    /// Traffic that was sent as messages and is not taken in yet.
    unread: AtomicUsize,
    /// The turn whose step runs.
    running: Arc<Running>,
}

#[derive(Default)]
struct Inside {
    /// `None` while it runs somewhere, or when it is gone.
    core: Option<Box<Core>>,
    /// What has reached the actor while a caller had the core, in order.
    waiting: Vec<Arrived>,
    /// Whether the actor is about to look at its queue anyhow.
    resumes: bool,
    /// The actor has ended: nobody needs the core any more.
    is_closed: bool,
}

/// What reaches a module's actor.
pub(super) enum Arrived {
    Places(Places),
    Traffic(Traffic),
    Order(Order),
    /// Nothing but a hint that there is work.
    Resume,
}

impl Home {
    /// With the core in it.
    pub(super) fn of(core: Core) -> Arc<Self> {
        let home = Self {
            running: core.running.clone(),
            ..Self::default()
        };
        home.locked().core = Some(Box::new(core));
        Arc::new(home)
    }

    fn locked(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the actor: the core, with what it has to take in. Nothing when the core is elsewhere: then that waits.
    pub(super) fn take(&self, arrived: Arrived) -> Option<(Box<Core>, Vec<Arrived>)> {
        let mut inside = self.locked();
        if matches!(arrived, Arrived::Resume) {
            inside.resumes = false;
        }
        if inside.is_closed {
            return None;
        }
        match inside.core.take() {
            Some(core) => {
                let mut all = mem::take(&mut inside.waiting);
                all.push(arrived);
                Some((core, all))
            }
            None => {
                inside.waiting.push(arrived);
                None
            }
        }
    }

    /// For the actor: the core is back.
    pub(super) fn put(&self, core: Box<Core>) {
        self.locked().core = Some(core);
    }

    /// For the actor: a piece of traffic that came as a message is taken in, or waits.
    pub(super) fn has_read(&self) {
        self.unread.fetch_sub(1, Ordering::Release);
    }

    /// The actor ends, with or without the core.
    pub(super) fn close(&self) {
        let mut inside = self.locked();
        inside.is_closed = true;
        let left = (inside.core.take(), mem::take(&mut inside.waiting));
        // What is dropped may lead back here.
        drop(inside);
        drop(left);
    }
}

impl ModuleAddress {
    /// To `actor`, whose core is at `home` when nothing runs.
    pub(super) fn new(actor: Addr<ModuleActor>, home: Arc<Home>) -> Self {
        Self { actor, home }
    }

    /// The turn whose step runs here.
    pub(crate) fn running(&self) -> &Running {
        &self.home.running
    }

    /// Sends what is no traffic.
    pub(crate) fn do_send<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send + MessageResponse<ModuleActor, M>,
        ModuleActor: Handler<M>,
        actix::Context<ModuleActor>: ToEnvelope<ModuleActor, M>,
    {
        self.actor.do_send(message);
    }

    /// Hands over traffic that nobody waits for.
    pub(crate) fn deliver(&self, traffic: Traffic) {
        drop(self.hand_over(traffic, |_| false));
    }

    /// Hands over traffic of the turn or query with `ticket`, and sees to it that it is dealt with: here and now when the module is at
    /// home and it is that one's turn there. Returns whether it was; otherwise the module's actor does it. Where `began` says when the clock
    /// was last read, what comes first in the queue began then.
    pub(crate) async fn visit(
        &self,
        ticket: Ticket,
        traffic: Traffic,
        began: Option<Instant>,
    ) -> bool {
        let visit = self.hand_over(traffic, |core| core.queue.reaches(ticket));
        match visit {
            Some(mut visit) => {
                visit.serve(began).await;
                true
            }
            None => false,
        }
    }

    /// Puts traffic into the queue when the core is at home, and takes the core along when it is `wanted` then.
    fn hand_over(&self, traffic: Traffic, wanted: impl FnOnce(&Core) -> bool) -> Option<Visit<'_>> {
        let mut inside = self.home.locked();
        let is_up_to_date =
            inside.waiting.is_empty() && self.home.unread.load(Ordering::Acquire) == 0;
        let Some(mut core) = inside.core.take_if(|_| is_up_to_date) else {
            self.home.unread.fetch_add(1, Ordering::Relaxed);
            drop(inside);
            self.actor.do_send(traffic);
            return None;
        };
        core.traffic(traffic);
        if wanted(&core) {
            return Some(Visit {
                address: self,
                core: Some(core),
                is_whole: true,
            });
        }
        self.bring_back(inside, core);
        None
    }

    /// The core is at home again; its actor looks at what there is to do.
    fn bring_back(&self, mut inside: MutexGuard<'_, Inside>, core: Box<Core>) {
        if inside.is_closed {
            drop(inside);
            drop(core);
            return;
        }
        let has_work = core.has_work() || !inside.waiting.is_empty();
        inside.core = Some(core);
        if has_work && !mem::replace(&mut inside.resumes, true) {
            drop(inside);
            self.actor.do_send(Resume);
        }
    }
}

/// A core that is run by a caller's task.
struct Visit<'a> {
    address: &'a ModuleAddress,
    core: Option<Box<Core>>,
    /// Whether it is between two pieces of work.
    is_whole: bool,
}

impl Visit<'_> {
    /// Works off what heads the queue.
    async fn serve(&mut self, began: Option<Instant>) {
        if let Some(core) = &mut self.core {
            self.is_whole = false;
            core.serve(began).await;
            self.is_whole = true;
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let Some(core) = self.core.take() else { return };
        if self.is_whole {
            self.address.bring_back(self.address.home.locked(), core);
        } else {
            // The task was dropped in the middle, as it is when the node ends without waiting: what runs nowhere cannot go on.
            self.address.home.close();
        }
    }
}

impl Core {
    /// Works off what others want here, in the task of one of them.
    async fn serve(&mut self, mut began: Option<Instant>) {
        while let Some((_, work)) = self.queue.next() {
            self.piece_began = began.take();
            let waiting = work.waiting();
            let worked = {
                let work = pin!(self.work_for_others(work));
                AssertUnwindSafe(work).catch_unwind().await
            };
            if worked.is_err() {
                self.broke(waiting);
                break;
            }
        }
        self.flush();
    }

    async fn work_for_others(&mut self, work: Work) {
        #[cfg(test)]
        if let Some(mishap) = self.mishap.take() {
            mishap();
        }
        self.hand_over_records();
        match work {
            Work::Call(call) => {
                self.flush();
                self.nested_call(call).await;
            }
            Work::Read(read) => self.nested_read(*read),
            // Elsewhere than in a box this would make every call's future as large as a whole turn's.
            other => Box::pin(self.work(other, &mut Breather::new())).await,
        }
    }
}

#[cfg(test)]
mod tests;
