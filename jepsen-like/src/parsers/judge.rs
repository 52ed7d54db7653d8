//! The properties that hold for any bytes.

use std::fmt::Display;

use assent_proof::text::is_obeyed;

use super::parser::Reading;

/// The longest text of a refusal, in bytes. The longest known one shows 800 characters of a wrong configuration, each of
/// which may be escaped with up to 9 bytes.
pub const ERROR_BYTES_MAX: usize = 8 * 1024;

/// How much longer than an input a value may be that was read from it, both in bytes as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// The factor.
    pub times: usize,
    /// What is added to the product.
    pub more: usize,
}

impl Growth {
    fn check(self, read: &[u8], written: &[u8]) -> Result<(), String> {
        let most = read.len().saturating_mul(self.times).saturating_add(self.more);
        if written.len() <= most {
            return Ok(());
        }
        Err(format!(
            "`{}` bytes were read as a value of `{}` bytes, more than {} times as many and {}",
            read.len(),
            written.len(),
            self.times,
            self.more
        ))
    }
}

/// Whether the text of a refusal is bounded and can be shown. Ends of lines and tabs are good only if `in_lines`.
///
/// # Errors
/// It is too long, or has a character that terminals obey.
pub fn check_text(text: &str, in_lines: bool) -> Result<(), String> {
    if text.len() > ERROR_BYTES_MAX {
        let bytes = text.len();
        return Err(format!("the refusal's text has `{bytes}` bytes, more than {ERROR_BYTES_MAX}"));
    }
    match text.chars().find(|c| is_obeyed(*c) && !(in_lines && matches!(c, '\n' | '\t'))) {
        Some(c) => Err(format!("the refusal's text has U+{:04X}: {text:?}", u32::from(c))),
        None => Ok(()),
    }
}

/// The judgment on a refusal of one line.
pub(super) fn refused(error: &impl Display) -> Result<Reading, String> {
    check_text(&error.to_string(), false).map(|()| Reading::Refused)
}

/// Reads the bytes, writes the value, and reads that again. The two values must be the same, and the written bytes
/// may be longer only by `growth`.
///
/// # Errors
/// The property is violated.
pub fn reread<T: PartialEq, E: Display>(
    bytes: &[u8],
    growth: Growth,
    read: impl Fn(&[u8]) -> Result<T, E>,
    write: impl Fn(&T) -> Vec<u8>,
) -> Result<Reading, String> {
    let value = match read(bytes) {
        Ok(value) => value,
        Err(error) => return refused(&error),
    };
    let written = write(&value);
    growth.check(bytes, &written)?;
    match read(&written) {
        Ok(again) if again == value => Ok(Reading::Accepted),
        Ok(_) => {
            Err(format!("what was read is written so that it is read as another value: {}", quoted(&written)))
        }
        Err(error) => {
            Err(format!("what was read is written so that it is refused ({error}): {}", quoted(&written)))
        }
    }
}

/// Reads the bytes and writes the value, which must give the bytes again: the value has one spelling.
///
/// # Errors
/// The property is violated.
pub fn reread_exactly<T, E: Display>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<T, E>,
    write: impl Fn(&T) -> Vec<u8>,
) -> Result<Reading, String> {
    let value = match read(bytes) {
        Ok(value) => value,
        Err(error) => return refused(&error),
    };
    let written = write(&value);
    if written == bytes {
        return Ok(Reading::Accepted);
    }
    Err(format!("a value has a second spelling: it is written as {}", quoted(&written)))
}

/// The same for a text. Bytes that are no text never reach such a parser.
pub(super) fn one_spelling<T: Display, E: Display>(
    bytes: &[u8],
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Reading, String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(Reading::Refused) };
    reread_exactly(bytes, |_| read(text), |value| value.to_string().into_bytes())
}

/// Something that must hold of what was read.
pub(super) fn holds(held: bool, what: &str) -> Result<(), String> {
    if held { Ok(()) } else { Err(format!("it does not hold that {what}")) }
}

/// The longest part of some bytes that a violation shows.
const QUOTED_BYTES_MAX: usize = 300;

fn quoted(bytes: &[u8]) -> String {
    let shown = bytes.get(..QUOTED_BYTES_MAX).unwrap_or(bytes);
    format!("`{}`", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Growth = Growth { times: 1, more: 0 };

    fn number(bytes: &[u8]) -> Result<u64, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        text.trim().parse().map_err(|_| "it is no number".to_owned())
    }

    fn written(number: &u64) -> Vec<u8> {
        number.to_string().into_bytes()
    }

    #[test]
    fn a_value_that_is_written_as_it_is_read_is_good() {
        assert_eq!(reread(b" 17", NONE, number, written), Ok(Reading::Accepted));
        assert_eq!(reread(b"x", NONE, number, written), Ok(Reading::Refused));
        assert_eq!(reread_exactly(b"17", number, written), Ok(Reading::Accepted));
    }

    #[test]
    fn a_value_that_is_written_otherwise_is_a_violation() {
        let violation = reread(b"17", NONE, number, |_| b"18".to_vec()).unwrap_err();
        assert!(violation.contains("another value: `18`"), "{violation}");
        let violation = reread(b"17", NONE, number, |_| b"x".to_vec()).unwrap_err();
        assert!(violation.contains("it is refused (it is no number): `x`"), "{violation}");
        let violation = reread(b"17", NONE, number, |_| b"017".to_vec()).unwrap_err();
        assert!(violation.contains("more than 1 times as many"), "{violation}");
        let violation = reread_exactly(b" 17", number, written).unwrap_err();
        assert!(violation.contains("second spelling"), "{violation}");
    }

    #[test]
    fn a_refusal_that_is_too_long_or_cannot_be_shown_is_a_violation() {
        assert_eq!(refused(&"short"), Ok(Reading::Refused));
        assert!(refused(&"a".repeat(ERROR_BYTES_MAX + 1)).is_err());
        for shown in ["\u{1b}[2J", "a\nb", "\u{202e}"] {
            assert!(refused(&shown).is_err(), "{shown:?}");
        }
        assert_eq!(check_text("a\n\tb", true), Ok(()));
        assert!(check_text("a\rb", true).is_err());
    }
}
