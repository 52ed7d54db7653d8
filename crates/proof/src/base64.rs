//! Base64 as DSSE has it: both alphabets in, padded or not; the padded standard alphabet out.

use ::base64::Engine;
use ::base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// `bytes` in the standard alphabet, padded.
pub fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads standard or URL-safe base64, padded or unpadded; `None` for anything else.
///
/// One text uses one alphabet, its padding is whole or absent, unused bits are zero, and there is no white space.
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
