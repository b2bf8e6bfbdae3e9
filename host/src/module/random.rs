//! The random numbers of a step: a ChaCha stream that only the node's seed and the step's place
//! decide.
//!
//! Key: BLAKE3 of (node seed, seq, step); the stream's number is the call's inside the step, so
//! what a callee draws does not move what its caller draws. A client's query has no step: its key
//! is that of (node seed, seq, name, arguments).

use std::sync::Arc;

use interstice_abi::id::{Seq, StepIndex};
use rand_chacha::{
    ChaCha12Rng,
    rand_core::{Rng, SeedableRng},
};

const STEP_CONTEXT: &str = "interstice 1 random numbers of a step";
const QUERY_CONTEXT: &str = "interstice 1 random numbers of a client's query";

/// A stream that is set up when its first number is drawn; most steps draw none.
pub(crate) struct RandomStream {
    key: Key,
    stream: u64,
    rng: Option<Box<ChaCha12Rng>>,
}

/// Where the key comes from.
enum Key {
    Step {
        seed: [u8; 32],
        seq: Seq,
        step: StepIndex,
    },
    Query {
        seed: [u8; 32],
        seq: Seq,
        name: Arc<str>,
        arguments: Arc<[u8]>,
    },
}

impl RandomStream {
    /// The stream of call `ordinal` of a step.
    pub(super) const fn of_step(seed: [u8; 32], seq: Seq, step: StepIndex, ordinal: u64) -> Self {
        Self {
            key: Key::Step { seed, seq, step },
            stream: ordinal,
            rng: None,
        }
    }

    /// The stream of call `ordinal` of a client's query.
    pub(super) const fn of_query(
        seed: [u8; 32],
        seq: Seq,
        name: Arc<str>,
        arguments: Arc<[u8]>,
        ordinal: u64,
    ) -> Self {
        Self {
            key: Key::Query {
                seed,
                seq,
                name,
                arguments,
            },
            stream: ordinal,
            rng: None,
        }
    }

    /// The next number.
    pub(crate) fn next_u64(&mut self) -> u64 {
        let Self { key, stream, rng } = self;
        let rng = rng.get_or_insert_with(|| {
            let mut rng = ChaCha12Rng::from_seed(key.bytes());
            rng.set_stream(*stream);
            Box::new(rng)
        });
        rng.next_u64()
    }
}

impl Key {
    fn bytes(&self) -> [u8; 32] {
        match self {
            Self::Query {
                seed,
                seq,
                name,
                arguments,
            } => {
                let mut hasher = blake3::Hasher::new_derive_key(QUERY_CONTEXT);
                hasher.update(seed);
                hasher.update(&seq.0.to_le_bytes());
                hasher.update(&(name.len() as u64).to_le_bytes());
                hasher.update(name.as_bytes());
                hasher.update(arguments);
                *hasher.finalize().as_bytes()
            }
            Self::Step { seed, seq, step } => {
                let mut hasher = blake3::Hasher::new_derive_key(STEP_CONTEXT);
                hasher.update(seed);
                hasher.update(&seq.0.to_le_bytes());
                hasher.update(&step.0.to_le_bytes());
                *hasher.finalize().as_bytes()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use interstice_abi::id::{Seq, StepIndex};

    use super::RandomStream;

    #[test]
    fn the_same_place_gives_the_same_numbers_and_any_other_different_ones() {
        let draw = |seed: u8, seq, step, ordinal| {
            let mut stream = RandomStream::of_step([seed; 32], Seq(seq), StepIndex(step), ordinal);
            [stream.next_u64(), stream.next_u64()]
        };
        let first = draw(1, 2, 3, 0);
        assert_eq!(draw(1, 2, 3, 0), first);
        for other in [
            draw(2, 2, 3, 0),
            draw(1, 3, 3, 0),
            draw(1, 2, 4, 0),
            draw(1, 2, 3, 1),
        ] {
            assert_ne!(other, first);
        }
        let query = |name: &str, arguments: &[u8]| {
            RandomStream::of_query([1; 32], Seq(2), name.into(), arguments.into(), 0).next_u64()
        };
        assert_eq!(query("total", b"1"), query("total", b"1"));
        assert_ne!(query("total", b"1"), query("tota", b"l1"));
    }
}
