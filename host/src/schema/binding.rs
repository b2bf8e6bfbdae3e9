//! What others rely on: bindings made from an earlier look at a module, and pending timers.

use interstice_abi::{
    failure::{Code, Failure},
    id::ModuleName,
    schema::{
        Dependency, IndexSchema, ModuleSchema, QuerySchema, ReducerSchema, TableSchema, Visibility,
    },
    types::Field,
};

use super::shape;
use crate::table::Timer;

/// Checks that `provider` has all that the binding `dependency` relies on, with the same shape: a version that
/// satisfies it, and its tables, reducers and queries.
///
/// # Errors
/// `SchemaConflict` with the first thing that is missing or different, and how to get it.
pub fn check_binding(dependency: &Dependency, provider: &ModuleSchema) -> Result<(), Failure> {
    let module = &provider.name;
    let conflict = |problem: String| {
        Failure::new(
            Code::SchemaConflict,
            format!(
                "module `{module}` {} does not fit the binding made from {}: {problem}; \
                 run `interstice-cli bindings update` and build again, or deploy a version of `{module}` that fits",
                provider.version, dependency.version
            ),
        )
    };
    if !provider.version.satisfies(dependency.version) {
        let wanted = dependency.version;
        return Err(conflict(format!(
            "version {wanted} or a compatible one is needed"
        )));
    }
    for table in &dependency.tables {
        let problem = match provider.table(&table.name) {
            None => Some("it has no such table".into()),
            Some((_, known)) => table_problem(table, dependency, known, provider),
        };
        if let Some(problem) = problem {
            return Err(conflict(format!("table `{}`: {problem}", table.name)));
        }
    }
    for reducer in &dependency.reducers {
        if let Some(problem) = reducer_problem(reducer, dependency, provider) {
            return Err(conflict(format!("reducer `{}`: {problem}", reducer.name)));
        }
    }
    for query in &dependency.queries {
        if let Some(problem) = query_problem(query, dependency, provider) {
            return Err(conflict(format!("query `{}`: {problem}", query.name)));
        }
    }
    Ok(())
}

/// Checks that a schema that is to replace another still has what `dependents` (the modules that are bound to it, and
/// how) and its pending timers need.
///
/// # Errors
/// `SchemaConflict` naming the dependent or the timer.
pub fn still_needed<'a>(
    new: &ModuleSchema,
    dependents: impl IntoIterator<Item = (&'a ModuleName, &'a Dependency)>,
    timers: &[Timer],
) -> Result<(), Failure> {
    for (dependent, dependency) in dependents {
        check_binding(dependency, new).map_err(|mut failure| {
            failure.message = format!("module `{dependent}` relies on this: {}", failure.message);
            failure
        })?;
    }
    for timer in timers {
        if !timer.of_load && !timer_runs(new, timer) {
            return Err(Failure::new(
                Code::SchemaConflict,
                format!(
                    "timer {} is pending for reducer `{}`, which is not there without arguments; keep it until the timer has fired",
                    timer.id, timer.reducer
                ),
            ));
        }
    }
    Ok(())
}

/// Whether the schema has the reducer that a timer runs.
pub(crate) fn timer_runs(schema: &ModuleSchema, timer: &Timer) -> bool {
    schema
        .reducer(&timer.reducer)
        .is_some_and(|reducer| reducer.arguments.is_empty())
}

fn table_problem(
    wanted: &TableSchema,
    dependency: &Dependency,
    known: &TableSchema,
    provider: &ModuleSchema,
) -> Option<String> {
    if known.visibility != Visibility::Public {
        return Some("it is private".into());
    }
    for (place, column) in wanted.fields.iter().enumerate() {
        match known.fields.get(place) {
            Some(there) if there.name == column.name => {
                if !shape::same(&column.ty, &dependency.types, &there.ty, &provider.types) {
                    return Some(format!(
                        "column `{}` is {} there and {} in the binding, or its type has changed",
                        column.name, there.ty, column.ty
                    ));
                }
            }
            Some(there) => {
                return Some(format!(
                    "column {place} is `{}` there and `{}` in the binding",
                    there.name, column.name
                ));
            }
            None => return Some(format!("column `{}` is gone", column.name)),
        }
    }
    if let Some(added) = known.fields.get(wanted.fields.len()) {
        return Some(format!("column `{}` is not in the binding", added.name));
    }
    if known.primary_key != wanted.primary_key {
        return Some("it has another primary key".into());
    }
    // Scans name an index by its place, so the binding's indexes must come first, in its order.
    let fits = |(place, index): (usize, &IndexSchema)| {
        known.indexes.get(place).is_some_and(|there| {
            there.field == index.field
                && there.kind == index.kind
                && (there.unique || !index.unique)
        })
    };
    if !wanted.indexes.iter().enumerate().all(fits) {
        return Some("its indexes are not those of the binding".into());
    }
    None
}

fn reducer_problem(
    wanted: &ReducerSchema,
    dependency: &Dependency,
    provider: &ModuleSchema,
) -> Option<String> {
    let Some(known) = provider.reducer(&wanted.name) else {
        return Some("it is gone".into());
    };
    if !known.events.is_empty() {
        return Some("it reacts to events and cannot be called".into());
    }
    arguments_problem(&wanted.arguments, dependency, &known.arguments, provider)
}

fn query_problem(
    wanted: &QuerySchema,
    dependency: &Dependency,
    provider: &ModuleSchema,
) -> Option<String> {
    let Some(known) = provider.query(&wanted.name) else {
        return Some("it is gone".into());
    };
    let problem = arguments_problem(&wanted.arguments, dependency, &known.arguments, provider);
    if problem.is_some() {
        return problem;
    }
    let (left, right) = (&dependency.types, &provider.types);
    (!shape::same(&wanted.result, left, &known.result, right)).then(|| {
        format!(
            "it returns {} there and {} in the binding, or that type has changed",
            known.result, wanted.result
        )
    })
}

/// Arguments travel by place: two of one type that have changed places would be taken for each
/// other. Another name in the same place is no harm.
fn arguments_problem(
    wanted: &[Field],
    dependency: &Dependency,
    known: &[Field],
    provider: &ModuleSchema,
) -> Option<String> {
    let same = shape::same_list(
        shape::types_of(wanted),
        &dependency.types,
        shape::types_of(known),
        &provider.types,
    );
    if !same {
        return Some("it takes other arguments".into());
    }
    let moved = wanted.iter().zip(known).find(|(field, there)| {
        // Arguments that the module does not use are called `_`.
        field.name != there.name
            && field.name != "_"
            && known.iter().any(|other| other.name == field.name)
    });
    moved.map(|(field, _)| format!("its argument `{}` stands in another place", field.name))
}
