//! Whether a reducer takes what its events hand over, and whether the events can happen at all.

use interstice_abi::{
    event::{Event, RowEvent, TableRef},
    period::PERIOD_MS_MAX,
    schema::{ModuleSchema, ReducerSchema, TableSchema},
    types::{ColumnType, TypeKind, TypeSet},
};

use super::{check, shape};

/// Checks the events of a reducer.
pub(super) fn check(reducer: &ReducerSchema, schema: &ModuleSchema) -> Result<(), String> {
    let periods = reducer.events.iter();
    let periods = periods.filter(|event| matches!(event, Event::Every { .. }));
    if periods.count() > 1 {
        return Err("it has two periods; keep one `every`".to_string());
    }
    for event in &reducer.events {
        if let Some(authority) = event.authority()
            && !schema.authorities.contains(&authority)
        {
            return Err(format!(
                "`{event}` needs the authority {authority:?}; add it to `interstice_module!(authorities: […])`"
            ));
        }
        one(event, reducer, schema)?;
    }
    Ok(())
}

fn one(event: &Event, reducer: &ReducerSchema, schema: &ModuleSchema) -> Result<(), String> {
    let types: Vec<&ColumnType> = reducer.arguments.iter().map(|field| &field.ty).collect();
    let frames = ColumnType::Vec(Box::new(ColumnType::Vec(Box::new(ColumnType::F32))));
    let (fits, expected) = match event {
        Event::Init | Event::Load | Event::Sync { .. } | Event::Render | Event::AudioOutput => {
            (types.is_empty(), "nothing")
        }
        Event::Every { period_ms, .. } => {
            if !(1..=PERIOD_MS_MAX).contains(period_ms) {
                return Err(format!(
                    "a period of {period_ms} ms is not possible; the shortest is 1 ms, the longest 100 years"
                ));
            }
            (types.is_empty(), "nothing")
        }
        Event::Gap { table } => {
            if table.module.is_none() || table.node.is_some() {
                return Err(format!(
                    "`{event}` never happens; name a table of another module of this node: `<module>.<table>.gap`"
                ));
            }
            find_table(table, schema)?;
            (types == [&ColumnType::U64], "`first_turn: u64`")
        }
        // Whatever runs it says what it hands over.
        Event::Private => return Ok(()),
        Event::Connect | Event::Disconnect => (types == [&ColumnType::String], "`node_id: String`"),
        Event::AudioInput => (
            types == [&ColumnType::U64, &frames],
            "`stream_id: u64, frames: Vec<Vec<f32>>`",
        ),
        Event::Input => (named(&types), "an `InputEvent`"),
        Event::Network => (named(&types), "a `NetworkEvent`"),
        Event::File { .. } => (named(&types), "a `FileEvent`"),
        Event::ModuleLoad | Event::ModuleRemove => (named(&types), "a `ModuleEvent`"),
        Event::Row { table, event } => {
            let (rows, expected) = match event {
                RowEvent::Insert | RowEvent::Delete => (1, "the row"),
                RowEvent::Update => (2, "the old row and the new row"),
            };
            let (known, known_types) = find_table(table, schema)?;
            let fits = types.len() == rows
                && types
                    .iter()
                    .all(|ty| is_row(ty, &schema.types, known, known_types));
            (fits, expected)
        }
        Event::Call { module, reducer } => {
            let known = check::dependency(schema, None, module).ok_or_else(|| unknown(event))?;
            let called = known
                .reducers
                .iter()
                .find(|called| called.name == *reducer)
                .ok_or_else(|| unknown(event))?;
            let fits = shape::same_list(
                shape::types_of(&called.arguments),
                &known.types,
                types.iter().copied(),
                &schema.types,
            );
            (fits, "the arguments of that reducer")
        }
    };
    if let Event::Sync { table } = event
        && !schema.replicated_tables.contains(table)
    {
        return Err(format!(
            "`{event}` never happens: add `{table}` to `interstice_module!(replicated_tables: […])`"
        ));
    }
    // What an authority hands over may be left aside.
    if fits || (types.is_empty() && event.authority().is_some()) {
        Ok(())
    } else {
        Err(format!(
            "`{event}` hands over {expected}; take that and nothing else"
        ))
    }
}

fn named(types: &[&ColumnType]) -> bool {
    matches!(types, [ColumnType::Named(_)])
}

fn unknown(event: &Event) -> String {
    format!("`{event}` names something that neither this module nor its bindings have")
}

fn find_table<'a>(
    table: &TableRef,
    schema: &'a ModuleSchema,
) -> Result<(&'a TableSchema, &'a TypeSet), String> {
    let found = match &table.module {
        None => schema
            .table(&table.table)
            .map(|(_, known)| (known, &schema.types)),
        Some(module) => {
            check::dependency(schema, table.node.as_deref(), module).and_then(|dependency| {
                let known = dependency
                    .tables
                    .iter()
                    .find(|known| known.name == table.table)?;
                Some((known, &dependency.types))
            })
        }
    };
    found.ok_or_else(|| {
        format!(
            "`{}` is no table of this module or its bindings",
            table.to_string().escape_debug()
        )
    })
}

/// Whether `ty` is a struct with the columns of `table`.
fn is_row(ty: &ColumnType, types: &TypeSet, table: &TableSchema, table_types: &TypeSet) -> bool {
    let ColumnType::Named(name) = ty else {
        return false;
    };
    let Some(TypeKind::Struct(fields)) = types.types.get(name).map(|known| &known.kind) else {
        return false;
    };
    let fields: Vec<&ColumnType> = fields.types().collect();
    shape::same_list(
        fields.into_iter(),
        types,
        shape::types_of(&table.fields),
        table_types,
    )
}
