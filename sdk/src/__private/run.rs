//! The bodies of a guest's exports: input in, one reducer or query run, output out.
//!
//! The macros emit a function per reducer and query that decodes its arguments and calls it;
//! everything around that is here, once.

use interstice_abi::{
    codec::{Damaged, Input},
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
    let outcome = host::with_input(
        input_length as usize,
        |input| match postcard::take_from_bytes::<Invocation>(input) {
            Ok((invocation, arguments)) => run(invocation, &mut Input::new(arguments)),
            Err(error) => Err(format!("the invocation cannot be read: {error}")),
        },
    );
    // The function may have changed tables that an iterator of an earlier step still looks at.
    host::count_reset();
    match outcome {
        Ok(output) => {
            // Nothing is what there is without a word.
            if !output.is_empty() {
                imports::output_write(&output);
            }
            0
        }
        Err(message) => {
            imports::output_write(message.as_bytes());
            1
        }
    }
}

/// The decoded argument.
///
/// # Errors
/// A sentence that names the argument.
pub fn argument<T>(name: &str, decoded: Result<T, Damaged>) -> Result<T, String> {
    decoded.map_err(|damaged| format!("the argument `{name}` cannot be read: {damaged}"))
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

#[cfg(test)]
mod tests {
    use interstice_abi::codec::Column;

    use super::*;
    use crate::testing::imports::run_export;

    fn input(name: &str) -> Vec<u8> {
        let invocation = Invocation {
            caller_node_id: "far".to_string(),
            ..Invocation::default()
        };
        let mut input = postcard::to_allocvec(&invocation).expect("it is plain");
        name.to_string().encode(&mut input);
        input
    }

    fn greet(context: ReducerContext<AllCaps>, input: &mut Input<'_>) -> Result<(), String> {
        let name = argument("name", String::decode(input))?;
        no_more(input)?;
        Err(format!("{name} from {}", context.caller_node_id))
    }

    fn length(_: QueryContext<AllCaps>, input: &mut Input<'_>) -> Result<Vec<u8>, String> {
        let name = argument("name", String::decode(input))?;
        Ok(name.len().to_string().to_bytes())
    }

    #[test]
    fn an_export_hands_over_the_result_or_the_message() {
        assert_eq!(
            run_export(&input("Ada"), |length| reducer(length, greet)),
            (1, b"Ada from far".to_vec())
        );
        assert_eq!(
            run_export(&input("Ada"), |input| query(input, length)),
            (0, "3".to_string().to_bytes())
        );
    }

    #[test]
    fn bytes_that_are_no_arguments_are_an_error() {
        let mut long = input("Ada");
        long.push(0);
        let damaged = [Vec::new(), vec![0xff; 9], long, input("Ada")[..5].to_vec()];
        for bytes in damaged {
            let (status, message) = run_export(&bytes, |length| reducer(length, greet));
            let message = String::from_utf8_lossy(&message).into_owned();
            assert!(
                status == 1 && message.contains("cannot be read"),
                "{message}"
            );
        }
    }

    #[test]
    fn bounds_on_one_table_become_one_capability() {
        let table = |name: &str| TableRef {
            node: None,
            module: None,
            table: name.to_string(),
        };
        let bounds = [
            (table("a"), Access::READ),
            (table("b"), Access::INSERT),
            (table("a"), Access::DELETE),
            (table("a"), Access::READ),
        ];
        let capabilities = capabilities(&bounds);
        let accesses: Vec<_> = capabilities.iter().map(|known| known.access).collect();
        assert_eq!(
            accesses,
            [Access::READ.with(Access::DELETE), Access::INSERT]
        );
    }
}
