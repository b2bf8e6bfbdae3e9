//! Lines of logs that a client wants: those that are kept, and those that come. There may be
//! megabytes of them.

use std::sync::Arc;

use interstice_abi::{
    failure::Failure,
    id::ModuleName,
    wire::{LogsMode, Response, ResponseBody},
};

use crate::{
    ingress::Replies,
    lines::{Begin, Lines},
};

/// What a client wants.
pub(crate) struct LogsRequest {
    pub(crate) lines: Arc<Lines>,
    /// The connection that the answers lead to.
    pub(crate) connection: u64,
    /// Only lines of this module.
    pub(crate) module: Option<ModuleName>,
    pub(crate) begin: Begin,
    pub(crate) mode: LogsMode,
    /// The last line when it was asked for: every later one comes, too, when the client follows.
    pub(crate) asked_at: u64,
}

impl LogsRequest {
    /// Sends the lines that are kept. The stream ends with them or goes on.
    pub(super) fn answer(&self, replies: &Replies, id: u64) {
        let ended = || {
            let body = Ok(ResponseBody::Ended);
            replies.send(Response { id, body });
        };
        if !replies.is_streaming(id) {
            // It was cancelled while it waited.
            return ended();
        }
        let outcome = match self.mode {
            LogsMode::Kept => {
                let kept = self.lines.kept(self.module.as_ref(), self.begin);
                kept.map(|lines| {
                    let body = Ok(ResponseBody::Log(lines));
                    replies.more(Response { id, body });
                    ended();
                })
            }
            LogsMode::Follow => self.follow(replies, id),
        };
        if let Err(failure) = outcome {
            let body = Err(failure);
            replies.send(Response { id, body });
        }
    }

    fn follow(&self, replies: &Replies, id: u64) -> Result<(), Failure> {
        let (connection, module) = (self.connection, self.module.clone());
        let to = (replies.clone(), connection, id);
        self.lines.follow(to, module, self.begin, self.asked_at)?;
        // The end of the connection, or a cancel, may have come before: nothing else removes the
        // follower then.
        let is_unwanted = replies.is_closed() || !replies.is_streaming(id);
        if is_unwanted && self.lines.unfollow(connection, Some(id)) {
            let body = Ok(ResponseBody::Ended);
            replies.send(Response { id, body });
        }
        Ok(())
    }
}
