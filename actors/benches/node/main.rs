//! A node without its network: turns that a driver in the same process hands in as batches, calls from module to module, and
//! two modules beside each other. And a hop from one actor's mailbox to another's, of which all of it is made.
//!
//! `cargo bench -p interstice-actors`. Throughputs are per turn, call or message.

#[path = "../../tests/common/common.rs"]
#[allow(dead_code, reason = "benchmarks and tests use their own parts of it")]
mod common;

mod driver;
mod hop;

use criterion::{Criterion, Throughput, criterion_group};
use interstice_abi::wire::Ack;

use common::{
    guest::{GuestModule, GuestTable},
    op::{Op, Value, arg, call, insert, reg},
};
use driver::{Driver, Order};
use interstice_actors::config::Placement;

/// The allocator of the command line's nodes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Calls of the neighbour inside one step: the step itself then costs next to nothing, and is too short for the slow lane.
const CALLS: u64 = 100;

/// Rounds of the loop that is the work of a step: 20 µs on the machine of the README.
const ROUNDS: u64 = 14_000;

/// Rows of 100 bytes: a key and ten numbers of ten bytes.
fn rows() -> GuestModule {
    let columns = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let mut row = vec![Value::Const(0)];
    row.extend(columns.map(|_| Value::Const(u64::MAX)));
    let table = GuestTable::new("Row", &columns).auto_inc();
    let put = Op::Insert {
        table: "row".into(),
        row,
        into: 0,
    };
    GuestModule::new("rows")
        .table(table)
        .reducer("put", 0, vec![put])
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
