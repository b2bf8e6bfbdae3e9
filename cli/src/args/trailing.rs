//! What follows the name of a reducer or query is an argument, whatever it begins with:
//! `call bank open 1 -5`, `call stats add -inf`, `call shop note --sale`.
//!
//! clap takes a word that begins with `-` for an option. So the words of these commands are put
//! into an order that it reads as they are meant: options first, then `--`, then the arguments.
//! Behind the name, only the long options that these commands have are options; behind `--`
//! nothing is.

use std::ffi::{OsStr, OsString};

/// The commands, and how many words come before the arguments.
const COMMANDS: [(&str, usize); 4] = [
    ("call", 2),
    ("call_reducer", 3),
    ("query", 2),
    ("call_query", 3),
];

/// Long options that stand alone.
const FLAGS: [&str; 4] = ["--json", "--yes", "--help", "--version"];

/// Long options that have a value, in the next word or behind `=`.
const WITH_VALUE: [&str; 2] = ["--node", "--ack"];

/// Short options that have a value, in the next word or in the same.
const SHORT_WITH_VALUE: &str = "-n";

/// The words of the command line, the program's name first, in the order in which clap is to read
/// them.
pub(super) fn in_order(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut before: Vec<OsString> = words.next().into_iter().collect();
    // What stands before the command is an option of it, too.
    let Some((command, named)) = up_to_name(&mut words, &mut before) else {
        return before;
    };
    if command != named {
        return before;
    }
    let mut arguments = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" {
            arguments.extend(words.by_ref());
        } else if is_flag(&word) || is_joined(&word) {
            before.push(word);
        } else if WITH_VALUE.iter().any(|option| word == *option) {
            before.push(word);
            before.extend(words.next());
        } else {
            arguments.push(word);
        }
    }
    if !arguments.is_empty() {
        before.push("--".into());
        before.append(&mut arguments);
    }
    before
}

/// Moves the words up to the name of the reducer or query into `before`: how many words the
/// command wants there, and how many there are. `None` when it is another command; all words are
/// moved then.
fn up_to_name(
    words: &mut impl Iterator<Item = OsString>,
    before: &mut Vec<OsString>,
) -> Option<(usize, usize)> {
    let mut wanted = None;
    let mut found = 0;
    while wanted.is_none_or(|wanted| found < wanted) {
        let Some(word) = words.next() else {
            return wanted.map(|wanted| (wanted, found));
        };
        let takes_value =
            word == SHORT_WITH_VALUE || WITH_VALUE.iter().any(|option| word == *option);
        let is_option = word.as_encoded_bytes().starts_with(b"-");
        if !is_option {
            match wanted {
                Some(_) => found += 1,
                None => {
                    let command = COMMANDS.iter().find(|(name, _)| word == *name);
                    let Some((_, count)) = command else {
                        before.push(word);
                        before.extend(words);
                        return None;
                    };
                    wanted = Some(*count);
                }
            }
        }
        before.push(word);
        if takes_value {
            before.extend(words.next());
        }
    }
    wanted.map(|wanted| (wanted, found))
}

fn is_flag(word: &OsStr) -> bool {
    FLAGS.iter().any(|flag| word == *flag)
}

/// Whether a word is an option with its value behind `=`.
fn is_joined(word: &OsStr) -> bool {
    WITH_VALUE.iter().any(|option| {
        let rest = word.as_encoded_bytes().strip_prefix(option.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"="))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let words = line.split(' ').map(OsString::from);
        let ordered = in_order(std::iter::once("program".into()).chain(words));
        let ordered: Vec<_> = ordered.iter().map(|word| word.to_string_lossy()).collect();
        assert_eq!(ordered.join(" "), format!("program {expected}"), "{line}");
    }

    #[test]
    fn words_behind_the_name_are_arguments() {
        for argument in [
            "-5", "-inf", "-NaN", "-.5", "-nan", "-y", "-n", "-h", "--sale", "-",
        ] {
            for command in [
                "call m f",
                "query m f",
                "call_reducer n m f",
                "call_query n m f",
            ] {
                check(
                    &format!("{command} 1 {argument} 2"),
                    &format!("{command} -- 1 {argument} 2"),
                );
            }
        }
    }

    #[test]
    fn options_work_before_and_between_arguments() {
        check("call m f 1 --json", "call m f --json -- 1");
        check("call --json m f -1", "call --json m f -- -1");
        check("-n a call m f -1", "-n a call m f -- -1");
        check("--node a call -y m f -y", "--node a call -y m f -- -y");
        check(
            "call m f 1 --node a --ack applied 2",
            "call m f --node a --ack applied -- 1 2",
        );
        check(
            "call m f --ack=applied --node=a -1",
            "call m f --ack=applied --node=a -- -1",
        );
        check("call m f --help", "call m f --help");
        check("call m f", "call m f");
    }

    #[test]
    fn nothing_is_an_option_behind_two_dashes() {
        check("call m f 1 -- --json -- -n", "call m f -- 1 --json -- -n");
        check("call m f --json --", "call m f --json");
    }

    #[test]
    fn other_commands_and_mistakes_stay_as_they_are() {
        for line in [
            "table m t --where a=-1",
            "modules -n call",
            "call",
            "call m",
            "",
            "call --nod a",
        ] {
            check(line, line);
        }
    }
}
