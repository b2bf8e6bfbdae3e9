//! Turns that are under way, as owners see and end them.

use interstice_abi::{
    id::Seq,
    wire::{RequestBody, ResponseBody, TurnDrop, TurnsUnderWay},
};

use crate::{Client, Error, answer::unexpected};

impl Client {
    /// The turns that run or wait, oldest first. Owners only.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::Lost`]; the latter also from a node that is too old to know
    /// the question.
    pub async fn turns(&self) -> Result<TurnsUnderWay, Error> {
        match self.ask(RequestBody::Turns).await? {
            ResponseBody::Turns(turns) => Ok(turns),
            other => Err(unexpected("turns", &other)),
        }
    }

    /// Ends a turn that is under way. Owners only.
    ///
    /// # Errors
    /// [`Error::Failed`], also for a turn that is not under way, and [`Error::OutcomeUnknown`].
    pub async fn drop_turn(&self, seq: Seq) -> Result<TurnDrop, Error> {
        match self.ask(RequestBody::DropTurn { seq }).await? {
            ResponseBody::TurnDrop(dropped) => Ok(dropped),
            other => Err(unexpected("the end of a turn", &other)),
        }
    }
}
