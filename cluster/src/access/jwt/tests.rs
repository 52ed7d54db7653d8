//! Tokens that were really signed, and each way to spoil one.

use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://issuer.example";
const NOW: Millis = Millis(1_800_000_000_000);
const NOW_S: i64 = 1_800_000_000;

/// A key of an issuer: its private half, and its entry in the JWKS.
struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    jwk: Value,
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    fn new(algorithm: Algorithm, kid: &str) -> Self {
        let pair = match algorithm {
            Algorithm::ES256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Algorithm::ES384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Algorithm::EdDSA => KeyPair::generate_for(&PKCS_ED25519),
            _ => KeyPair::generate_for(&PKCS_RSA_SHA256),
        }
        .unwrap();
        let (private, public) = (pair.serialize_der(), pair.public_key_raw());
        let point = |curve: &str, length: usize| {
            let (x, y) = (&public[1..=length], &public[length + 1..]);
            json!({"kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y), "kid": kid})
        };
        let (key, jwk) = match algorithm {
            Algorithm::ES256 => (EncodingKey::from_ec_der(&private), point("P-256", 32)),
            Algorithm::ES384 => (EncodingKey::from_ec_der(&private), point("P-384", 48)),
            Algorithm::EdDSA => (
                EncodingKey::from_ed_der(&private),
                json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(public), "kid": kid, "use": "jwt-svid"}),
            ),
            // Of a key of 2048 bits: PKCS #8 has 26 bytes before the PKCS #1 key; the modulus begins at byte 9 of the
            // public key; the exponent is its last 3 bytes.
            _ => (
                EncodingKey::from_rsa_der(&private[26..]),
                json!({
                    "kty": "RSA",
                    "n": encoded(&public[9..265]),
                    "e": encoded(&public[public.len() - 3..]),
                    "kid": kid,
                    "use": "sig",
                }),
            ),
        };
        Self { algorithm, key, jwk }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message =
            format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    fn header(&self) -> Value {
        json!({"alg": format!("{:?}", self.algorithm), "kid": self.jwk["kid"], "typ": "JWT"})
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "sub": "system:serviceaccount:ci:scheduler",
        "aud": ["other", "assent"],
        "exp": NOW_S + 600,
        "nbf": NOW_S - 600,
        "kubernetes.io": {"namespace": "ci"},
    })
}

fn config(algorithms: &[JwtAlgorithm]) -> JwtIssuerConfig {
    JwtIssuerConfig {
        issuer: ISSUER.to_owned(),
        audience: "assent".to_owned(),
        jwks: "jwks.json".into(),
        algorithms: algorithms.to_vec(),
        leeway_s: 30,
    }
}

fn issuers(keys: &[&Signer], algorithms: &[JwtAlgorithm]) -> Issuers {
    let jwks = json!({"keys": keys.iter().map(|key| key.jwk.clone()).collect::<Vec<_>>()});
    Issuers::new([Issuer { config: config(algorithms), keys: KeySet::parse(&jwks.to_string()).unwrap() }])
}

impl Issuers {
    /// Who shows a token that may cost a verification.
    fn judge(&self, token: &str, now: Option<Millis>) -> Result<JwtIdentity, JwtRefusal> {
        self.judge_within(token, now, &|| true)
    }

    /// The same, if `may_verify` permits what it costs. Every subject is listed.
    fn judge_within(
        &self,
        token: &str,
        now: Option<Millis>,
        may_verify: &dyn Fn() -> bool,
    ) -> Result<JwtIdentity, JwtRefusal> {
        self.verify(token, now, |identity| Some(identity.clone()), may_verify).map_err(|refused| refused.why)
    }
}

const ALL: [JwtAlgorithm; 5] =
    [JwtAlgorithm::ES256, JwtAlgorithm::ES384, JwtAlgorithm::RS256, JwtAlgorithm::PS256, JwtAlgorithm::EdDSA];

fn with(mut value: Value, field: &str, to: Value) -> Value {
    value[field] = to;
    value
}

fn without(mut value: Value, field: &str) -> Value {
    value.as_object_mut().unwrap().remove(field);
    value
}

