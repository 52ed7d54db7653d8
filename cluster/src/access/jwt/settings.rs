//! The issuers of JSON web tokens, as the configuration gives them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};

use super::super::setting::SettingError;

/// The largest number of issuers.
const ISSUERS_MAX: usize = 16;
/// The largest leeway, in seconds.
const LEEWAY_S_MAX: u32 = 300;
/// The largest length of an issuer, an audience or a subject, in bytes.
const CLAIM_BYTES_MAX: usize = 512;

/// An algorithm by which an issuer may sign. Each is asymmetric: a node that could verify by a shared secret could
/// also sign with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum JwtAlgorithm {
    /// ECDSA with P-256 and SHA-256.
    ES256,
    /// ECDSA with P-384 and SHA-384.
    ES384,
    /// RSA PKCS #1 v1.5 with SHA-256, of keys from 2048 bits.
    RS256,
    /// RSA PSS with SHA-256, of keys from 2048 bits.
    PS256,
    /// Ed25519.
    EdDSA,
}

impl JwtAlgorithm {
    /// The algorithm's name in a header and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            JwtAlgorithm::ES256 => "ES256",
            JwtAlgorithm::ES384 => "ES384",
            JwtAlgorithm::RS256 => "RS256",
            JwtAlgorithm::PS256 => "PS256",
            JwtAlgorithm::EdDSA => "EdDSA",
        }
    }

    pub(super) fn to_library(self) -> Algorithm {
        match self {
            JwtAlgorithm::ES256 => Algorithm::ES256,
            JwtAlgorithm::ES384 => Algorithm::ES384,
            JwtAlgorithm::RS256 => Algorithm::RS256,
            JwtAlgorithm::PS256 => Algorithm::PS256,
            JwtAlgorithm::EdDSA => Algorithm::EdDSA,
        }
    }
}

/// An issuer of JSON web tokens that the node accepts from callers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtIssuerConfig {
    /// The `iss` of its tokens, exactly. At most 512 bytes.
    pub issuer: String,
    /// What the `aud` of a token must have, exactly. It should name this registry and nothing else, so that a token
    /// for another service is no use here. At most 512 bytes.
    pub audience: String,
    /// The path of the file with its public keys (a JWKS, RFC 7517) of at most 256 KiB and 64 keys. The node reads
    /// the file again every 5 seconds.
    pub jwks: PathBuf,
    /// The algorithms by which it signs: `ES256`, `ES384`, `RS256`, `PS256`, `EdDSA`. The node accepts no other.
    pub algorithms: Vec<JwtAlgorithm>,
    /// How far `exp` and `nbf` may be missed, in seconds. At most 300.
    #[serde(default = "default_leeway_s")]
    pub leeway_s: u32,
}

/// Who a JSON web token is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtIdentity {
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `sub`, such as `system:serviceaccount:ci:scheduler` or a SPIFFE id.
    pub subject: String,
}

fn default_leeway_s() -> u32 {
    30
}

/// Whether this may be an issuer, an audience or a subject of the configuration.
fn is_claim(text: &str) -> bool {
    !text.is_empty() && text.len() <= CLAIM_BYTES_MAX && !text.chars().any(char::is_control)
}

/// Checks the issuers without reading their files.
///
/// # Errors
/// The first setting that cannot be used.
pub(in super::super) fn check_issuers(issuers: &[JwtIssuerConfig]) -> Result<(), SettingError> {
    if issuers.len() > ISSUERS_MAX {
        let problem = format!("has {} entries, must have at most {ISSUERS_MAX}", issuers.len());
        return Err(SettingError::new("jwt_issuers", problem));
    }
    let mut names = BTreeSet::new();
    for (place, issuer) in issuers.iter().enumerate() {
        let at = |field: &str, problem: String| {
            SettingError::new(format!("jwt_issuers[{place}].{field}"), problem)
        };
        for (field, text) in [("issuer", &issuer.issuer), ("audience", &issuer.audience)] {
            if !is_claim(text) {
                let problem = format!("must have from 1 to {CLAIM_BYTES_MAX} bytes and no control character");
                return Err(at(field, problem));
            }
        }
        if !names.insert(&issuer.issuer) {
            return Err(at("issuer", format!("`{}` is given twice", issuer.issuer)));
        }
        if issuer.algorithms.is_empty() {
            return Err(at("algorithms", "must name at least one algorithm".to_owned()));
        }
        let algorithms: BTreeSet<_> = issuer.algorithms.iter().collect();
        if algorithms.len() != issuer.algorithms.len() {
            return Err(at("algorithms", "names an algorithm twice".to_owned()));
        }
        if issuer.leeway_s > LEEWAY_S_MAX {
            return Err(at("leeway_s", format!("is {}, must be at most {LEEWAY_S_MAX}", issuer.leeway_s)));
        }
    }
    Ok(())
}

impl JwtIdentity {
    /// Checks it against the issuers of the configuration.
    ///
    /// # Errors
    /// The field at fault, and what is wrong with it.
    pub(in super::super) fn check(
        &self,
        issuers: &[JwtIssuerConfig],
    ) -> Result<(), (&'static str, &'static str)> {
        if !issuers.iter().any(|issuer| issuer.issuer == self.issuer) {
            return Err(("jwt.issuer", "is not the `issuer` of an entry of `jwt_issuers`"));
        }
        if !is_claim(&self.subject) {
            return Err(("jwt.subject", "must have from 1 to 512 bytes and no control character"));
        }
        Ok(())
    }
}
