//! The four capabilities, which live in bounds of a context's type parameter and nowhere else.
//!
//! Reducers stay generic over their capabilities; what calls them from outside picks [`AllCaps`],
//! which has all of them. Bodies are still checked against their own bounds, and the host checks
//! every call against the schema.

/// The function may read rows of `Row`'s table.
#[diagnostic::on_unimplemented(
    message = "this function may not read the table of `{Row}`",
    label = "needs `{Self}: CanRead<{Row}>`",
    note = "write the bound `{Self}: CanRead<{Row}>` into the signature; it is what the schema declares and the host enforces"
)]
pub trait CanRead<Row> {}

/// The function may insert rows into `Row`'s table.
#[diagnostic::on_unimplemented(
    message = "this function may not insert into the table of `{Row}`",
    label = "needs `{Self}: CanInsert<{Row}>`",
    note = "write the bound `{Self}: CanInsert<{Row}>` into the signature; it is what the schema declares and the host enforces"
)]
pub trait CanInsert<Row> {}

/// The function may replace rows of `Row`'s table.
#[diagnostic::on_unimplemented(
    message = "this function may not update the table of `{Row}`",
    label = "needs `{Self}: CanUpdate<{Row}>`",
    note = "write the bound `{Self}: CanUpdate<{Row}>` into the signature; it is what the schema declares and the host enforces"
)]
pub trait CanUpdate<Row> {}

/// The function may delete rows of `Row`'s table, and clear it.
#[diagnostic::on_unimplemented(
    message = "this function may not delete from the table of `{Row}`",
    label = "needs `{Self}: CanDelete<{Row}>`",
    note = "write the bound `{Self}: CanDelete<{Row}>` into the signature; it is what the schema declares and the host enforces"
)]
pub trait CanDelete<Row> {}

/// Every capability: what exports and tests hand to reducers and queries.
#[derive(Clone, Copy, Debug)]
pub struct AllCaps;

impl<Row> CanRead<Row> for AllCaps {}
impl<Row> CanInsert<Row> for AllCaps {}
impl<Row> CanUpdate<Row> for AllCaps {}
impl<Row> CanDelete<Row> for AllCaps {}