#[test]
fn a_token_by_each_algorithm_is_accepted_and_only_if_the_algorithm_is_pinned() {
    for pinned in ALL {
        let signer = Signer::new(pinned.to_library(), "one");
        let token = signer.sign(&signer.header(), &claims());
        let found = issuers(&[&signer], &[pinned]).judge(&token, Some(NOW)).unwrap();
        assert_eq!(
            (found.issuer.as_str(), found.subject.as_str()),
            (ISSUER, "system:serviceaccount:ci:scheduler")
        );
        let others: Vec<JwtAlgorithm> = ALL.into_iter().filter(|other| *other != pinned).collect();
        let refused = issuers(&[&signer], &others).judge(&token, Some(NOW));
        assert_eq!(refused, Err(JwtRefusal::AlgorithmNotPinned), "{pinned:?}");
    }
}

#[test]
fn each_claim_is_checked() {
    let signer = Signer::new(Algorithm::ES256, "one");
    let issuers = issuers(&[&signer], &ALL);
    let refused = |claims: Value| issuers.judge(&signer.sign(&signer.header(), &claims), Some(NOW));
    for (changed, why) in [
        (with(claims(), "iss", json!("https://issuer.example/")), JwtRefusal::IssuerUnknown),
        (without(claims(), "iss"), JwtRefusal::Malformed),
        (without(claims(), "sub"), JwtRefusal::Malformed),
        (with(claims(), "sub", json!(7)), JwtRefusal::Malformed),
        (without(claims(), "aud"), JwtRefusal::Malformed),
        (with(claims(), "aud", json!("assent2")), JwtRefusal::WrongAudience),
        (with(claims(), "aud", json!([])), JwtRefusal::WrongAudience),
        (without(claims(), "exp"), JwtRefusal::NoExpiry),
        (with(claims(), "exp", json!(NOW_S - 30)), JwtRefusal::Expired),
        (with(claims(), "exp", json!(-1)), JwtRefusal::Malformed),
        (with(claims(), "exp", json!(1e300)), JwtRefusal::Malformed),
        (with(claims(), "exp", json!("soon")), JwtRefusal::Malformed),
        (with(claims(), "nbf", json!(NOW_S + 31)), JwtRefusal::NotYetValid),
        (with(claims(), "nbf", json!(true)), JwtRefusal::Malformed),
    ] {
        assert_eq!(refused(changed.clone()), Err(why), "{changed}");
    }
    // Within the leeway, and without a beginning.
    for good in [
        with(claims(), "exp", json!(NOW_S - 29)),
        with(claims(), "exp", json!(NOW_S as f64 + 0.5)),
        with(claims(), "nbf", json!(NOW_S + 30)),
        without(claims(), "nbf"),
        with(claims(), "aud", json!("assent")),
    ] {
        assert!(refused(good.clone()).is_ok(), "{good}");
    }
}

#[test]
fn each_field_of_the_header_is_checked() {
    let (one, two) = (Signer::new(Algorithm::ES256, "one"), Signer::new(Algorithm::ES384, "two"));
    let both = issuers(&[&one, &two], &ALL);
    let refused = |header: Value| both.judge(&one.sign(&header, &claims()), Some(NOW));
    for (header, why) in [
        (with(one.header(), "alg", json!("none")), JwtRefusal::AlgorithmNotPinned),
        (with(one.header(), "alg", json!("HS256")), JwtRefusal::AlgorithmNotPinned),
        (with(one.header(), "alg", json!("es256")), JwtRefusal::AlgorithmNotPinned),
        // Another pinned algorithm, and the key is for ES256.
        (with(one.header(), "alg", json!("RS256")), JwtRefusal::KeyUnfit),
        (with(one.header(), "kid", json!("two")), JwtRefusal::KeyUnfit),
        (with(one.header(), "kid", json!("three")), JwtRefusal::KeyUnknown),
        (without(one.header(), "kid"), JwtRefusal::KeyUnknown),
        (with(one.header(), "kid", json!(1)), JwtRefusal::Malformed),
        (with(one.header(), "crit", json!(["exp"])), JwtRefusal::Critical),
        (with(one.header(), "crit", Value::Null), JwtRefusal::Critical),
        (with(one.header(), "typ", json!("at+jwt")), JwtRefusal::OtherType),
        (without(one.header(), "alg"), JwtRefusal::Malformed),
    ] {
        assert_eq!(refused(header.clone()), Err(why), "{header}");
    }
    let alone = issuers(&[&one], &ALL);
    let token = one.sign(&without(one.header(), "kid"), &claims());
    assert!(alone.judge(&token, Some(NOW)).is_ok(), "the only key needs no name");
}

