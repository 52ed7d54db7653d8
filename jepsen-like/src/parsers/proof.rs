//! The parsers of `assent_proof`: JSON, envelopes, statements, notes, receipts, keys and small texts.

use assent_fixtures::{key, usual};
use assent_proof::{
    Checkpoint, Claims, Cosignature, Cursor, DecisionReceipt, DomainName, Envelope, EvidenceId, FieldError,
    History, Json, LineageName, MAX_ENVELOPE_BYTES, Note, NoteKey, PublicKey, Refusal, Rules, Seconds,
    SigningKey, Statement, Token, json, pem, sign_batch, verify, verify_checkpoint, verify_decision,
};

use super::judge::{Growth, holds, one_spelling, refused, reread, reread_exactly};
use super::parser::{Parser, Reading};
use super::samples;

/// JSON written anew: `\b` and `\f` have two bytes as they may come in, and six as they are written.
const AS_JSON: Growth = Growth { times: 3, more: 0 };
/// The same, and what may be left out of an object and is written: padding of base64, or `null`.
const AS_OBJECT: Growth = Growth { times: 3, more: 512 };

/// The parsers.
pub(super) const PARSERS: &[Parser] = &[
    Parser { name: "json", check: json_value, samples: samples::statements },
    Parser { name: "payload", check: payload, samples: samples::statements },
    Parser { name: "envelope", check: envelope, samples: samples::envelopes },
    Parser { name: "verify", check: verified, samples: samples::envelopes },
    Parser { name: "statement", check: statement, samples: samples::statements },
    Parser { name: "claims", check: claims, samples: samples::statements },
    Parser { name: "note", check: note, samples: samples::notes },
    Parser { name: "note_key", check: note_key, samples: note_keys },
    Parser { name: "checkpoint", check: checkpoint, samples: checkpoints },
    Parser { name: "verify_checkpoint", check: verified_checkpoint, samples: samples::notes },
    Parser { name: "cosignature", check: cosignature, samples: cosignatures },
    Parser { name: "receipt", check: receipt, samples: receipts },
    Parser { name: "verify_decision", check: verified_decision, samples: decisions },
    Parser { name: "pem_public", check: pem_public, samples: pem_files },
    Parser { name: "pem_private", check: pem_private, samples: pem_files },
    Parser { name: "public_key", check: public_key, samples: texts },
    Parser { name: "evidence_id", check: evidence_id, samples: texts },
    Parser { name: "history", check: history, samples: texts },
    Parser { name: "cursor", check: cursor, samples: texts },
    Parser { name: "time", check: time, samples: texts },
    Parser { name: "domain_name", check: domain_name, samples: texts },
    Parser { name: "lineage_name", check: lineage_name, samples: texts },
    Parser { name: "token", check: token, samples: texts },
];

fn json_value(bytes: &[u8]) -> Result<Reading, String> {
    if let Ok(value) = json::parse(bytes) {
        holds(value.same_as(&value), "a value is the same as itself")?;
    }
    reread(bytes, AS_JSON, json::parse, Json::to_vec)
}

fn payload(bytes: &[u8]) -> Result<Reading, String> {
    if let Ok(value) = json::parse(bytes) {
        holds(
            json::parse_payload(bytes) == Ok(value),
            "a payload is read as other JSON is, if that is JSON",
        )?;
    }
    reread(bytes, AS_JSON, json::parse_payload, Json::to_vec)
}

fn envelope(bytes: &[u8]) -> Result<Reading, String> {
    if let Err(refusal) = Envelope::parse(bytes) {
        return refused(&refusal);
    }
    // Written anew, an envelope may be longer than what is accepted.
    let read =
        |bytes: &[u8]| -> Result<Envelope, FieldError> { Envelope::from_json(&json::parse(bytes)?, "") };
    reread(bytes, AS_OBJECT, read, Envelope::to_vec)
}

fn verified(bytes: &[u8]) -> Result<Reading, String> {
    let envelope = match verify(bytes, usual::ORIGIN, Rules::NEWEST) {
        Ok(envelope) => envelope,
        Err(refusal) => return refused(&refusal),
    };
    holds(**envelope.bytes() == *bytes, "a verified envelope keeps the bytes that were submitted")?;
    let parsed = Envelope::parse(bytes).map_err(|refusal| format!("verified, and not parsed: {refusal}"))?;
    holds(parsed.id() == envelope.id(), "a verified envelope has the id of its payload")?;
    let written = parsed.to_vec();
    if written.len() <= MAX_ENVELOPE_BYTES {
        let again = verify(&written, usual::ORIGIN, Rules::NEWEST);
        let again =
            again.map_err(|refusal| format!("verified, and not when it is written anew: {refusal}"))?;
        holds(again.id() == envelope.id(), "an envelope that is written anew has its id")?;
    }
    Ok(Reading::Accepted)
}

