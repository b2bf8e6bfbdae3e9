//! Guests that misbehave: each ends in an error for its caller, and the module works on.

use futures::{FutureExt, executor::block_on, future::BoxFuture};
use interstice_abi::{
    failure::{Code, Failure},
    host_call::{self, CallRequest, Word},
    id::{ModuleName, Seq},
    schema::Access,
};

use super::{
    ALL, caller, code, count,
    guests::{FakeOutside, GuestText, limits, module, module_within, request},
    run,
};
use crate::limits::Limits;
use crate::module::{CallContext, CallKind, ForeignRead, Module, Outside, OutsideReply};

const GOOD: &str = "(drop (call $add)) (i32.const 0)";

/// A deadline that a crime meets soon, and an honest step not at all.
fn soon() -> Limits {
    Limits {
        deadline_ms: 100,
        ..limits()
    }
}

fn still_works(module: &mut Module, before: u64) {
    assert!(run(module, "add").result.is_ok());
    assert_eq!(count(module), before + 1);
}

#[test]
fn a_loop_without_end_meets_its_deadline_and_lets_others_run_meanwhile() {
    let guest = GuestText::new("")
        .reducer(
            "endless",
            ALL,
            "(drop (call $add)) (loop (br 0)) (i32.const 0)",
        )
        .reducer(
            "flood",
            ALL,
            "(loop (drop (call $time_now (i32.const 64) (i32.const 8))) (br 0)) (i32.const 0)",
        );
    let mut module = module_within(&guest, soon());
    for crime in ["endless", "flood"] {
        let mut turns_of_neighbour = 0;
        let neighbour = futures::future::poll_fn(|context| {
            turns_of_neighbour += 1;
            context.waker().wake_by_ref();
            std::task::Poll::<()>::Pending
        });
        let step = module.run(request(crime), Box::new(FakeOutside::default()));
        let outcome = block_on(
            futures::future::select(Box::pin(step), neighbour).map(|ended| match ended {
                futures::future::Either::Left((outcome, _)) => outcome,
                futures::future::Either::Right(_) => unreachable!("the neighbour never ends"),
            }),
        );
        assert_eq!(code(&outcome), Code::Deadline, "{crime}");
        assert!(outcome.ends_step && outcome.is_fault);
        assert!(outcome.running_us >= 100_000);
        assert!(turns_of_neighbour > 1, "{turns_of_neighbour}");
        assert_eq!(count(&module), 0);
    }
}

#[test]
fn time_that_callers_have_used_counts() {
    let spin = "(local $i i32) (loop (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if 0 (i32.lt_u (local.get $i) (i32.const 2000000000)))) (i32.const 0)";
    let mut module = module_within(&GuestText::new("").reducer("spin", ALL, spin), soon());
    let mut late = request("spin");
    late.running_us_used = 100_000;
    let outcome = block_on(module.run(late, Box::new(FakeOutside::default())));
    assert_eq!(code(&outcome), Code::Deadline);
}

#[test]
fn recursion_without_end_is_a_stack_overflow() {
    let body = "(func $deep (param i64) (result i64) (i64.add (call $deep (i64.add (local.get 0) (i64.const 1))) (local.get 0)))";
    let guest = GuestText::new(body)
        .reducer(
            "deep",
            ALL,
            "(drop (call $add)) (drop (call $deep (i64.const 1))) (i32.const 0)",
        )
        .reducer("add", ALL, GOOD);
    let mut module = module(&guest);
    let outcome = run(&mut module, "deep");
    assert_eq!(
        (code(&outcome), outcome.ends_step),
        (Code::StackOverflow, true)
    );
    still_works(&mut module, 0);
}

#[test]
fn a_stack_in_linear_memory_that_overflows_is_a_stack_overflow_too() {
    let body = "(global $sp (mut i32) (i32.const 65536))
        (func $deep (global.set $sp (i32.sub (global.get $sp) (i32.const 64))) (i64.store (global.get $sp) (i64.const 1)) (call $deep))";
    let mut module =
        module(&GuestText::new(body).reducer("deep", ALL, "(call $deep) (i32.const 0)"));
    assert_eq!(code(&run(&mut module, "deep")), Code::StackOverflow);
}

#[test]
fn memory_beyond_the_limit_is_out_of_memory_and_not_a_trap() {
    let guest = GuestText::new("")
        .reducer(
            "bomb",
            ALL,
            "(loop (drop (memory.grow (i32.const 16))) (br 0)) (i32.const 0)",
        )
        .reducer("add", ALL, GOOD);
    let mut module = module(&guest);
    let outcome = run(&mut module, "bomb");
    assert_eq!(
        (code(&outcome), outcome.ends_step),
        (Code::OutOfMemory, true)
    );
    still_works(&mut module, 0);
}

