//! A step's record as it stands in the log: names that are the step's own are left out, because
//! they are most of a small record.
//!
//! The reducer of a step is left out where it is the one that the input calls, and the module of
//! an effect or counter where it is the step's. Arguments of a start that are those of the start
//! before it are left out, too.

use std::sync::Arc;

use interstice_abi::id::{ModuleName, Seq, StepIndex};
use interstice_host::{
    module::Effect,
    table::{Change, Counter},
};
use serde::{Deserialize, Serialize, Serializer};

use super::{Answer, Input, Outcome, Ran, Start, StartArguments, StepRecord};

/// [`StepRecord`], to be written.
#[derive(Serialize)]
struct Borrowed<'a> {
    seq: Seq,
    step: StepIndex,
    timestamp_ms: u64,
    input: &'a Option<Input>,
    ran: BorrowedRan<'a>,
    outcome: &'a Outcome,
    #[serde(serialize_with = "effects")]
    effects: (Own<'a>, &'a [Effect]),
    #[serde(serialize_with = "counters")]
    counters: (Own<'a>, &'a [(ModuleName, Counter)]),
    #[serde(serialize_with = "starts")]
    starts: &'a [Start],
    dropped: u32,
    answers: &'a [Answer],
    renewed: &'a [ModuleName],
}

/// The module of a step.
type Own<'a> = Option<&'a ModuleName>;

/// [`Ran`], to be written.
#[derive(Serialize)]
enum BorrowedRan<'a> {
    Nothing,
    AsCalled,
    Reducer(&'a ModuleName, &'a str),
}

/// [`Effect`], to be written. `None` is the step's module.
#[derive(Serialize)]
enum BorrowedEffect<'a> {
    Change(Option<&'a ModuleName>, &'a Change),
    Called(Option<&'a ModuleName>, &'a str, &'a [u8]),
}

/// [`Start`], to be written.
#[derive(Serialize)]
struct BorrowedStart<'a> {
    module: &'a ModuleName,
    reducer: &'a str,
    arguments: BorrowedArguments<'a>,
    of_load: bool,
    is_load: bool,
}

/// [`StartArguments`], to be written.
#[derive(Serialize)]
enum BorrowedArguments<'a> {
    Effect(u32),
    Inline(#[serde(with = "interstice_abi::wire::bytes")] &'a [u8]),
    /// Those of the start before.
    Same,
}

/// [`StepRecord`] as it was read.
#[derive(Deserialize)]
pub(super) struct Owned {
    seq: Seq,
    step: StepIndex,
    timestamp_ms: u64,
    input: Option<Input>,
    ran: OwnedRan,
    outcome: Outcome,
    effects: Vec<OwnedEffect>,
    counters: Vec<(Option<ModuleName>, Counter)>,
    starts: Vec<OwnedStart>,
    dropped: u32,
    answers: Vec<Answer>,
    renewed: Vec<ModuleName>,
}

#[derive(Deserialize)]
struct OwnedStart {
    module: ModuleName,
    reducer: Arc<str>,
    arguments: OwnedArguments,
    of_load: bool,
    is_load: bool,
}

#[derive(Deserialize)]
enum OwnedArguments {
    Effect(u32),
    Inline(#[serde(with = "super::shared_bytes")] Arc<[u8]>),
    Same,
}

#[derive(Deserialize)]
enum OwnedRan {
    Nothing,
    AsCalled,
    Reducer(ModuleName, Arc<str>),
}

#[derive(Deserialize)]
enum OwnedEffect {
    Change(Option<ModuleName>, Change),
    Called(
        Option<ModuleName>,
        String,
        #[serde(with = "super::shared_bytes")] Arc<[u8]>,
    ),
}

impl Serialize for StepRecord {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let own = self.ran.as_ref().map(|ran| &ran.module);
        let ran = match (&self.ran, &self.input) {
            (None, _) => BorrowedRan::Nothing,
            (
                Some(ran),
                Some(Input::Call {
                    module, reducer, ..
                }),
            ) if ran.module == *module && ran.reducer == *reducer => BorrowedRan::AsCalled,
            (Some(ran), _) => BorrowedRan::Reducer(&ran.module, &ran.reducer),
        };
        let stored = Borrowed {
            seq: self.seq,
            step: self.step,
            timestamp_ms: self.timestamp_ms,
            input: &self.input,
            ran,
            outcome: &self.outcome,
            effects: (own, &self.effects),
            counters: (own, &self.counters),
            starts: &self.starts,
            dropped: self.dropped,
            answers: &self.answers,
            renewed: &self.renewed,
        };
        stored.serialize(to)
    }
}