fn statement(bytes: &[u8]) -> Result<Reading, String> {
    if let Err(refusal) = Statement::parse_stored(bytes) {
        holds(
            Statement::parse(bytes).is_err(),
            "a statement that is accepted can be read when it is stored",
        )?;
        refused(&refusal)?;
    }
    reread(bytes, AS_OBJECT, Statement::parse, Statement::to_vec)
}

fn claims(bytes: &[u8]) -> Result<Reading, String> {
    let Ok(statement) = Statement::parse(bytes) else { return Ok(Reading::Refused) };
    let read = |claims: &Json| Claims::parse(Rules::NEWEST, statement.kind, claims);
    let claims = match read(&statement.claims) {
        Ok(claims) => claims,
        Err(refusal) => return refused(&refusal),
    };
    holds(claims.kind() == statement.kind, "claims are of their statement's kind")?;
    match read(&claims.to_json()) {
        Ok(again) => {
            holds(again == claims, "claims are written as they are read").map(|()| Reading::Accepted)
        }
        Err(refusal) => Err(format!("claims are written so that they are refused: {refusal}")),
    }
}

fn note(bytes: &[u8]) -> Result<Reading, String> {
    reread_exactly(bytes, Note::parse, Note::to_vec)
}

fn note_key(bytes: &[u8]) -> Result<Reading, String> {
    one_spelling(bytes, str::parse::<NoteKey>)
}

fn checkpoint(bytes: &[u8]) -> Result<Reading, String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(Reading::Refused) };
    reread_exactly(bytes, |_| Checkpoint::parse(text), |checkpoint| checkpoint.to_text().into_bytes())
}

fn verified_checkpoint(bytes: &[u8]) -> Result<Reading, String> {
    let nodes = [key(3).public(), key(4).public(), key(5).public()];
    let read =
        |nodes: &[PublicKey]| verify_checkpoint(Rules::NEWEST, bytes, usual::ORIGIN, &key(2).public(), nodes);
    // The samples are signed by one node or by three.
    let found = read(&nodes).or_else(|_| read(nodes.get(..1).unwrap_or_default()));
    let verified = match found {
        Ok(verified) => verified,
        Err(refusal) => return refused(&refusal),
    };
    let note = Note::parse(bytes).map_err(|refusal| format!("verified, and not a note: {refusal}"))?;
    holds(verified.checkpoint().to_text() == note.text, "the verified checkpoint is the note's text")?;
    holds(verified.checkpoint().origin == usual::ORIGIN, "the verified checkpoint is of the wanted origin")?;
    Ok(Reading::Accepted)
}

fn cosignature(bytes: &[u8]) -> Result<Reading, String> {
    reread_exactly(bytes, Cosignature::from_bytes, Cosignature::to_bytes)
}

fn receipt(bytes: &[u8]) -> Result<Reading, String> {
    let read = |bytes: &[u8]| -> Result<DecisionReceipt, Refusal> {
        DecisionReceipt::from_json(&json::parse(bytes)?, "receipt")
    };
    reread(bytes, AS_OBJECT, read, |receipt| receipt.to_json().to_vec())
}

fn verified_decision(bytes: &[u8]) -> Result<Reading, String> {
    let verified = match verify_decision(bytes, &[key(3).public()]) {
        Ok(verified) => verified,
        Err(refusal) => return refused(&refusal),
    };
    let said = verified.decision.get("decision").and_then(Json::as_str);
    holds(verified.allow == (said == Some("allow")), "a verified decision allows if it says so")?;
    holds(verified.decision.get("receipt").is_none(), "a verified decision is shown without its receipt")?;
    Ok(Reading::Accepted)
}

fn pem_public(bytes: &[u8]) -> Result<Reading, String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(Reading::Refused) };
    let keys = match pem::public_keys(text) {
        Ok(keys) => keys,
        Err(error) => return refused(&error),
    };
    // One takes 60 letters of base64.
    holds(keys.len().saturating_mul(60) <= bytes.len(), "a file has no more keys than its length allows")?;
    for one in &keys {
        let again = PublicKey::from_pem(&one.to_pem());
        holds(again.as_ref() == Ok(one), "a public key is read from the file that is written for it")?;
    }
    match pem::public_key_of(text) {
        Ok(first) => holds(keys.first() == Some(&first), "the one key of a file is its first")?,
        Err(error) => refused(&error).map(|_| ())?,
    }
    Ok(Reading::Accepted)
}

