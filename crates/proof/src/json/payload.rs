//! Numbers in the payload of a signed statement: a whole number may be written with a fraction of zeros.
//!
//! Protobuf's `Struct` has no numbers but doubles, so the in-toto bindings that are built on it write `4.0`
//! for 4, and that spelling is what they sign. This module reads such a number from its text, never as
//! floating point: it takes the fraction out before the parser sees it. No other JSON of this project is read
//! in this way.

use super::field_error::FieldError;
use super::parse::parse;
use super::value::Json;
use std::borrow::Cow;

/// 2^53 - 1, up to which a double tells every whole number from its neighbours.
const WHOLE_MAX: &[u8] = b"9007199254740991";

/// Reads the payload of a signed statement: as [`parse`](fn@parse) does, except that a whole number of at
/// most 2^53 - 1 may have a fraction of zeros.
///
/// `0.0`, `5.000` and `-3.0` are read as 0, 5 and -3. `-0.0`, `1.5`, `1.0e0` and `9007199254740992.0` are
/// refused, and so is all that `parse` refuses. Errors give the position in `bytes`.
pub fn parse_payload(bytes: &[u8]) -> Result<Json, FieldError> {
    parse(&without_fractions(bytes))
}

/// `bytes` with spaces in place of fractions of zeros. No other byte changes, and strings do not change at
/// all. So if the result is JSON, the input was JSON too, and every position stays the same.
fn without_fractions(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Cow::Borrowed(bytes);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let end = end_of_number(bytes, at);
                let number = bytes.get(at..end).unwrap_or_default();
                if let Some(point) = point_before_zeros(number)
                    && let Some(fraction) = out.to_mut().get_mut(at + point..end)
                {
                    fraction.fill(b' ');
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    out
}

/// Where the string ends whose opening quote is at `open`: just after its closing quote.
fn end_of_string(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    bytes.len()
}

/// Where the characters end that a number can have. A number begins at `start`.
fn end_of_number(bytes: &[u8], start: usize) -> usize {
    let letters = bytes.get(start..).unwrap_or_default();
    let is_letter = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    start + letters.iter().take_while(is_letter).count()
}

/// Where the decimal point of this number is, if only zeros follow it and a whole number of at most 2^53 - 1
/// is before it.
fn point_before_zeros(number: &[u8]) -> Option<usize> {
    let point = number.iter().position(|byte| *byte == b'.')?;
    let (whole, fraction) = number.split_at_checked(point)?;
    let zeros = fraction.get(1..)?;
    let digits = whole.strip_prefix(b"-").unwrap_or(whole);
    let is_plain = match digits {
        // `-0` is refused.
        [b'0'] => digits.len() == whole.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let is_exact = digits.len() < WHOLE_MAX.len() || digits.len() == WHOLE_MAX.len() && digits <= WHOLE_MAX;
    let is_zeros = !zeros.is_empty() && zeros.iter().all(|byte| *byte == b'0');
    (is_plain && is_exact && is_zeros).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_with_a_fraction_of_zeros_is_read_by_its_text() {
        for (text, value) in [
            ("0.0", 0),
            ("5.000", 5),
            ("-3.0", -3),
            (" 7.0 ", 7),
            ("9007199254740991.0", 9_007_199_254_740_991),
            ("-9007199254740991.00", -9_007_199_254_740_991),
            ("9007199254740993", 9_007_199_254_740_993),
        ] {
            assert_eq!(parse_payload(text.as_bytes()).unwrap(), Json::Int(value), "{text}");
        }
        let nested = br#"{"a":[1.0,{"b":2.00}],"3.0":"4.0 \"5.0\" \\","c":6.0}"#;
        let plain = br#"{"a":[1,{"b":2}],"3.0":"4.0 \"5.0\" \\","c":6}"#;
        assert_eq!(parse_payload(nested).unwrap(), parse(plain).unwrap());
        // Nothing but payloads is read so.
        assert!(parse(b"0.0").is_err());
    }

    #[test]
    fn every_other_fraction_is_refused() {
        for text in [
            "-0.0",
            "-0",
            "1.5",
            "0.1",
            "1.01",
            "1.0e0",
            "1.0E0",
            "1e3",
            "1e-0",
            "1.0e",
            ".0",
            "-.0",
            "1.",
            "-",
            "01.0",
            "00.0",
            "+1.0",
            "1.0.0",
            "1.0-",
            "1.0+1",
            "9007199254740992.0",
            "-9007199254740992.0",
            "90071992547409910.0",
            "9223372036854775808",
            "1.0 2.0",
            "[1.0 2]",
            "1.0x",
            "\"1.0",
            "１.0",
            "1.０",
            "{1.0:2}",
        ] {
            assert!(parse_payload(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_error_says_where_it_is_in_the_bytes_that_were_given() {
        let error = parse_payload(br#"{"a":1.000,"b":2.5}"#).unwrap_err().to_string();
        assert!(error.contains("line 1 column 18"), "{error}");
    }
}
