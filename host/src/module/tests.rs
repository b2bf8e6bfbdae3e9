//! Guests that do what they should, and guests that do not: see `crimes`.

mod crimes;
pub(crate) mod guests;
mod held;

use futures::executor::block_on;
use interstice_abi::{
    failure::{Code, Failure},
    host_call::{CallRequest, ScanRequest},
    id::{ModuleName, TableId},
    schema::Access,
    wire::{GrantTarget, Subject},
};
use std::ops::Bound;

use super::{
    CallKind, Effect, Module, OutsideReply, ReadRequest, Revocation, StepOutcome, StepRequest,
};
use crate::table::Change;
use guests::{FakeOutside, GuestText, module, request};

const ALL: Access = Access(15);
const NOTES: TableId = TableId(0);

/// Runs a reducer with nothing outside.
fn run(module: &mut Module, function: &str) -> StepOutcome {
    block_on(module.run(request(function), Box::new(FakeOutside::default())))
}

/// As if another module's step had called it.
fn called(module: &mut Module, function: &str) -> StepOutcome {
    let request = StepRequest {
        depth: 1,
        ..request(function)
    };
    block_on(module.run(request, Box::new(FakeOutside::default())))
}

fn count(module: &Module) -> u64 {
    module.tables().count(NOTES).unwrap()
}

fn code(outcome: &StepOutcome) -> Code {
    outcome.result.as_ref().unwrap_err().code
}

#[test]
fn a_step_changes_tables_and_what_another_has_called_can_be_undone() {
    let guest = GuestText::new("").reducer("add", ALL, "(drop (call $add)) (i32.const 0)");
    let mut module = module(&guest);
    for rows in 1..=3 {
        let outcome = run(&mut module, "add");
        assert_eq!(outcome.result, Ok(Vec::new()));
        assert_eq!(outcome.effects.len(), 1);
        assert_eq!(count(&module), rows);
    }
    let outcome = called(&mut module, "add");
    assert_eq!((outcome.effects.len(), count(&module)), (1, 4));
    module.tables_mut().rollback(outcome.savepoint);
    assert_eq!(count(&module), 3);
}

#[test]
fn an_error_that_the_reducer_returns_undoes_the_step() {
    let guest = GuestText::new("").reducer("add", ALL, "(call $fail (call $add))");
    let mut module = module(&guest);
    let outcome = run(&mut module, "add");
    assert_eq!(outcome.result, Err(Failure::new(Code::Rejected, "0")));
    assert!(!outcome.is_fault && !outcome.ends_step && outcome.effects.is_empty());
    assert_eq!(count(&module), 0);
}

#[test]
fn the_instance_is_kept_after_success_and_fresh_after_failure() {
    let body = "(global $runs (mut i64) (i64.const 0))";
    let bump = "(global.set $runs (i64.add (global.get $runs) (i64.const 1)))";
    let guest = GuestText::new(body)
        .reducer("bump", Access::default(), &format!("{bump} (i32.const 0)"))
        .reducer("stumble", Access::default(), "(i32.const 1)")
        .query(
            "runs",
            Access::default(),
            "(i64.store8 (i32.const 0) (global.get $runs)) (call $output_write (i32.const 0) (i32.const 1)) (i32.const 0)",
        );
    let mut module = module(&guest);
    let runs = |module: &mut Module, second| {
        let query = module.query(request("runs"), second, Box::new(FakeOutside::default()));
        block_on(query).result.unwrap()
    };
    run(&mut module, "bump");
    run(&mut module, "bump");
    assert_eq!(runs(&mut module, false), [2]);
    assert_eq!(runs(&mut module, true), [0]);
    run(&mut module, "stumble");
    assert_eq!(runs(&mut module, false), [0]);
    run(&mut module, "bump");
    module.renew();
    assert_eq!(runs(&mut module, false), [0]);
}

#[test]
fn a_large_table_is_cleared_in_pieces_with_one_change_per_row_in_key_order() {
    let clear =
        "(drop (call $table_clear (call $open) (i32.const 64) (i32.const 512))) (i32.const 0)";
    let mut module = module(&GuestText::new("").reducer("clear", ALL, clear));
    for _ in 0..5_000 {
        module
            .tables_mut()
            .insert(NOTES, &[0, 2, b'h', b'i'])
            .unwrap();
    }
    module.tables_mut().commit();
    let outcome = called(&mut module, "clear");
    assert_eq!((outcome.effects.len(), count(&module)), (5_000, 0));
    let keys: Vec<_> = outcome
        .effects
        .iter()
        .map(|effect| match effect {
            Effect::Change { change, .. } => change.key.clone(),
            Effect::Called { .. } => unreachable!("no reducer of another module was called"),
        })
        .collect();
    assert!(keys.is_sorted());
    module.tables_mut().rollback(outcome.savepoint);
    assert_eq!(count(&module), 5_000);
}

