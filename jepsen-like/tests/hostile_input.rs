//! Bad input over HTTP: the answer is a 4xx with a code that names the cause, and nothing changes.

use assent_jepsen::{Cluster, Evidence};
use assent_proof::{Envelope, EvidenceKind, SigningKey};
use serde_json::{Value, json};

/// A name, a body, the status and the code it must get.
type Case = (&'static str, Vec<u8>, u16, &'static str);

/// An envelope with its JSON text changed.
fn altered(envelope: &[u8], alter: impl Fn(&mut Value)) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(envelope).unwrap();
    alter(&mut value);
    value.to_string().into_bytes()
}

/// An envelope with its statement's text changed and signed again.
fn statement_altered(envelope: &[u8], key: &SigningKey, from: &str, to: &str) -> Vec<u8> {
    let mut parsed = Envelope::parse(envelope).unwrap();
    let text = String::from_utf8(parsed.payload.clone()).unwrap();
    assert!(text.contains(from), "{text}");
    parsed.payload = text.replace(from, to).into_bytes();
    parsed.signatures.clear();
    parsed.sign_with(key);
    parsed.to_vec()
}

fn signature_cases(good: &[u8], key: &SigningKey) -> Vec<Case> {
    let low_order = format!("ed25519:{}", "00".repeat(32));
    let id = key.public().to_string();
    vec![
        ("no signatures", altered(good, |v| v["signatures"] = json!([])), 400, "unsigned_evidence"),
        (
            "a signature of zeros",
            altered(good, |v| v["signatures"][0]["sig"] = json!("A".repeat(86) + "==")),
            400,
            "signature_invalid",
        ),
        (
            "another key's signature under the right keyid",
            altered(good, |v| {
                let mut other = Envelope::parse(good).unwrap();
                other.signatures.clear();
                other.sign_with(&SigningKey::from_seed([77; 32]));
                let other: Value = serde_json::from_slice(&other.to_vec()).unwrap();
                v["signatures"][0]["sig"] = other["signatures"][0]["sig"].clone();
            }),
            400,
            "signature_invalid",
        ),
        (
            "a changed payload type",
            altered(good, |v| v["payloadType"] = json!("application/json")),
            400,
            "malformed",
        ),
        (
            "a changed payload",
            {
                let mut parsed = Envelope::parse(good).unwrap();
                parsed.payload.push(b' ');
                parsed.to_vec()
            },
            400,
            "signature_invalid",
        ),
        ("a low-order key", statement_altered(good, key, &id, &low_order), 400, "malformed"),
        (
            "another registry's envelope",
            statement_altered(good, key, "\"registry\":\"", "\"registry\":\"other."),
            400,
            "wrong_registry",
        ),
        (
            "another domain's envelope",
            statement_altered(good, key, "\"domain\":\"", "\"domain\":\"other."),
            404,
            "domain_unknown",
        ),
    ]
}

fn json_cases(good: &[u8], key: &SigningKey) -> Vec<Case> {
    let text = String::from_utf8(good.to_vec()).unwrap();
    let malformed = |name, body: Vec<u8>| (name, body, 400, "malformed");
    vec![
        malformed("nothing", Vec::new()),
        malformed("no JSON", b"hello".to_vec()),
        malformed("an array", b"[]".to_vec()),
        malformed("a BOM", [b"\xef\xbb\xbf", good].concat()),
        malformed("trailing data", [good, b"{}"].concat()),
        malformed("a duplicate key", text.replacen('{', "{\"payloadType\":\"x\",", 1).into_bytes()),
        malformed(
            "an escaped duplicate key",
            text.replacen('{', "{\"p\\u0061yload\":\"x\",", 1).into_bytes(),
        ),
        malformed("depth 128", [b"[".repeat(128), b"]".repeat(128)].concat()),
        malformed(
            "a lone surrogate",
            text.replacen("\"payload\"", "\"\\ud800\":1,\"payload\"", 1).into_bytes(),
        ),
        malformed(
            "a nested duplicate key",
            statement_altered(good, key, "\"status\":", "\"status\":\"none\",\"status\":"),
        ),
        malformed(
            "a 30-digit integer",
            statement_altered(good, key, "\"sequence\":0", "\"sequence\":100000000000000000000000000000"),
        ),
        malformed(
            "an array for an object",
            statement_altered(good, key, "\"claims\":{", "\"claims\":[{").clone(),
        ),
        malformed(
            "an unknown field",
            statement_altered(good, key, "\"sequence\":0", "\"sequence\":0,\"extra\":1"),
        ),
        malformed("an unknown kind", statement_altered(good, key, "runtime-attestation", "runtime-gossip")),
        (
            "an unknown claim",
            statement_altered(good, key, "\"status\":", "\"extra\":1,\"status\":"),
            400,
            "claims_invalid",
        ),
        ("more than 64 KiB", vec![b' '; 64 * 1024 + 1], 413, "too_large"),
    ]
}

