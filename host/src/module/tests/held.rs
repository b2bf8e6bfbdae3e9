//! What a step holds: rows before and after its changes, in all modules that it calls, up to one
//! limit.

use futures::executor::block_on;
use interstice_abi::{
    failure::{Code, Failure},
    schema::Access,
};

use super::{
    ALL, NOTES, called, caller, count, effect_of_other,
    guests::{FakeOutside, GuestText, limits, module, module_within, request},
    run,
};
use crate::{
    limits::{Limits, StepBytes},
    module::{Module, OutsideReply},
};

/// Rows that together are larger than what a step may hold.
const ROWS: u64 = 100;
const ROW_BYTES: u64 = 1000;

/// Refused host calls in these bodies end the step with success, so that their effects are those
/// of the accepted ones.
fn guest() -> GuestText {
    let each = |what: &str| {
        format!(
            "(local $key i32) (local.set $key (i32.const 1))
             (loop
               (i32.store8 (i32.const 600) (local.get $key))
               (local.set $reply (call ${what} (i32.const 2048) (i32.const 1024)))
               (if (i64.lt_u (local.get $reply) (i64.const 0x100000000)) (then
                 (local.set $key (i32.add (local.get $key) (i32.const 1)))
                 (br_if 1 (i32.le_u (local.get $key) (i32.const {ROWS}))))))
             (i32.const 0)"
        )
    };
    let clear = "(call $fail (call $table_clear (call $open) (i32.const 64) (i32.const 512)))";
    let short = "(i32.store8 (i32.const 601) (i32.const 0))";
    GuestText::new("")
        .reducer("clear", ALL, clear)
        .reducer(
            "delete",
            ALL,
            &each("table_delete (call $open) (i32.const 600) (i32.const 1)"),
        )
        .reducer(
            "shorten",
            ALL,
            &format!(
                "{} ",
                each("table_update (call $open) (i32.const 600) (i32.const 2)")
            )
            .replacen("(loop", &format!("{short} (loop"), 1),
        )
}

fn filled(limits: Limits) -> Module {
    let mut module = module_within(&guest(), limits);
    let text = vec![b'x'; usize::try_from(ROW_BYTES).unwrap()];
    for _ in 0..ROWS {
        let row = [&[0, 0xe8, 0x07], text.as_slice()].concat();
        module.tables_mut().insert(NOTES, &row).unwrap();
    }
    module.tables_mut().commit();
    module
}

#[test]
fn rows_that_a_step_deletes_or_replaces_count_and_one_too_many_is_refused_and_stays() {
    for crime in ["delete", "shorten"] {
        let mut module = filled(limits());
        let outcome = called(&mut module, crime);
        assert_eq!(outcome.result, Ok(Vec::new()), "{crime}");
        let changed = outcome.effects.len() as u64;
        let most = limits().step_bytes_max / ROW_BYTES;
        assert!(changed > most / 2 && changed <= most, "{crime}: {changed}");
        let left = if crime == "delete" {
            ROWS - changed
        } else {
            ROWS
        };
        assert_eq!(count(&module), left);
        assert!(outcome.bytes_held <= limits().step_bytes_max);
        module.tables_mut().rollback(outcome.savepoint);
        assert_eq!(module.tables().row_bytes(NOTES), Ok(ROWS * (ROW_BYTES + 3)));
    }
}

#[test]
fn a_table_that_is_larger_than_what_a_step_may_hold_is_not_cleared_and_stays_whole() {
    let mut module = filled(limits());
    let outcome = run(&mut module, "clear");
    let refused = outcome.result.unwrap_err();
    assert_eq!(refused.message, status(Code::TooLarge));
    assert_eq!(count(&module), ROWS);
    let mut module = filled(Limits {
        step_bytes_max: ROWS * (ROW_BYTES + 3),
        ..limits()
    });
    let outcome = called(&mut module, "clear");
    assert_eq!(outcome.result.unwrap_err().message, status_of_none());
}

#[test]
fn the_log_of_an_older_node_is_replayed_as_that_node_counted() {
    let mut module = filled(Limits {
        step_bytes: StepBytes::Written,
        ..limits()
    });
    assert_eq!(called(&mut module, "shorten").effects.len() as u64, ROWS);
    let outcome = run(&mut module, "clear");
    assert_eq!(outcome.result.unwrap_err().message, status_of_none());
}

#[test]
fn what_callees_hold_counts_for_their_caller_and_what_is_undone_does_not() {
    let reply = |bytes_held| OutsideReply {
        result: Ok(Vec::new()),
        ends_step: false,
        effects: vec![effect_of_other()],
        running_us: 0,
        calls_made: 0,
        bytes_held,
        ended: None,
    };
    // Two inserts of its own, and the callee's change between them.
    let held = |reply: OutsideReply| {
        let mut module = module(&caller());
        let outside = FakeOutside::replying(reply);
        let mut asked = request("poke");
        asked.bytes_held = 100;
        let outcome = block_on(module.run(asked, Box::new(outside.clone())));
        let begun_with = outside.told().calls.first().unwrap().2.bytes_held;
        (begun_with, outcome.effects.len(), outcome.bytes_held)
    };
    let (begun_with, effects, total) = held(reply(500));
    assert_eq!((begun_with, effects, total), (104, 3, 504));
    let (_, effects, total) = held(reply(limits().step_bytes_max));
    assert_eq!((effects, total), (2, limits().step_bytes_max));
    // One call may take the step beyond the limit; then neither writes nor calls go on.
    let (_, effects, total) = held(reply(limits().step_bytes_max + 1));
    assert_eq!((effects, total), (2, limits().step_bytes_max + 1));
    let mut asked = request("poke");
    asked.bytes_held = limits().step_bytes_max + 1;
    let outside = FakeOutside::replying(reply(0));
    block_on(module(&caller()).run(asked, Box::new(outside.clone())));
    assert_eq!(outside.told().calls.len(), 0);
    let failed = OutsideReply {
        effects: Vec::new(),
        result: Err(Failure::new(Code::Rejected, "no")),
        ..reply(0)
    };
    let (_, effects, total) = held(failed);
    assert_eq!((effects, total), (2, 108));
}

#[test]
fn a_reducer_that_may_not_delete_learns_nothing_of_a_tables_size() {
    let clear = "(call $fail (call $table_clear (call $open) (i32.const 64) (i32.const 512)))";
    let guest = GuestText::new("").reducer("clear", Access::READ, clear);
    let outcome = run(&mut module(&guest), "clear");
    assert_eq!(outcome.result.unwrap_err().message, status(Code::Denied));
}

/// What `$fail` says of a host call that was refused.
fn status(code: Code) -> String {
    char::from(b'0' + code as u8).to_string()
}

/// What it says of one that was not.
fn status_of_none() -> String {
    "0".to_string()
}