#[test]
fn what_a_signature_does_not_declare_is_denied_to_a_guest_that_skips_the_sdk() {
    let clear = "(call $fail (call $table_clear (call $open) (i32.const 64) (i32.const 512)))";
    let guest = GuestText::new("")
        .reducer("write", Access::READ, "(call $fail (call $add))")
        .reducer("clear", Access::READ.with(Access::INSERT), clear)
        .reducer(
            "read",
            Access::INSERT,
            "(call $fail (call $table_count (call $open) (i32.const 64) (i32.const 512)))",
        );
    let mut module = module(&guest);
    for writer in ["write", "clear"] {
        let outcome = run(&mut module, writer);
        assert_eq!(
            outcome.result,
            Err(Failure::new(Code::Rejected, "3")),
            "{writer}"
        );
    }
    let outcome = run(&mut module, "read");
    assert_eq!((code(&outcome), outcome.is_fault), (Code::Denied, true));
}

#[test]
fn a_revoked_grant_is_refused_while_the_module_runs() {
    let guest = GuestText::new("")
        .reducer("add", ALL, "(call $fail (call $add))")
        .reducer(
            "clock",
            ALL,
            "(call $fail (call $time_now (i32.const 64) (i32.const 512)))",
        );
    let mut module = module(&guest);
    let table = interstice_abi::event::TableRef {
        node: None,
        module: None,
        table: "notes".into(),
    };
    module.set_revoked(vec![
        Revocation {
            subject: Subject::Function("add".into()),
            target: GrantTarget::Table {
                table,
                access: Access::INSERT,
            },
        },
        Revocation {
            subject: Subject::Module,
            target: GrantTarget::Time,
        },
    ]);
    for function in ["add", "clock"] {
        assert_eq!(
            run(&mut module, function).result,
            Err(Failure::new(Code::Rejected, "4"))
        );
    }
    module.set_revoked(Vec::new());
    for function in ["add", "clock"] {
        assert_eq!(
            run(&mut module, function).result,
            Err(Failure::new(Code::Rejected, "0"))
        );
    }
}

/// A guest that adds a row, calls `other.poke`, and adds another row whatever came of it.
fn caller() -> GuestText {
    let call = CallRequest {
        node: None,
        module: "other".into(),
        function: "poke".into(),
        arguments: Vec::new(),
    };
    let bytes = postcard::to_allocvec(&call).unwrap();
    let data: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let body = format!(
        "(data (i32.const 256) \"{data}\")
         (func $poke (result i64) (call $call_reducer (i32.const 256) (i32.const {}) (i32.const 2048) (i32.const 1024)))",
        bytes.len()
    );
    GuestText::new(&body)
        .reducer(
            "poke",
            ALL,
            "(drop (call $add)) (drop (call $poke)) (drop (call $add)) (i32.const 0)",
        )
        .query("poke", Access::default(), "(call $fail (call $poke))")
}

fn effect_of_other() -> Effect {
    let change = Change {
        table: NOTES,
        key: [1].as_slice().into(),
        before: None,
        after: Some([9].into()),
    };
    Effect::Change {
        module: ModuleName::new("other").unwrap(),
        change,
    }
}

#[test]
fn what_a_callee_did_stands_where_its_call_returned() {
    let mut module = module(&caller());
    let outside = FakeOutside::replying(OutsideReply {
        result: Ok(Vec::new()),
        ends_step: false,
        effects: vec![effect_of_other()],
        running_us: 30,
        calls_made: 2,
        bytes_held: 0,
        ended: None,
    });
    let mut asked = request("poke");
    asked.running_us_used = 50;
    asked.call_ordinal = 4;
    let outcome = block_on(module.run(asked, Box::new(outside.clone())));
    assert_eq!(outcome.effects.len(), 3);
    assert_eq!(outcome.effects.get(1), Some(&effect_of_other()));
    assert_eq!(outcome.calls_made, 3);
    assert!(outcome.running_us >= 30);
    let told = outside.told();
    let (kind, call, context) = told.calls.first().unwrap();
    assert_eq!((*kind, call.function.as_str()), (CallKind::Reducer, "poke"));
    assert_eq!((context.depth, context.call_ordinal), (1, 5));
    assert!(context.running_us_used >= 50);
}

