//! The material of the cases: a small statement as text, replacements of parts of it, and the envelope around it.

use assent_proof::*;

use super::{Case, Input, Stage};
use crate::make::key;

pub const ORIGIN: &str = "r.example/1";

/// The subject's digest.
pub const SUBJECT: &str = "abababababababababababababababababababababababababababababababab";

pub const ISSUED_AT: &str = "2026-11-22T19:00:00Z";

/// The statement's claims, which a verified envelope may have and no kind allows.
pub const NO_CLAIMS: &str = "\"claims\":{}";

pub const SIGNATURE_INVALID: &str = "signature_invalid at signatures";

/// The key of this seed as statements name it.
pub fn public(seed: u8) -> String {
    key(seed).public().to_string()
}

/// The id of evidence that is 64 times this digit.
pub fn id(digit: char) -> String {
    format!("blake3:{}", digit.to_string().repeat(64))
}

/// These values, which are JSON already, as an array.
pub fn array<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<T> = values.into_iter().collect();
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    format!("[{}]", values.join(","))
}

/// These texts, which need no escapes, as an array of strings.
pub fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> String {
    array(values.into_iter().map(|value| format!("\"{}\"", value.as_ref())))
}

/// The statement that nothing is wrong with, by the key of seed 1.
pub fn payload() -> Vec<u8> {
    payload_by(&[public(1)])
}

/// The statement with other issuers.
pub fn payload_by(issuers: &[String]) -> Vec<u8> {
    let issuers = texts(issuers);
    format!(
        "{{\"_type\":\"https://in-toto.io/Statement/v1\",\
         \"subject\":[{{\"name\":\"t\",\"digest\":{{\"sha256\":\"{SUBJECT}\"}}}}],\
         \"predicateType\":\"urn:egpep:v1:runtime-attestation\",\
         \"predicate\":{{\"registry\":\"{ORIGIN}\",\"domain\":\"d1\",\"lineage\":\"l1\",\"issuers\":{issuers},\
         \"issuedAt\":\"{ISSUED_AT}\",\"claims\":{{}}}}}}"
    )
    .into_bytes()
}

/// `text` with the first `from`, which must be there, replaced.
pub fn with(text: &[u8], from: &str, to: impl AsRef<[u8]>) -> Vec<u8> {
    let at = text.windows(from.len()).position(|window| window == from.as_bytes());
    let at = at.unwrap_or_else(|| panic!("`{from}` is not in {}", String::from_utf8_lossy(text)));
    [&text[..at], to.as_ref(), &text[at + from.len()..]].concat()
}

/// The statement with one piece replaced.
pub fn altered(from: &str, to: impl AsRef<[u8]>) -> Vec<u8> {
    with(&payload(), from, to)
}

/// The envelope of these bytes with these signatures, without key ids.
pub fn enclosed<S: AsRef<[u8]>>(payload: &[u8], signatures: &[S]) -> Vec<u8> {
    let signatures =
        array(signatures.iter().map(|s| format!("{{\"sig\":\"{}\"}}", encode_base64(s.as_ref()))));
    let payload = encode_base64(payload);
    format!(
        "{{\"payload\":\"{payload}\",\"payloadType\":\"{STATEMENT_PAYLOAD_TYPE}\",\"signatures\":{signatures}}}"
    )
    .into_bytes()
}

/// The signature by the key of this seed over these bytes as a statement.
pub fn signature(seed: u8, payload: &[u8]) -> [u8; 64] {
    key(seed).sign(&pae(STATEMENT_PAYLOAD_TYPE, payload))
}

/// The envelope of these bytes, signed by the key of seed 1.
pub fn signed(payload: &[u8]) -> Vec<u8> {
    enclosed(payload, &[signature(1, payload)])
}

/// An envelope of these bytes without signatures; what is wrong with a statement is said before anything about them.
pub fn unsigned(payload: &[u8]) -> Vec<u8> {
    enclosed::<[u8; 64]>(payload, &[])
}

/// An envelope to verify.
pub fn to_verify(name: impl Into<String>, bytes: Vec<u8>, expect: impl Into<String>) -> Case {
    let input = Input::Envelope { origin: ORIGIN.to_owned(), bytes, pad_to: None, stage: Stage::Verify };
    Case { name: name.into(), input, expect: expect.into() }
}

/// An envelope to verify, whose claims are then read.
pub fn to_read(name: impl Into<String>, bytes: Vec<u8>, expect: impl Into<String>) -> Case {
    let input = Input::Envelope { origin: ORIGIN.to_owned(), bytes, pad_to: None, stage: Stage::Claims };
    Case { name: name.into(), input, expect: expect.into() }
}