#[tokio::test]
async fn every_hostile_submission_gets_its_code_and_changes_nothing() {
    let cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let attestation = cluster.key("attestation").unwrap();
    let audit = cluster.key("audit").unwrap();
    let good = evidence.attestation(&attestation, (0, None), "affirming", "m");
    let mut cases = signature_cases(&good, &attestation);
    cases.extend(json_cases(&good, &attestation));
    cases.push((
        "a role that may not",
        evidence.attestation(&audit, (0, None), "affirming", "m"),
        403,
        "role_not_permitted",
    ));
    cases.push((
        "a stranger",
        evidence.attestation(&SigningKey::from_seed([9; 32]), (0, None), "affirming", "m"),
        403,
        "authority_unknown",
    ));
    cases.push((
        "an audit event about nothing",
        evidence.execution(EvidenceKind::AuditLineage, &json!({"event": "started"}), &audit, (0, None)),
        400,
        "evidence_detached",
    ));
    let revision = cluster.get(1, "/v1/cluster/status").await.number("revision");
    assert!(revision.is_some());
    for (number, (name, body, status, code)) in (0_u64..).zip(cases) {
        let answer = cluster.post(1 + number % 3, "/v1/envelopes", body).await;
        assert_eq!((answer.status, answer.text("code")), (Some(status), Some(code)), "{name}: {answer:?}");
        assert!(answer.text("detail").is_some_and(|detail| !detail.is_empty()), "{name}: {answer:?}");
        assert!(answer.text("remedy").is_some_and(|remedy| !remedy.is_empty()), "{name}: {answer:?}");
    }
    let lineage = cluster.get(1, &format!("/v1/lineages/{}/exec", cluster.domain)).await;
    assert_eq!((lineage.status, lineage.text("code")), (Some(404), Some("lineage_unknown")), "{lineage:?}");
    assert_eq!(cluster.get(1, "/v1/cluster/status").await.number("revision"), revision);
}

#[tokio::test]
async fn malformed_requests_are_problems_with_the_field_at_fault_and_never_decisions() {
    let cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let good = evidence.request();
    let with = |field: &str, value: Value| {
        let mut request = good.clone();
        request[field] = value;
        request.to_string()
    };
    let cases = [
        ("{}".to_owned(), "domain"),
        (with("domain", json!("Prod")), "domain"),
        (with("domain", json!("_root")), "domain"),
        (with("lineage", json!(7)), "lineage"),
        (with("lineage", json!("_governance")), "lineage"),
        (with("action", json!("")), "action"),
        (with("action", json!("run\n")), "action"),
        (with("subject", json!({"digest": {"sha256": "AB"}})), "subject.digest.sha256"),
        (with("subject", json!([])), "subject"),
        (with("minRevision", json!(-1)), "minRevision"),
        (with("minRevision", json!(1.5)), ""),
        (with("expectedHead", json!("blake3:xyz")), "expectedHead"),
        (with("surprise", json!(1)), "surprise"),
    ];
    for (body, field) in cases {
        let answer = cluster.post(2, "/v1/authorize", body.clone()).await;
        assert_eq!(
            (answer.status, answer.text("code")),
            (Some(400), Some("malformed")),
            "{body}: {answer:?}"
        );
        assert_eq!(answer.text("decision"), None);
        if !field.is_empty() {
            assert_eq!(answer.text("field"), Some(field), "{body}: {answer:?}");
        }
    }
    for (method_path, status) in
        [("/v1/nowhere", 404), ("/v1/authorize", 405), ("/v1/envelopes/blake3:00", 400)]
    {
        let answer = cluster.get(1, method_path).await;
        assert_eq!(answer.status, Some(status), "{method_path}: {answer:?}");
        assert!(answer.text("code").is_some(), "{method_path}: {answer:?}");
    }
    let batch = json!({"requests": [good, {"domain": 7}]}).to_string();
    let answer = cluster.post(1, "/v1/authorize:batch", batch).await;
    assert_eq!(answer.status, Some(400), "{answer:?}");
    assert!(answer.text("field").is_some_and(|field| field.starts_with("requests[1]")), "{answer:?}");
}
