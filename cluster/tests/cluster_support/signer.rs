//! An issuer of JSON web tokens, and the configuration of a node that accepts its tokens.

use std::path::Path;

use assent_cluster::access::{JwtAlgorithm, JwtIssuerConfig};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use super::now;

/// The name of the issuer.
pub const ISSUER: &str = "https://issuer.example";

/// A key of an issuer of JSON web tokens, and its JWKS.
pub struct Signer {
    key: EncodingKey,
    pub jwks: String,
}

impl Signer {
    pub fn new() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let public = pair.public_key_raw();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&public[1..33]), URL_SAFE_NO_PAD.encode(&public[33..65]));
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "one"});
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self { key, jwks: json!({"keys": [jwk]}).to_string() }
    }

    /// A good token of this number, which is another text for each number.
    pub fn token(&self, number: usize) -> String {
        self.token_with(number, "reader", now().0 + 3_600)
    }

    /// The same of another subject, or with another end, in seconds since 1970.
    pub fn token_with(&self, number: usize, subject: &str, ends: i64) -> String {
        let number = number.to_string();
        self.token_of(&json!({"iss": ISSUER, "sub": subject, "aud": "assent", "exp": ends, "jti": number}))
    }

    /// A token of these claims.
    pub fn token_of(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": "one", "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = crypto::sign(message.as_bytes(), &self.key, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }
}

/// The entry of `jwt_issuers` for the issuer whose keys are in this file.
pub fn issuer_of(jwks: &Path) -> JwtIssuerConfig {
    JwtIssuerConfig {
        issuer: ISSUER.to_owned(),
        audience: "assent".to_owned(),
        jwks: jwks.to_owned(),
        algorithms: vec![JwtAlgorithm::ES256],
        leeway_s: 30,
    }
}
