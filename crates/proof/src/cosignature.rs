//! A timestamped cosignature of a checkpoint (`c2sp.org/tlog-cosignature`): its bytes, and the message that
//! it signs.
//!
//! Notes hold cosignatures and checkpoints need them. Both use this module, and it uses neither.

use crate::code::Code;
use crate::key::PublicKey;
use crate::refusal::Refusal;

/// The first bytes of every cosignature's message. A note's own signature over a text that begins with them
/// is refused.
pub(crate) const COSIGNATURE_HEADER: &str = "cosignature/v1\ntime ";

/// The bytes after the key id in a cosignature's line: u64 big-endian seconds, then an Ed25519 signature.
///
/// The signature is over `cosignature/v1\ntime <seconds>\n` and the checkpoint's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// When it was made, in seconds since 1970-01-01T00:00:00Z, at most 2^63 - 1.
    pub time: u64,
    /// The Ed25519 signature.
    pub signature: [u8; 64],
}

impl Cosignature {
    /// Reads the 72 bytes. This verifies nothing.
    ///
    /// # Errors
    /// `malformed` for another length or a time of 2^63 seconds or more.
    pub fn from_bytes(bytes: &[u8]) -> Result<Cosignature, Refusal> {
        let parts = bytes.split_first_chunk().and_then(|(time, signature)| {
            Some((u64::from_be_bytes(*time), <[u8; 64]>::try_from(signature).ok()?))
        });
        match parts {
            Some((time, signature)) if i64::try_from(time).is_ok() => Ok(Cosignature { time, signature }),
            _ => {
                let detail = "a cosignature is `72` bytes with a time below 2^63 seconds";
                Err(Refusal::new(Code::Malformed, detail))
            }
        }
    }

    /// The 72 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.time.to_be_bytes().as_slice(), &self.signature].concat()
    }

    /// Whether this is `key`'s cosignature of this checkpoint text at the time in it.
    pub fn verify(&self, checkpoint_text: &str, key: &PublicKey) -> bool {
        key.verify(message(self.time, checkpoint_text).as_bytes(), &self.signature)
    }
}

/// What is signed: the header, the time and the checkpoint's text.
pub(crate) fn message(time: u64, checkpoint_text: &str) -> String {
    format!("{COSIGNATURE_HEADER}{time}\n{checkpoint_text}")
}
