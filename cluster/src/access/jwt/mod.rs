//! JSON web tokens (RFC 7519) as credentials of callers: JWT-SVIDs, and service-account tokens of Kubernetes.
//!
//! A token is accepted only if a configured issuer has signed it with a key of its JWKS file, by an algorithm that the
//! configuration pins and that fits the key. The node fetches nothing from the network. Times are judged by the time
//! that the caller of [`Issuers::verify`] gives, and a node that is not sure of its clock accepts no token. What a
//! caller may do never comes from a claim: `callers` maps exactly one issuer and subject to roles.

mod keys;
mod refusal;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use assent_proof::Millis;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

pub(super) use keys::{JWKS_BYTES, KeySet};
pub use refusal::JwtRefusal;
pub(super) use settings::check_issuers;
pub use settings::{JwtAlgorithm, JwtIdentity, JwtIssuerConfig};

/// The largest size of a token, in bytes.
const JWT_BYTES_MAX: usize = 8 * 1024;

/// An issuer, and the keys with which it signs now.
#[derive(Debug, Clone)]
pub(super) struct Issuer {
    pub(super) config: JwtIssuerConfig,
    pub(super) keys: KeySet,
}

/// The issuers by their names.
#[derive(Debug, Clone, Default)]
pub(super) struct Issuers(BTreeMap<String, Issuer>);

/// The fields of a header that matter here. Others are ignored, as RFC 7515 §4 asks.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    /// Whether there is a `crit`, whatever its value is.
    #[serde(default, deserialize_with = "there")]
    crit: bool,
}

/// The claims that matter here.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: Option<Seconds>,
    #[serde(default)]
    nbf: Option<Seconds>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn has(&self, audience: &str) -> bool {
        match self {
            Audience::One(one) => one == audience,
            Audience::Several(several) => several.iter().any(|one| one == audience),
        }
    }
}

/// A `NumericDate` of RFC 7519: seconds since 1970, which may have a fraction.
#[derive(Clone, Copy)]
struct Seconds(f64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Seconds)
    }
}

impl Seconds {
    /// In milliseconds, or none for a point that no clock reaches.
    fn to_millis(self) -> Option<i64> {
        /// `9999-12-31T23:59:59Z`.
        const LAST: f64 = 253_402_300_799.0;
        if !(0.0..=LAST).contains(&self.0) {
            return None;
        }
        // A fraction of a millisecond is cut off.
        Some((self.0 * 1_000.0) as i64)
    }
}

fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A part of a token: JSON in base64url.
fn part<T: DeserializeOwned>(text: &str) -> Result<T, JwtRefusal> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| JwtRefusal::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| JwtRefusal::Malformed)
}

impl Issuers {
    /// The issuers, by their names.
    pub(super) fn new(issuers: impl IntoIterator<Item = Issuer>) -> Self {
        Self(issuers.into_iter().map(|issuer| (issuer.config.issuer.clone(), issuer)).collect())
    }

    /// The file of each issuer, and its name.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0.values().map(|issuer| (issuer.config.jwks.as_path(), issuer.config.issuer.as_str()))
    }

    /// The keys of an issuer, if there is one of this name.
    pub(super) fn keys_mut(&mut self, issuer: &str) -> Option<&mut KeySet> {
        self.0.get_mut(issuer).map(|issuer| &mut issuer.keys)
    }

    /// Who shows this token, if it is good at `now`. Without `now`, the node is not sure of its clock.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn verify(&self, token: &str, now: Option<Millis>) -> Result<JwtIdentity, JwtRefusal> {
        if token.len() > JWT_BYTES_MAX {
            return Err(JwtRefusal::TooLong);
        }
        let Some(now) = now else { return Err(JwtRefusal::ClockUncertain) };
        let (message, signature) = token.rsplit_once('.').ok_or(JwtRefusal::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(JwtRefusal::Malformed)?;
        if payload.contains('.') {
            return Err(JwtRefusal::Malformed);
        }
        let header: Header = part(header)?;
        if header.crit {
            return Err(JwtRefusal::Critical);
        }
        let is_jwt = |typ: &String| typ.eq_ignore_ascii_case("jwt") || typ.eq_ignore_ascii_case("jose");
        if !header.typ.as_ref().is_none_or(is_jwt) {
            return Err(JwtRefusal::OtherType);
        }
        // The claims only say whose keys to try. They count once the signature over them was verified.
        let claims: Claims = part(payload)?;
        let issuer = self.0.get(&claims.iss).ok_or(JwtRefusal::IssuerUnknown)?;
        issuer.check_signature(&header, message, signature)?;
        issuer.check_claims(&claims, now)?;
        Ok(JwtIdentity { issuer: claims.iss, subject: claims.sub })
    }
}

impl Issuer {
    fn check_signature(&self, header: &Header, message: &str, signature: &str) -> Result<(), JwtRefusal> {
        let mut pinned = self.config.algorithms.iter().copied();
        let algorithm = pinned.find(|algorithm| algorithm.as_str() == header.alg);
        let algorithm = algorithm.ok_or(JwtRefusal::AlgorithmNotPinned)?;
        let key = self.keys.find(header.kid.as_deref()).ok_or(JwtRefusal::KeyUnknown)?;
        let key = key.for_algorithm(algorithm).ok_or(JwtRefusal::KeyUnfit)?;
        match crypto::verify(signature, message.as_bytes(), key, algorithm.to_library()) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(JwtRefusal::SignatureInvalid),
        }
    }

    fn check_claims(&self, claims: &Claims, now: Millis) -> Result<(), JwtRefusal> {
        let leeway = i64::from(self.config.leeway_s).saturating_mul(1_000);
        if !claims.aud.has(&self.config.audience) {
            return Err(JwtRefusal::WrongAudience);
        }
        let ends = claims.exp.ok_or(JwtRefusal::NoExpiry)?.to_millis().ok_or(JwtRefusal::Malformed)?;
        if now.0 >= ends.saturating_add(leeway) {
            return Err(JwtRefusal::Expired);
        }
        let Some(begins) = claims.nbf else { return Ok(()) };
        let begins = begins.to_millis().ok_or(JwtRefusal::Malformed)?;
        if now.0.saturating_add(leeway) < begins {
            return Err(JwtRefusal::NotYetValid);
        }
        Ok(())
    }
}
