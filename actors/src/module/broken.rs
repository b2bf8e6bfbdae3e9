//! What becomes of those who wait when a module's actor has met a mistake of ours.
//!
//! A panic while a guest or a host call runs is a fault of that step: the host catches it, undoes
//! the step and renews the instance. One anywhere else may have come after the record and before
//! the commit, so nobody can say what holds: the node takes no more turns and recovers from its
//! log at its restart. Until then every module's actor answers whatever waits in its queue, and
//! whatever still arrives, with the reason: nobody waits for an answer that cannot come.

use interstice_abi::{
    failure::{Code, Failure},
    id::ModuleName,
    wire::Response,
};

use super::{
    core::{Core, Work},
    turn::Waiter,
};
use crate::ingress::Replies;

/// The client that waits for a piece of work.
pub(super) struct Waiting {
    replies: Replies,
    request: u64,
}

impl Waiting {
    fn fail(self, failure: Failure) {
        self.replies.send(Response {
            id: self.request,
            body: Err(failure),
        });
    }
}

impl Work {
    /// The client behind it. Other modules and the supervisor notice by themselves that their
    /// channel is gone.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        let (replies, request) = match self {
            Self::Turn(turn) => match &turn.waiter {
                Waiter::Client {
                    replies, request, ..
                } => (replies, *request),
                Waiter::Node(_) | Waiter::Nobody => return None,
            },
            Self::Query(query) => (&query.replies, query.request),
            Self::Rows(rows) => (&rows.replies, rows.request),
            Self::Pass(pass) => (&pass.replies, pass.request),
            Self::Watch(watch) => (&watch.replies, watch.request),
            Self::Call(_) | Self::Read(_) | Self::Commit | Self::Undo(_) | Self::Marker(..) => {
                return None;
            }
        };
        Some(Waiting {
            replies: replies.clone(),
            request,
        })
    }
}

/// What those are told who wait for a turn that will not go on.
pub(crate) fn abandoned(reason: &str) -> Failure {
    Failure::new(
        Code::Unavailable,
        format!(
            "the node takes no more turns: {reason}; whether this one has happened is unknown until an owner restarts the node, which recovers from its log"
        ),
    )
}

impl Core {
    /// A piece of work has panicked. The client behind it is told first.
    pub(super) fn broke(&mut self, waiting: Option<Waiting>) {
        let name: &ModuleName = &self.name;
        if let Some(waiting) = waiting {
            waiting.fail(Failure::internal(format_args!(
                "the actor of module `{name}` has panicked, so the outcome is unknown until the node is restarted; the node's log says where"
            )));
        }
        self.shared.broken(name);
        self.abandon(abandoned(&format!(
            "the actor of module `{name}` has panicked"
        )));
    }

    /// Answers everything that waits, now and from now on.
    pub(super) fn abandon(&mut self, failure: Failure) {
        for work in self.queue.drain() {
            if let Some(waiting) = work.waiting() {
                waiting.fail(failure.clone());
            }
        }
        // Those who wait for a digest notice that their channel is gone.
        self.digests_wanted.clear();
        self.abandoned = Some(failure);
    }

    /// Whether anything runs here still; if not, what has just arrived is answered.
    pub(super) fn refuse_when_abandoned(&mut self) -> bool {
        let Some(failure) = self.abandoned.clone() else {
            return false;
        };
        self.abandon(failure);
        true
    }
}

#[cfg(test)]
pub(super) mod tests;