#[test]
fn forged_pointers_and_lengths_are_faults_at_every_host_call() {
    let mut guest = GuestText::new("").reducer("add", ALL, GOOD);
    let mut crimes = Vec::new();
    for call in host_call::ALL
        .iter()
        .filter(|call| call.parameters.contains(&Word::I32))
    {
        for (kind, forged) in [("far", "-16"), ("long", "2147483647")] {
            let arguments: String = call
                .parameters
                .iter()
                .map(|word| match word {
                    Word::I32 => format!("(i32.const {forged}) "),
                    Word::I64 => "(i64.const 1) ".into(),
                })
                .collect();
            let drop = if call.result.is_some() { "drop " } else { "" };
            let name = format!("{}_{kind}", call.name);
            let body = format!(
                "(drop (call $add)) {}(call ${} {arguments}){} (i32.const 0)",
                if drop.is_empty() { "" } else { "(drop " },
                call.name,
                if drop.is_empty() { "" } else { ")" },
            );
            guest = guest.reducer(&name, ALL, &body);
            crimes.push(name);
        }
    }
    let mut module = module(&guest);
    for crime in crimes {
        let outcome = run(&mut module, &crime);
        assert_eq!(code(&outcome), Code::Trap, "{crime}: {:?}", outcome.result);
        assert!(outcome.is_fault && !outcome.ends_step, "{crime}");
        assert_eq!(count(&module), 0, "{crime}");
    }
    still_works(&mut module, 0);
}

#[test]
fn handles_and_timers_that_nobody_gave_out_are_refusals() {
    let refused =
        |call: &str| format!("(call $fail (call ${call} (i32.const 64) (i32.const 512)))");
    let guest = GuestText::new("")
        .reducer("table", ALL, &refused("table_clear (i32.const 77)"))
        .reducer(
            "index",
            ALL,
            &refused("table_get (call $open) (i32.const 70000) (i32.const 0) (i32.const 1)"),
        )
        .reducer("timer", ALL, &refused("cancel (i64.const 5)"));
    let mut module = module(&guest);
    for crime in ["table", "index", "timer"] {
        assert_eq!(
            run(&mut module, crime).result,
            Err(Failure::new(Code::Rejected, "2")),
            "{crime}"
        );
    }
}

#[test]
fn a_panic_is_a_trap_with_its_message_and_a_backtrace_in_the_log() {
    let body = "(data (i32.const 300) \"panicked at src/lib.rs:1:2:\\0aboom\")
        (func $inner (call $panic (i32.const 300) (i32.const 32)) unreachable)";
    let guest = GuestText::new(body)
        .reducer("crash", ALL, "(drop (call $add)) (call $inner) (i32.const 0)")
        .reducer("divide", ALL, "(i32.div_u (i32.const 1) (local.get $input)) (i32.sub (i32.const 1)) (drop) (i32.div_u (i32.const 1) (i32.const 0))")
        .reducer("add", ALL, GOOD);
    let mut module = module(&guest);
    let outside = FakeOutside::default();
    let outcome = block_on(module.run(request("crash"), Box::new(outside.clone())));
    let failure = outcome.result.unwrap_err();
    assert_eq!(failure.code, Code::Trap);
    assert!(
        failure.message.contains("src/lib.rs:1:2: boom"),
        "{failure}"
    );
    let log = outside.told().log.join("\n");
    assert!(log.contains("boom") && log.contains("in inner"), "{log}");
    let failure = run(&mut module, "divide").result.unwrap_err();
    assert!(failure.message.contains("divide by zero"), "{failure}");
    still_works(&mut module, 0);
}

#[test]
fn what_one_step_writes_and_logs_is_bounded() {
    let guest = GuestText::new("")
        .reducer(
            "hoard",
            ALL,
            "(loop (local.set $reply (call $add)) (br_if 0 (i64.lt_u (local.get $reply) (i64.const 4294967296)))) (call $fail (local.get $reply))",
        )
        .reducer(
            "chatter",
            ALL,
            "(local $i i32) (loop (call $log (i32.const 16) (i32.const 5)) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if 0 (i32.lt_u (local.get $i) (i32.const 5000)))) (i32.const 0)",
        );
    let mut module = module(&guest);
    assert_eq!(
        run(&mut module, "hoard").result,
        Err(Failure::new(Code::Rejected, "9"))
    );
    assert_eq!(count(&module), 0);
    let outside = FakeOutside::default();
    assert!(
        block_on(module.run(request("chatter"), Box::new(outside.clone())))
            .result
            .is_ok()
    );
    assert_eq!(outside.told().log.len(), 1001);
}

#[test]
fn results_that_are_not_of_their_type_and_unknown_statuses_are_crashes() {
    let guest = GuestText::new("")
        .query(
            "lie",
            Access::default(),
            "(call $output_write (i32.const 16) (i32.const 5)) (i32.const 0)",
        )
        .reducer("status", Access::default(), "(i32.const 9)");
    let mut module = module(&guest);
    let query = module.query(request("lie"), true, Box::new(FakeOutside::default()));
    let outcome = block_on(query);
    assert_eq!((code(&outcome), outcome.is_fault), (Code::Trap, true));
    assert_eq!(code(&run(&mut module, "status")), Code::Trap);
}

/// Panics wherever it is asked.
struct PanickingOutside;

