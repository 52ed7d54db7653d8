//! An issuer of JSON web tokens: its keys, its JWKS and what it signs.

use std::path::Path;

use assent_cluster::access::{JwtAlgorithm, JwtIdentity, JwtIssuerConfig};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use super::now;

/// The name of the issuer.
pub const ISSUER: &str = "https://issuer.example";

/// A key of the issuer.
pub struct Signer {
    key: EncodingKey,
    kid: &'static str,
    jwk: Value,
}

impl Signer {
    /// A key of this id.
    pub fn new(kid: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let public = pair.public_key_raw();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&public[1..33]), URL_SAFE_NO_PAD.encode(&public[33..65]));
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid});
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self { key, kid, jwk }
    }

    /// A good token of this number, which is another text for each number.
    pub fn token(&self, number: usize) -> String {
        self.token_with(number, "reader", now().0 + 3_600)
    }

    /// The same of another subject, or with another end, in seconds since 1970.
    pub fn token_with(&self, number: usize, subject: &str, ends: i64) -> String {
        self.token_of(&json!({
            "iss": ISSUER,
            "sub": subject,
            "aud": "assent",
            "exp": ends,
            "jti": number.to_string(),
        }))
    }

    /// A token of these claims.
    pub fn token_of(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": self.kid, "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = crypto::sign(message.as_bytes(), &self.key, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }
}

/// The file with these keys.
pub fn jwks(signers: &[&Signer]) -> String {
    let keys: Vec<&Value> = signers.iter().map(|signer| &signer.jwk).collect();
    json!({"keys": keys}).to_string()
}

/// The issuer, with its keys in this file.
pub fn issuer(jwks: &Path) -> JwtIssuerConfig {
    JwtIssuerConfig {
        issuer: ISSUER.to_owned(),
        audience: "assent".to_owned(),
        jwks: jwks.to_owned(),
        algorithms: vec![JwtAlgorithm::ES256],
        leeway_s: 30,
    }
}

/// The caller of `Signer::token`.
pub fn reader() -> JwtIdentity {
    JwtIdentity { issuer: ISSUER.to_owned(), subject: "reader".to_owned() }
}
