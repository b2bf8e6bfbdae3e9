//! What the log holds: one [`Record`] per step, in postcard, and the [`Input`] that a turn began
//! with.
//!
//! A record reaches the log before anything that its step causes leaves the step's actor. `seq`
//! and `step` order the records of one module; records of modules that do not touch each other
//! stand in the order in which they were appended. Changes of ephemeral tables are not recorded;
//! their steps are. `starts` lists what the step appends to its turn's first-in first-out list of
//! steps, so that recovery can finish a turn that a crash cut off.

pub(crate) mod limits;
mod stored;

use std::sync::Arc;

pub(crate) use self::limits::NamedLimits;
use interstice_abi::{
    failure::{Code, Failure},
    id::{Epoch, ModuleName, NodeId, Position, Seq, StepIndex, TableId, TimerId},
    schema::Version,
    wire::{GrantChange, GrantTarget, OnConflict},
};
use interstice_host::{
    limits::Limits,
    module::Effect,
    packed::{pack, unpack},
    table::Counter,
};
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use crate::module::turn::pending::Arguments;

/// The format of records; a log of another format is refused.
pub(crate) const RECORD_FORMAT: u8 = 3;

/// The same, of a record that is packed ([`interstice_host::packed`]).
const RECORD_FORMAT_PACKED: u8 = RECORD_FORMAT | 0x80;

/// A record from this length on is packed: a step that writes thousands of rows keeps others
/// waiting for the log, and packing a small one saves nothing.
const PACKED_FROM: usize = 4096;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// A step has run.
    Step(Box<StepRecord>),
    /// What [`Record::Restarted`] says, as older nodes wrote it.
    Restart {
        /// The epoch from here on.
        epoch: Epoch,
        /// The limits from here on.
        #[serde(with = "limits::first")]
        limits: Limits,
    },
    /// A base is taken: every module renews its instance between its last step of a turn up to
    /// `seq` and its first step of a later one. Every record of a later turn stands behind this
    /// one.
    Base {
        /// The last turn that the base holds.
        seq: Seq,
    },
    /// The node was started: instances are fresh, ephemeral tables empty. Followed by the ends of
    /// half-done turns.
    Restarted {
        /// The epoch from here on.
        epoch: Epoch,
        /// The limits from here on: they decide how steps end, so replay needs them.
        limits: NamedLimits,
    },
}

/// One step. What stands in the log is `stored`'s to say.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "stored::Owned")]
pub(crate) struct StepRecord {
    /// The turn.
    pub(crate) seq: Seq,
    /// The step inside the turn.
    pub(crate) step: StepIndex,
    /// The turn's frozen time, in milliseconds since 1970.
    pub(crate) timestamp_ms: u64,
    /// Where the turn came from: step 0 only.
    pub(crate) input: Option<Input>,
    /// What ran: `None` where the step is the node's own.
    pub(crate) ran: Option<Ran>,
    /// How it ended. A failed step has no effects but a fired timer's removal.
    pub(crate) outcome: Outcome,
    /// Changes and calls in the order made.
    pub(crate) effects: Vec<Effect>,
    /// The `auto_inc` counters that moved, with their values.
    pub(crate) counters: Vec<(ModuleName, Counter)>,
    /// What it appends to the turn's steps.
    pub(crate) starts: Vec<Start>,
    /// How many of its reactions were dropped because the turn's budget was spent.
    pub(crate) dropped: u32,
    /// What it was answered from outside the node, in the order in which it asked: replay answers
    /// the same.
    pub(crate) answers: Vec<Answer>,
    /// Where a limit ended the step, which replay does not run again: the modules besides its own
    /// that had run in it, and whose instances were renewed.
    pub(crate) renewed: Vec<ModuleName>,
}

/// What came back from another node during a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// BLAKE3 of the question's encoding, so that replay notices when another one is asked.
    pub(crate) question: [u8; 32],
    /// The result's bytes, or why there is none.
    pub(crate) result: Result<Vec<u8>, Failure>,
}

/// The reducer of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ran {
    /// Its module.
    pub(crate) module: ModuleName,
    /// Its name.
    pub(crate) reducer: Arc<str>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Its changes hold.
    Committed,
    /// It is undone.
    Failed(Failure),
}

