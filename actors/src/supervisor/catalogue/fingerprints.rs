//! What clients of a module may mean by the bytes that they send and expect: the fingerprints of
//! its functions and tables.
//!
//! They are computed once, when a version comes, and compared on every request that names one.

use interstice_abi::{
    failure::{Code, Failure},
    fingerprint::Fingerprint,
    id::TableId,
    schema::{ModuleSchema, TableSchema},
};

/// The fingerprints of one version of a module.
#[derive(Debug, Default)]
pub(crate) struct Fingerprints {
    /// In the order of the schema's reducers.
    reducers: Vec<Fingerprint>,
    /// In the order of its queries.
    queries: Vec<Fingerprint>,
    /// By table: those of its first columns, of its first two, and so on.
    rows: Vec<Vec<Fingerprint>>,
}

impl Fingerprints {
    /// Of the version that has this schema.
    pub(crate) fn of(schema: &ModuleSchema) -> Self {
        let types = &schema.types;
        let reducers = schema.reducers.iter();
        let queries = schema.queries.iter();
        let tables = schema.tables.iter();
        Self {
            reducers: reducers
                .map(|reducer| Fingerprint::of_reducer(reducer, types))
                .collect(),
            queries: queries
                .map(|query| Fingerprint::of_query(query, types))
                .collect(),
            rows: tables
                .map(|table| Fingerprint::of_row_prefixes(table, types))
                .collect(),
        }
    }

    /// Of a reducer, by its place in the schema.
    pub(crate) fn reducer(&self, place: usize) -> Option<Fingerprint> {
        self.reducers.get(place).copied()
    }

    /// Of a query, by its place in the schema.
    pub(crate) fn query(&self, place: usize) -> Option<Fingerprint> {
        self.queries.get(place).copied()
    }

    /// Of a table's rows.
    pub(crate) fn row(&self, table: TableId) -> Option<Fingerprint> {
        self.rows.get(usize::from(table.0))?.last().copied()
    }

    /// How many columns a client knows that decodes rows of `table` by `row_type`: the first ones
    /// of the table, perhaps not all. `None` when it cannot read them.
    pub(crate) fn known_columns(&self, table: TableId, row_type: Fingerprint) -> Option<usize> {
        let prefixes = self.rows.get(usize::from(table.0))?;
        let place = prefixes.iter().position(|prefix| *prefix == row_type)?;
        Some(place + 1)
    }
}

/// Whether a client means the function that is there.
///
/// # Errors
/// `SchemaConflict`, with what to do.
pub(crate) fn check_function(
    expected: Option<Fingerprint>,
    known: Option<Fingerprint>,
    (kind, function, module): (&str, &str, &str),
) -> Result<(), Failure> {
    if expected.is_none() || expected == known {
        return Ok(());
    }
    Err(Failure::new(
        Code::SchemaConflict,
        format!(
            "{kind} `{function}` of module `{module}` has another signature than the one by which its arguments were encoded; nothing has run. Read the module's schema again, encode them by it and try again"
        ),
    ))
}

/// The failure of a client that cannot read the rows of a table.
pub(crate) fn other_rows(schema: &ModuleSchema, table: &TableSchema) -> Failure {
    Failure::new(
        Code::SchemaConflict,
        format!(
            "rows of table `{}` of module `{}` {} are of another type than the one that the client decodes by; read the module's schema again",
            table.name, schema.name, schema.version
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_fingerprint_is_not_checked() {
        let (one, other) = (Fingerprint(1), Fingerprint(2));
        let check = |expected, known| {
            check_function(expected, known, ("reducer", "pay", "bank")).map_err(|why| why.code)
        };
        assert_eq!(check(None, Some(one)), Ok(()));
        assert_eq!(check(Some(one), Some(one)), Ok(()));
        assert_eq!(check(Some(other), Some(one)), Err(Code::SchemaConflict));
        assert_eq!(check(Some(one), None), Err(Code::SchemaConflict));
    }
}
