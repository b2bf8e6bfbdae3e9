//! Schemas as a host sees them: put together from what a guest says of itself, compared with what
//! is installed, and held against what others rely on.
//!
//! Nothing that a guest says is believed: [`assemble`] either gives a schema on which everything
//! else can rely (names are names, types can be walked, keys are keys, capabilities name tables)
//! or says what is wrong. What a schema allows is enforced elsewhere, on every host call
//! (`hostcall`).

mod assemble;
mod binding;
mod check;
mod difference;
mod events;
mod projection;
mod shape;
mod view;

#[cfg(test)]
mod tests;

pub use assemble::assemble;
pub use binding::{check_binding, still_needed};
pub use difference::{Effect, Line, SchemaDifference, Sign, added_value, difference};
pub use view::{Asked, View};

pub(crate) use binding::timer_runs;
pub(crate) use difference::strict_difference;
