//! Ed25519 keys: public keys, which are the ids of authorities, and signing keys, both also as the PEM files
//! that openssl writes.
//!
//! Verification is strict everywhere (RFC 8032 with canonical S, no small-order point, no cofactor), so that
//! every node and every offline verifier agrees on each signature. Keys are made from a seed that the caller
//! draws.

use crate::bytes32::{Bytes32, serde_bytes32};
use crate::id::Sha256;
use crate::json::Json;
use crate::lower_hex::from_lower_hex;
use ed25519_dalek::pkcs8::spki::der::zeroize::Zeroizing;
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use std::fmt::{Debug, Display, Formatter};
use std::str::FromStr;

/// DER in front of the 32 key bytes of an Ed25519 SubjectPublicKeyInfo (RFC 8410 §4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// DER in front of the 32 seed bytes of an Ed25519 PKCS#8 v1 private key (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Why bytes or text are not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The 32 bytes encode a coordinate that is not below the field's prime.
    #[error("public key is not canonically encoded")]
    NotCanonical,
    /// The 32 bytes are not a point of the curve.
    #[error("public key is not a point of the curve")]
    NotAPoint,
    /// The point has an order of 1, 2, 4 or 8: signatures under it prove nothing.
    #[error("public key has a low order")]
    LowOrder,
    /// The text is not `ed25519:` and 64 lower-case hex digits.
    #[error("must be a public key, `ed25519:` and 64 lower-case hex digits")]
    Text,
    /// The PEM text holds only keys of other algorithms.
    #[error("not an Ed25519 {expected} PEM file: it holds {found}, and only Ed25519 keys sign here")]
    Algorithm {
        /// The kind of key that was asked for.
        expected: &'static str,
        /// The key that the text holds, with its article.
        found: &'static str,
    },
    /// The PEM text is not the kind of key that was asked for.
    #[error("not an Ed25519 {expected} PEM file: {problem}")]
    Pem {
        /// The kind of key that was asked for.
        expected: &'static str,
        /// What is wrong, as far as it is known; never key material.
        problem: String,
    },
}

/// An Ed25519 public key, which is also an authority's id. Written `ed25519:<64 lower-case hex>`.
///
/// A key from text, PEM or [`from_bytes`](Self::from_bytes) is a canonically encoded point of the curve that
/// has no low order. Serde uses the text in human readable formats, and the 32 bytes elsewhere, which are
/// taken unchecked as by [`from_stored_bytes`](Self::from_stored_bytes).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key with this encoding (RFC 8032 §5.1.2).
    ///
    /// # Errors
    /// Refuses non-canonical encodings, encodings of no point of the curve, and points of low order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        if !is_canonical(bytes) {
            return Err(KeyError::NotCanonical);
        }
        let point = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        // This also refuses the two encodings of x = 0 with the sign bit set, since y is then 1 or -1.
        if point.is_weak() {
            return Err(KeyError::LowOrder);
        }
        Ok(PublicKey(*bytes))
    }

    /// The key with this encoding, without a check. [`from_bytes`](Self::from_bytes) accepted the bytes
    /// before they were stored, and checking the curve again on every read of a row would cost more than the
    /// read. If the bytes are not a key after all, [`verify`](Self::verify) accepts no signature by them.
    pub fn from_stored_bytes(bytes: [u8; 32]) -> Self {
        PublicKey(bytes)
    }

    /// The 32 bytes of the encoding.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key as a `PUBLIC KEY` PEM file, byte for byte as openssl writes it.
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &SPKI_PREFIX, &self.0).as_str().to_owned()
    }

    /// The key id that securesystemslib gives this key, in hex: SHA-256 of its canonical JSON. It decides
    /// nothing here.
    pub fn keyid(&self) -> String {
        let key = Json::object([
            ("keytype", Json::text("ed25519")),
            ("keyval", Json::object([("public", Json::text(hex::encode(self.0)))])),
            ("scheme", Json::text("ed25519")),
        ]);
        Sha256::of(&key.to_vec()).to_string()
    }

    /// Whether `signature` is this key's signature over `message`, strictly (dalek's `verify_strict`).
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(&self.0), Signature::from_slice(signature))
        else {
            return false;
        };
        key.verify_strict(message, &signature).is_ok()
    }
}

/// Whether the y coordinate is below 2^255 - 19; the top bit of the last byte is the sign of x.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = bytes;
    last & 0x7f != 0x7f || middle.iter().any(|b| *b != 0xff) || *first < 0xed
}

impl Display for PublicKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "ed25519:{}", hex::encode(self.0))
    }
}

impl Debug for PublicKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let raw = text.strip_prefix("ed25519:").and_then(from_lower_hex).ok_or(KeyError::Text)?;
        PublicKey::from_bytes(&raw)
    }
}

impl Bytes32 for PublicKey {
    const WHAT: &'static str = "an Ed25519 public key";
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|e: KeyError| e.to_string())
    }
    fn from_raw(bytes: [u8; 32]) -> Result<Self, String> {
        // The binary form is for our own store and replicas. Input from outside is text.
        Ok(PublicKey::from_stored_bytes(bytes))
    }
    fn raw(&self) -> &[u8; 32] {
        &self.0
    }
}
serde_bytes32!(PublicKey);

/// An Ed25519 signing key. Wiped from memory on drop; `Debug` shows the public half only.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of this seed. The caller takes the 32 bytes from a cryptographic random source.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        SigningKey(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// Wraps a key that another module decoded.
    pub(crate) fn from_dalek(key: ed25519_dalek::SigningKey) -> Self {
        SigningKey(key)
    }

    /// The key as an unencrypted PKCS#8 v1 `PRIVATE KEY` PEM file, byte for byte as openssl writes it. The text is
    /// wiped from memory when it is dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        pem("PRIVATE KEY", &PKCS8_PREFIX, self.0.as_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        // A key made from a seed is a multiple of the base point by a clamped scalar: never of low order, and
        // dalek encodes canonically.
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` (RFC 8032, deterministic).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl Debug for SigningKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, secret withheld)", self.public())
    }
}

/// One PEM block. Both kinds of DER are at most 48 bytes, so their base64 fits PEM's one line of 64 characters. Every
/// copy that is made here is wiped from memory, as the key may be a private one.
fn pem(label: &str, prefix: &[u8], key: &[u8; 32]) -> Zeroizing<String> {
    let der = Zeroizing::new([prefix, key].concat());
    let letters = Zeroizing::new(crate::base64::encode_base64(&der));
    let (begin, end) = (format!("-----BEGIN {label}-----\n"), format!("\n-----END {label}-----\n"));
    let room = begin.len().saturating_add(letters.len()).saturating_add(end.len());
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str(&begin);
    text.push_str(&letters);
    text.push_str(&end);
    text
}
