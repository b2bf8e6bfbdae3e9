//! Random modules that call each other and react to each other, and random calls of them.
//!
//! The same seed makes the same modules and calls on every machine.

use interstice_abi::{
    event::{Event, RowEvent},
    schema::{IndexKind, Persistence},
};

use super::{
    guest::{GuestModule, GuestTable},
    op::{
        Op, Value, arg, call, delete, insert, must, query, reg, schedule, update, upsert,
        when_equal, when_less,
    },
    peer::Order,
};

/// How often a reaction to a reaction follows.
const CASCADE_DEPTH: u64 = 3;

/// SplitMix64: the same numbers on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Module names and the numbers of those that each may call: earlier ones, so that calls cannot
/// run in circles.
pub(crate) struct Graph {
    calls: Vec<Vec<usize>>,
    kind: Kind,
}

/// What the modules do.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// What leads to the same state on any number of workers, and through restarts.
    Calm,
    /// Everything: timers, loads, limits, time.
    Wild,
}

pub(crate) const TABLES: [&str; 4] = ["rows", "cells", "seen", "ticks"];

pub(crate) fn name(place: usize) -> String {
    format!("m{place}")
}

impl Graph {
    pub(crate) fn new(random: &mut Random, kind: Kind) -> Self {
        let count = usize::try_from(3 + random.below(4)).expect("a small number");
        let calls = (0..count)
            .map(|place| (0..place).filter(|_| random.chance(50)).collect())
            .collect();
        Self { calls, kind }
    }

    /// How many modules there are.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The modules without and with their reactions, which may go round in circles.
    pub(crate) fn modules(&self, random: &mut Random) -> (Vec<GuestModule>, Vec<GuestModule>) {
        let plain: Vec<GuestModule> = (0..self.calls.len())
            .map(|place| self.plain(place, random))
            .collect();
        let bound = |place: usize, needed: &[usize]| {
            needed.iter().fold(plain[place].clone(), |module, other| {
                module.depends_on(&plain[*other])
            })
        };
        let first = (0..plain.len())
            .map(|place| bound(place, &self.calls[place]))
            .collect();
        let second = (0..plain.len())
            .map(|place| {
                let everyone: Vec<usize> =
                    (0..plain.len()).filter(|other| *other != place).collect();
                let watched: Vec<usize> =
                    everyone.into_iter().filter(|_| random.chance(60)).collect();
                let mut needed = self.calls[place].clone();
                needed.extend(
                    watched
                        .iter()
                        .filter(|other| !self.calls[place].contains(other)),
                );
                self.reactions(bound(place, &needed), place, &watched, random)
            })
            .collect();
        (first, second)
    }

    fn plain(&self, place: usize, random: &mut Random) -> GuestModule {
        let mut module = GuestModule::new(&name(place))
            .table(GuestTable::new("Rows", &["depth", "value"]).auto_inc())
            .table(GuestTable::new("Cells", &["value"]).index(1, IndexKind::Btree, false))
            .table(GuestTable::new("Seen", &["what", "old", "new"]).auto_inc())
            .table(
                GuestTable::new("Ticks", &["value"])
                    .auto_inc()
                    .kept(Persistence::Ephemeral),
            )
            .reducer("note", 2, self.note())
            .query(
                "sum",
                1,
                vec![scan("cells", 2, 0), Op::Return(reg(0).plus(arg(0)))],
            );
        if self.kind == Kind::Wild {
            module = wild(module);
        }
        for reducer in 0..3 {
            module = module.reducer(&format!("r{reducer}"), 2, self.body(place, random));
        }
        module
    }

    /// What a reducer does that others call from reactions: what it leaves depends on its
    /// instance's life.
    fn note(&self) -> Vec<Op> {
        let mut body = vec![upsert(
            "cells",
            [arg(0).modulo(16), arg(1).plus(Value::Memory)],
        )];
        if self.kind == Kind::Wild {
            body.push(when_equal(arg(1).modulo(41), 7, vec![Op::Recurse]));
            body.push(when_equal(arg(1).modulo(43), 9, vec![Op::EatMemory]));
        }
        body
    }

    /// What a reducer that clients call does.
    fn body(&self, place: usize, random: &mut Random) -> Vec<Op> {
        let mut body = vec![Op::Set(0, arg(0).times(31).plus(arg(1)))];
        for _ in 0..2 + random.below(4) {
            body.extend(self.operation(place, random));
        }
        if let Some(callee) = pick(&self.calls[place], random) {
            let reducer = format!("r{}", random.below(3));
            body.push(call(&name(callee), &reducer, [reg(0).plus(1), arg(0)]));
            body.push(insert("rows", [0.into(), 0.into(), Value::Status]));
        }
        let at = usize::try_from(random.below(u64::try_from(body.len()).expect("fits")))
            .expect("fits")
            + 1;
        let end = if random.chance(60) {
            Op::Fail("not today".into())
        } else {
            Op::Trap
        };
        body.insert(
            at.min(body.len()),
            when_equal(arg(0).modulo(7), random.below(7), vec![end]),
        );
        body
    }

