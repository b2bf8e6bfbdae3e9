//! What a node answers, as far as a person is shown it: a node may be hostile, and its texts are
//! cut before anything is done with them. Which answer belongs to which request is in
//! [`crate::link`].

use interstice_abi::{failure::Failure, text, wire::ResponseBody};

use crate::Error;

/// Longest text of a node's failure that is kept: a page or two of what a module says.
const FAILURE_BYTES_MAX: usize = 64 * 1024;

/// A node's failure, with no longer texts than a person reads.
pub(crate) fn bounded(failure: Failure) -> Failure {
    let part = |part: Option<String>| part.map(|text| text::cut(text, FAILURE_BYTES_MAX));
    Failure {
        code: failure.code,
        message: text::cut(failure.message, FAILURE_BYTES_MAX),
        table: part(failure.table),
        key: part(failure.key),
        constraint: part(failure.constraint),
    }
}

/// An answer of the wrong kind.
pub(crate) fn unexpected(asked: &str, found: &ResponseBody) -> Error {
    Error::Protocol {
        problem: format!("asked for {asked}, it answered `{}`", kind(found)),
    }
}

/// What an answer is; its content may be as large as a frame.
fn kind(body: &ResponseBody) -> &'static str {
    match body {
        ResponseBody::Welcome(_) => "Welcome",
        ResponseBody::Done => "Done",
        ResponseBody::Ended => "Ended",
        ResponseBody::Called(_) => "Called",
        ResponseBody::Value { .. } => "Value",
        ResponseBody::Rows(_) => "Rows",
        ResponseBody::Watch(_) => "Watch",
        ResponseBody::Log(_) => "Log",
        ResponseBody::Schema(_) => "Schema",
        ResponseBody::Node(_) => "Node",
        ResponseBody::Modules(_) => "Modules",
        ResponseBody::Deployed(_) => "Deployed",
        ResponseBody::Grants(_) => "Grants",
        ResponseBody::Backup { .. } => "Backup",
        ResponseBody::Piece { .. } => "Piece",
        ResponseBody::History(_) => "History",
        ResponseBody::TableAt(_) => "TableAt",
        ResponseBody::DeployedAll(_) => "DeployedAll",
        ResponseBody::Planned(_) => "Planned",
        ResponseBody::TimerCounts(_) => "TimerCounts",
        ResponseBody::Timers(_) => "Timers",
        ResponseBody::Part { .. } => "Part",
        ResponseBody::Turns(_) => "Turns",
        ResponseBody::TurnDrop(_) => "TurnDrop",
    }
}

#[cfg(test)]
mod tests {
    use interstice_abi::failure::Code;

    use super::*;

    #[test]
    fn texts_of_a_hostile_node_are_cut() {
        let long = "\u{1b}".repeat(1_000_000);
        let failure = Failure::new(Code::Rejected, long.clone()).about_table(long.clone());
        let failure = bounded(failure.about_key(long.clone()).about_constraint(long));
        for text in [
            Some(failure.message),
            failure.table,
            failure.key,
            failure.constraint,
        ] {
            assert!(text.unwrap().len() <= FAILURE_BYTES_MAX + 4);
        }
    }

    #[test]
    fn an_answer_of_the_wrong_kind_is_named_without_its_content() {
        let bytes = vec![7; 1_000_000];
        let answer = ResponseBody::Value {
            bytes,
            seq: interstice_abi::id::Seq(1),
        };
        let error = unexpected("rows", &answer).to_string();
        assert!(
            error.contains("asked for rows, it answered `Value`"),
            "{error}"
        );
        assert!(error.len() < 200, "{error}");
    }
}
