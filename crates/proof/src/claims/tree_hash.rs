//! A hash of an RFC 6962 tree, as claims carry it.

use crate::base64::{decode_base64, encode_base64};
use crate::bytes32::{Bytes32, serde_bytes32};
use crate::json::FieldError;
use std::fmt::{Display, Formatter};
use std::str::FromStr;

/// A node of an RFC 6962 tree (SHA-256), in standard base64 as C2SP's formats write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHash(pub [u8; 32]);

impl Display for TreeHash {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&encode_base64(&self.0))
    }
}

impl FromStr for TreeHash {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let hash = decode_base64(text).and_then(|bytes| bytes.try_into().ok()).map(TreeHash);
        // One spelling only, so that a proof reads back as it was written.
        let exact = hash.filter(|hash| hash.to_string() == text);
        exact.ok_or_else(|| FieldError::new("", "must be 32 bytes in standard base64"))
    }
}

impl Bytes32 for TreeHash {
    const WHAT: &'static str = "a hash of a tree";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: FieldError| error.to_string())
    }

    fn from_raw(bytes: [u8; 32]) -> Result<Self, String> {
        Ok(TreeHash(bytes))
    }

    fn raw(&self) -> &[u8; 32] {
        &self.0
    }
}

serde_bytes32!(TreeHash);