    fn operation(&self, place: usize, random: &mut Random) -> Vec<Op> {
        let key = || reg(0).modulo(16);
        let kinds = if self.kind == Kind::Wild { 13 } else { 10 };
        match random.below(kinds) {
            0 => vec![insert("rows", [0.into(), 0.into(), Value::Random])],
            1 => vec![insert("rows", [0.into(), 0.into(), reg(0)])],
            2 => vec![upsert("cells", [key(), arg(1)])],
            3 => vec![update("cells", [key(), reg(0).plus(7)])],
            4 => vec![delete("cells", key())],
            5 => vec![
                scan("cells", 2, 1),
                insert("rows", [0.into(), 0.into(), reg(1)]),
            ],
            6 => vec![
                insert("ticks", [0.into(), Value::Memory]),
                Op::Count {
                    table: "ticks".into(),
                    into: 2,
                },
                upsert("cells", [3.into(), reg(2)]),
            ],
            7 => vec![insert(
                "seen",
                [0.into(), 9.into(), Value::Memory, Value::Random],
            )],
            8 => match pick(&self.calls[place], random) {
                Some(other) => vec![
                    query(&name(other), "sum", [arg(0)], 3),
                    insert("seen", [0.into(), 8.into(), reg(3), Value::Status]),
                    Op::Count {
                        table: format!("{}.rows", name(other)),
                        into: 4,
                    },
                    upsert("cells", [5.into(), reg(4)]),
                ],
                None => vec![
                    Op::ScanEqual {
                        table: "cells".into(),
                        index: 1,
                        value: arg(1),
                        into: 4,
                    },
                    insert("rows", [0.into(), 0.into(), reg(4)]),
                ],
            },
            10 => vec![schedule("ring", random.below(3))],
            11 => vec![when_equal(
                arg(1).modulo(17),
                random.below(17),
                vec![pick_crime(random)],
            )],
            12 => vec![insert("seen", [0.into(), 7.into(), Value::Time, reg(0)])],
            _ => vec![when_equal(
                arg(1).modulo(13),
                0,
                vec![Op::Clear {
                    table: "cells".into(),
                }],
            )],
        }
    }

    /// Adds what the module does when others change. A reaction to rows makes rows of one depth
    /// more, up to a depth.
    fn reactions(
        &self,
        mut module: GuestModule,
        place: usize,
        watched: &[usize],
        random: &mut Random,
    ) -> GuestModule {
        for other in watched {
            let deeper = insert(
                "rows",
                [
                    0.into(),
                    arg(1).plus(1),
                    arg(2).times(3).plus(Value::Random),
                ],
            );
            let mut body = vec![when_less(arg(1), CASCADE_DEPTH, vec![deeper])];
            if let Some(callee) = pick(&self.calls[place], random) {
                body.push(call(&name(callee), "note", [arg(2), arg(0)]));
            }
            body.push(when_equal(
                arg(2).modulo(5),
                random.below(5),
                vec![Op::Fail("this reaction fails".into())],
            ));
            module = module.on_row(
                &format!("{}.rows", name(*other)),
                RowEvent::Insert,
                &format!("rows_of_{other}"),
                body,
            );
            if random.chance(50) {
                let body = vec![insert("seen", [0.into(), 1.into(), arg(0), arg(1)])];
                module = module.on_call(&name(*other), "note", &format!("notes_of_{other}"), body);
            }
        }
        if random.chance(50) {
            let body = vec![insert("seen", [0.into(), 2.into(), arg(1), arg(3)])];
            module = module.on_row("cells", RowEvent::Update, "cells_change", body);
        }
        let body = vec![insert("seen", [0.into(), 3.into(), arg(0), arg(1)])];
        module = module.on_row("cells", RowEvent::Delete, "cells_go", body);
        // What changes in an ephemeral table is in no record, but what reacts to it is.
        let body = vec![insert("seen", [0.into(), 5.into(), arg(1), Value::Memory])];
        module.on_row("ticks", RowEvent::Insert, "ticks_come", body)
    }

    pub(crate) fn inputs(&self, count: u64, random: &mut Random) -> Vec<Order> {
        (0..count)
            .map(|_| {
                let place = random.below(u64::try_from(self.calls.len()).expect("fits"));
                let module = format!("m{place}");
                Order::new(
                    &module,
                    &format!("r{}", random.below(3)),
                    &[random.below(1000), random.below(1000)],
                )
            })
            .collect()
    }
}

fn pick(from: &[usize], random: &mut Random) -> Option<usize> {
    let count = u64::try_from(from.len()).ok().filter(|count| *count > 0)?;
    from.get(usize::try_from(random.below(count)).ok()?)
        .copied()
}

fn scan(table: &str, columns: usize, into: usize) -> Op {
    must(Op::Scan {
        table: table.into(),
        columns,
        into,
    })
}

/// Adds timers, a load that leaves rows and timers, and a private table of which others know
/// nothing.
fn wild(module: GuestModule) -> GuestModule {
    let slowly = Op::Repeat {
        register: 1,
        times: 400.into(),
        body: vec![Op::Count {
            table: "rows".into(),
            into: 2,
        }],
    };
    let rang = insert("seen", [0.into(), 4.into(), Value::Memory, Value::Time]);
    let again = when_equal(Value::Random.modulo(3), 0, vec![schedule("ring", 1)]);
    let fails = when_equal(Value::Random.modulo(5), 0, vec![Op::Trap]);
    module
        .table(GuestTable::new("Own", &["value"]).private())
        .reducer("ring", 0, vec![rang, again, slowly, fails])
        .on_connection(
            Event::Connect,
            "comes",
            vec![insert(
                "seen",
                [0.into(), 10.into(), Value::Memory, 0.into()],
            )],
        )
        .on_connection(
            Event::Disconnect,
            "goes",
            vec![insert(
                "seen",
                [0.into(), 11.into(), Value::Memory, 0.into()],
            )],
        )
        .on(
            Event::Load,
            "begin",
            vec![
                insert("seen", [0.into(), 6.into(), Value::Memory, Value::Random]),
                insert("ticks", [0.into(), Value::Memory]),
                schedule("ring", 2),
            ],
        )
}

fn pick_crime(random: &mut Random) -> Op {
    match random.below(4) {
        0 => Op::LoopForever,
        1 => Op::EatMemory,
        2 => Op::Recurse,
        _ => Op::Trap,
    }
}
