//! `crates/proof/vectors/*.json`: complete worked examples for implementers in other languages, as this crate makes
//! them. To rewrite them: `ASSENT_WRITE_DOCS=1 cargo test -p assent-proof --test all vectors`.

use assent_proof::*;

use crate::claims::examples;
use crate::make::{ORIGIN, key};

/// Compares a vector file with what the code makes, or writes it if asked to.
pub fn is_what_the_code_makes(name: &str, vectors: Vec<Json>) {
    let path = format!("{}/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let made = pretty(&Json::Array(vectors));
    if std::env::var_os("ASSENT_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == made, "`{name}` is not what the code makes; see this file's head for how to write it");
}

fn pretty(json: &Json) -> String {
    let value: serde_json::Value = serde_json::from_slice(&json.to_vec()).unwrap();
    let mut text = serde_json::to_string_pretty(&value).unwrap();
    text.push('\n');
    // A viewer must not obey a vector.
    assent_proof::text::json_lines(&text).into_owned()
}

fn text(text: impl Into<String>) -> Json {
    Json::Text(text.into())
}

fn hexed(bytes: &[u8]) -> Json {
    Json::Text(hex::encode(bytes))
}

fn example(kind: EvidenceKind, claims: &Json, signers: &[&SigningKey]) -> Statement {
    let execution = kind.is_execution();
    let slotless = !kind.takes_slot();
    let in_root = matches!(
        kind,
        EvidenceKind::Root | EvidenceKind::Domain | EvidenceKind::Rules | EvidenceKind::Recovery
    );
    let in_lineage = execution || kind == EvidenceKind::Permit;
    Statement {
        subject_name: execution.then(|| "trainer".to_owned()),
        subject: Sha256::of(b"trainer"),
        kind,
        registry: ORIGIN.to_owned(),
        domain: if in_root { "_root" } else { "prod.eu" }.parse().unwrap(),
        lineage: if in_lineage { "exec-1" } else { "_governance" }.parse().unwrap(),
        issuers: signers.iter().map(|key| key.public()).collect(),
        sequence: (!slotless).then_some(1),
        parent: (!slotless).then_some(EvidenceId([7; 32])),
        references: if kind == EvidenceKind::AuditLineage { vec![EvidenceId([8; 32])] } else { Vec::new() },
        issued_at: "2026-11-22T19:00:00Z".parse().unwrap(),
        expires_at: execution.then(|| "2026-11-22T20:00:00Z".parse().unwrap()),
        claims: claims.clone(),
    }
}

#[test]
fn envelopes_of_every_kind_are_the_vectors() {
    let vectors = examples().into_iter().map(|(kind, claims)| {
        let claims = json::parse(claims.as_bytes()).unwrap();
        let one = kind.is_execution() || kind == EvidenceKind::Rules;
        let seeds: &[u8] = if one { &[1] } else { &[1, 2] };
        let keys: Vec<SigningKey> = seeds.iter().map(|seed| key(*seed)).collect();
        let signers: Vec<&SigningKey> = keys.iter().collect();
        let statement = example(kind, &claims, &signers);
        let bytes = sign_statement(&statement, &signers);
        let envelope = Envelope::parse(&bytes).unwrap();
        let verified = verify(&bytes, ORIGIN, Rules::NEWEST).unwrap();
        Json::object([
            ("kind", text(kind.as_str())),
            ("predicateType", text(kind.predicate_type())),
            ("seeds", Json::Array(seeds.iter().map(|seed| hexed(&[*seed; 32])).collect())),
            ("publicKeys", Json::texts(keys.iter().map(|key| key.public().to_string()))),
            ("keyids", Json::texts(keys.iter().map(|key| key.public().keyid()))),
            ("payload", text(String::from_utf8(envelope.payload.clone()).unwrap())),
            ("pae", hexed(&envelope.pae())),
            ("evidenceId", text(verified.id().to_string())),
            ("signatures", Json::Array(envelope.signatures.iter().map(|s| hexed(&s.sig)).collect())),
            ("envelope", text(String::from_utf8(bytes).unwrap())),
        ])
    });
    is_what_the_code_makes("envelopes.json", vectors.collect());
}

#[test]
fn decisions_of_a_barrier_are_the_vectors() {
    let node = key(9);
    let decisions = ["allow", "deny", "allow"]
        .map(|decision| format!(r#"{{"decision":"{decision}","validUntil":1795374010000}}"#));
    let leaves = decisions.iter().enumerate().map(|(place, decision)| {
        let salt = encode_base64(&[u8::try_from(place).unwrap(); 16]);
        format!(r#"{},"salt":"{salt}"}}"#, decision.strip_suffix('}').unwrap()).into_bytes()
    });
    let receipts = sign_batch(leaves.collect(), &node);
    let vectors = decisions.iter().zip(&receipts).map(|(decision, receipt)| {
        let answer =
            format!(r#"{},"receipt":{}}}"#, decision.strip_suffix('}').unwrap(), receipt.to_json().to_text());
        let verified = verify_decision(answer.as_bytes(), &[node.public()]).unwrap();
        Json::object([
            ("seed", hexed(&[9; 32])),
            ("publicKey", text(node.public().to_string())),
            ("leaf", text(String::from_utf8(receipt.leaf.clone()).unwrap())),
            ("leafHash", hexed(&merkle::leaf_hash(&receipt.leaf))),
            ("payload", text(String::from_utf8(receipt.envelope.payload.clone()).unwrap())),
            ("pae", hexed(&receipt.envelope.pae())),
            ("allow", Json::Bool(verified.allow)),
            ("answer", text(answer)),
        ])
    });
    is_what_the_code_makes("decisions.json", vectors.collect());
}

#[test]
fn a_cosigned_checkpoint_is_the_vector() {
    let (registry, nodes) = (key(2), [key(11), key(12), key(13)]);
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 14, root: [3; 32] };
    let body = checkpoint.to_text();
    let mut signatures = vec![sign_note(&body, ORIGIN, &registry)];
    for node in nodes.iter().take(2) {
        let name = cosigner_name(ORIGIN, &node.public());
        signatures.push(cosign(&body, &name, node, 1_795_374_000));
    }
    let note = Note { text: body, signatures }.to_vec();
    let keys: Vec<PublicKey> = nodes.iter().map(SigningKey::public).collect();
    verify_checkpoint(Rules::NEWEST, &note, ORIGIN, &registry.public(), &keys).unwrap();
    let vector = Json::object([
        ("origin", text(ORIGIN)),
        ("registryKey", text(registry.public().to_string())),
        ("nodeKeys", Json::texts(&keys)),
        ("note", text(String::from_utf8(note).unwrap())),
    ]);
    is_what_the_code_makes("checkpoint.json", vec![vector]);
}