/// A step that is to run later in the same turn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Start {
    /// The subscriber's module.
    pub(crate) module: ModuleName,
    /// The subscriber.
    pub(crate) reducer: Arc<str>,
    /// What it is handed.
    pub(crate) arguments: StartArguments,
    /// Whether the step belongs to a load of its module.
    pub(crate) of_load: bool,
    /// Whether the step is the load itself, which a restart replaces by a fresh one.
    pub(crate) is_load: bool,
}

/// Where a started step's arguments stand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StartArguments {
    /// In the effect at this place of the same record: a change's rows, a call's arguments.
    Effect(u32),
    /// Here, because the effect is not recorded (ephemeral tables) or there is none. Those of
    /// starts for one change are shared, and stand in the log once.
    Inline(Arc<[u8]>),
}

/// Something from outside the deterministic world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Input {
    /// A client or another node calls a reducer.
    Call {
        /// Who.
        caller: NodeId,
        /// Whether the caller is an owner of the node.
        caller_is_owner: bool,
        /// The module.
        module: ModuleName,
        /// The reducer.
        reducer: Arc<str>,
        /// The encoded arguments.
        #[serde(with = "shared_bytes")]
        arguments: Arc<[u8]>,
    },
    /// A timer is due.
    Timer {
        /// Whose.
        module: ModuleName,
        /// Which.
        timer: TimerId,
    },
    /// A module comes, or takes the place of its older self.
    Install {
        /// Its name.
        module: ModuleName,
        /// Its version.
        version: Version,
        /// BLAKE3 of its binary, under which the binary is stored.
        hash: [u8; 32],
        /// What happens to tables that do not fit.
        on_conflict: OnConflict,
    },
    /// A module's instance begins.
    Load {
        /// Which.
        module: ModuleName,
    },
    /// An owner stops a module.
    Unload {
        /// Which.
        module: ModuleName,
    },
    /// A module failed again and again.
    Quarantine {
        /// Which.
        module: ModuleName,
        /// Its last fault.
        reason: String,
    },
    /// A module and its data go.
    Remove {
        /// Which.
        module: ModuleName,
    },
    /// A grant is given or taken back.
    Grant {
        /// The holder.
        module: ModuleName,
        /// What it is about.
        target: GrantTarget,
        /// The direction.
        change: GrantChange,
    },
    /// A node or client has connected.
    Connect {
        /// Its id.
        node: NodeId,
    },
    /// A node or client has gone.
    Disconnect {
        /// Its id.
        node: NodeId,
    },
    /// The node has started; connections that were open are gone.
    NodeStart {
        /// Whose connections were open.
        disconnected: Vec<NodeId>,
    },
    /// Data that an upgrade drops go, before the upgrade.
    Drop {
        /// Whose.
        module: ModuleName,
        /// Which.
        what: Dropping,
    },
    /// Several modules come or take the place of their older selves, together. None of them runs
    /// `init`.
    InstallAll {
        /// Which, those first that others need.
        modules: Vec<Installing>,
    },
    /// An owner ends a pending timer.
    CancelTimer {
        /// Who.
        caller: NodeId,
        /// Whose timer.
        module: ModuleName,
        /// Which.
        timer: TimerId,
    },
    /// The node has started, as far as these modules are concerned; connections that were open
    /// are gone. Older nodes wrote one [`Input::NodeStart`] for all modules.
    ModulesStart {
        /// Which, those first that others need.
        modules: Vec<ModuleName>,
        /// Whose connections were open.
        disconnected: Vec<NodeId>,
    },
    /// Modules that were stopped are to run again. They hear of what they have missed, turn by
    /// turn, and serve from their load on. Until then no live change of another module's table
    /// reaches them.
    CatchUp {
        /// Those.
        modules: Vec<ModuleName>,
        /// What comes or is upgraded with that, those first that others need.
        installs: Vec<Installing>,
    },
    /// A module that catches up hears of a change that it has missed, or that earlier ones are no
    /// longer kept.
    Missed {
        /// The module.
        module: ModuleName,
        /// Its reducer.
        reducer: Arc<str>,
        /// Where the change stands; for changes that are not kept, the end of the last such turn.
        /// What comes before, by position and reducer, the module has heard of.
        position: Position,
        /// The encoded arguments, as the module was compiled to read them.
        #[serde(with = "shared_bytes")]
        arguments: Arc<[u8]>,
    },
}

