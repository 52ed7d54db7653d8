//! Digests that name things: evidence ids (BLAKE3) and subject digests (SHA-256).

use crate::bytes32::{Bytes32, serde_bytes32};
use crate::json::FieldError;
use crate::lower_hex::from_lower_hex;
use sha2::Digest;
use std::fmt::{Debug, Display, Formatter};
use std::str::FromStr;

/// BLAKE3-256 of `bytes`.
pub fn blake3_256(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// The name of one piece of evidence: BLAKE3-256 of its envelope's PAE bytes, written `blake3:<64 lower-case
/// hex>`.
///
/// Re-encoding or re-signing an envelope does not change it (RFC-EG-033 §6, immutable evidence identifiers).
/// Serde uses the text in human readable formats and the 32 bytes elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvidenceId(pub [u8; 32]);

impl EvidenceId {
    /// The id of the evidence whose DSSE pre-authentication encoding is `pae`.
    pub fn of_pae(pae: &[u8]) -> Self {
        EvidenceId(blake3_256(pae))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Display for EvidenceId {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "blake3:{}", hex::encode(self.0))
    }
}

impl Debug for EvidenceId {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Display::fmt(self, f)
    }
}

impl FromStr for EvidenceId {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let raw = text.strip_prefix("blake3:").and_then(from_lower_hex);
        raw.map(EvidenceId).ok_or_else(|| {
            FieldError::new("", "must be an evidence id, `blake3:` and 64 lower-case hex digits")
        })
    }
}

impl Bytes32 for EvidenceId {
    const WHAT: &'static str = "an evidence id";
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|e: FieldError| e.to_string())
    }
    fn from_raw(bytes: [u8; 32]) -> Result<Self, String> {
        Ok(EvidenceId(bytes))
    }
    fn raw(&self) -> &[u8; 32] {
        &self.0
    }
}
serde_bytes32!(EvidenceId);

/// A subject's SHA-256 digest, written as 64 lower-case hex digits. Serde uses the text in human readable
/// formats and the 32 bytes elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Sha256(sha2::Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Display for Sha256 {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Debug for Sha256 {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let raw = from_lower_hex(text);
        raw.map(Sha256)
            .ok_or_else(|| FieldError::new("", "must be a sha256 digest, 64 lower-case hex digits"))
    }
}

impl Bytes32 for Sha256 {
    const WHAT: &'static str = "a sha256 digest";
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|e: FieldError| e.to_string())
    }
    fn from_raw(bytes: [u8; 32]) -> Result<Self, String> {
        Ok(Sha256(bytes))
    }
    fn raw(&self) -> &[u8; 32] {
        &self.0
    }
}
serde_bytes32!(Sha256);
