//! A record against the record that its step made when it ran again: the first thing that differs.

use interstice_abi::id::ModuleName;
use interstice_host::{
    module::Effect,
    table::{Change, Counter},
};

use super::{RowDifference, What, slot::Slot};
use crate::{
    record::{Answer, Outcome, Ran, Start, StartArguments, StepRecord},
    supervisor::catalogue::Catalogue,
};

/// The first thing in which the records differ; what ran and how it ended first, since all else
/// follows from that.
pub(super) fn compare(
    catalogue: &Catalogue<Slot>,
    recorded: &StepRecord,
    replayed: &StepRecord,
) -> Option<What> {
    // Nothing was asked in a step that was not run again.
    let asked: &[Answer] = if recorded.outcome.runs_again() {
        &replayed.answers
    } else {
        &recorded.answers
    };
    other("what ran", &recorded.ran, &replayed.ran, |ran| {
        ran_text(ran.as_ref())
    })
    .or_else(|| {
        first(
            &recorded.answers,
            asked,
            "a question to another node",
            question,
        )
    })
    .or_else(|| other("the outcome", &recorded.outcome, &replayed.outcome, outcome))
    .or_else(|| effects(catalogue, &recorded.effects, &replayed.effects))
    .or_else(|| first(&recorded.counters, &replayed.counters, "a counter", counter))
    .or_else(|| first(&recorded.starts, &replayed.starts, "a reaction", start))
    .or_else(|| {
        let dropped = "the number of dropped reactions";
        other(
            dropped,
            &recorded.dropped,
            &replayed.dropped,
            u32::to_string,
        )
    })
}

fn other<T: PartialEq>(
    name: &'static str,
    recorded: &T,
    replayed: &T,
    text: impl Fn(&T) -> String,
) -> Option<What> {
    (recorded != replayed).then(|| What::Other {
        name,
        recorded: text(recorded),
        replayed: text(replayed),
    })
}

/// The first place at which two lists differ.
fn first<T: PartialEq>(
    recorded: &[T],
    replayed: &[T],
    name: &'static str,
    text: impl Fn(&T) -> String,
) -> Option<What> {
    let (recorded, replayed) = first_place(recorded, replayed)?;
    let say = |item: Option<&T>| item.map_or_else(|| "nothing".to_string(), &text);
    Some(What::Other {
        name,
        recorded: say(recorded),
        replayed: say(replayed),
    })
}

fn first_place<'a, T: PartialEq>(
    recorded: &'a [T],
    replayed: &'a [T],
) -> Option<(Option<&'a T>, Option<&'a T>)> {
    (0..recorded.len().max(replayed.len()))
        .map(|place| (recorded.get(place), replayed.get(place)))
        .find(|(recorded, replayed)| recorded != replayed)
}

fn effects(catalogue: &Catalogue<Slot>, recorded: &[Effect], replayed: &[Effect]) -> Option<What> {
    let (recorded, replayed) = first_place(recorded, replayed)?;
    let place = |effect: Option<&Effect>| match effect {
        Some(Effect::Change { module, change }) => Some((module.clone(), change.table)),
        _ => None,
    };
    let row = place(recorded)
        .or_else(|| place(replayed))
        .and_then(|(module, table)| {
            let of_this = |effect: Option<&Effect>| -> Option<Change> {
                match effect {
                    Some(Effect::Change { module: of, change })
                        if *of == module && change.table == table =>
                    {
                        Some(change.clone())
                    }
                    _ => None,
                }
            };
            let entry = catalogue.entry(catalogue.index_of(&module)?)?;
            Some(RowDifference {
                schema: entry.installed.schema.clone(),
                table,
                recorded: of_this(recorded),
                replayed: of_this(replayed),
            })
        });
    Some(match row {
        Some(row) => What::Row(Box::new(row)),
        None => What::Other {
            name: "an effect",
            recorded: effect_text(recorded),
            replayed: effect_text(replayed),
        },
    })
}

fn effect_text(effect: Option<&Effect>) -> String {
    match effect {
        None => "nothing".to_string(),
        Some(Effect::Change { module, .. }) => format!("a change in module `{module}`"),
        Some(Effect::Called {
            module, reducer, ..
        }) => format!("a call of reducer `{reducer}` of module `{module}`"),
    }
}

fn ran_text(ran: Option<&Ran>) -> String {
    ran.map_or_else(
        || "the node itself".to_string(),
        |ran| format!("reducer `{}` of module `{}`", ran.reducer, ran.module),
    )
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Committed => "committed".to_string(),
        Outcome::Failed(failure) => format!("failed with {:?}: {failure}", failure.code),
    }
}

fn question(answer: &Answer) -> String {
    let hash = blake3::Hash::from_bytes(answer.question).to_hex();
    format!("question {}", hash.get(..16).unwrap_or_default())
}

fn counter((module, counter): &(ModuleName, Counter)) -> String {
    format!(
        "{} in field {} of table {} of module `{module}`",
        counter.value, counter.field, counter.table
    )
}

fn start(start: &Start) -> String {
    let arguments = match &start.arguments {
        StartArguments::Effect(place) => format!("for effect {place}"),
        StartArguments::Inline(bytes) => format!("with {} bytes of its own", bytes.len()),
    };
    format!(
        "reducer `{}` of module `{}` {arguments}",
        start.reducer, start.module
    )
}
