//! The public keys of an issuer, from its JWKS file (RFC 7517).

use std::fmt;

use assent_proof::Sha256;
use assent_proof::text::{cut, one_line};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::settings::JwtAlgorithm;

/// The largest size of a JWKS file, in bytes.
pub(in super::super) const JWKS_BYTES: usize = 256 * 1024;
/// The largest number of keys in a file.
const KEYS_MAX: usize = 64;
/// How much of what is wrong with the JSON a message says, in characters. serde quotes a value of the wrong type as a whole.
const SHOWN_CHARS_MAX: usize = 200;
/// The smallest and the largest size of an RSA modulus, in bytes.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

#[derive(Deserialize)]
#[serde(expecting = "an object with `keys`")]
struct File {
    keys: Vec<Entry>,
}

/// An entry of a file. RFC 7517 asks readers to ignore other fields.
#[derive(Deserialize)]
#[serde(expecting = "an object with a key")]
struct Entry {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private part of a key, or a shared secret.
    d: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

/// The keys with which an issuer signs.
#[derive(Clone, Default)]
pub(in super::super) struct KeySet {
    keys: Vec<Key>,
    /// The SHA-256 of the file's text, which tells whether the file has changed.
    text: [u8; 32],
}

/// A public key, and what it may verify.
#[derive(Clone)]
pub(super) struct Key {
    kid: Option<String>,
    fits: Vec<JwtAlgorithm>,
    key: DecodingKey,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.iter().map(|key| &key.kid)).finish()
    }
}

impl KeySet {
    /// Reads a JWKS. Keys of another use or of an unknown type are left out, as RFC 7517 §5 asks.
    ///
    /// # Errors
    /// What is wrong with it: it has more than 64 keys, none that verifies signatures, a `kid` twice, a private key or
    /// a shared secret, or a key of another form than its type has.
    pub(in super::super) fn parse(text: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| not_jwks(&error))?;
        if file.keys.len() > KEYS_MAX {
            return Err(format!("it has {} keys, and at most {KEYS_MAX} are allowed", file.keys.len()));
        }
        let mut keys: Vec<Key> = Vec::new();
        for (place, entry) in file.keys.into_iter().enumerate() {
            let key = entry.read().map_err(|problem| format!("`keys[{place}]` {problem}"))?;
            let Some(key) = key else { continue };
            if key.kid.is_some() && keys.iter().any(|other| other.kid == key.kid) {
                return Err(format!("`keys[{place}]` has the `kid` of another key"));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err("it has no key that verifies ES256, ES384, RS256, PS256 or EdDSA".to_owned());
        }
        Ok(Self { keys, text: Sha256::of(text.as_bytes()).0 })
    }

    /// The `kid` of each key, and the algorithms by which it verifies.
    pub(in super::super) fn described(&self) -> impl Iterator<Item = (Option<&str>, &[JwtAlgorithm])> {
        self.keys.iter().map(|key| (key.kid.as_deref(), key.fits.as_slice()))
    }

    /// Whether it was read from the same text.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// The key that a token names. If it names none, the only key.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match (kid, self.keys.as_slice()) {
            (Some(kid), keys) => keys.iter().find(|key| key.kid.as_deref() == Some(kid)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

impl Key {
    /// The key for verifying by this algorithm, if the algorithm fits its type.
    pub(super) fn for_algorithm(&self, algorithm: JwtAlgorithm) -> Option<&DecodingKey> {
        self.fits.contains(&algorithm).then_some(&self.key)
    }
}

impl Entry {
    /// The key, or none if it is for another use or of a type that this build does not know.
    fn read(self) -> Result<Option<Key>, String> {
        if self.d.is_some() || self.k.is_some() {
            return Err("has a private part or a shared secret: give the node public keys only".to_owned());
        }
        // SPIFFE bundles say `jwt-svid` where other issuers say `sig`.
        if !matches!(self.purpose.as_deref(), None | Some("sig" | "jwt-svid")) {
            return Ok(None);
        }
        let (key, fits) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (bytes("n", &self.n)?, bytes("e", &self.e)?);
                if !MODULUS.contains(&n.len()) {
                    return Err(format!("has a modulus of {} bytes, not of 256 to 1024", n.len()));
                }
                let key = DecodingKey::from_rsa_raw_components(&n, &e);
                (key, vec![JwtAlgorithm::RS256, JwtAlgorithm::PS256])
            }
            ("EC", Some("P-256")) => (self.point(32)?, vec![JwtAlgorithm::ES256]),
            ("EC", Some("P-384")) => (self.point(48)?, vec![JwtAlgorithm::ES384]),
            ("OKP", Some("Ed25519")) => {
                let x = of_length("x", bytes("x", &self.x)?, 32)?;
                (DecodingKey::from_ed_der(&x), vec![JwtAlgorithm::EdDSA])
            }
            _ => return Ok(None),
        };
        // A key that names its algorithm is for no other.
        let fits: Vec<JwtAlgorithm> = match self.alg.as_deref() {
            None => fits,
            Some(alg) => fits.into_iter().filter(|fit| fit.as_str() == alg).collect(),
        };
        Ok((!fits.is_empty()).then_some(Key { kid: self.kid, fits, key }))
    }

    /// The point of a curve, uncompressed, which is what the library takes despite the name of its function.
    fn point(&self, length: usize) -> Result<DecodingKey, String> {
        let mut point = vec![0x04];
        point.extend(of_length("x", bytes("x", &self.x)?, length)?);
        point.extend(of_length("y", bytes("y", &self.y)?, length)?);
        Ok(DecodingKey::from_ec_der(&point))
    }
}

/// Why the text is not a JWKS, in one line of bounded length, however long the values in the text are.
fn not_jwks(error: &serde_json::Error) -> String {
    let said = error.to_string();
    format!("it is not a JWKS with `keys`: {}", one_line(&cut(&said, SHOWN_CHARS_MAX)))
}

fn bytes(field: &str, text: &Option<String>) -> Result<Vec<u8>, String> {
    let text = text.as_ref().ok_or_else(|| format!("has no `{field}`"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("has a `{field}` that is not base64url without padding"))
}

fn of_length(field: &str, bytes: Vec<u8>, length: usize) -> Result<Vec<u8>, String> {
    let found = bytes.len();
    (found == length)
        .then_some(bytes)
        .ok_or_else(|| format!("has a `{field}` of {found} bytes, and its curve has coordinates of {length}"))
}
