//! A node without its network: turns that a driver in the same process hands in as batches, calls
//! from module to module, and two modules beside each other. And a hop from one actor's mailbox to
//! another's, of which all of it is made.
//!
//! `cargo bench -p interstice-actors`. Throughputs are per turn, call or message.

#[path = "../../tests/common/common.rs"]
#[allow(dead_code, reason = "benchmarks and tests use their own parts of it")]
mod common;

mod driver;
mod hop;

use criterion::{Criterion, Throughput, criterion_group};
use interstice_abi::{
    types::{ColumnType, Field},
    wire::Ack,
};

use common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, call, insert, reg},
};
use driver::{Driver, Order};
use interstice_actors::config::Placement;

/// The allocator of the command line's nodes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Calls of the neighbour inside one step: the step itself then costs next to nothing, and is too
/// short for the slow lane.
const CALLS: u64 = 100;

/// Rounds of the loop that is the work of a step: 20 µs on the machine of the README.
const ROUNDS: u64 = 14_000;

/// Rows of 100 bytes in two tables: like those of the module `benchmark-workload`, a key, two
/// small numbers and bytes; and a key and ten numbers of ten bytes each.
fn rows() -> GuestModule {
    let columns = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let mut numbers = vec![Value::Const(0)];
    numbers.extend(columns.map(|_| Value::Const(u64::MAX)));
    let bytes = [0, 1, 2].map(Value::Const).into_iter();
    let bytes = bytes.chain([Value::Bytes(92)]).collect();
    let payload = Field::new("payload", ColumnType::Vec(Box::new(ColumnType::U8)));
    let put = |table: &str, row| {
        let put = Op::Insert {
            table: table.into(),
            row,
            into: 0,
        };
        vec![put]
    };
    GuestModule::new("rows")
        .table(GuestTable::new("Numbers", &columns).auto_inc())
        .table(
            GuestTable::new("Bytes", &["client", "seq"])
                .field(payload)
                .auto_inc(),
        )
        .reducer("put_numbers", 0, put("numbers", numbers))
        .reducer("put", 0, put("bytes", bytes))
        .reducer("nothing", 0, Vec::new())
}

fn turns(c: &mut Criterion) {
    let mut group = c.benchmark_group("turns inside the process");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    let mut driver = Driver::start(&[rows()], Placement::Together, 2);
    for (what, reducer, ack) in [
        ("nothing, applied", "nothing", Ack::Applied),
        ("nothing, durable", "nothing", Ack::Durable),
        ("a logged row of 100 bytes, applied", "put", Ack::Applied),
        ("a logged row of 100 bytes, durable", "put", Ack::Durable),
        (
            "a logged row of eleven numbers, durable",
            "put_numbers",
            Ack::Durable,
        ),
    ] {
        let order = Order::new("rows", reducer, &[], ack);
        group.bench_function(what, |b| {
            b.iter_custom(|turns| driver.run(std::slice::from_ref(&order), turns));
        });
    }
    group.finish();
}

/// A module whose reducer calls `bump` of the other so often in one step.
fn calls(c: &mut Criterion) {
    let called = GuestModule::new("called").reducer("bump", 0, Vec::new());
    let again = Op::Repeat {
        register: 0,
        times: Value::Const(CALLS),
        body: vec![call("called", "bump", [])],
    };
    let caller = GuestModule::new("caller")
        .depends_on(&called)
        .reducer("ask", 0, vec![again]);
    let mut group = c.benchmark_group("a call of another module inside a step");
    group
        .throughput(Throughput::Elements(CALLS))
        .sample_size(10);
    for (what, placement) in [
        ("on the same arbiter", Placement::Together),
        ("on another arbiter", Placement::Spread),
    ] {
        let modules = [called.clone(), caller.clone()];
        let mut driver = Driver::start(&modules, placement, 2);
        let order = Order::new("caller", "ask", &[], Ack::Applied);
        group.bench_function(what, |b| {
            b.iter_custom(|turns| driver.run(std::slice::from_ref(&order), turns));
        });
    }
    group.finish();
}

/// Steps that compute for about 20 µs, in one module and in two that know nothing of each other.
fn two_modules(c: &mut Criterion) {
    let work = |name: &str| {
        let round = Op::Set(1, reg(1).times(31_u64).plus(reg(0)));
        let table = GuestTable::new("Sum", &["value"]).auto_inc();
        let spin = Op::Repeat {
            register: 0,
            times: arg(0),
            body: vec![round],
        };
        GuestModule::new(name).table(table).reducer(
            "spin",
            1,
            vec![spin, insert("sum", [Value::Const(0), reg(1)])],
        )
    };
    let order = |name: &str| Order::new(name, "spin", &[ROUNDS], Ack::Applied);
    let mut group = c.benchmark_group("turns of 20 us");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    let mut driver = Driver::start(&[work("left"), work("right")], Placement::Spread, 2);
    for (what, orders) in [
        ("in one module", vec![order("left")]),
        ("in two modules", vec![order("left"), order("right")]),
    ] {
        group.bench_function(what, |b| {
            b.iter_custom(|turns| driver.run(&orders, turns));
        });
    }
    group.finish();
}

criterion_group!(benches, hop::hops, turns, calls, two_modules);
fn main() {
    // As the command line's nodes do.
    #[cfg(target_os = "linux")]
    rustix::thread::disable_transparent_huge_pages(true).expect("huge pages can be refused");
    benches();
    Criterion::default().configure_from_args().final_summary();
}