#[test]
fn another_key_another_text_or_a_doubtful_clock_is_refused() {
    let (one, stranger) = (Signer::new(Algorithm::ES256, "one"), Signer::new(Algorithm::ES256, "one"));
    let issuers = issuers(&[&one], &ALL);
    let forged = stranger.sign(&stranger.header(), &claims());
    assert_eq!(issuers.judge(&forged, Some(NOW)), Err(JwtRefusal::SignatureInvalid));
    let good = one.sign(&one.header(), &claims());
    assert_eq!(issuers.judge(&good, None), Err(JwtRefusal::ClockUncertain));
    let parts: Vec<&str> = good.split('.').collect();
    let other_claims = encoded(with(claims(), "sub", json!("admin")).to_string().as_bytes());
    let edited = format!("{}.{other_claims}.{}", parts[0], parts[2]);
    assert_eq!(issuers.judge(&edited, Some(NOW)), Err(JwtRefusal::SignatureInvalid));
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(issuers.judge(&unsigned, Some(NOW)), Err(JwtRefusal::SignatureInvalid));
    let twice = format!("{}.{}.{}", parts[0], encoded(br#"{"iss":"a","iss":"b"}"#), parts[2]);
    for text in ["", "a.b", "a.b.c", "a.b.c.d", "...", &format!("{good}.x"), &twice] {
        assert_eq!(issuers.judge(text, Some(NOW)), Err(JwtRefusal::Malformed), "{text}");
    }
    assert_eq!(issuers.judge(&"a.".repeat(4_097), Some(NOW)), Err(JwtRefusal::TooLong));
}

#[test]
fn a_jwks_that_cannot_be_meant_is_refused() {
    let jwk = Signer::new(Algorithm::ES256, "one").jwk;
    let set = |keys: Vec<Value>| KeySet::parse(&json!({ "keys": keys }).to_string()).map(|_| ());
    assert_eq!(set(vec![jwk.clone()]), Ok(()));
    // A key of another use or of an unknown type is left out.
    let left_out = [
        with(jwk.clone(), "use", json!("x509-svid")),
        json!({"kty": "AKP", "kid": "new"}),
        with(with(jwk.clone(), "alg", json!("ES512")), "kid", json!("other")),
    ];
    assert_eq!(set([vec![jwk.clone()], left_out.to_vec()].concat()), Ok(()));
    for (keys, said) in [
        (vec![], "no key"),
        (left_out.to_vec(), "no key"),
        (vec![jwk.clone(), jwk.clone()], "the `kid` of another key"),
        (vec![with(jwk.clone(), "d", json!("AA"))], "private part"),
        (vec![json!({"kty": "oct", "k": "AAAA"})], "shared secret"),
        (vec![with(jwk.clone(), "x", json!("AA"))], "a `x` of 1 bytes"),
        (vec![without(jwk.clone(), "y")], "no `y`"),
        (vec![json!({"kty": "RSA", "n": encoded(&[1; 128]), "e": "AQAB"})], "modulus of 128 bytes"),
        ((0..65).map(|n| with(jwk.clone(), "kid", json!(n.to_string()))).collect(), "at most 64"),
    ] {
        let why = set(keys).unwrap_err();
        assert!(why.contains(said), "{said}: {why}");
    }
    assert!(KeySet::parse("{}").is_err() && KeySet::parse("[]").is_err());
}

/// It fails if a token that was accepted is verified again, if it is accepted beyond its times or without a sure clock, or if
/// it outlives the keys that have verified it.
#[test]
fn a_good_token_is_verified_once_and_never_holds_longer_than_its_times_and_its_keys() {
    let (one, other) = (Signer::new(Algorithm::ES256, "one"), Signer::new(Algorithm::ES256, "one"));
    let mut issuers = issuers(&[&one], &ALL);
    let token = one.sign(&one.header(), &claims());
    let at = |issuers: &Issuers, now: Option<i64>| {
        issuers.judge_within(&token, now.map(|now| Millis(now * 1_000)), &|| false).err()
    };
    assert_eq!(at(&issuers, Some(NOW_S)), Some(JwtRefusal::Unverified));
    issuers.judge(&token, Some(NOW)).unwrap();
    for (now, refused) in [
        (Some(NOW_S), None),
        (Some(NOW_S + 629), None),
        (Some(NOW_S + 630), Some(JwtRefusal::Expired)),
        (Some(NOW_S - 630), None),
        (Some(NOW_S - 631), Some(JwtRefusal::NotYetValid)),
        (None, Some(JwtRefusal::ClockUncertain)),
    ] {
        assert_eq!(at(&issuers, now), refused, "{now:?}");
    }
    // Any other text is another token.
    let padded = format!("{token} ");
    assert!(issuers.judge_within(&padded, Some(NOW), &|| false).is_err());
    let keys = |signer: &Signer| KeySet::parse(&json!({"keys": [signer.jwk]}).to_string()).unwrap();
    issuers.set_keys(ISSUER, keys(&one));
    assert_eq!(at(&issuers, Some(NOW_S)), None, "the file has not changed");
    issuers.set_keys(ISSUER, keys(&other));
    assert_eq!(at(&issuers, Some(NOW_S)), Some(JwtRefusal::Unverified));
    assert_eq!(issuers.judge(&token, Some(NOW)), Err(JwtRefusal::SignatureInvalid));
}

/// It fails if a token with a wrong signature is verified each time that it is shown, or if it is refused for that under
/// keys that have not judged it.
#[test]
fn a_wrongly_signed_token_is_verified_once_for_each_set_of_keys() {
    let (one, other) = (Signer::new(Algorithm::ES256, "one"), Signer::new(Algorithm::ES256, "one"));
    let mut issuers = issuers(&[&one], &ALL);
    let token = other.sign(&other.header(), &claims());
    let at_no_cost = |issuers: &Issuers| issuers.judge_within(&token, Some(NOW), &|| false).map(|_| ());
    assert_eq!(at_no_cost(&issuers), Err(JwtRefusal::Unverified));
    assert_eq!(at_no_cost(&issuers), Err(JwtRefusal::Unverified), "what was not verified is not remembered");
    assert_eq!(issuers.judge(&token, Some(NOW)), Err(JwtRefusal::SignatureInvalid));
    assert_eq!(at_no_cost(&issuers), Err(JwtRefusal::SignatureInvalid));
    let keys = |signer: &Signer| KeySet::parse(&json!({"keys": [signer.jwk]}).to_string()).unwrap();
    issuers.set_keys(ISSUER, keys(&other));
    assert_eq!(at_no_cost(&issuers), Err(JwtRefusal::Unverified));
    assert!(issuers.judge(&token, Some(NOW)).is_ok());
}

/// It fails if a token of a subject that is not in the table costs a verification, or if its claims are taken for proved.
#[test]
fn a_subject_that_is_not_listed_is_refused_by_its_claims_alone() {
    let (one, stranger) = (Signer::new(Algorithm::ES256, "one"), Signer::new(Algorithm::ES256, "one"));
    let issuers = issuers(&[&one], &ALL);
    for token in [one.sign(&one.header(), &claims()), stranger.sign(&stranger.header(), &claims())] {
        let asked = std::cell::Cell::new(false);
        let may_verify = || {
            asked.set(true);
            true
        };
        let refused = issuers.verify(&token, Some(NOW), |_| None::<()>, &may_verify).unwrap_err();
        let subject = refused.claimed.map(|claimed| claimed.subject);
        assert_eq!(
            (refused.why, subject.as_deref(), asked.get()),
            (JwtRefusal::SubjectNotListed, Some("system:serviceaccount:ci:scheduler"), false)
        );
    }
}

/// It fails if a verification is not charged, or if a token that needs none is.
#[test]
fn exactly_the_tokens_whose_signature_is_looked_at_are_charged() {
    let (one, stranger) = (Signer::new(Algorithm::ES256, "one"), Signer::new(Algorithm::ES256, "one"));
    let issuers = issuers(&[&one], &ALL);
    let charged = |token: &str| {
        let asked = std::cell::Cell::new(0);
        let counts = || {
            asked.set(asked.get() + 1);
            true
        };
        let _ = issuers.judge_within(token, Some(NOW), &counts);
        asked.get()
    };
    for costly in [one.sign(&one.header(), &claims()), stranger.sign(&stranger.header(), &claims())] {
        assert_eq!(charged(&costly), 1, "{costly}");
    }
    for cheap in [
        "a.b.c".to_owned(),
        "a.".repeat(4_097),
        one.sign(&with(one.header(), "kid", json!("three")), &claims()),
        one.sign(&with(one.header(), "alg", json!("none")), &claims()),
        one.sign(&one.header(), &with(claims(), "iss", json!("https://other.example"))),
        one.sign(&one.header(), &with(claims(), "exp", json!(1))),
        one.sign(&one.header(), &without(claims(), "exp")),
        one.sign(&one.header(), &with(claims(), "nbf", json!(NOW_S + 600))),
        one.sign(&one.header(), &with(claims(), "aud", json!("other"))),
    ] {
        assert_eq!(charged(&cheap), 0, "{cheap}");
    }
}

/// Another program made these keys and signed these tokens, and nobody has the private keys any more. It fails if a token of an
/// algorithm that other programs sign by is not accepted any more, or if it is accepted by the pin of another algorithm.
#[test]
fn tokens_that_another_program_signed_are_accepted_each_by_its_own_algorithm_alone() {
    let jwks = include_str!("golden/issuer.jwks.json");
    for (own, token) in [
        (JwtAlgorithm::ES256, include_str!("golden/es256.jwt")),
        (JwtAlgorithm::ES384, include_str!("golden/es384.jwt")),
        (JwtAlgorithm::RS256, include_str!("golden/rs256.jwt")),
        (JwtAlgorithm::PS256, include_str!("golden/ps256.jwt")),
        (JwtAlgorithm::EdDSA, include_str!("golden/eddsa.jwt")),
    ] {
        for pinned in ALL {
            let mut issuer = Issuer { config: config(&[pinned]), keys: KeySet::parse(jwks).unwrap() };
            issuer.config.leeway_s = 0;
            let judged = Issuers::new([issuer]).judge(token.trim(), Some(NOW));
            match own == pinned {
                true => assert_eq!(judged.unwrap().subject, "system:serviceaccount:ci:scheduler", "{own:?}"),
                false => assert_eq!(judged, Err(JwtRefusal::AlgorithmNotPinned), "{own:?} by {pinned:?}"),
            }
        }
    }
}

/// serde quotes a value of the wrong type as a whole. It fails if such a value makes the refusal as long as the file, or if a
/// refusal names a type of the source.
#[test]
fn why_a_file_is_no_jwks_is_said_in_one_short_line_however_long_its_values_are() {
    let long = "a".repeat(100_000);
    for text in [
        format!(r#"{{"keys": "{long}"}}"#),
        format!(r#"{{"keys": ["{long}"]}}"#),
        format!(r#""{long}\n""#),
        format!(r#"{{"keys": [{{"kty": ["{long}"]}}]}}"#),
        "{}".to_owned(),
        "not JSON".to_owned(),
    ] {
        let why = KeySet::parse(&text).unwrap_err();
        assert!(why.starts_with("it is not a JWKS with `keys`: ") && why.len() < 300, "{why}");
        assert!(!why.contains('\n') && !why.contains("struct"), "{why}");
    }
    let missing = KeySet::parse("{}").unwrap_err();
    assert!(missing.contains("missing field `keys` at line 1"), "{missing}");
}
