//! Text that others wrote, made harmless: control characters can drive a terminal, format
//! characters can turn text around or hide it, and separators of lines can make one line look like
//! two.

/// `text` in one line, with everything escaped that does not show as itself: for messages.
#[must_use]
pub fn clean(text: &str) -> String {
    escape(text, |c| c.is_control() || is_format(c))
}

/// As [`clean`], in as many lines as `text` has.
#[must_use]
pub fn clean_lines(text: &str) -> String {
    escape(text, |c| (c.is_control() && !is_layout(c)) || is_format(c))
}

/// `text` in one line, its control characters escaped: data in a line or a cell.
#[must_use]
pub fn plain_line(text: &str) -> String {
    escape(text, char::is_control)
}

/// As [`plain_line`], in as many lines as `text` has.
#[must_use]
pub fn plain_lines(text: &str) -> String {
    escape(text, |c| c.is_control() && !is_layout(c))
}

/// A JSON document in which everything that does not show as itself is written `\u…`. It means the
/// same.
#[must_use]
pub(super) fn json(document: String) -> String {
    // Below the space there is only the white space between values: in strings it is escaped
    // already.
    let is_hidden = |c: char| c > ' ' && (c.is_control() || is_format(c));
    if !document.contains(is_hidden) {
        return document;
    }
    let mut out = String::with_capacity(document.len());
    for c in document.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

const fn is_layout(c: char) -> bool {
    matches!(c, '\n' | '\t')
}

fn escape(text: &str, is_hidden: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Format characters (Unicode's category Cf), the separators of lines and paragraphs, and letters
/// that are blank.
const fn is_format(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0001}'
            | '\u{e0020}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_hide_nothing() {
        assert_eq!(clean("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\nc");
        assert_eq!(clean_lines("a\nb\u{7}"), "a\nb\\u{7}");
        assert_eq!(clean("Grüße, 世界"), "Grüße, 世界");
        for c in [
            '\u{9b}',
            '\u{7f}',
            '\u{61c}',
            '\u{202e}',
            '\u{2028}',
            '\u{200d}',
            '\u{e0041}',
        ] {
            let shown = format!("a\\u{{{:x}}}b", u32::from(c));
            assert_eq!(clean(&format!("a{c}b")), shown);
            assert_eq!(clean_lines(&format!("a{c}b")), shown);
        }
    }

    #[test]
    fn data_keep_what_is_no_control_character() {
        assert_eq!(
            plain_line("a\u{202e}\u{2028}\n\u{9b}"),
            "a\u{202e}\u{2028}\\n\\u{9b}"
        );
        assert_eq!(plain_lines("a\n\u{200d}\u{1b}"), "a\n\u{200d}\\u{1b}");
    }

    #[test]
    fn json_means_the_same_when_it_is_escaped() {
        let text = "a\u{9b}\u{7f}\u{202e}\u{2028}\u{e0041}ü\n";
        let document = serde_json::json!({text: [text]});
        for written in [format!("{document}"), format!("{document:#}")] {
            let escaped = json(written);
            assert!(
                escaped.contains("\\u202e") && escaped.contains("\\udb40\\udc41"),
                "{escaped}"
            );
            assert!(
                escaped.contains('ü') && !escaped.contains('\u{9b}'),
                "{escaped}"
            );
            let read: serde_json::Value = serde_json::from_str(&escaped).expect("is JSON");
            assert_eq!(read, document);
        }
    }
}
