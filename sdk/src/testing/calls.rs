//! Other modules, as a test says they are.

use std::{fmt::Display, panic::AssertUnwindSafe, rc::Rc};

use interstice_abi::{
    codec::Column,
    failure::{Code, Failure},
    host_call::CallRequest,
};

use super::world;

/// Answers calls of a reducer of another module with `answer`, which takes the arguments as a
/// tuple: `|(id, name): (u64, String)| Ok::<(), String>(())`, `|()| …`. What a failing answer did
/// to tables is undone.
///
/// `module` is the module's name as in the binding, or `node.module` for one of another node.
pub fn answer_reducer<Arguments: Column, E: Display>(
    module: &str,
    reducer: &str,
    answer: impl Fn(Arguments) -> Result<(), E> + 'static,
) {
    register(false, module, reducer, answer);
}

/// Answers calls of a query of another module with `answer`. See [`answer_reducer`].
pub fn answer_query<Arguments: Column, T: Column, E: Display>(
    module: &str,
    query: &str,
    answer: impl Fn(Arguments) -> Result<T, E> + 'static,
) {
    register(true, module, query, answer);
}

fn register<Arguments: Column, T: Column, E: Display>(
    is_query: bool,
    module: &str,
    function: &str,
    answer: impl Fn(Arguments) -> Result<T, E> + 'static,
) {
    let name = format!("{module}.{function}");
    let called = name.clone();
    let answer = move |arguments: &[u8]| {
        let arguments = Arguments::from_bytes(arguments).map_err(|damaged| {
            Failure::new(
                Code::BadArguments,
                format!("the answer of `{called}` takes other arguments: {damaged}"),
            )
        })?;
        match answer(arguments) {
            Ok(value) => Ok(value.to_bytes()),
            Err(error) => Err(Failure::new(Code::Rejected, error.to_string())),
        }
    };
    world::with(|world| {
        world.answers.insert((is_query, name), Rc::new(answer));
    });
}

/// Runs a call that the module under test makes.
pub(super) fn call(is_query: bool, request: &[u8]) -> Result<Vec<u8>, Failure> {
    let request: CallRequest = postcard::from_bytes(request).map_err(Failure::internal)?;
    let mut name = format!("{}.{}", request.module, request.function);
    if let Some(node) = request.node {
        name = format!("{node}.{name}");
    }
    let (answer, before) = world::with(|world| {
        let answer = world.answers.get(&(is_query, name.clone())).cloned();
        (answer, world.save())
    });
    let Some(answer) = answer else {
        let how = if is_query {
            "answer_query"
        } else {
            "answer_reducer"
        };
        let message = format!("nothing answers `{name}`; give it an answer with `testing::{how}`");
        return Err(Failure::new(Code::Unavailable, message));
    };
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| answer(&request.arguments)))
        .unwrap_or_else(|panic| Err(Failure::new(Code::Trap, super::message(&*panic))));
    if result.is_err() {
        crate::host::count_reset();
        world::with(|world| world.restore(before));
    }
    result
}