/// Data of a module that go in one turn: the timers, then the rows with the smallest keys of the
/// first table that has any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dropping {
    /// The timers.
    pub(crate) timers: Vec<TimerId>,
    /// The tables, by the schema that the module has at this turn.
    pub(crate) tables: Vec<TableId>,
    /// Most rows.
    pub(crate) rows_max: u64,
    /// The bytes of rows at which it is enough.
    pub(crate) bytes_max: u64,
}

/// A module of a set that is installed together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Installing {
    /// Its name.
    pub(crate) module: ModuleName,
    /// Its version.
    pub(crate) version: Version,
    /// BLAKE3 of its binary, under which the binary is stored.
    pub(crate) hash: [u8; 32],
}

impl Input {
    /// The modules that it installs, with the hashes of their binaries.
    pub(crate) fn installs(&self) -> impl Iterator<Item = (&ModuleName, [u8; 32])> {
        let one = match self {
            Self::Install { module, hash, .. } => Some((module, *hash)),
            _ => None,
        };
        let all: &[Installing] = match self {
            Self::InstallAll { modules }
            | Self::CatchUp {
                installs: modules, ..
            } => modules,
            _ => &[],
        };
        let all = all
            .iter()
            .map(|installing| (&installing.module, installing.hash));
        one.into_iter().chain(all)
    }
}

/// Bytes that a record shares with the step that it is of, in the format of
/// [`interstice_abi::wire::bytes`].
mod shared_bytes {
    use std::sync::Arc;

    use interstice_abi::wire::bytes;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(shared: &[u8], to: S) -> Result<S::Ok, S::Error> {
        bytes::serialize(shared, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<[u8]>, D::Error> {
        bytes::deserialize(from).map(Into::into)
    }
}

impl Record {
    /// The record's bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Failure> {
        let bytes = postcard::to_extend(self, vec![RECORD_FORMAT]).map_err(unencodable)?;
        Ok(packed_when_large(bytes))
    }

    /// Reads a record.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        match bytes.split_first() {
            Some((&RECORD_FORMAT, plain)) => Self::decode_plain(plain),
            Some((&RECORD_FORMAT_PACKED, entry)) => {
                let plain = unpack(entry).ok_or("it does not unpack")?;
                Self::decode_plain(&plain)
            }
            Some((format, _)) => Err(format!(
                "its format is {format}; this program reads format {RECORD_FORMAT}"
            )),
            None => Err("it is empty".to_string()),
        }
    }

    fn decode_plain(plain: &[u8]) -> Result<Self, String> {
        let (record, left) = postcard::take_from_bytes(plain).map_err(|error| error.to_string())?;
        if left.is_empty() {
            Ok(record)
        } else {
            Err(format!("{} bytes follow a record", left.len()))
        }
    }
}

/// A record's bytes, packed where they are many and that makes them fewer.
fn packed_when_large(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < PACKED_FROM {
        return bytes;
    }
    let Some((_, plain)) = bytes.split_first() else {
        return bytes;
    };
    let entry = pack(plain);
    if entry.len() < plain.len() {
        bytes.clear();
        bytes.push(RECORD_FORMAT_PACKED);
        bytes.extend(entry);
    }
    bytes
}

impl Outcome {
    /// Whether a step that ended like this ends like this again. Time, memory and stack differ
    /// from machine to machine, and what broke in the node itself has no cause in the log: such
    /// ends are taken from the record.
    pub(crate) fn runs_again(&self) -> bool {
        match self {
            Self::Committed => true,
            Self::Failed(failure) => !matches!(
                failure.code,
                Code::Deadline
                    | Code::OutOfMemory
                    | Code::StackOverflow
                    | Code::Internal
                    | Code::Unavailable
            ),
        }
    }
}

/// Bytes that are written behind others. Most of a record's values are a single byte, for which
/// nothing is called here.
struct Appended<'a>(&'a mut Vec<u8>);

impl Flavor for Appended<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        match data {
            [byte] => self.0.push(*byte),
            data => self.0.extend_from_slice(data),
        }
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

fn unencodable(error: postcard::Error) -> Failure {
    Failure::internal(format!("a record does not encode: {error}"))
}

