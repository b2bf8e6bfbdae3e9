//! The way to modules of other nodes: who answers a call that names a node.
//!
//! A node answers such calls itself: the other node is not connected. Tests hand in answers of
//! their own. Whatever comes back is in the step's record, so that replay hears the same.

use futures::future::BoxFuture;
use interstice_abi::{
    failure::{Code, Failure},
    host_call::CallRequest,
    text::quoted,
};
use interstice_host::module::CallKind;

/// Who answers calls to modules of other nodes.
pub trait Remote: Send + Sync {
    /// The result's bytes of a query, nothing for a reducer; or why there is none.
    fn call<'a>(
        &'a self,
        kind: CallKind,
        request: &'a CallRequest,
    ) -> BoxFuture<'a, Result<Vec<u8>, Failure>>;
}

/// What a question is known by in a record: BLAKE3 of its encoding.
pub(crate) fn fingerprint(kind: CallKind, request: &CallRequest) -> Result<[u8; 32], Failure> {
    let bytes = postcard::to_allocvec(&(kind, request)).map_err(Failure::internal)?;
    Ok(*blake3::hash(&bytes).as_bytes())
}

/// No other node is connected.
pub(crate) struct NotConnected;

impl Remote for NotConnected {
    fn call<'a>(
        &'a self,
        _: CallKind,
        request: &'a CallRequest,
    ) -> BoxFuture<'a, Result<Vec<u8>, Failure>> {
        let text = format!(
            "node `{}` is not connected, so its module `{}` cannot be called",
            quoted(request.node.as_deref().unwrap_or_default()),
            quoted(&request.module)
        );
        Box::pin(async move { Err(Failure::new(Code::Unavailable, text)) })
    }
}