/// `module`, unless it is the step's.
fn other<'a>(own: Own<'_>, module: &'a ModuleName) -> Option<&'a ModuleName> {
    (own != Some(module)).then_some(module)
}

fn effects<S: Serializer>((own, effects): &(Own<'_>, &[Effect]), to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(effects.iter().map(|effect| match effect {
        Effect::Change { module, change } => BorrowedEffect::Change(other(*own, module), change),
        Effect::Called {
            module,
            reducer,
            arguments,
        } => BorrowedEffect::Called(other(*own, module), reducer, arguments),
    }))
}

fn starts<S: Serializer>(starts: &[Start], to: S) -> Result<S::Ok, S::Error> {
    let mut before: Option<&[u8]> = None;
    to.collect_seq(starts.iter().map(|start| {
        let arguments = match &start.arguments {
            StartArguments::Effect(place) => BorrowedArguments::Effect(*place),
            StartArguments::Inline(bytes) if before == Some(bytes) => BorrowedArguments::Same,
            StartArguments::Inline(bytes) => BorrowedArguments::Inline(bytes),
        };
        before = match &start.arguments {
            StartArguments::Effect(_) => None,
            StartArguments::Inline(bytes) => Some(bytes),
        };
        BorrowedStart {
            module: &start.module,
            reducer: &start.reducer,
            arguments,
            of_load: start.of_load,
            is_load: start.is_load,
        }
    }))
}

/// The starts of a record that was read.
fn read_starts(stored: Vec<OwnedStart>) -> Result<Vec<Start>, &'static str> {
    let mut starts: Vec<Start> = Vec::with_capacity(stored.len());
    for start in stored {
        let arguments = match (start.arguments, starts.last()) {
            (OwnedArguments::Effect(place), _) => StartArguments::Effect(place),
            (OwnedArguments::Inline(bytes), _) => StartArguments::Inline(bytes),
            (OwnedArguments::Same, Some(before)) => before.arguments.clone(),
            (OwnedArguments::Same, None) => {
                return Err("the first start has the arguments of one before it");
            }
        };
        starts.push(Start {
            module: start.module,
            reducer: start.reducer,
            arguments,
            of_load: start.of_load,
            is_load: start.is_load,
        });
    }
    Ok(starts)
}

