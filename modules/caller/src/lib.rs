//! Calls the module hello-example, and notes what that says.
//!
//! `src/bindings/hello-example.toml` is the other module's public schema. From it comes
//! `ctx.hello_example()`, with the other module's reducers, queries and public tables as typed
//! methods.

use interstice_sdk::*;

interstice_module!(visibility: Public);

use crate::bindings::hello_example::{Greetings, HasGreetingsHandle, HasHelloExampleModuleHandle};

/// A greeting that hello-example gave, and when it was noticed here.
#[table(public)]
#[derive(Debug, PartialEq)]
pub struct Noted {
    /// Chosen on insert when it is 0.
    #[primary_key(auto_inc)]
    pub id: u64,
    /// The sentence.
    pub greeting: String,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// Has hello-example greet somebody. The call is part of this step: if it fails, so does `greet`.
#[reducer]
pub fn greet(ctx: ReducerContext, name: String) -> Result<(), Error> {
    ctx.hello_example().reducers.hello(name)
}

/// Runs whenever hello-example has stored a greeting, whoever asked for it.
#[reducer(on = "hello-example.greetings.insert")]
pub fn on_greeting<Caps>(ctx: ReducerContext<Caps>, row: Greetings) -> Result<(), Error>
where
    Caps: CanInsert<Noted>,
{
    ctx.current.tables.noted().insert(Noted {
        id: 0,
        greeting: row.greeting,
        at_ms: ctx.time_now_ms()?,
    })?;
    Ok(())
}

/// Runs whenever the reducer `hello` of hello-example was called and has committed.
#[reducer(on = "hello-example.hello.call")]
pub fn on_hello(ctx: ReducerContext, name: String) {
    ctx.log(&format!("{name} was greeted"));
}

/// What was noted here.
#[query]
pub fn noted<Caps>(ctx: QueryContext<Caps>) -> Vec<Noted>
where
    Caps: CanRead<Noted>,
{
    ctx.current.tables.noted().scan()
}

/// What hello-example answers to its own query.
#[query]
pub fn heard(ctx: QueryContext) -> Result<Vec<String>, Error> {
    let greetings = ctx.hello_example().queries.list_greetings()?;
    Ok(greetings.into_iter().map(|row| row.greeting).collect())
}

/// The last greeting in the public table of hello-example, read without asking a query.
#[query]
pub fn latest<Caps>(ctx: QueryContext<Caps>) -> Option<String>
where
    Caps: CanRead<Greetings>,
{
    let last = ctx.hello_example().tables.greetings().last();
    last.map(|row| row.greeting)
}

#[cfg(test)]
mod tests;
