//! A line of `node.log` as text, and back.
//!
//! `2026-01-31T12:00:00.000Z WARN module seq=7 line=12 text`, where further lines of the text are
//! indented: what a module says can neither pass for a line of its own nor drive a terminal.

use interstice_abi::{
    id::{ModuleName, Seq},
    wire::{LogLevel, LogLine},
};

/// Before the further lines of a text.
const INDENT: &str = "\n    ";

/// The text of a line, with its end.
pub(super) fn format_line(line: &LogLine) -> String {
    let level = match line.level {
        LogLevel::Message => "INFO",
        LogLevel::Warning => "WARN",
        LogLevel::Error => "ERROR",
    };
    let module = line.module.as_ref().map_or("-", ModuleName::as_str);
    let seq = line
        .seq
        .map_or_else(|| "-".to_string(), |seq| seq.to_string());
    let text: String = line
        .text
        .chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    format!(
        "{} {level} {module} seq={seq} line={} {}\n",
        timestamp(line.time_ms),
        line.number,
        text.replace('\n', INDENT)
    )
}

/// The lines of a piece of `node.log`. What is before the first whole one, and what is none, is
/// passed over.
pub(super) fn parse_lines(text: &str) -> Vec<LogLine> {
    let mut lines: Vec<LogLine> = Vec::new();
    for piece in text.lines() {
        match (piece.strip_prefix("    "), lines.last_mut()) {
            (Some(more), Some(last)) => {
                last.text.push('\n');
                last.text.push_str(more);
            }
            _ => lines.extend(parse_line(piece)),
        }
    }
    lines
}

fn parse_line(text: &str) -> Option<LogLine> {
    let mut parts = text.splitn(6, ' ');
    let time_ms = parse_timestamp(parts.next()?)?;
    let level = match parts.next()? {
        "INFO" => LogLevel::Message,
        "WARN" => LogLevel::Warning,
        "ERROR" => LogLevel::Error,
        _ => return None,
    };
    let module = match parts.next()? {
        "-" => None,
        name => Some(ModuleName::new(name).ok()?),
    };
    let seq = match parts.next()?.strip_prefix("seq=")? {
        "-" => None,
        seq => Some(Seq(seq.parse().ok()?)),
    };
    let number = parts.next()?.strip_prefix("line=")?.parse().ok()?;
    let text = parts.next()?.to_string();
    Some(LogLine {
        number,
        time_ms,
        level,
        module,
        seq,
        text,
    })
}

/// RFC 3339 in UTC, by the civil-from-days algorithm of Howard Hinnant.
fn timestamp(time_ms: u64) -> String {
    let (seconds, millis) = (time_ms / 1000, time_ms % 1000);
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 {
        month_shifted + 3
    } else {
        month_shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (
        second_of_day / 3600,
        second_of_day / 60 % 60,
        second_of_day % 60,
    );
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The other way round, by days-from-civil.
fn parse_timestamp(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let millis = number(20, 23)?;
    let is_date = text.len() == 24 && text.ends_with('Z') && year >= 1970;
    if !is_date || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - u64::from(month <= 2);
    let month_shifted = (month + 9) % 12;
    let day_of_year = (153 * month_shifted + 2) / 5 + day - 1;
    let year_of_era = year % 400;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (year / 400 * 146_097 + day_of_era).checked_sub(719_468)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine {
            number: 7,
            time_ms: 951_827_696_789,
            level: LogLevel::Warning,
            module: Some(ModuleName::new("bank").expect("a name")),
            seq: Some(Seq(9)),
            text: text.to_string(),
        }
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        for (time_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_800_000_000_001, "2027-01-15T08:00:00.001Z"),
        ] {
            assert_eq!(timestamp(time_ms), text);
            assert_eq!(parse_timestamp(text), Some(time_ms));
        }
    }

    #[test]
    fn a_line_can_not_forge_another_or_drive_a_terminal() {
        let text = format_line(&line("a\n1970 ERROR forged \u{1b}[2J"));
        assert!(text.contains("\n    1970"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn what_was_written_is_read_as_it_was_said() {
        let node = LogLine {
            module: None,
            seq: None,
            level: LogLevel::Message,
            ..line("")
        };
        let all = [
            line("one"),
            line("two\n\nlines  more\n    in"),
            node,
            line(" "),
        ];
        let text: String = all.iter().map(format_line).collect();
        assert_eq!(parse_lines(&text), all);
        assert_eq!(parse_lines(text.get(5..).expect("is longer")), all[1..]);
        for damaged in [
            "",
            "\n\n",
            "x",
            "2000-02-29T12:34:56.789Z INFO",
            "    x",
            "9999-99-99T99:99:99.999Z INFO - seq=- line=1 x",
        ] {
            assert_eq!(parse_lines(damaged), [], "{damaged}");
        }
    }
}
