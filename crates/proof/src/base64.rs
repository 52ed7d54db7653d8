//! Base64 as DSSE defines it. Reading takes both alphabets, padded or not. Writing gives the padded standard
//! alphabet.

use ::base64::Engine;
use ::base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// `bytes` in the standard alphabet, padded.
pub fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads standard or URL-safe base64, padded or unpadded; `None` for anything else.
///
/// One text uses one alphabet, its padding is complete or absent, and its unused bits are zero. White space
/// is refused, line ends included, although MIME and some tools write them (RFC 4648 §3.1).
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let url_safe = text.bytes().any(|b| b == b'-' || b == b'_');
    let padded = text.ends_with('=');
    match (url_safe, padded) {
        (false, true) => STANDARD.decode(text),
        (false, false) => STANDARD_NO_PAD.decode(text),
        (true, true) => URL_SAFE.decode(text),
        (true, false) => URL_SAFE_NO_PAD.decode(text),
    }
    .ok()
}

/// Why [`decode_base64`] refuses `text`. The answer goes on after a field's name.
pub(crate) fn what_is_no_base64(text: &str) -> String {
    match text.bytes().position(|byte| matches!(byte, b'\n' | b'\r')) {
        Some(at) => format!("is base64 with a line end at byte {at}: write it without line ends"),
        None => "is not base64".to_owned(),
    }
}
