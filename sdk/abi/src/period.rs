//! Periods as they are written in `#[reducer(every = "10s")]` and shown in messages.

use alloc::{format, string::String};

/// The units, the largest first, with their milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// The longest period, in milliseconds: 100 years of 365 days. A longer one is a mistake.
pub const PERIOD_MS_MAX: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// Reads a period, in milliseconds: a whole number and a unit.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn parse_period(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = UNITS.iter().find(|(name, _)| *name == unit.trim());
    let period = match (number.trim().parse::<u64>(), factor) {
        (Ok(number), Some((_, factor))) => number.checked_mul(*factor),
        _ => {
            return Err(format!(
                "`{text}` is not a period; write a whole number and a unit: `500ms`, `10s`, `5m`, `12h` or `1d`"
            ));
        }
    };
    period
        .filter(|period| (1..=PERIOD_MS_MAX).contains(period))
        .ok_or_else(|| {
            format!(
                "`{text}` is not a possible period; the shortest is `1ms`, the longest 100 years"
            )
        })
}

/// A period as [`parse_period`] reads it: in the largest unit that shows it as a whole number.
#[must_use]
pub fn show_period(period_ms: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| period_ms > 0 && period_ms.is_multiple_of(*factor);
    match UNITS.iter().find(fits) {
        Some((unit, factor)) => format!("{}{unit}", period_ms / factor),
        None => format!("{period_ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_prints_as_it_is_written() {
        for (text, period_ms) in [
            ("1ms", 1),
            ("1500ms", 1500),
            ("10s", 10_000),
            ("90s", 90_000),
            ("5m", 300_000),
            ("12h", 43_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_period(text), Ok(period_ms));
            assert_eq!(show_period(period_ms), text);
        }
        assert_eq!(parse_period(" 10 s "), Ok(10_000));
    }

    #[test]
    fn another_text_is_refused_with_an_example() {
        for text in ["", "s", "10", "1.5s", "-1s", "10 seconds", "10é"] {
            let problem = parse_period(text).expect_err(text);
            assert!(problem.contains("`10s`"), "{problem}");
        }
        for text in ["0s", "36501d", "18446744073709551615d"] {
            let problem = parse_period(text).expect_err(text);
            assert!(problem.contains("100 years"), "{problem}");
        }
    }
}
