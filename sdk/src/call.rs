//! Calls into other modules: what the handles of bindings rest on.

use interstice_abi::{codec::Column, host_call::CallRequest};

use crate::{
    Error,
    host::{self, imports},
};

/// Calls a reducer of another module. `arguments` are their encodings, one after the other.
///
/// On this node it runs inside the step; on another node `Ok` means that the call is in the outbox.
///
/// # Errors
/// The other module's failure, after which what the call did is undone.
pub fn call_reducer(
    node: Option<&str>,
    module: &str,
    function: &str,
    arguments: Vec<u8>,
) -> Result<(), Error> {
    let request = request(node, module, function, arguments)?;
    host::count_call();
    host::ask(|out| imports::call_reducer(&request, out), host::nothing)
}

/// Asks a query of another module. `arguments` are their encodings, one after the other.
///
/// # Errors
/// The other module's failure.
pub fn call_query<T: Column>(
    node: Option<&str>,
    module: &str,
    function: &str,
    arguments: Vec<u8>,
) -> Result<T, Error> {
    let request = request(node, module, function, arguments)?;
    host::count_call();
    host::ask(|out| imports::call_query(&request, out), host::value)
}

fn request(
    node: Option<&str>,
    module: &str,
    function: &str,
    arguments: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    let request = CallRequest {
        node: node.map(str::to_string),
        module: module.to_string(),
        function: function.to_string(),
        arguments,
    };
    postcard::to_allocvec(&request).map_err(Error::internal)
}
