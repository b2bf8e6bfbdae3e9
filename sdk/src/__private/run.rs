//! The bodies of a guest's exports: input in, one reducer or query run, output out.
//!
//! The macros emit a function per reducer and query that decodes its arguments and calls it; everything around
//! that is here, once.

use interstice_abi::{
    codec::{Column, Input},
    event::TableRef,
    host_call::Invocation,
    schema::{Access, Description, TableAccess},
};

use crate::{
    QueryContext, ReducerContext,
    capability::AllCaps,
    host::{self, imports},
};

/// What the export of a reducer runs: decodes the arguments and calls it.
pub type ReducerBody = fn(ReducerContext<AllCaps>, &mut Input<'_>) -> Result<(), String>;

/// What the export of a query runs: decodes the arguments, calls it and encodes the result.
pub type QueryBody = fn(QueryContext<AllCaps>, &mut Input<'_>) -> Result<Vec<u8>, String>;

/// Runs a reducer's export: 0, or 1 after the error's message was handed over.
pub fn reducer(input_length: u32, body: ReducerBody) -> u32 {
    export(input_length, |invocation, input| {
        body(ReducerContext::new(invocation), input).map(|()| Vec::new())
    })
}

/// Runs a query's export: 0 after the result, or 1 after the error's message was handed over.
pub fn query(input_length: u32, body: QueryBody) -> u32 {
    export(input_length, |invocation, input| {
        body(QueryContext::new(invocation), input)
    })
}

fn export(
    input_length: u32,
    run: impl FnOnce(Invocation, &mut Input<'_>) -> Result<Vec<u8>, String>,
) -> u32 {
    report_panics();
    let mut input = vec![0; input_length as usize];
    imports::input_read(&mut input);
    let outcome = match postcard::take_from_bytes::<Invocation>(&input) {
        Ok((invocation, arguments)) => run(invocation, &mut Input::new(arguments)),
        Err(error) => Err(format!("the invocation cannot be read: {error}")),
    };
    // The function may have changed tables that an iterator of an earlier step still looks at.
    host::count_write();
    match outcome {
        Ok(output) => {
            imports::output_write(&output);
            0
        }
        Err(message) => {
            imports::output_write(message.as_bytes());
            1
        }
    }
}

/// Decodes the next argument.
///
/// # Errors
/// A sentence that names the argument.
pub fn argument<T: Column>(input: &mut Input<'_>, name: &str) -> Result<T, String> {
    T::decode(input).map_err(|damaged| format!("the argument `{name}` cannot be read: {damaged}"))
}

/// Checks that no bytes follow the last argument.
///
/// # Errors
/// When some do.
pub fn no_more(input: &Input<'_>) -> Result<(), String> {
    input
        .clone()
        .finish()
        .map_err(|damaged| format!("the arguments cannot be read: {damaged}"))
}

/// Runs a `describe` export.
pub fn describe(description: &Description) {
    report_panics();
    let bytes = postcard::to_allocvec(description)
        .expect("a description holds nothing that postcard cannot write");
    imports::output_write(&bytes);
}

/// Leaves the message of every panic with the host, which otherwise sees only a trap.
fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    {
        static REPORTING: std::sync::Once = std::sync::Once::new();
        REPORTING.call_once(|| {
            std::panic::set_hook(Box::new(|panic| imports::panic(&panic.to_string())));
        });
    }
}

/// One entry per table.
#[must_use]
pub fn capabilities(bounds: &[(TableRef, Access)]) -> Vec<TableAccess> {
    let mut capabilities: Vec<TableAccess> = Vec::new();
    for (table, access) in bounds {
        match capabilities.iter_mut().find(|known| known.table == *table) {
            Some(known) => known.access = known.access.with(*access),
            None => capabilities.push(TableAccess {
                table: table.clone(),
                access: *access,
            }),
        }
    }
    capabilities
}
