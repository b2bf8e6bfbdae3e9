//! A module's timers, as owners see and end them.

use interstice_abi::{
    id::{Seq, TimerId},
    wire::{RequestBody, ResponseBody, TimerCounts, TimersPage},
};

use crate::{Client, Error, answer::unexpected};

impl Client {
    /// How many timers the modules have that this client may see, by module.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::Lost`]; the latter also from a node that is too old to know
    /// the question.
    pub async fn timer_counts(&self) -> Result<Vec<TimerCounts>, Error> {
        match self.ask(RequestBody::TimerCounts).await? {
            ResponseBody::TimerCounts(counts) => Ok(counts),
            other => Err(unexpected("counts of timers", &other)),
        }
    }

    /// A page of a module's pending timers, by number, behind `after`. Owners only.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::Lost`].
    pub async fn timers(
        &self,
        module: &str,
        after: Option<TimerId>,
        limit: u32,
    ) -> Result<TimersPage, Error> {
        match self
            .ask(RequestBody::Timers {
                module: module.to_string(),
                after,
                limit,
            })
            .await?
        {
            ResponseBody::Timers(page) => Ok(page),
            other => Err(unexpected("timers", &other)),
        }
    }

    /// Ends a pending timer; the turn that did it. Owners only.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::OutcomeUnknown`].
    pub async fn cancel_timer(&self, module: &str, timer: TimerId) -> Result<Seq, Error> {
        match self
            .ask(RequestBody::CancelTimer {
                module: module.to_string(),
                timer,
            })
            .await?
        {
            ResponseBody::Called(called) => Ok(called.seq),
            other => Err(unexpected("the end of a timer", &other)),
        }
    }
}
