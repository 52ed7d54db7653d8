//! Rules for text: which characters a name or a detail may have, and how text from outside is shown.
//!
//! Terminals and viewers obey some characters instead of showing them: these end lines, move the cursor,
//! reverse the direction of writing or hide what follows. A name with such a character can look like another
//! name, and a detail can look like a line of the program that prints it. Therefore text from outside that
//! has one is refused, and text that is printed anyway is escaped. [`is_obeyed`] is the only list of these
//! characters.

use crate::json::FieldError;
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// Longest part of a foreign value that a message quotes, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// The characters that terminals and viewers obey. The list is written out, so that a refusal does not depend
/// on the Unicode tables of the standard library that a build uses.
const OBEYED: [RangeInclusive<char>; 9] = [
    // Controls: ends of lines, and what begins escape sequences.
    '\u{0}'..='\u{1f}',
    '\u{7f}'..='\u{9f}',
    // Marks of direction.
    '\u{61c}'..='\u{61c}',
    '\u{200e}'..='\u{200f}',
    // Ends of lines and paragraphs; embeddings and overrides of direction.
    '\u{2028}'..='\u{202e}',
    // Isolates of direction, and the deprecated controls of shapes.
    '\u{2066}'..='\u{206f}',
    // The byte order mark.
    '\u{feff}'..='\u{feff}',
    // Interlinear annotations.
    '\u{fff9}'..='\u{fffb}',
    // Tags.
    '\u{e0000}'..='\u{e007f}',
];

/// Whether terminals and viewers obey this character instead of showing it: controls (U+0000 to U+001F,
/// U+007F to U+009F), ends of lines and paragraphs (U+2028, U+2029), controls of direction (U+061C, U+200E,
/// U+200F, U+202A to U+202E, U+2066 to U+206F), the byte order mark (U+FEFF), interlinear annotations (U+FFF9
/// to U+FFFB) and tags (U+E0000 to U+E007F).
pub fn is_obeyed(c: char) -> bool {
    OBEYED.iter().any(|range| range.contains(&c))
}

/// `text` for one line of a terminal: a character that [is obeyed](is_obeyed) is written as `\n`, `\r`, `\t`
/// or `\u{202e}`.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed)
}

/// `text` for a terminal. Newlines and tabs stay; any other character that [is obeyed](is_obeyed) is escaped
/// as in [`one_line`].
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_obeyed(c) && c != '\n' && c != '\t')
}

/// The JSON `text` for a terminal: a character that [is obeyed](is_obeyed) is written as JSON's escape, so
/// that the JSON still means the same. Newlines and tabs stay, because in JSON they stand between the values.
pub fn json_lines(text: &str) -> Cow<'_, str> {
    let to_escape = |c: char| is_obeyed(c) && !matches!(c, '\n' | '\r' | '\t');
    if !text.contains(to_escape) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if to_escape(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// The first `chars_max` characters of `text`, and `…` in place of the others. For messages that quote what
/// came from outside, which may be as long as the input was.
pub fn cut(text: &str, chars_max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(chars_max) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
    }
}

fn escaped(text: &str, to_escape: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&to_escape) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if to_escape(c) { push_escaped(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
    }
}

/// `value` made safe for a one-line message: characters that are obeyed, quotes and backslashes are escaped,
/// and the text is cut after a bounded length.
pub(crate) fn shown(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars().take(SHOWN_CHARS_MAX) {
        match c {
            '\\' | '"' | '\'' => out.extend(['\\', c]),
            c if is_obeyed(c) => push_escaped(&mut out, c),
            c => out.push(c),
        }
    }
    if value.chars().nth(SHOWN_CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

/// Whether every byte is printable ASCII (space included) and the length lies in 1..=`bytes_max`.
pub(crate) fn is_printable_ascii(value: &str, bytes_max: usize) -> bool {
    !value.is_empty() && value.len() <= bytes_max && value.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

/// Refuses text that is not 1..=`bytes_max` bytes of printable ASCII.
pub(crate) fn check_printable_ascii(path: &str, value: &str, bytes_max: usize) -> Result<(), FieldError> {
    if is_printable_ascii(value, bytes_max) {
        Ok(())
    } else {
        Err(FieldError::new(path, format!("must be 1 to {bytes_max} printable ASCII characters")))
    }
}

/// Where a free text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// From outside: it is checked.
    Outside,
    /// From a statement that was accepted earlier. Until release 0.1.0 it could have characters that are
    /// obeyed. It is read as it is, and escaped where it is printed.
    Stored,
}

/// Refuses free text that is empty or has more than `bytes_max` bytes. If it is from outside, refuses a
/// character that [is obeyed](is_obeyed) too.
pub(crate) fn check_plain(
    source: Source,
    path: &str,
    value: &str,
    bytes_max: usize,
) -> Result<(), FieldError> {
    if value.is_empty() || value.len() > bytes_max {
        return Err(FieldError::new(path, format!("must be 1 to {bytes_max} bytes long")));
    }
    match (source, value.chars().find(|c| is_obeyed(*c))) {
        (Source::Outside, Some(c)) => Err(FieldError::new(
            path,
            format!("must not contain U+{:04X}, which terminals obey instead of showing it", u32::from(c)),
        )),
        (Source::Outside, None) | (Source::Stored, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_for_a_terminal_has_nothing_that_it_obeys() {
        let hostile = "a\u{1b}[2J\u{202e}b\nc\td\u{e0041}\u{9b}é\u{200d}";
        assert_eq!(one_line(hostile), "a\\u{1b}[2J\\u{202e}b\\nc\\td\\u{e0041}\\u{9b}é\u{200d}");
        assert_eq!(lines(hostile), "a\\u{1b}[2J\\u{202e}b\nc\td\\u{e0041}\\u{9b}é\u{200d}");
        assert_eq!(shown("\"\u{2066}\\"), "\\\"\\u{2066}\\\\");
        assert!(matches!(one_line("plain, é, 日本"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn json_says_the_same_after_it_was_made_safe_for_a_terminal() {
        let value = serde_json::json!({ "a": "\u{202e}x\u{9b}\u{e0041}\u{7f}", "b": ["\n\u{1b}"] });
        let text = serde_json::to_string_pretty(&value).expect("it is JSON");
        let safe = json_lines(&text);
        assert!(!safe.chars().any(|c| is_obeyed(c) && c != '\n'), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).expect("it is JSON"), value);
    }
}