fn counters<S: Serializer>(
    (own, counters): &(Own<'_>, &[(ModuleName, Counter)]),
    to: S,
) -> Result<S::Ok, S::Error> {
    let each = counters.iter();
    to.collect_seq(each.map(|(module, counter)| (other(*own, module), counter)))
}

impl TryFrom<Owned> for StepRecord {
    type Error = &'static str;

    fn try_from(stored: Owned) -> Result<Self, Self::Error> {
        let ran = match (stored.ran, &stored.input) {
            (OwnedRan::Nothing, _) => None,
            (OwnedRan::Reducer(module, reducer), _) => Some(Ran { module, reducer }),
            (
                OwnedRan::AsCalled,
                Some(Input::Call {
                    module, reducer, ..
                }),
            ) => Some(Ran {
                module: module.clone(),
                reducer: reducer.clone(),
            }),
            (OwnedRan::AsCalled, _) => return Err("a step ran what its input does not call"),
        };
        let of = |module: Option<ModuleName>| -> Result<ModuleName, Self::Error> {
            let own = || ran.as_ref().map(|ran| ran.module.clone());
            module
                .or_else(own)
                .ok_or("a step without a module has effects in it")
        };
        let effect = |effect| -> Result<Effect, Self::Error> {
            Ok(match effect {
                OwnedEffect::Change(module, change) => Effect::Change {
                    module: of(module)?,
                    change,
                },
                OwnedEffect::Called(module, reducer, arguments) => Effect::Called {
                    module: of(module)?,
                    reducer,
                    arguments,
                },
            })
        };
        let effects = stored.effects.into_iter().map(effect);
        let counters = stored.counters.into_iter();
        let counters = counters.map(|(module, counter)| of(module).map(|module| (module, counter)));
        Ok(Self {
            seq: stored.seq,
            step: stored.step,
            timestamp_ms: stored.timestamp_ms,
            outcome: stored.outcome,
            effects: effects.collect::<Result<_, Self::Error>>()?,
            counters: counters.collect::<Result<_, Self::Error>>()?,
            starts: read_starts(stored.starts)?,
            dropped: stored.dropped,
            answers: stored.answers,
            renewed: stored.renewed,
            input: stored.input,
            ran,
        })
    }
}

#[cfg(test)]
mod tests {
    use interstice_abi::id::{NodeId, TableId};

    use super::*;
    use crate::record::Record;

    fn name(text: &str) -> ModuleName {
        ModuleName::new(text).expect("a name")
    }

    /// A step of `accounts` that was called, unless `input` or `ran` says something else.
    fn record(input: Option<Input>, ran: Option<Ran>) -> StepRecord {
        let change = Change {
            table: TableId(1),
            key: [1].as_slice().into(),
            before: None,
            after: Some(vec![1, 2].into()),
        };
        let counter = Counter {
            table: TableId(1),
            field: 0,
            value: 7,
        };
        let modules = ["accounts", "audit"].map(name);
        StepRecord {
            seq: Seq(7),
            step: StepIndex(0),
            timestamp_ms: 1,
            input,
            ran,
            outcome: Outcome::Committed,
            effects: modules
                .iter()
                .flat_map(|module| {
                    let called = Effect::Called {
                        module: module.clone(),
                        reducer: "pay".to_string(),
                        arguments: [3].into(),
                    };
                    let change = Effect::Change {
                        module: module.clone(),
                        change: change.clone(),
                    };
                    [called, change]
                })
                .collect(),
            counters: modules.map(|module| (module, counter)).to_vec(),
            starts: Vec::new(),
            dropped: 0,
            answers: Vec::new(),
            renewed: Vec::new(),
        }
    }

    fn call() -> Input {
        Input::Call {
            caller: NodeId::from("x"),
            caller_is_owner: false,
            module: name("accounts"),
            reducer: "pay".into(),
            arguments: vec![1, 2].into(),
        }
    }

    fn ran(module: &str, reducer: &str) -> Option<Ran> {
        Some(Ran {
            module: name(module),
            reducer: reducer.into(),
        })
    }

    #[test]
    fn names_that_are_left_out_come_back() {
        let cases = [
            (Some(call()), ran("accounts", "pay"), 1),
            (Some(call()), ran("accounts", "take"), 2),
            (Some(call()), ran("audit", "pay"), 4),
            (Some(call()), None, 4),
            (None, ran("accounts", "pay"), 1),
            (None, None, 3),
        ];
        for (input, ran, times) in cases {
            let record = Record::Step(Box::new(record(input, ran)));
            let bytes = record.encode().expect("encodes");
            assert_eq!(Record::decode(&bytes), Ok(record));
            let found = bytes.windows(8).filter(|part| part == b"accounts").count();
            assert_eq!(found, times);
        }
    }

    #[test]
    fn a_record_that_leaves_out_a_name_that_nobody_knows_is_refused() {
        let own = postcard::to_allocvec(&record(None, ran("accounts", "pay"))).expect("encodes");
        let ran = postcard::to_allocvec(&("accounts", "pay")).expect("encodes");
        let place = own
            .windows(ran.len())
            .position(|part| part == ran)
            .expect("it is there");
        for how in [0, 1] {
            let mut forged = own.clone();
            forged.splice(place - 1..place + ran.len(), [how]);
            assert!(postcard::from_bytes::<StepRecord>(&forged).is_err());
        }
    }
}
