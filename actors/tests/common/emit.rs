//! From a [`GuestModule`] to the text of a WebAssembly module: the guest's side of the ABI,
//! written out by hand.
//!
//! Memory: constants from 0, then one buffer each for the input, a row or arguments, a request,
//! and answers. Answers that do not fit [`CAP`] are fetched with `reply_read`, so both ways are
//! used.

use std::fmt::Write as _;

use interstice_abi::{
    host_call::{self, DESCRIBE_PREFIX, QUERY_PREFIX, REDUCER_PREFIX, Word},
    id::NAME_LENGTH_MAX,
};

use super::{
    guest::{GuestFunction, GuestModule},
    op::{Compare, Op, REGISTERS, Value},
};

const INPUT: u32 = 0x4_0000;
const ROW: u32 = 0x6_0000;
const REQUEST: u32 = 0x8_0000;
const ANSWER: u32 = 0xA_0000;
const CAP: u32 = 24;
const PAGES: u32 = 32;

/// Functions that every guest has. `$w` writes, `$in` reads; both are places in memory. Names with
/// `@` are filled in.
const LIBRARY: &str = r#"
  (global $in (mut i32) (i32.const 0))
  (global $w (mut i32) (i32.const 0))
  (global $h (mut i32) (i32.const 0))
  (global $status (mut i32) (i32.const 0))
  (global $memory_used (mut i64) (i64.const 0))
  (global $owner (mut i64) (i64.const 0))
  (global $noise (mut i64) (i64.const 88172645463325252))
  (func $put (param $v i64)
    (loop $more
      (if (i64.ge_u (local.get $v) (i64.const 128))
        (then
          (i32.store8 (global.get $w) (i32.or (i32.wrap_i64 (local.get $v)) (i32.const 128)))
          (global.set $w (i32.add (global.get $w) (i32.const 1)))
          (local.set $v (i64.shr_u (local.get $v) (i64.const 7)))
          (br $more))))
    (i32.store8 (global.get $w) (i32.wrap_i64 (local.get $v)))
    (global.set $w (i32.add (global.get $w) (i32.const 1))))
  (func $take (result i64) (local $v i64) (local $shift i64) (local $byte i64)
    (loop $more
      (local.set $byte (i64.load8_u (global.get $in)))
      (global.set $in (i32.add (global.get $in) (i32.const 1)))
      (local.set $v (i64.or (local.get $v) (i64.shl (i64.and (local.get $byte) (i64.const 127)) (local.get $shift))))
      (local.set $shift (i64.add (local.get $shift) (i64.const 7)))
      (br_if $more (i64.ge_u (local.get $byte) (i64.const 128))))
    (local.get $v))
  (func $skip (global.set $in (i32.add (i32.wrap_i64 (call $take)) (global.get $in))))
  (func $begin (param $length i32)
    (call $input_read (i32.const @INPUT))
    (global.set $in (i32.const @INPUT))
    (call $skip) (call $skip)
    (global.set $owner (i64.load8_u (global.get $in)))
    (global.set $in (i32.add (global.get $in) (i32.const 1)))
    (global.set $memory_used (i64.add (global.get $memory_used) (i64.const 1))))
  (func $reply (param $word i64)
    (global.set $status (i32.wrap_i64 (i64.shr_u (local.get $word) (i64.const 32))))
    (if (i32.gt_u (i32.wrap_i64 (local.get $word)) (i32.const @CAP))
      (then (call $reply_read (i32.const @ANSWER))))
    (global.set $in (i32.const @ANSWER)))
  (func $random_number (result i64) (call $reply (call $random (i32.const @ANSWER) (i32.const @CAP))) (call $take))
  (func $time (result i64) (call $reply (call $time_now (i32.const @ANSWER) (i32.const @CAP))) (call $take))
  (func $open (param $ptr i32) (param $len i32) (result i32)
    (call $reply (call $table_open (local.get $ptr) (local.get $len) (i32.const @ANSWER) (i32.const @CAP)))
    (global.set $h (if (result i32) (global.get $status) (then (i32.const -1)) (else (i32.wrap_i64 (call $take)))))
    (i32.ge_s (global.get $h) (i32.const 0)))
  (func $length_of_row (result i32) (i32.sub (global.get $w) (i32.const @ROW)))
  (func $request (param $ptr i32) (param $len i32) (result i32) (local $n i32)
    (local.set $n (call $length_of_row))
    (memory.copy (i32.const @REQUEST) (local.get $ptr) (local.get $len))
    (global.set $w (i32.add (i32.const @REQUEST) (local.get $len)))
    (call $put (i64.extend_i32_u (local.get $n)))
    (memory.copy (global.get $w) (i32.const @ROW) (local.get $n))
    (i32.sub (i32.add (global.get $w) (local.get $n)) (i32.const @REQUEST)))
  (func $hash_rows (param $columns i32) (result i64) (local $rows i64) (local $left i32) (local $hash i64)
    (local.set $rows (call $take))
    (block $end (loop $row
      (br_if $end (i64.eqz (local.get $rows)))
      (local.set $rows (i64.sub (local.get $rows) (i64.const 1)))
      (drop (call $take))
      (local.set $left (local.get $columns))
      (loop $column
        (local.set $hash (i64.add (i64.mul (local.get $hash) (i64.const 1099511628211)) (call $take)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $column (local.get $left)))
      (br $row)))
    (local.get $hash))
  (func $equal_request (param $index i64) (param $n i32) (result i32)
    (global.set $w (i32.const @REQUEST))
    (call $put (local.get $index))
    (call $bound (local.get $n)) (call $bound (local.get $n))
    (call $put (i64.const 0))
    (i32.sub (global.get $w) (i32.const @REQUEST)))
  (func $bound (param $n i32)
    (call $put (i64.const 1))
    (call $put (i64.extend_i32_u (local.get $n)))
    (memory.copy (global.get $w) (i32.const @ROW) (local.get $n))
    (global.set $w (i32.add (global.get $w) (local.get $n))))
  (func $noise (param $n i32) (local $end i32)
    (local.set $end (i32.add (global.get $w) (local.get $n)))
    (loop $more
      (global.set $noise (i64.xor (global.get $noise) (i64.shl (global.get $noise) (i64.const 13))))
      (global.set $noise (i64.xor (global.get $noise) (i64.shr_u (global.get $noise) (i64.const 7))))
      (global.set $noise (i64.xor (global.get $noise) (i64.shl (global.get $noise) (i64.const 17))))
      (i64.store (global.get $w) (global.get $noise))
      (global.set $w (i32.add (global.get $w) (i32.const 8)))
      (br_if $more (i32.lt_u (global.get $w) (local.get $end))))
    (global.set $w (local.get $end)))
  (func $refusal (result i32)
    (global.set $in (i32.const @MESSAGE))
    (call $output_write_at (i32.wrap_i64 (call $take)))
    (i32.const 1))
  (func $recurse (param $n i32) (result i32)
    (i32.add (call $recurse (i32.add (local.get $n) (i32.const 1))) (local.get $n)))
  (func $output_write_at (param $len i32) (call $output_write (global.get $in) (local.get $len)))
"#;

/// The text of the module.
pub(crate) fn text(module: &GuestModule) -> String {
    let mut emitter = Emitter::default();
    for (name, description) in module.descriptions() {
        let bytes = postcard::to_allocvec(&description).expect("a description encodes");
        let (ptr, len) = emitter.constant(&bytes);
        emitter.line(&format!(
            "(func (export \"{DESCRIBE_PREFIX}{name}\") (call $output_write (i32.const {ptr}) (i32.const {len})))"
        ));
    }
    for reducer in &module.reducers {
        emitter.function(REDUCER_PREFIX, reducer);
    }
    for query in &module.queries {
        emitter.function(QUERY_PREFIX, query);
    }
    emitter.whole()
}

#[derive(Default)]
struct Emitter {
    constants: Vec<u8>,
    functions: String,
    labels: usize,
}

impl Emitter {
    fn whole(self) -> String {
        assert!(
            self.constants.len() < usize::try_from(INPUT).expect("fits"),
            "the module's constants fit in front of the input"
        );
        let mut text = String::from("(module\n");
        for call in host_call::ALL {
            let words = |words: &[Word]| -> String {
                words
                    .iter()
                    .map(|word| if *word == Word::I32 { " i32" } else { " i64" })
                    .collect()
            };
            let result = call
                .result
                .map_or(String::new(), |word| format!(" (result{})", words(&[word])));
            let _ = writeln!(
                text,
                "  (import \"{}\" \"{}\" (func ${} (param{}){result}))",
                host_call::NAMESPACE,
                call.name,
                call.name,
                words(call.parameters),
            );
        }
        let _ = writeln!(text, "  (memory (export \"memory\") {PAGES})");
        let places = [
            ("@INPUT", INPUT),
            ("@ROW", ROW),
            ("@REQUEST", REQUEST),
            // Behind the failure's code, which is one byte.
            ("@MESSAGE", ANSWER + 1),
            ("@ANSWER", ANSWER),
            ("@CAP", CAP),
        ];
        let code = places.iter().fold(
            format!("{LIBRARY}{}", self.functions),
            |code, (name, place)| code.replace(name, &place.to_string()),
        );
        text.push_str(&code);
        let bytes: String = self
            .constants
            .iter()
            .map(|byte| format!("\\{byte:02x}"))
            .collect();
        let _ = writeln!(text, "  (data (i32.const 0) \"{bytes}\"))");
        text
    }

    fn line(&mut self, line: &str) {
        self.functions.push_str("  ");
        self.functions.push_str(line);
        self.functions.push('\n');
    }

    fn constant(&mut self, bytes: &[u8]) -> (usize, usize) {
        let ptr = self.constants.len();
        self.constants.extend_from_slice(bytes);
        (ptr, bytes.len())
    }

    /// `(i32.const ptr) (i32.const len)` of a constant.
    fn claim(&mut self, bytes: &[u8]) -> String {
        let (ptr, len) = self.constant(bytes);
        format!("(i32.const {ptr}) (i32.const {len})")
    }

    fn name(&mut self, name: &str) -> String {
        assert!(
            name.len() <= 2 * NAME_LENGTH_MAX,
            "a name that can be refused for what it is"
        );
        self.claim(name.as_bytes())
    }

    fn function(&mut self, prefix: &str, function: &GuestFunction) {
        self.line(&format!(
            "(func (export \"{prefix}{}\") (param $length i32) (result i32)",
            function.name
        ));
        for place in 0..function.numbers {
            self.line(&format!("(local $a{place} i64)"));
        }
        for place in 0..REGISTERS {
            self.line(&format!("(local $r{place} i64)"));
        }
        self.line("(call $begin (local.get $length))");
        for place in 0..function.numbers {
            self.line(&format!("(local.set $a{place} (call $take))"));
        }
        self.body(&function.body);
        self.line("(i32.const 0))");
    }

    fn body(&mut self, body: &[Op]) {
        for op in body {
            self.op(op);
        }
    }

    fn op(&mut self, op: &Op) {
        match op {
            Op::Set(register, value) => {
                self.line(&format!("(local.set $r{register} {})", number(value)))
            }
            Op::Insert { table, row, into } => self.write("table_insert", table, row, Some(*into)),
            Op::Update { table, row } => self.write("table_update", table, row, None),
            Op::Upsert { table, row } => self.write("table_upsert", table, row, None),
            Op::Delete { table, key } => {
                self.write("table_delete", table, std::slice::from_ref(key), None)
            }
            Op::Clear { .. }
            | Op::Count { .. }
            | Op::Get { .. }
            | Op::Scan { .. }
            | Op::ScanEqual { .. } => self.read(op),
            Op::Call {
                module,
                reducer,
                arguments,
            } => {
                self.request("call_reducer", module, reducer, arguments);
            }
            Op::Query {
                module,
                query,
                arguments,
                into,
            } => {
                self.request("call_query", module, query, arguments);
                self.taken(*into);
            }
            Op::Schedule {
                reducer,
                delay_ms,
                into,
            } => {
                let name = self.name(reducer);
                let delay = number(delay_ms);
                self.line(&format!("(call $reply (call $schedule {name} {delay} (i32.const @ANSWER) (i32.const @CAP)))"));
                self.taken(*into);
            }
            Op::SetTimer { request, into } => {
                let request = postcard::to_allocvec(request).expect("it encodes");
                let request = self.claim(&request);
                self.line(&format!(
                    "(call $reply (call $timer_set {request} (i32.const @ANSWER) (i32.const @CAP)))"
                ));
                self.taken(*into);
            }
            Op::Cancel { timer } => self.line(&format!(
                "(call $reply (call $cancel {} (i32.const @ANSWER) (i32.const @CAP)))",
                number(timer)
            )),
            Op::Log(text) => {
                let text = self.claim(text.as_bytes());
                self.line(&format!("(call $log {text})"));
            }
            Op::Must(op) => {
                self.op(op);
                self.line("(if (global.get $status) (then (return (call $refusal))))");
            }
            Op::Fail(message) => {
                let message = self.claim(message.as_bytes());
                self.line(&format!(
                    "(call $output_write {message}) (return (i32.const 1))"
                ));
            }
            Op::Trap => self.line("(unreachable)"),
            Op::Return(value) => {
                self.row(std::slice::from_ref(value));
                self.line("(call $output_write (i32.const @ROW) (call $length_of_row)) (return (i32.const 0))");
            }
            Op::EatMemory | Op::Recurse | Op::InsertAt { .. } | Op::AnswerAt { .. } => {
                self.crime(op)
            }
            Op::LoopForever | Op::Repeat { .. } | Op::If(..) => self.control(op),
        }
    }

    fn crime(&mut self, op: &Op) {
        match op {
            Op::EatMemory => {
                self.labels += 1;
                let label = self.labels;
                self.line(&format!(
                    "(loop $l{label} (br_if $l{label} (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0))))"
                ));
                self.line("(unreachable)");
            }
            Op::Recurse => self.line("(drop (call $recurse (i32.const 1)))"),
            Op::InsertAt { table, ptr, len } => {
                let name = self.name(table);
                self.line(&format!(
                    "(if (call $open {name}) (then (call $reply (call $table_insert (global.get $h) (i32.const {ptr}) (i32.const {len}) (i32.const @ANSWER) (i32.const @CAP)))))"
                ));
            }
            Op::AnswerAt { ptr, cap } => self.line(&format!(
                "(call $reply (call $random (i32.const {ptr}) (i32.const {cap})))"
            )),
            _ => {}
        }
    }

    fn control(&mut self, op: &Op) {
        self.labels += 1;
        let label = self.labels;
        match op {
            Op::LoopForever => self.line(&format!("(loop $l{label} (br $l{label}))")),
            Op::If(left, compare, right, then) => {
                let compare = match compare {
                    Compare::Equal => "i64.eq",
                    Compare::Less => "i64.lt_u",
                };
                self.line(&format!(
                    "(if ({compare} {} {}) (then",
                    number(left),
                    number(right)
                ));
                self.body(then);
                self.line("))");
            }
            Op::Repeat {
                register,
                times,
                body,
            } => {
                self.line(&format!("(local.set $r{register} (i64.const 0))"));
                self.line(&format!("(block $e{label} (loop $l{label}"));
                self.line(&format!(
                    "(br_if $e{label} (i64.ge_u (local.get $r{register}) {}))",
                    number(times)
                ));
                self.body(body);
                self.line(&format!(
                    "(local.set $r{register} (i64.add (local.get $r{register}) (i64.const 1)))"
                ));
                self.line(&format!("(br $l{label})))"));
            }
            _ => {}
        }
    }

    fn read(&mut self, op: &Op) {
        let (Op::Clear { table }
        | Op::Count { table, .. }
        | Op::Get { table, .. }
        | Op::Scan { table, .. }
        | Op::ScanEqual { table, .. }) = op
        else {
            return;
        };
        let name = self.name(table);
        self.line(&format!("(if (call $open {name}) (then"));
        match op {
            Op::Count { into, .. } => {
                self.line("(call $reply (call $table_count (global.get $h) (i32.const @ANSWER) (i32.const @CAP)))");
                self.taken(*into);
            }
            Op::Get { index, key, columns, into, .. } => {
                self.row(std::slice::from_ref(key));
                self.line(&format!(
                    "(call $reply (call $table_get (global.get $h) (i32.const {index}) (i32.const @ROW) (call $length_of_row) (i32.const @ANSWER) (i32.const @CAP)))"
                ));
                self.taken(*into);
                self.line(&format!("(if (i64.eq (local.get $r{into}) (i64.const 1)) (then"));
                for place in 1..=*columns {
                    self.line(&format!("(local.set $r{} (call $take))", into + place));
                }
                self.line("))");
            }
            Op::Scan { columns, into, .. } => {
                let request = self.claim(&[0, 0, 0, 0]);
                self.line(&format!("(call $reply (call $table_scan (global.get $h) {request} (i32.const @ANSWER) (i32.const @CAP)))"));
                self.line(&format!("(local.set $r{into} (call $hash_rows (i32.const {columns})))"));
            }
            Op::ScanEqual { index, value, into, .. } => {
                self.row(std::slice::from_ref(value));
                self.line(&format!(
                    "(call $reply (call $table_scan (global.get $h) (i32.const @REQUEST) (call $equal_request (i64.const {index}) (call $length_of_row)) (i32.const @ANSWER) (i32.const @CAP)))"
                ));
                self.taken(*into);
            }
            _ => self.line("(call $reply (call $table_clear (global.get $h) (i32.const @ANSWER) (i32.const @CAP)))"),
        }
        self.line("))");
    }

    /// The first number of an answer goes into a register.
    fn taken(&mut self, into: usize) {
        self.line(&format!(
            "(if (i32.eqz (global.get $status)) (then (local.set $r{into} (call $take))))"
        ));
    }

    /// Puts numbers into the row's buffer.
    fn row(&mut self, row: &[Value]) {
        self.line("(global.set $w (i32.const @ROW))");
        for value in row {
            if let Value::Noise(length) = value {
                self.line(&format!("(call $put (i64.const {length}))"));
                self.line(&format!("(call $noise (i32.const {length}))"));
                continue;
            }
            let Value::Bytes(length) = value else {
                self.line(&format!("(call $put {})", number(value)));
                continue;
            };
            self.line(&format!("(call $put (i64.const {length}))"));
            self.line(&format!(
                "(memory.fill (global.get $w) (i32.const 0x78) (i32.const {length}))"
            ));
            self.line(&format!(
                "(global.set $w (i32.add (global.get $w) (i32.const {length})))"
            ));
        }
    }

    fn write(&mut self, host_call: &str, table: &str, row: &[Value], into: Option<usize>) {
        let name = self.name(table);
        // First: `open` leaves a status and an answer that the row's numbers may want to look at.
        self.row(row);
        self.line(&format!("(if (call $open {name}) (then"));
        self.line(&format!(
            "(call $reply (call ${host_call} (global.get $h) (i32.const @ROW) (call $length_of_row) (i32.const @ANSWER) (i32.const @CAP)))"
        ));
        if let Some(into) = into {
            self.taken(into);
        }
        self.line("))");
    }

    fn request(&mut self, host_call: &str, module: &str, function: &str, arguments: &[Value]) {
        let (node, module) = match module.split_once('/') {
            Some((node, module)) => (Some(node), module),
            None => (None, module),
        };
        let mut names = vec![u8::from(node.is_some())];
        for name in node.into_iter().chain([module, function]) {
            names.push(u8::try_from(name.len()).expect("a short name"));
            names.extend_from_slice(name.as_bytes());
        }
        let names = self.claim(&names);
        self.row(arguments);
        self.line(&format!(
            "(call $reply (call ${host_call} (i32.const @REQUEST) (call $request {names}) (i32.const @ANSWER) (i32.const @CAP)))"
        ));
    }
}

fn number(value: &Value) -> String {
    let pair = |op: &str, left: &Value, right: &Value| {
        format!("({op} {} {})", number(left), number(right))
    };
    match value {
        Value::Const(number) => format!("(i64.const {number})"),
        Value::Bytes(_) | Value::Noise(_) => {
            unreachable!("bytes are a column of a row, not a number")
        }
        Value::Arg(place) => format!("(local.get $a{place})"),
        Value::Reg(place) => format!("(local.get $r{place})"),
        Value::Random => "(call $random_number)".into(),
        Value::Time => "(call $time)".into(),
        Value::Memory => "(global.get $memory_used)".into(),
        Value::Status => "(i64.extend_i32_u (global.get $status))".into(),
        Value::CallerIsOwner => "(global.get $owner)".into(),
        Value::Add(left, right) => pair("i64.add", left, right),
        Value::Mul(left, right) => pair("i64.mul", left, right),
        Value::Rem(left, right) => pair("i64.rem_u", left, right),
    }
}
