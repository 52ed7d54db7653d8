//! The material of the tests: keys of fixed seeds, a valid statement, and its JSON to tamper with.

use assent_proof::*;

pub const ORIGIN: &str = "registry.example/eu-1";

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

pub fn statement(issuers: &[&SigningKey]) -> Statement {
    let kind = if issuers.len() == 1 { EvidenceKind::RuntimeAttestation } else { EvidenceKind::Policy };
    Statement {
        subject_name: Some("trainer".into()),
        subject: Sha256::of(b"trainer"),
        kind,
        registry: ORIGIN.into(),
        domain: "prod.eu".parse().unwrap(),
        lineage: "exec-7f3a".parse().unwrap(),
        issuers: issuers.iter().map(|key| key.public()).collect(),
        sequence: Some(4),
        parent: Some(EvidenceId([7; 32])),
        references: vec![EvidenceId([8; 32]), EvidenceId([9; 32])],
        issued_at: "2026-11-22T19:00:00Z".parse().unwrap(),
        expires_at: Some("2026-11-22T20:00:00Z".parse().unwrap()),
        claims: Json::object([
            ("verifier", Json::text("verifier-1")),
            ("status", Json::text("affirming")),
            ("measurement", Json::text("sha384:00ff")),
        ]),
    }
}

/// The valid statement's text with one piece replaced, which must be there.
pub fn altered(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(statement(&[&key(1)]).to_vec()).unwrap();
    assert!(text.contains(from), "`{from}` is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

/// An envelope around these payload bytes, signed by `key`.
pub fn envelope_around(payload: Vec<u8>, key: &SigningKey) -> Vec<u8> {
    let mut envelope = Envelope::unsigned(STATEMENT_PAYLOAD_TYPE, payload);
    envelope.sign_with(key);
    envelope.to_vec()
}

pub fn code_of<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Code {
    result.unwrap_err().code
}

/// Asserts a refusal and its field.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, code: Code, field: &str) {
    let refusal = result.unwrap_err();
    assert_eq!((refusal.code, refusal.field.as_deref().unwrap_or("")), (code, field), "{refusal}");
}