#[test]
fn a_callees_error_is_read_and_a_callees_deadline_ends_the_caller() {
    let mut module = module(&caller());
    let refused = OutsideReply::refused(Failure::new(Code::Rejected, "no"));
    let outcome = block_on(module.run(
        request("poke"),
        Box::new(FakeOutside::replying(refused.clone())),
    ));
    assert_eq!((outcome.effects.len(), outcome.calls_made), (2, 1));
    let ended = OutsideReply {
        result: Err(Failure::new(Code::Deadline, "too long")),
        ends_step: true,
        ..refused
    };
    let outcome = block_on(module.run(request("poke"), Box::new(FakeOutside::replying(ended))));
    assert_eq!((code(&outcome), outcome.ends_step), (Code::Deadline, true));
    assert_eq!(count(&module), 2);
}

#[test]
fn queries_call_no_reducers_and_chains_end_at_the_limit() {
    let mut module = module(&caller());
    let query = module.query(request("poke"), true, Box::new(FakeOutside::default()));
    assert_eq!(
        block_on(query).result,
        Err(Failure::new(Code::Rejected, "3"))
    );
    let outside = FakeOutside::default();
    let mut deep = request("poke");
    deep.depth = 16;
    assert!(
        block_on(module.run(deep, Box::new(outside.clone())))
            .result
            .is_ok()
    );
    assert!(outside.told().calls.is_empty());
}

#[test]
fn arguments_that_do_not_fit_are_refused_before_anything_runs() {
    let mut module = module(&caller());
    let mut asked = request("poke");
    asked.arguments = [1].into();
    let outcome = block_on(module.run(asked, Box::new(FakeOutside::default())));
    assert_eq!(
        (code(&outcome), outcome.is_fault),
        (Code::BadArguments, false)
    );
    assert_eq!(code(&run(&mut module, "poek")), Code::NotFound);
}

#[test]
fn other_modules_read_the_same_bytes_as_the_guest() {
    let guest = GuestText::new("").reducer("add", ALL, "(drop (call $add)) (i32.const 0)");
    let mut module = module(&guest);
    run(&mut module, "add");
    let read = |request| module.read(NOTES, &request).unwrap();
    assert_eq!(read(ReadRequest::Count), [1]);
    assert_eq!(
        read(ReadRequest::Get {
            index: 0,
            key: vec![1]
        }),
        [1, 1, 2, b'h', b'i']
    );
    assert_eq!(
        read(ReadRequest::Get {
            index: 0,
            key: vec![2]
        }),
        [0]
    );
    assert_eq!(
        read(ReadRequest::Edge { last: true }),
        [1, 1, 2, b'h', b'i']
    );
    let all = ScanRequest {
        index: 0,
        lower: Bound::Unbounded,
        upper: Bound::Unbounded,
        cursor: None,
    };
    let batch: interstice_abi::host_call::ScanBatch =
        postcard::from_bytes(&read(ReadRequest::Scan(all))).unwrap();
    assert_eq!(batch.rows, [vec![1, 2, b'h', b'i']]);
}

#[test]
fn timers_are_for_reducers_of_the_module_without_arguments() {
    let body = "(data (i32.const 300) \"later\") (data (i32.const 310) \"never\")";
    let schedule = |at: u32| {
        format!(
            "(call $fail (call $schedule (i32.const {at}) (i32.const 5) (i64.const 500) (i32.const 64) (i32.const 512)))"
        )
    };
    let guest = GuestText::new(body)
        .reducer("later", Access::default(), "(drop (call $schedule (i32.const 300) (i32.const 5) (i64.const 500) (i32.const 64) (i32.const 512))) (i32.const 0)")
        .reducer("lost", Access::default(), &schedule(310));
    let mut module = module(&guest);
    assert!(run(&mut module, "later").result.is_ok());
    assert_eq!(
        module
            .tables()
            .next_timers(1)
            .first()
            .copied()
            .map(|(due_ms, _)| due_ms),
        Some(1_500)
    );
    assert_eq!(
        run(&mut module, "lost").result,
        Err(Failure::new(Code::Rejected, "2"))
    );
}
