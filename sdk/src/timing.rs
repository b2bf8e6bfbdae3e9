//! Timers at a time, timers that repeat, and timers with arguments: import [`Timing`] for these
//! methods of the context.
//!
//! A reducer that is to run with a fixed period for as long as its module is loaded needs none of
//! this: write `#[reducer(every = "10s")]`. It runs first one period after the module's first
//! load, then in whole periods from there, also over restarts and upgrades that keep the period.
//! A run that is missed because the node was down or the module busy is made up for once; further
//! ones are skipped.
//!
//! ```
//! use interstice_sdk::{timing::Timing, *};
//!
//! /// Makes a backup at the full hour, and reminds somebody in ten minutes.
//! #[reducer]
//! pub fn plan(ctx: ReducerContext, name: String) -> Result<(), Error> {
//!     const HOUR_MS: u64 = 3_600_000;
//!     let full_hour = (ctx.time_now_ms()? / HOUR_MS + 1) * HOUR_MS;
//!     ctx.schedule_at("back_up", full_hour)?;
//!     ctx.schedule_with("remind", 600_000, (name, 3_u8))?;
//!     Ok(())
//! }
//!
//! #[reducer(private)]
//! pub fn back_up(ctx: ReducerContext) {
//!     ctx.log("backed up");
//! }
//!
//! #[reducer(private)]
//! pub fn remind(ctx: ReducerContext, name: String, times: u8) {
//!     ctx.log(&format!("{name}, {times} times"));
//! }
//!
//! # fn main() {
//! plan(testing::plain_reducer_context(), "Ada".to_string()).expect("both can be set");
//! assert_eq!(testing::advance_ms(600_000)[0].reducer, "remind");
//! # }
//! ```
//!
//! A timer that repeats goes on whatever its runs return: its next time is no part of the step. A
//! run that fails is a warning in the module's log and is counted; `interstice-cli modules` shows
//! the count. A chain that sets its own next timer with [`ReducerContext::schedule`] ends with
//! the first run that fails, because the step is undone with all that it did. It is also late by
//! the time that each run takes, where a timer that repeats does not drift.
//!
//! Reducers that timers run should be `#[reducer(private)]`: every call of a stranger would be
//! one more run.

use interstice_abi::{
    codec::Column,
    host_call::{TimerDue, TimerRequest},
    id::TimerId,
};

use crate::{
    Error, ReducerContext,
    host::{self, imports},
};

/// Sets timers for reducers of the same module, private ones too. [`ReducerContext::cancel`] ends
/// them.
///
/// Arguments are a tuple in the order of the reducer's signature; a single one is `(value,)`.
/// They are checked when the timer is set. Times are in milliseconds; a time that has passed is
/// due at once.
///
/// # Errors
/// Each method: when the module has no such reducer, or it takes other arguments.
pub trait Timing {
    /// Runs `reducer` once at `at_ms`, in milliseconds since 1970.
    ///
    /// # Errors
    /// See [`Timing`].
    fn schedule_at(&self, reducer: &str, at_ms: u64) -> Result<TimerId, Error>;

    /// Runs `reducer` every `period_ms`, the first time one period after the turn's timestamp.
    ///
    /// # Errors
    /// See [`Timing`]; also when the period is 0 or longer than 100 years.
    fn schedule_every(&self, reducer: &str, period_ms: u64) -> Result<TimerId, Error>;

    /// Runs `reducer` with `arguments` once, `delay_ms` after the turn's timestamp.
    ///
    /// # Errors
    /// See [`Timing`].
    fn schedule_with(
        &self,
        reducer: &str,
        delay_ms: u64,
        arguments: impl Column,
    ) -> Result<TimerId, Error>;

    /// As [`Timing::schedule_at`], with `arguments`.
    ///
    /// # Errors
    /// See [`Timing`].
    fn schedule_at_with(
        &self,
        reducer: &str,
        at_ms: u64,
        arguments: impl Column,
    ) -> Result<TimerId, Error>;

    /// As [`Timing::schedule_every`], with `arguments`.
    ///
    /// # Errors
    /// As [`Timing::schedule_every`].
    fn schedule_every_with(
        &self,
        reducer: &str,
        period_ms: u64,
        arguments: impl Column,
    ) -> Result<TimerId, Error>;
}

impl<Caps> Timing for ReducerContext<Caps> {
    fn schedule_at(&self, reducer: &str, at_ms: u64) -> Result<TimerId, Error> {
        set(reducer, TimerDue::At(at_ms), None, Vec::new())
    }

    fn schedule_every(&self, reducer: &str, period_ms: u64) -> Result<TimerId, Error> {
        set(
            reducer,
            TimerDue::After(period_ms),
            Some(period_ms),
            Vec::new(),
        )
    }

    fn schedule_with(
        &self,
        reducer: &str,
        delay_ms: u64,
        arguments: impl Column,
    ) -> Result<TimerId, Error> {
        set(
            reducer,
            TimerDue::After(delay_ms),
            None,
            arguments.to_bytes(),
        )
    }

    fn schedule_at_with(
        &self,
        reducer: &str,
        at_ms: u64,
        arguments: impl Column,
    ) -> Result<TimerId, Error> {
        set(reducer, TimerDue::At(at_ms), None, arguments.to_bytes())
    }

    fn schedule_every_with(
        &self,
        reducer: &str,
        period_ms: u64,
        arguments: impl Column,
    ) -> Result<TimerId, Error> {
        let due = TimerDue::After(period_ms);
        set(reducer, due, Some(period_ms), arguments.to_bytes())
    }
}

fn set(
    reducer: &str,
    due: TimerDue,
    period_ms: Option<u64>,
    arguments: Vec<u8>,
) -> Result<TimerId, Error> {
    let request = TimerRequest {
        reducer: reducer.to_string(),
        due,
        period_ms,
        arguments,
    };
    let request = postcard::to_allocvec(&request).map_err(Error::internal)?;
    host::ask(
        |out| imports::timer_set(&request, out),
        |answer| host::value(answer).map(TimerId),
    )
}
