//! Small judgements about text: what may be printed, and how a hostile value is quoted in a message.

use crate::json::FieldError;

/// Longest part of a foreign value that a message quotes, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// `value` made safe for a one-line message: control characters escaped, cut after a bounded length.
pub(crate) fn shown(value: &str) -> String {
    let mut out: String = value.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
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

/// Refuses text with control characters or more than `bytes_max` bytes. Empty text is refused as well.
///
/// Control characters could forge lines in a terminal or a text log, where such text ends up.
pub(crate) fn check_plain(path: &str, value: &str, bytes_max: usize) -> Result<(), FieldError> {
    if value.is_empty() || value.len() > bytes_max {
        return Err(FieldError::new(path, format!("must be 1 to {bytes_max} bytes long")));
    }
    if value.chars().any(char::is_control) {
        return Err(FieldError::new(path, "must not contain control characters"));
    }
    Ok(())
}