impl Outside for PanickingOutside {
    fn call(&mut self, _: CallKind, _: CallRequest, _: CallContext) -> BoxFuture<'_, OutsideReply> {
        async { std::panic::resume_unwind(Box::new("a bug of the host")) }.boxed()
    }

    fn read(&mut self, _: ForeignRead) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        async { std::panic::resume_unwind(Box::new("a bug of the host")) }.boxed()
    }

    fn log(&mut self, _: &ModuleName, _: Seq, _: &str) {}
}

#[test]
fn a_panic_of_the_host_inside_a_step_does_not_lose_the_tables() {
    let mut module = module(&caller().reducer("add", ALL, GOOD));
    still_works(&mut module, 0);
    let outcome = block_on(module.run(request("poke"), Box::new(PanickingOutside)));
    assert_eq!((code(&outcome), outcome.is_fault), (Code::Internal, true));
    assert_eq!(count(&module), 1);
    still_works(&mut module, 1);
}

/// Panics when it is told something.
struct PanickingLog;

impl Outside for PanickingLog {
    fn call(&mut self, _: CallKind, _: CallRequest, _: CallContext) -> BoxFuture<'_, OutsideReply> {
        async { OutsideReply::refused(Failure::internal("nobody is there")) }.boxed()
    }

    fn read(&mut self, _: ForeignRead) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        async { Err(Failure::internal("nobody is there")) }.boxed()
    }

    fn log(&mut self, _: &ModuleName, _: Seq, _: &str) {
        std::panic::resume_unwind(Box::new("a bug of the host"))
    }
}

#[test]
fn a_panic_of_the_host_in_a_host_call_or_behind_a_step_is_a_fault_of_that_step() {
    let says = "(drop (call $add)) (call $log (i32.const 16) (i32.const 5)) (i32.const 0)";
    let guest = GuestText::new("")
        .reducer("says", ALL, says)
        // What it crashes with is logged when it has ended.
        .reducer("crashes", ALL, "(drop (call $add)) unreachable")
        .reducer("add", ALL, GOOD);
    let mut module = module(&guest);
    still_works(&mut module, 0);
    for (crime, before) in [("says", 1), ("crashes", 2)] {
        let outcome = block_on(module.run(request(crime), Box::new(PanickingLog)));
        assert_eq!(
            (code(&outcome), outcome.is_fault, outcome.ends_step),
            (Code::Internal, true, true),
            "{crime}"
        );
        assert_eq!(count(&module), before, "{crime}");
        still_works(&mut module, before);
    }
}

/// Words that are no pointer, no length, no handle and no index, or just not this one.
const FORGED: [i64; 6] = [-1, -16, i64::MIN, 0x7fff_ffff, 65_535, 77];

/// One function per host call, parameter and forged word; all other parameters are as honest as
/// can be.
fn forgeries() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for call in host_call::ALL {
        for place in 0..call.parameters.len() {
            for (number, forged) in FORGED.into_iter().enumerate() {
                let words = call.parameters.iter().enumerate().map(|(at, word)| {
                    let value = if at == place { forged } else { 0 };
                    match word {
                        #[expect(clippy::cast_possible_truncation, reason = "any word will do")]
                        Word::I32 => format!("(i32.const {}) ", value as i32),
                        Word::I64 => format!("(i64.const {value}) "),
                    }
                });
                let words: String = words.collect();
                let called = format!("(call ${} {words})", call.name);
                let called = match call.result {
                    Some(_) => format!("(drop {called})"),
                    None => called,
                };
                all.push((format!("{}_{place}_{number}", call.name), called));
            }
        }
    }
    all
}

#[test]
fn each_word_of_each_host_call_can_be_forged_by_reducers_and_queries_and_nothing_comes_of_it() {
    let forgeries = forgeries();
    let mut guest = GuestText::new("").reducer("add", ALL, GOOD);
    for (name, called) in &forgeries {
        let reducer = format!("(drop (call $open)) {called} (call $fail (call $add))");
        guest = guest.reducer(name, ALL, &reducer).query(
            &format!("ask_{name}"),
            Access::READ,
            &format!("(drop (call $open)) {called} (i32.const 0)"),
        );
    }
    let mut module = module(&guest);
    still_works(&mut module, 0);
    for (name, _) in &forgeries {
        let outcome = run(&mut module, name);
        // A fault, or a refusal with which the guest goes on until it returns its error.
        let code = code(&outcome);
        assert!(
            matches!(code, Code::Trap | Code::TooLarge | Code::Rejected),
            "{name}: {:?}",
            outcome.result
        );
        assert_eq!(count(&module), 1, "{name}");
        let asked = module.query(
            request(&format!("ask_{name}")),
            true,
            Box::new(FakeOutside::default()),
        );
        let asked = block_on(asked);
        if let Err(failure) = &asked.result {
            assert!(
                matches!(failure.code, Code::Trap | Code::TooLarge),
                "{name}: {failure}"
            );
        }
        assert!(asked.effects.is_empty(), "{name}");
        assert_eq!(count(&module), 1, "{name}");
    }
    still_works(&mut module, 1);
}
