//! What others rely on: bindings made from an earlier look at a module, and pending timers.

use interstice_abi::{
    event::Event,
    failure::{Code, Failure},
    schema::{
        Dependency, IndexSchema, ModuleSchema, QuerySchema, ReducerSchema, TableSchema, Visibility,
    },
    types::{Field, TypeSet},
};

use super::{
    shape::{self, Rule},
    view::with_defaults,
};
use crate::table::{Repeat, Timer};

/// Checks that `provider` has all that the binding `dependency` of `holder` relies on: a version
/// that satisfies it, and its tables, reducers and queries, as they were or grown in a way that a
/// [`View`](super::View) bridges.
///
/// # Errors
/// `SchemaConflict` with the first thing that is missing or does not fit, and how to get it.
pub fn check_binding(
    holder: &ModuleSchema,
    dependency: &Dependency,
    provider: &ModuleSchema,
) -> Result<(), Failure> {
    let module = &provider.name;
    let with_defaults = with_defaults(provider);
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
        if let Some(problem) =
            reducer_problem(holder, reducer, dependency, provider, &with_defaults)
        {
            return Err(conflict(format!("reducer `{}`: {problem}", reducer.name)));
        }
    }
    for query in &dependency.queries {
        if let Some(problem) = query_problem(query, dependency, provider, &with_defaults) {
            return Err(conflict(format!("query `{}`: {problem}", query.name)));
        }
    }
    Ok(())
}

/// Checks that a schema that is to replace `old` still has what `dependents` (the modules that
/// are bound to it, and how) and its pending timers need.
///
/// # Errors
/// `SchemaConflict` naming the dependent or the timer.
pub fn still_needed<'a>(
    old: &ModuleSchema,
    new: &ModuleSchema,
    dependents: impl IntoIterator<Item = (&'a ModuleSchema, &'a Dependency)>,
    timers: &[Timer],
) -> Result<(), Failure> {
    for (dependent, dependency) in dependents {
        check_binding(dependent, dependency, new).map_err(|mut failure| {
            failure.message = format!(
                "module `{}` relies on this: {}",
                dependent.name, failure.message
            );
            failure
        })?;
    }
    for timer in timers {
        if timer.lacks_reducer(old, new) {
            return Err(Failure::new(
                Code::SchemaConflict,
                format!(
                    "timer {} is pending for reducer `{}`, which is not there with the same arguments; keep it until the timer has fired",
                    timer.id, timer.reducer
                ),
            ));
        }
    }
    Ok(())
}

/// Whether the schema `new` has the reducer that a timer of `old` runs, with the same arguments.
/// One that the schema sets runs with the same period only.
pub(crate) fn timer_runs(old: &ModuleSchema, new: &ModuleSchema, timer: &Timer) -> bool {
    let Some(known) = new.reducer(&timer.reducer) else {
        return false;
    };
    if let Repeat::OfSchema(period_ms) = timer.repeat {
        return known.period_ms() == Some(period_ms);
    }
    match old.reducer(&timer.reducer) {
        Some(was) => shape::same_list(
            shape::types_of(&was.arguments),
            &old.types,
            shape::types_of(&known.arguments),
            &new.types,
        ),
        None => known.arguments.is_empty(),
    }
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
                let (seen, known) = (&there.ty, &column.ty);
                if !shape::fits(Rule::Seen, seen, &provider.types, known, &dependency.types) {
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
    if known.primary_key != wanted.primary_key {
        return Some("it has another primary key".into());
    }
    let fits = |index: &&IndexSchema| {
        known.indexes.iter().any(|there| {
            there.field == index.field
                && there.kind == index.kind
                && (there.unique || !index.unique)
        })
    };
    let missing = wanted.indexes.iter().find(|index| !fits(index))?;
    let column = wanted.fields.get(usize::from(missing.field));
    Some(format!(
        "its index on `{}` is gone or another",
        column.map_or("", |column| &column.name)
    ))
}

fn reducer_problem(
    holder: &ModuleSchema,
    wanted: &ReducerSchema,
    dependency: &Dependency,
    provider: &ModuleSchema,
    with_defaults: &TypeSet,
) -> Option<String> {
    let Some(known) = provider.reducer(&wanted.name) else {
        return Some("it is gone".into());
    };
    if !known.is_callable() {
        return Some(format!("it {}", known.why_not_callable()));
    }
    let (ours, theirs) = (&wanted.arguments, &known.arguments);
    let problem = arguments_problem(ours, dependency, theirs, with_defaults);
    if problem.is_some() {
        return problem;
    }
    let call = Event::Call {
        module: dependency.module.clone(),
        reducer: wanted.name.clone(),
    };
    let reacts = |reducer: &ReducerSchema| reducer.events.contains(&call);
    let reported = shape::list_fits(
        Rule::Seen,
        shape::types_of(theirs),
        &provider.types,
        shape::types_of(ours),
        &dependency.types,
    );
    (!reported && holder.reducers.iter().any(reacts))
        .then(|| "calls of it are reported with other arguments".into())
}

fn query_problem(
    wanted: &QuerySchema,
    dependency: &Dependency,
    provider: &ModuleSchema,
    with_defaults: &TypeSet,
) -> Option<String> {
    let Some(known) = provider.query(&wanted.name) else {
        return Some("it is gone".into());
    };
    let (ours, theirs) = (&wanted.arguments, &known.arguments);
    let problem = arguments_problem(ours, dependency, theirs, with_defaults);
    if problem.is_some() {
        return problem;
    }
    let (reader, types) = (&dependency.types, &provider.types);
    (!shape::fits(Rule::Seen, &known.result, types, &wanted.result, reader)).then(|| {
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
    with_defaults: &TypeSet,
) -> Option<String> {
    let taken = shape::list_fits(
        Rule::Given,
        shape::types_of(wanted),
        &dependency.types,
        shape::types_of(known),
        with_defaults,
    );
    if !taken {
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
