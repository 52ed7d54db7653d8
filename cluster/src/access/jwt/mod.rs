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
mod verified;
mod wrongly_signed;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use assent_proof::{Millis, Sha256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, crypto};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

pub(super) use keys::{JWKS_BYTES, KeySet};
pub use refusal::JwtRefusal;
pub(super) use settings::check_issuers;
pub use settings::{JwtAlgorithm, JwtIdentity, JwtIssuerConfig};
use verified::{Times, Verified, VerifiedTokens};
use wrongly_signed::WronglySigned;

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
pub(super) struct Issuers {
    by_name: BTreeMap<String, Issuer>,
    /// The tokens that these keys have verified.
    verified: Arc<VerifiedTokens>,
    /// The tokens that these keys have not signed.
    wrongly_signed: Arc<WronglySigned>,
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) why: JwtRefusal,
    /// If its issuer and subject are the reason: what the token says they are. No signature was verified over that, so
    /// anyone can have written it.
    pub(super) claimed: Option<JwtIdentity>,
}

impl From<JwtRefusal> for Refused {
    fn from(why: JwtRefusal) -> Self {
        Self { why, claimed: None }
    }
}

/// The parts of a token whose signature was not verified.
struct Parts<'a> {
    header: Header,
    claims: Claims,
    /// What the signature is over.
    message: &'a str,
    signature: &'a str,
}

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

impl<'a> Parts<'a> {
    /// # Errors
    /// It is of another form, or its header asks for what the node does not know.
    fn of(token: &'a str) -> Result<Self, JwtRefusal> {
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
        Ok(Self { header, claims: part(payload)?, message, signature })
    }
}

impl Issuers {
    /// The issuers, by their names.
    pub(super) fn new(issuers: impl IntoIterator<Item = Issuer>) -> Self {
        let by_name = issuers.into_iter().map(|issuer| (issuer.config.issuer.clone(), issuer)).collect();
        Self { by_name, verified: Arc::default(), wrongly_signed: Arc::default() }
    }

    /// The file of each issuer, and its name.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.by_name.values().map(|issuer| (issuer.config.jwks.as_path(), issuer.config.issuer.as_str()))
    }

    /// Gives an issuer these keys, if there is one of this name. If they are others than before, no token counts as
    /// verified or as wrongly signed any more.
    pub(super) fn set_keys(&mut self, issuer: &str, keys: KeySet) {
        let Some(issuer) = self.by_name.get_mut(issuer) else { return };
        if !issuer.keys.is_same(&keys) {
            self.verified = Arc::default();
            self.wrongly_signed = Arc::default();
        }
        issuer.keys = keys;
    }

    /// What `listed` has for the issuer and the subject of this token, if the token is good at `now`. Without `now`, the
    /// node is not sure of its clock.
    ///
    /// Everything that is cheap comes before the signature. To refuse a token early is safe, and costs nothing of what
    /// bounds the verifications. Before a signature is verified, `may_verify` is asked once. If it says no, the token is
    /// refused.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn verify<G>(
        &self,
        token: &str,
        now: Option<Millis>,
        listed: impl Fn(&JwtIdentity) -> Option<G>,
        may_verify: &dyn Fn() -> bool,
    ) -> Result<G, Refused> {
        if token.len() > JWT_BYTES_MAX {
            return Err(JwtRefusal::TooLong.into());
        }
        let Some(now) = now else { return Err(JwtRefusal::ClockUncertain.into()) };
        let digest = Sha256::of(token.as_bytes()).0;
        if let Some(verified) = self.verified.find(&digest) {
            verified.times.check(now)?;
            return listed(&verified.identity).ok_or(JwtRefusal::SubjectNotListed.into());
        }
        if self.wrongly_signed.has(&digest) {
            return Err(JwtRefusal::SignatureInvalid.into());
        }
        let Parts { header, claims, message, signature } = Parts::of(token)?;
        // Until the signature over them was verified, the claims only say whose keys to try, and can only make the node
        // refuse the token.
        let issuer = self.by_name.get(&claims.iss).ok_or(JwtRefusal::IssuerUnknown)?;
        let (key, algorithm) = issuer.key(&header)?;
        let times = issuer.times(&claims)?;
        times.check(now)?;
        let identity = JwtIdentity { issuer: claims.iss, subject: claims.sub };
        let Some(listed) = listed(&identity) else {
            return Err(Refused { why: JwtRefusal::SubjectNotListed, claimed: Some(identity) });
        };
        if !may_verify() {
            return Err(JwtRefusal::Unverified.into());
        }
        match crypto::verify(signature, message.as_bytes(), key, algorithm.to_library()) {
            Ok(true) => {
                self.verified.add(digest, Arc::new(Verified { identity, times }), now);
                Ok(listed)
            }
            Ok(false) | Err(_) => {
                self.wrongly_signed.add(digest);
                Err(JwtRefusal::SignatureInvalid.into())
            }
        }
    }
}

impl Issuer {
    /// The key that must have signed a token with this header, and the algorithm.
    ///
    /// # Errors
    /// The algorithm is not pinned, the issuer has no such key, or the two do not fit.
    fn key(&self, header: &Header) -> Result<(&DecodingKey, JwtAlgorithm), JwtRefusal> {
        let mut pinned = self.config.algorithms.iter().copied();
        let algorithm = pinned.find(|algorithm| algorithm.as_str() == header.alg);
        let algorithm = algorithm.ok_or(JwtRefusal::AlgorithmNotPinned)?;
        let key = self.keys.find(header.kid.as_deref()).ok_or(JwtRefusal::KeyUnknown)?;
        let key = key.for_algorithm(algorithm).ok_or(JwtRefusal::KeyUnfit)?;
        Ok((key, algorithm))
    }

    /// When the token is valid, with the leeway.
    ///
    /// # Errors
    /// It is for another audience, has no end, or has a time that no clock reaches.
    fn times(&self, claims: &Claims) -> Result<Times, JwtRefusal> {
        let leeway = i64::from(self.config.leeway_s).saturating_mul(1_000);
        if !claims.aud.has(&self.config.audience) {
            return Err(JwtRefusal::WrongAudience);
        }
        let ends = claims.exp.ok_or(JwtRefusal::NoExpiry)?.to_millis().ok_or(JwtRefusal::Malformed)?;
        let begins = match claims.nbf {
            Some(begins) => begins.to_millis().ok_or(JwtRefusal::Malformed)?.saturating_sub(leeway),
            None => i64::MIN,
        };
        Ok(Times { begins, ends: ends.saturating_add(leeway) })
    }
}
