//! A marker on its way: one place in every module's queue, and one in the log.

use interstice_host::log::LogPosition;
use tokio::sync::oneshot;

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
    frozen: Vec<oneshot::Receiver<Frozen>>,
}

impl Passed {
    /// Waits until it has passed every module: a position in the log behind which every record of a later turn stands, and what the modules
    /// have handed over.
    ///
    /// # Errors
    /// When the log or an actor has ended.
    pub(crate) async fn all(self) -> Result<(LogPosition, Vec<Frozen>), String> {
        let Ok(Ok(position)) = self.position.await else {
            return Err("the log has ended".to_string());
        };
        let mut frozen = Vec::new();
        for answer in self.frozen {
            let answer = answer.await;
            frozen.push(answer.map_err(|_| "a module's actor has ended".to_string())?);
        }
        Ok((position, frozen))
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
        let modules: Vec<_> = self.catalogue.entries().map(|(index, _)| index).collect();
        let mut frozen = Vec::new();
        for index in modules {
            let (reply, answer) = oneshot::channel();
            self.outgoing
                .add(index, NewPlace::Marker(ticket, passing, reply));
            frozen.push(answer);
        }
        self.send_out();
        Passed { position, frozen }
    }
}