impl StepRecord {
    /// Step 0 of an input of the node's own: no guest runs.
    pub(crate) fn of_node(seq: Seq, timestamp_ms: u64, input: Input) -> Self {
        Self {
            seq,
            step: StepIndex(0),
            timestamp_ms,
            input: Some(input),
            ran: None,
            outcome: Outcome::Committed,
            effects: Vec::new(),
            counters: Vec::new(),
            starts: Vec::new(),
            dropped: 0,
            answers: Vec::new(),
            renewed: Vec::new(),
        }
    }

    /// Encodes [`Record::Step`] of this into `bytes`, in place of what is there.
    pub(crate) fn encode_into(&self, bytes: &mut Vec<u8>) -> Result<(), Failure> {
        /// A [`Record`] that is borrowed. Variants are numbered, so this must stay the first, as
        /// it is there.
        #[derive(Serialize)]
        enum Borrowed<'a> {
            Step(&'a StepRecord),
        }

        bytes.clear();
        bytes.push(RECORD_FORMAT);
        postcard::serialize_with_flavor(&Borrowed::Step(self), Appended(bytes))
            .map_err(unencodable)?;
        if bytes.len() >= PACKED_FROM {
            *bytes = packed_when_large(std::mem::take(bytes));
        }
        Ok(())
    }

    /// The effect of this record that a start reacts to.
    pub(crate) fn started_by(&self, start: &Start) -> Option<&Effect> {
        match &start.arguments {
            StartArguments::Inline(_) => None,
            StartArguments::Effect(place) => self.effects.get(usize::try_from(*place).ok()?),
        }
    }

    /// The arguments of the start at `place`.
    pub(crate) fn start_arguments(&self, start: &Start) -> Option<Arguments> {
        match &start.arguments {
            StartArguments::Inline(bytes) => Some(Arguments::Whole(Arc::clone(bytes))),
            StartArguments::Effect(_) => self.started_by(start).map(Arguments::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_record_is_packed_and_reads_back_and_damage_is_an_error() {
        let disconnected = (0..1000).map(|id| NodeId::from(format!("node {id}").as_str()));
        let record = |disconnected: Vec<NodeId>| {
            Record::Step(Box::new(StepRecord {
                input: Some(Input::NodeStart { disconnected }),
                ..empty()
            }))
        };
        let large = record(disconnected.collect());
        let bytes = large.encode().expect("encodes");
        assert_eq!(bytes.first(), Some(&RECORD_FORMAT_PACKED));
        assert!(bytes.len() < 6000);
        assert_eq!(Record::decode(&bytes), Ok(large));
        for length in 0..bytes.len() {
            assert!(Record::decode(bytes.get(..length).expect("a prefix")).is_err());
        }
        let noise = blake3::Hasher::new().finalize_xof();
        let mut bytes = vec![0; 2 * PACKED_FROM];
        std::io::Read::read_exact(&mut { noise }, &mut bytes).expect("endless");
        let noise = Record::Step(Box::new(StepRecord {
            answers: vec![Answer {
                question: [0; 32],
                result: Ok(bytes),
            }],
            ..empty()
        }));
        let bytes = noise.encode().expect("encodes");
        assert_eq!(bytes.first(), Some(&RECORD_FORMAT));
        assert_eq!(Record::decode(&bytes), Ok(noise));
    }

    fn empty() -> StepRecord {
        StepRecord {
            seq: Seq(7),
            step: StepIndex(0),
            timestamp_ms: 1,
            input: None,
            ran: None,
            outcome: Outcome::Committed,
            effects: Vec::new(),
            counters: Vec::new(),
            starts: Vec::new(),
            dropped: 0,
            answers: Vec::new(),
            renewed: Vec::new(),
        }
    }

    #[test]
    fn a_record_reads_back_and_damage_is_an_error() {
        let record = Record::Step(Box::new(StepRecord {
            input: Some(Input::NodeStart {
                disconnected: vec![NodeId::from("x")],
            }),
            ..empty()
        }));
        let bytes = record.encode().expect("encodes");
        assert_eq!(Record::decode(&bytes), Ok(record.clone()));
        let Record::Step(step) = record else {
            unreachable!("it is a step");
        };
        let mut again = vec![7; 3];
        step.encode_into(&mut again).expect("encodes");
        assert_eq!(again, bytes);
        for length in 0..bytes.len() {
            assert!(Record::decode(bytes.get(..length).expect("a prefix")).is_err());
        }
    }
}
