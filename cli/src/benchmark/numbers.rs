//! The numbers that stand for placeholders in arguments: counts, the time, and random choices that
//! repeat from run to run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rand_distr::{Distribution, Zipf};

/// A placeholder.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// `$seq`: the number of the call in the whole run, from 0.
    Seq,
    /// `$worker`: which of the calls in flight, over all connections, from 0.
    Worker,
    /// `$op`: the number of the call on its connection, from 0.
    Op,
    /// `$client`: the connection, from 0.
    Client,
    /// `$now_ms`: milliseconds since 1970.
    NowMs,
    /// `$now_us`: microseconds since 1970.
    NowUs,
    /// `$max_seq`: the highest `$seq` that was sent so far.
    MaxSeq,
    /// `$max_client`: the highest `$client`.
    MaxClient,
    /// `$total_sent`: how many calls were sent so far, over all connections.
    TotalSent,
    /// `$uniform:N`: any of 0 to N - 1, each as likely.
    Uniform(u64),
    /// `$zipf:N:S`: any of 0 to N - 1, number k with a likelihood of `1 / (k + 1)^S`.
    Zipf(Zipf<f64>),
}

impl Number {
    /// The placeholder with this name, if it is one.
    ///
    /// # Errors
    /// A sentence, when it begins as one but is not.
    pub fn named(name: &str) -> Result<Option<Self>, String> {
        let Some(name) = name.strip_prefix('$') else {
            return Ok(None);
        };
        let mut words = name.split(':');
        let number = match (words.next().unwrap_or_default(), words.next(), words.next()) {
            ("seq", None, None) => Self::Seq,
            ("worker", None, None) => Self::Worker,
            ("op", None, None) => Self::Op,
            ("client", None, None) => Self::Client,
            ("now_ms", None, None) => Self::NowMs,
            ("now_us", None, None) => Self::NowUs,
            ("max_seq", None, None) => Self::MaxSeq,
            ("max_client", None, None) => Self::MaxClient,
            ("total_sent", None, None) => Self::TotalSent,
            ("uniform", Some(count), None) => Self::Uniform(positive(count)?),
            ("zipf", Some(count), Some(exponent)) => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a count of rows is far below 2^53"
                )]
                let count = positive(count)? as f64;
                let exponent: f64 = exponent
                    .parse()
                    .map_err(|_| format!("`{exponent}` is not an exponent, as 1.5 is"))?;
                Self::Zipf(Zipf::new(count, exponent).map_err(|error| error.to_string())?)
            }
            _ => {
                return Err(format!(
                    "`${}` is no placeholder; there are $seq, $worker, $op, $client, $now_ms, $now_us, $max_seq, $max_client, $total_sent, \
                     $uniform:N and $zipf:N:S",
                    name.escape_debug()
                ));
            }
        };
        Ok(Some(number))
    }
}

fn positive(count: &str) -> Result<u64, String> {
    match count.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!(
            "`{}` is not a count from 1 on",
            count.escape_debug()
        )),
    }
}

/// What the connections of one run share.
#[derive(Debug, Default)]
pub struct Sent(AtomicU64);

/// Makes up the numbers of one connection's calls.
#[derive(Debug)]
pub struct Numbers {
    client: u64,
    clients: u64,
    in_flight: u64,
    op: u64,
    worker: u64,
    sent: Arc<Sent>,
    random: SmallRng,
}

impl Numbers {
    /// For connection `client` of `clients`, with `in_flight` calls at a time.
    #[must_use]
    pub fn new(client: u32, clients: u32, in_flight: u32, sent: Arc<Sent>) -> Self {
        Self {
            client: client.into(),
            clients: clients.into(),
            in_flight: in_flight.into(),
            op: 0,
            worker: 0,
            sent,
            random: SmallRng::seed_from_u64(client.into()),
        }
    }

    /// Goes on to the next call, which takes the place `slot` among those in flight.
    pub fn next(&mut self, slot: usize) {
        self.op += 1;
        self.worker = self.client * self.in_flight + u64::try_from(slot).unwrap_or(0);
        self.sent.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number for the call that [`Numbers::next`] has begun.
    pub fn get(&mut self, number: &Number) -> u64 {
        let op = self.op.saturating_sub(1);
        match number {
            // Connections take turns, whoever is faster: no two calls of a run have the same.
            Number::Seq => op * self.clients + self.client,
            Number::Worker => self.worker,
            Number::Op => op,
            Number::Client => self.client,
            Number::NowMs => now_us() / 1000,
            Number::NowUs => now_us(),
            Number::MaxSeq => self.sent.0.load(Ordering::Relaxed).saturating_sub(1),
            Number::MaxClient => self.clients.saturating_sub(1),
            Number::TotalSent => self.sent.0.load(Ordering::Relaxed),
            Number::Uniform(count) => self.random.random_range(0..*count),
            Number::Zipf(zipf) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a rank is a whole number from 1 to a count"
                )]
                let rank = zipf.sample(&mut self.random) as u64;
                rank.saturating_sub(1)
            }
        }
    }
}

/// Microseconds since 1970.
#[must_use]
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(client: u32) -> Numbers {
        Numbers::new(client, 4, 8, Arc::default())
    }

    #[test]
    fn no_two_calls_of_a_run_have_the_same_seq() {
        let mut seen = std::collections::BTreeSet::new();
        for client in 0..4 {
            let mut numbers = numbers(client);
            for _ in 0..100 {
                numbers.next(0);
                assert!(seen.insert(numbers.get(&Number::Seq)));
            }
        }
        assert_eq!(seen.last(), Some(&399));
    }

    #[test]
    fn random_choices_repeat_and_stay_in_range() {
        let zipf = Number::named("$zipf:1000:1.5")
            .expect("is one")
            .expect("is one");
        let draw = |number: &Number| {
            let mut numbers = numbers(1);
            (0..10_000).map(|_| numbers.get(number)).collect::<Vec<_>>()
        };
        let drawn = draw(&zipf);
        assert_eq!(drawn, draw(&zipf));
        assert!(drawn.iter().all(|rank| *rank < 1000));
        // The first of 1000 has a likelihood of 1 / zeta: 0.39.
        let first = drawn.iter().filter(|rank| **rank == 0).count();
        assert!((3500..4300).contains(&first), "{first}");
        assert!(draw(&Number::Uniform(7)).iter().all(|number| *number < 7));
    }

    #[test]
    fn a_name_that_is_none_is_said() {
        assert_eq!(Number::named("text"), Ok(None));
        for wrong in [
            "$sequence",
            "$uniform",
            "$uniform:0",
            "$zipf:10:x",
            "$seq:1",
        ] {
            assert!(Number::named(wrong).is_err(), "{wrong}");
        }
    }
}
