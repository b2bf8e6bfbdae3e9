//! Greets people, and keeps what it said.
//!
//! A table, a reducer that fills it, a query that shows it; and the events that run a reducer
//! without a call.

use interstice_sdk::*;

interstice_module!(visibility: Public);

/// What was said. `public`: other modules and clients may read it.
#[table(public)]
#[derive(Debug, PartialEq)]
pub struct Greetings {
    /// Chosen on insert when it is 0.
    #[primary_key(auto_inc)]
    pub id: u64,
    /// The whole sentence.
    pub greeting: String,
}

/// Greets somebody.
#[reducer]
pub fn hello<Caps>(ctx: ReducerContext<Caps>, name: String) -> Result<(), Error>
where
    Caps: CanInsert<Greetings>,
{
    ctx.current.tables.greetings().insert(Greetings {
        id: 0,
        greeting: format!("Hello, {name}!"),
    })?;
    Ok(())
}

/// Everything that was said, in order.
#[query]
pub fn list_greetings<Caps>(ctx: QueryContext<Caps>) -> Vec<Greetings>
where
    Caps: CanRead<Greetings>,
{
    ctx.current.tables.greetings().scan()
}

/// Runs once, when the module is installed on a node.
#[reducer(on = "init")]
pub fn init(ctx: ReducerContext) {
    ctx.log("installed");
}

/// Runs at every start.
#[reducer(on = "load")]
pub fn load(ctx: ReducerContext) {
    ctx.log("loaded");
}

/// Runs whenever a greeting was given, after the reducer that gave it.
#[reducer(on = "greetings.insert")]
pub fn on_greeting(ctx: ReducerContext, row: Greetings) {
    ctx.log(&format!("greeting {}: {}", row.id, row.greeting));
}

/// Runs by itself, and nobody else may run it.
#[reducer(every = "1m")]
pub fn count_greetings<Caps>(ctx: ReducerContext<Caps>)
where
    Caps: CanRead<Greetings>,
{
    let count = ctx.current.tables.greetings().count();
    ctx.log(&format!("{count} greetings so far"));
}

#[cfg(test)]
mod tests;
