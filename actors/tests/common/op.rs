//! What a guest does: numbers, operations on them and host calls, and shorthands to write them
//! down.
//!
//! A refused host call leaves its status in [`Value::Status`] and the guest goes on, unless it is
//! an [`Op::Must`]. Tables are named as `table_open` wants them: `table` or `module.table`.

use interstice_abi::{
    host_call::{TimerDue, TimerRequest},
    schema::Access,
};

/// A number that a guest works out.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Const(u64),
    /// A column of bytes, so many of them; in rows only.
    Bytes(u32),
    /// So many bytes that do not repeat: a column of a row.
    Noise(u32),
    /// The argument at this place; for row events the columns, one after the other.
    Arg(usize),
    /// What an operation left.
    Reg(usize),
    /// The next number of the step's random stream.
    Random,
    /// The turn's time.
    Time,
    /// How many functions this instance has run: guest memory that outlives a step.
    Memory,
    /// The status of the last host call; 0 when it was not refused.
    Status,
    /// 1 when an owner asks from outside.
    CallerIsOwner,
    Add(Box<Value>, Box<Value>),
    Mul(Box<Value>, Box<Value>),
    Rem(Box<Value>, Box<Value>),
}

impl Value {
    pub(crate) fn plus(self, other: impl Into<Self>) -> Self {
        Self::Add(Box::new(self), Box::new(other.into()))
    }

    pub(crate) fn times(self, other: impl Into<Self>) -> Self {
        Self::Mul(Box::new(self), Box::new(other.into()))
    }

    pub(crate) fn modulo(self, other: impl Into<Self>) -> Self {
        Self::Rem(Box::new(self), Box::new(other.into()))
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Const(value)
    }
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Compare {
    Equal,
    Less,
}

/// One thing that a guest does.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Set(usize, Value),
    /// The stored key goes into the register.
    Insert {
        table: String,
        row: Vec<Value>,
        into: usize,
    },
    Update {
        table: String,
        row: Vec<Value>,
    },
    Upsert {
        table: String,
        row: Vec<Value>,
    },
    Delete {
        table: String,
        key: Value,
    },
    Clear {
        table: String,
    },
    /// Register `into`: 1 when there is such a row; its columns follow in the next registers.
    Get {
        table: String,
        index: u32,
        key: Value,
        columns: usize,
        into: usize,
    },
    Count {
        table: String,
        into: usize,
    },
    /// A number that depends on every column of every row, and their order.
    Scan {
        table: String,
        columns: usize,
        into: usize,
    },
    /// How many rows of index `index` have this value.
    ScanEqual {
        table: String,
        index: u16,
        value: Value,
        into: usize,
    },
    Call {
        module: String,
        reducer: String,
        arguments: Vec<Value>,
    },
    Query {
        module: String,
        query: String,
        arguments: Vec<Value>,
        into: usize,
    },
    /// The timer's id goes into the register.
    Schedule {
        reducer: String,
        delay_ms: Value,
        into: usize,
    },
    /// A timer in full; its id goes into the register.
    SetTimer {
        request: TimerRequest,
        into: usize,
    },
    Cancel {
        timer: Value,
    },
    Log(String),
    /// Runs the operations this many times; the register counts from 0.
    Repeat {
        register: usize,
        times: Value,
        body: Vec<Op>,
    },
    If(Value, Compare, Value, Vec<Op>),
    /// Returns the failure's message as an error when the operation is refused.
    Must(Box<Op>),
    Fail(String),
    Trap,
    LoopForever,
    /// Asks for 64 KiB more memory until there is none, then traps.
    EatMemory,
    /// Calls itself until the stack is full.
    Recurse,
    /// Inserts a row whose bytes are said to be at this place and of this length.
    InsertAt {
        table: String,
        ptr: u32,
        len: u32,
    },
    /// As above, with the answer's buffer said to be there.
    AnswerAt {
        ptr: u32,
        cap: u32,
    },
    /// The result of a query.
    Return(Value),
}

/// Shorthands; their register is the last, which nobody reads.
pub(crate) const REGISTERS: usize = 12;
const NOWHERE: usize = REGISTERS - 1;

pub(crate) fn arg(place: usize) -> Value {
    Value::Arg(place)
}

pub(crate) fn reg(place: usize) -> Value {
    Value::Reg(place)
}

pub(crate) fn insert<const N: usize>(table: &str, row: [Value; N]) -> Op {
    Op::Insert {
        table: table.into(),
        row: row.into(),
        into: NOWHERE,
    }
}

pub(crate) fn update<const N: usize>(table: &str, row: [Value; N]) -> Op {
    Op::Update {
        table: table.into(),
        row: row.into(),
    }
}

pub(crate) fn upsert<const N: usize>(table: &str, row: [Value; N]) -> Op {
    Op::Upsert {
        table: table.into(),
        row: row.into(),
    }
}

pub(crate) fn delete(table: &str, key: Value) -> Op {
    Op::Delete {
        table: table.into(),
        key,
    }
}

pub(crate) fn clear(table: &str) -> Op {
    Op::Clear {
        table: table.into(),
    }
}

pub(crate) fn call<const N: usize>(module: &str, reducer: &str, arguments: [Value; N]) -> Op {
    Op::Call {
        module: module.into(),
        reducer: reducer.into(),
        arguments: arguments.into(),
    }
}

pub(crate) fn query<const N: usize>(
    module: &str,
    query: &str,
    arguments: [Value; N],
    into: usize,
) -> Op {
    Op::Query {
        module: module.into(),
        query: query.into(),
        arguments: arguments.into(),
        into,
    }
}

pub(crate) fn schedule(reducer: &str, delay_ms: u64) -> Op {
    Op::Schedule {
        reducer: reducer.into(),
        delay_ms: delay_ms.into(),
        into: NOWHERE,
    }
}

/// A timer that repeats, first due one period after the turn.
pub(crate) fn schedule_every(reducer: &str, period_ms: u64, arguments: Vec<u8>) -> Op {
    Op::SetTimer {
        request: TimerRequest {
            reducer: reducer.into(),
            due: TimerDue::After(period_ms),
            period_ms: Some(period_ms),
            arguments,
        },
        into: NOWHERE,
    }
}

pub(crate) fn must(op: Op) -> Op {
    Op::Must(Box::new(op))
}

pub(crate) fn when_equal(left: Value, right: impl Into<Value>, then: Vec<Op>) -> Op {
    Op::If(left, Compare::Equal, right.into(), then)
}

pub(crate) fn when_less(left: Value, right: impl Into<Value>, then: Vec<Op>) -> Op {
    Op::If(left, Compare::Less, right.into(), then)
}

/// Tells `found` every table that the operations use, and how.
pub(crate) fn needs(body: &[Op], found: &mut dyn FnMut(&str, Access)) {
    for op in body {
        match op {
            Op::Insert { table, .. } | Op::InsertAt { table, .. } => found(table, Access::INSERT),
            Op::Update { table, .. } => found(table, Access::UPDATE),
            Op::Upsert { table, .. } => found(table, Access::INSERT.with(Access::UPDATE)),
            Op::Delete { table, .. } | Op::Clear { table } => found(table, Access::DELETE),
            Op::Get { table, .. }
            | Op::Count { table, .. }
            | Op::Scan { table, .. }
            | Op::ScanEqual { table, .. } => {
                found(table, Access::READ);
            }
            Op::Repeat { body, .. } | Op::If(_, _, _, body) => needs(body, found),
            Op::Must(op) => needs(std::slice::from_ref(op), found),
            _ => {}
        }
    }
}
