//! The guests. `store` is what clients write to; `mirror` repeats its rows and counts their
//! changes; `plain` has versions.

use interstice_abi::{
    codec::Column,
    event::RowEvent,
    schema::Persistence,
    types::{ColumnType, Field},
};

use crate::common::{
    guest::{GuestModule, GuestTable},
    op::{Op, arg, clear, delete, insert, must, upsert},
};

/// What rows have in a column that is younger than they are.
pub(crate) const DEFAULT: u64 = 7;

/// What later rows have there.
pub(crate) const GIVEN: u64 = 9;

/// A version of `plain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// `id`, `value`.
    One,
    /// One column more, with a default.
    Two,
    /// The second column has another name, so rows of the others do not fit.
    Three,
}

impl Version {
    pub(crate) const ALL: [Self; 3] = [Self::One, Self::Two, Self::Three];

    /// Whether rows of this version fit `next`.
    pub(crate) fn fits(self, next: Self) -> bool {
        self == next || (self, next) == (Self::One, Self::Two)
    }

    /// A row that `put` writes.
    pub(crate) fn row(self, id: u64, value: u64) -> Vec<u64> {
        match self {
            Self::One | Self::Three => vec![id, value],
            Self::Two => vec![id, value, GIVEN],
        }
    }
}

/// How often `store.rows` can get one column more.
pub(crate) const APPENDED_MAX: u64 = 2;

/// `store`, whose table `rows` has got `appended` columns more than at first.
pub(crate) fn store(appended: u64) -> GuestModule {
    let mut rows = GuestTable::new("Rows", &["value"]);
    let mut given = vec![arg(0), arg(1)];
    for place in 0..appended {
        rows = rows.field(with_default(&format!("grade{place}")));
        given.push(GIVEN.into());
    }
    let put = || {
        let (table, row) = ("rows".into(), given.clone());
        must(Op::Upsert { table, row })
    };
    let query = vec![
        Op::Count {
            table: "rows".into(),
            into: 0,
        },
        Op::Return(crate::common::op::reg(0)),
    ];
    GuestModule::new("store")
        .table(rows)
        .table(GuestTable::new("Secret", &["value"]).private())
        .table(GuestTable::new("Notes", &["value"]).kept(Persistence::Ephemeral))
        .table(GuestTable::new("Rung", &["one"]).auto_inc())
        .reducer(
            "put",
            2,
            vec![
                put(),
                must(upsert("secret", [arg(0), arg(1).plus(1)])),
                must(upsert("notes", [arg(0), arg(1).plus(2)])),
            ],
        )
        .reducer("take", 1, vec![must(delete("rows", arg(0)))])
        .reducer("clear", 0, vec![must(clear("rows"))])
        .reducer("refuse", 2, vec![put(), Op::Fail("not today".into())])
        .reducer("break", 2, vec![put(), Op::Trap])
        .reducer(
            "later",
            1,
            vec![must(Op::Schedule {
                reducer: "ring".into(),
                delay_ms: arg(0),
                into: 0,
            })],
        )
        .reducer("ring", 0, vec![must(insert("rung", [0.into(), 1.into()]))])
        .query("count", 0, query)
}

pub(crate) fn mirror() -> GuestModule {
    let heard = || must(insert("heard", [0.into(), arg(0)]));
    GuestModule::new("mirror")
        .depends_on(&store(0))
        .table(GuestTable::new("Copy", &["value"]))
        .table(GuestTable::new("Heard", &["row"]).auto_inc())
        .on_row(
            "store.rows",
            RowEvent::Insert,
            "inserted",
            vec![must(insert("copy", [arg(0), arg(1)])), heard()],
        )
        .on_row(
            "store.rows",
            RowEvent::Update,
            "updated",
            vec![
                must(crate::common::op::update("copy", [arg(2), arg(3)])),
                heard(),
            ],
        )
        .on_row(
            "store.rows",
            RowEvent::Delete,
            "deleted",
            vec![must(delete("copy", arg(0))), heard()],
        )
}

fn with_default(name: &str) -> Field {
    let mut default = Vec::new();
    DEFAULT.encode(&mut default);
    Field {
        default: Some(default),
        ..Field::new(name, ColumnType::U64)
    }
}

pub(crate) fn plain(version: Version) -> GuestModule {
    let module = GuestModule::new("plain");
    match version {
        Version::One => module.table(GuestTable::new("Rows", &["value"])).reducer(
            "put",
            2,
            vec![must(upsert("rows", [arg(0), arg(1)]))],
        ),
        Version::Two => {
            let grade = with_default("grade");
            module
                .table(GuestTable::new("Rows", &["value"]).field(grade))
                .reducer(
                    "put",
                    2,
                    vec![must(upsert("rows", [arg(0), arg(1), GIVEN.into()]))],
                )
        }
        Version::Three => module.table(GuestTable::new("Rows", &["other"])).reducer(
            "put",
            2,
            vec![must(upsert("rows", [arg(0), arg(1)]))],
        ),
    }
}