fn pem_private(bytes: &[u8]) -> Result<Reading, String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(Reading::Refused) };
    let signing = match SigningKey::from_pem(text) {
        Ok(signing) => signing,
        Err(error) => return refused(&error),
    };
    let again = SigningKey::from_pem(&signing.to_pem()).map(|again| again.public());
    holds(again == Ok(signing.public()), "a private key is read from the file that is written for it")?;
    Ok(Reading::Accepted)
}

fn public_key(bytes: &[u8]) -> Result<Reading, String> {
    one_spelling(bytes, str::parse::<PublicKey>)
}

fn evidence_id(bytes: &[u8]) -> Result<Reading, String> {
    one_spelling(bytes, str::parse::<EvidenceId>)
}

fn history(bytes: &[u8]) -> Result<Reading, String> {
    one_spelling(bytes, str::parse::<History>)
}

fn cursor(bytes: &[u8]) -> Result<Reading, String> {
    one_spelling(bytes, str::parse::<Cursor>)
}

fn time(bytes: &[u8]) -> Result<Reading, String> {
    one_spelling(bytes, str::parse::<Seconds>)
}

fn domain_name(bytes: &[u8]) -> Result<Reading, String> {
    one_spelling(bytes, str::parse::<DomainName>)
}

fn lineage_name(bytes: &[u8]) -> Result<Reading, String> {
    one_spelling(bytes, str::parse::<LineageName>)
}

fn token(bytes: &[u8]) -> Result<Reading, String> {
    one_spelling(bytes, |text| text.parse::<Token>().map(String::from))
}

fn note_keys() -> Vec<Vec<u8>> {
    let keys =
        [NoteKey::ed25519(usual::ORIGIN, key(2).public()), NoteKey::cosigner("a/node", key(3).public())];
    keys.into_iter().flatten().map(|key| key.to_string().into_bytes()).collect()
}

fn checkpoints() -> Vec<Vec<u8>> {
    [1, 17, u64::MAX].map(|size| samples::checkpoint(size).into_bytes()).into()
}

fn cosignatures() -> Vec<Vec<u8>> {
    [0, 1_795_374_000].map(|time| Cosignature { time, signature: [7; 64] }.to_bytes()).into()
}

/// The leaf of a decision, in the size of a small one.
fn leaf(decision: &str, salted: bool) -> Vec<u8> {
    let salt = if salted { r#","salt":"AAAAAAAAAAAAAAAAAAAAAA==""# } else { "" };
    format!(r#"{{"decision":"{decision}","reasons":[],"revision":12{salt}}}"#).into_bytes()
}

fn receipts() -> Vec<Vec<u8>> {
    let leaves = ["allow", "deny", "deny"].map(|decision| leaf(decision, true)).into();
    sign_batch(leaves, &key(3)).iter().map(|receipt| receipt.to_json().to_vec()).collect()
}

fn decisions() -> Vec<Vec<u8>> {
    let said = ["allow", "deny", "deny"];
    let receipts = sign_batch(said.map(|decision| leaf(decision, true)).into(), &key(3));
    let whole = |(decision, receipt): (&str, &DecisionReceipt)| {
        let mut bytes = leaf(decision, false);
        bytes.pop();
        bytes.extend_from_slice(format!(r#","receipt":{}}}"#, receipt.to_json().to_text()).as_bytes());
        bytes
    };
    said.into_iter().zip(&receipts).map(whole).collect()
}

fn pem_files() -> Vec<Vec<u8>> {
    let (one, other) = (key(3), key(4));
    let texts = [
        one.to_pem().as_str().to_owned(),
        one.public().to_pem(),
        format!("a comment\n{}\n{}", one.public().to_pem(), other.public().to_pem()),
        format!("{}{}", *one.to_pem(), one.public().to_pem()),
    ];
    texts.map(String::into_bytes).into()
}

fn texts() -> Vec<Vec<u8>> {
    let history = History::founded([0xab; 32]);
    let texts = [
        key(3).public().to_string(),
        EvidenceId([0xcd; 32]).to_string(),
        history.to_string(),
        Cursor { history, revision: 17 }.to_string(),
        "2026-11-22T19:00:00Z".to_owned(),
        "prod.eu".to_owned(),
        "_root".to_owned(),
        "_governance".to_owned(),
        "run it".to_owned(),
    ];
    texts.map(String::into_bytes).into()
}
