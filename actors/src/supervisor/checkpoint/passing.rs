//! A marker on its way: one place in every module's queue, and one in the log.

use std::time::Duration;

use interstice_abi::id::ModuleName;
use interstice_host::log::LogPosition;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{
    module::{
        NewPlace,
        checkpoint::{Frozen, Passing},
    },
    supervisor::Supervisor,
};

/// Where a marker will have passed.
pub(crate) struct Passed {
    position: oneshot::Receiver<Result<LogPosition, interstice_host::log::LogError>>,
    frozen: Vec<(ModuleName, oneshot::Receiver<Frozen>)>,
}

/// Why a marker has not passed.
pub(crate) enum NotPassed {
    /// The log or an actor has ended.
    Ended(String),
    /// It has not passed these modules in time.
    Late(Vec<ModuleName>),
}

impl Passed {
    /// Waits until it has passed every module: a position in the log behind which every record of
    /// a later turn stands, and what the modules have handed over.
    ///
    /// # Errors
    /// When the log or an actor has ended.
    pub(crate) async fn all(self) -> Result<(LogPosition, Vec<Frozen>), String> {
        let Ok(Ok(position)) = self.position.await else {
            return Err("the log has ended".to_string());
        };
        let mut frozen = Vec::new();
        for (_, answer) in self.frozen {
            let answer = answer.await;
            frozen.push(answer.map_err(|_| "a module's actor has ended".to_string())?);
        }
        Ok((position, frozen))
    }

    /// As [`Passed::all`], for this long at most. A marker that only looks may be left in the
    /// queues where it has not passed.
    ///
    /// # Errors
    /// [`NotPassed`].
    pub(crate) async fn all_within(
        self,
        patience: Duration,
    ) -> Result<(LogPosition, Vec<Frozen>), NotPassed> {
        let until = Instant::now() + patience;
        let ended = |problem: &str| NotPassed::Ended(problem.to_string());
        let position = match timeout_at(until, self.position).await {
            Ok(Ok(Ok(position))) => position,
            Ok(_) => return Err(ended("the log has ended")),
            Err(_) => return Err(NotPassed::Late(Vec::new())),
        };
        let (mut frozen, mut late) = (Vec::new(), Vec::new());
        for (module, answer) in self.frozen {
            match timeout_at(until, answer).await {
                Ok(Ok(answer)) => frozen.push(answer),
                Ok(Err(_)) => return Err(ended("a module's actor has ended")),
                Err(_) => late.push(module),
            }
        }
        if late.is_empty() {
            Ok((position, frozen))
        } else {
            Err(NotPassed::Late(late))
        }
    }
}

impl Supervisor {
    /// Sends a marker: behind every turn that was stamped, before any later one.
    pub(crate) fn pass(&mut self, passing: Passing) -> Passed {
        let (marked, position) = oneshot::channel();
        self.shared.log.mark(Box::new(move |position| {
            // The one who waits may have given up.
            let _ = marked.send(position);
        }));
        let ticket = self.stamper.ticket();
        let modules = self.catalogue.entries();
        let modules: Vec<_> = modules
            .map(|(index, entry)| (index, entry.installed.schema.name.clone()))
            .collect();
        let mut frozen = Vec::new();
        for (index, name) in modules {
            let (reply, answer) = oneshot::channel();
            self.outgoing
                .add(index, NewPlace::Marker(ticket, passing, reply));
            frozen.push((name, answer));
        }
        self.send_out();
        Passed { position, frozen }
    }
}
