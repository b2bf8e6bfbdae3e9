//! Times and durations for people: UTC, as RFC 3339 writes it.

/// Milliseconds since 1970 as `2026-01-31T12:00:00.000Z`.
#[must_use]
pub fn timestamp(time_ms: u64) -> String {
    const DAY_MS: u64 = 86_400_000;
    let (year, month, day) = date(time_ms / DAY_MS);
    let rest = time_ms % DAY_MS;
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, ms) = (rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}Z")
}

/// The Gregorian date of a day since 1970, after Howard Hinnant's `civil_from_days`.
const fn date(days: u64) -> (u64, u64, u64) {
    // Years begin in March, so that the leap day is the last one; eras have 400 years.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// A duration in its two largest units: `3 d 4 h`, `12 s`, `5 ms`.
#[must_use]
pub fn duration(ms: u64) -> String {
    let (seconds, minutes, hours) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{seconds} s"),
        60_000..3_600_000 => format!("{minutes} min {} s", seconds % 60),
        3_600_000..86_400_000 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// A size in the unit that keeps it readable.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = (bytes, 0);
    let mut unit = None;
    for next in UNITS {
        if size.0 < 1024 {
            break;
        }
        size = (size.0 / 1024, size.0 % 1024 * 10 / 1024);
        unit = Some(next);
    }
    unit.map_or_else(
        || format!("{bytes} B"),
        |unit| format!("{}.{} {unit}", size.0, size.1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(ms), expected);
        }
    }

    #[test]
    fn durations_and_sizes_are_readable() {
        assert_eq!(duration(999), "999 ms");
        assert_eq!(duration(61_000), "1 min 1 s");
        assert_eq!(duration(90_000_000), "1 d 1 h");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1024 * 1024 * 1024), "1.0 GiB");
    }
}
