//! Kinds of requests: those with a stream of answers, those that take a place in a queue, those
//! that carry arguments.

use super::RequestBody;

impl RequestBody {
    /// Whether it has a stream of answers.
    #[must_use]
    pub const fn has_stream(&self) -> bool {
        matches!(
            self,
            Self::Watch { .. }
                | Self::WatchAs { .. }
                | Self::Logs { .. }
                | Self::RowsAt { .. }
                | Self::RowsAtAs { .. }
        )
    }

    /// Whether it takes a place in a module's queue, and so in the order of turns.
    #[must_use]
    pub const fn takes_place(&self) -> bool {
        matches!(
            self,
            Self::Call { .. }
                | Self::CallAs { .. }
                | Self::Query { .. }
                | Self::QueryAs { .. }
                | Self::Rows { .. }
                | Self::Watch { .. }
                | Self::WatchAs { .. }
                | Self::RowsAt { .. }
                | Self::RowsAtAs { .. }
                | Self::RowsAs { after: None, .. }
                | Self::CancelTimer { .. }
        )
    }

    /// The arguments of a call or query; nothing of other requests.
    #[must_use]
    pub fn arguments(&self) -> &[u8] {
        match self {
            Self::Call { arguments, .. }
            | Self::CallAs { arguments, .. }
            | Self::Query { arguments, .. }
            | Self::QueryAs { arguments, .. } => arguments,
            _ => &[],
        }
    }
}
