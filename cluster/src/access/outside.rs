//! The readers of this folder that have no other public way in, for programs that feed them arbitrary bytes.
//!
//! No node uses this module. It reads nothing in another way than [`Access`](super::Access) does, and it opens no file.

use assent_proof::Millis;

use super::jwt::{Issuer, Issuers, JwtAlgorithm, JwtIdentity, JwtIssuerConfig, JwtRefusal, KeySet};

/// What a key of a JWKS file may verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksKey {
    /// The name by which tokens name it.
    pub kid: Option<String>,
    /// The algorithms that fit it.
    pub algorithms: Vec<JwtAlgorithm>,
}

/// The keys of a JWKS file, from its text.
///
/// # Errors
/// What is wrong with the text.
pub fn read_jwks(text: &str) -> Result<Vec<JwksKey>, String> {
    let keys = KeySet::parse(text)?;
    let owned = |(kid, fits): (Option<&str>, &[JwtAlgorithm])| JwksKey {
        kid: kid.map(str::to_owned),
        algorithms: fits.to_vec(),
    };
    Ok(keys.described().map(owned).collect())
}

/// Judges JSON web tokens as a node does whose table lists every subject of its issuers.
#[derive(Debug)]
pub struct JwtReader(Issuers);

impl JwtReader {
    /// A reader that knows these issuers, each with the text of its JWKS file.
    ///
    /// # Errors
    /// What is wrong with the text of a JWKS file.
    pub fn new<'a>(issuers: impl IntoIterator<Item = (JwtIssuerConfig, &'a str)>) -> Result<Self, String> {
        let mut read = Vec::new();
        for (config, jwks) in issuers {
            read.push(Issuer { config, keys: KeySet::parse(jwks)? });
        }
        Ok(Self(Issuers::new(read)))
    }

    /// Who shows this token, if it is good at `now`. Without `now`, the node is not sure of its clock.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn read(&self, token: &str, now: Option<Millis>) -> Result<JwtIdentity, JwtRefusal> {
        let listed = |identity: &JwtIdentity| Some(identity.clone());
        self.0.verify(token, now, listed, &|| true).map_err(|refused| refused.why)
    }
}
