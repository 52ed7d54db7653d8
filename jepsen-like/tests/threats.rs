//! The threats of RFC-EG-033 §10, each tried from outside, over HTTP, against a running cluster.

use assent_jepsen::{Answer, Cluster, Evidence, id_of};
use assent_proof::{Envelope, EvidenceKind, SigningKey};
use serde_json::json;

/// A cluster in which `exec` may run, and the evidence's maker.
async fn allowing() -> (Cluster, Evidence, Vec<u8>) {
    let cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let artifact = evidence.authorization(&cluster.key("governance").unwrap(), (0, None));
    cluster.accept(1, &artifact).await.unwrap();
    let attested = evidence.attestation(&cluster.key("attestation").unwrap(), (0, None), "affirming", "m");
    cluster.accept(2, &attested).await.unwrap();
    everywhere(&cluster, &evidence, &[]).await;
    (cluster, evidence, attested)
}

/// Every node gives exactly these reasons; with none, every node allows.
async fn everywhere(cluster: &Cluster, evidence: &Evidence, codes: &[&str]) {
    for id in 1..=3 {
        let answer = cluster.decide(id, &evidence.request()).await;
        assert_eq!(answer.codes(), codes, "node {id}: {answer:?}");
        assert_eq!(answer.is_allow(), codes.is_empty(), "node {id}: {answer:?}");
    }
}

async fn revision(cluster: &Cluster) -> u64 {
    cluster.get(1, "/v1/cluster/status").await.number("revision").unwrap()
}

#[track_caller]
fn refused(answer: &Answer, code: &str) {
    assert!(answer.status.is_some_and(|status| (400..500).contains(&status)), "{answer:?}");
    assert_eq!(answer.text("code"), Some(code), "{answer:?}");
}

/// The statement's text changed, and signed again by `key`.
fn altered(envelope: &[u8], from: &str, to: &str, key: &SigningKey) -> Vec<u8> {
    let mut parsed = Envelope::parse(envelope).unwrap();
    let text = String::from_utf8(parsed.payload.clone()).unwrap();
    assert!(text.contains(from), "`{from}` is not in {text}");
    parsed.payload = text.replace(from, to).into_bytes();
    parsed.signatures.clear();
    parsed.sign_with(key);
    parsed.to_vec()
}

#[tokio::test]
async fn threat_governance_evidence_corruption() {
    let (cluster, evidence, attested) = allowing().await;
    let before = revision(&cluster).await;
    let good =
        evidence.attestation(&cluster.key("attestation").unwrap(), (1, id_of(&attested)), "affirming", "m");
    for at in (0..good.len()).step_by(37) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let answer = cluster.submit(1 + at as u64 % 3, &bad).await.unwrap();
        // A flipped letter of a field that decides nothing (a key id's) may leave the evidence what it was.
        let harmless = id_of(&bad) == id_of(&good) && answer.status == Some(201);
        assert!(
            harmless || answer.status.is_some_and(|status| (400..500).contains(&status)),
            "{at}: {answer:?}"
        );
        if harmless {
            break;
        }
    }
    assert!(revision(&cluster).await <= before + 1);
    everywhere(&cluster, &evidence, &[]).await;
}

#[tokio::test]
async fn threat_proof_replay_attacks() {
    let (cluster, evidence, attested) = allowing().await;
    let attestation = cluster.key("attestation").unwrap();
    // Evidence of another registry.
    let foreign = altered(&attested, &cluster.origin, "registry.elsewhere", &attestation);
    refused(&cluster.submit(1, &foreign).await.unwrap(), "wrong_registry");
    // The affirming word from before, after a contraindicating one.
    let bad = evidence.attestation(&attestation, (1, id_of(&attested)), "contraindicated", "m");
    cluster.accept(2, &bad).await.unwrap();
    everywhere(&cluster, &evidence, &["attestation_not_affirming"]).await;
    for id in 1..=3 {
        let again = cluster.submit(id, &attested).await.unwrap();
        assert_eq!(again.status, Some(200), "the first receipt, and nothing else: {again:?}");
    }
    everywhere(&cluster, &evidence, &["attestation_not_affirming"]).await;
}

#[tokio::test]
async fn threat_synchronization_fragmentation() {
    let (cluster, evidence, attested) = allowing().await;
    let attestation = cluster.key("attestation").unwrap();
    let before = revision(&cluster).await;
    for (id, slot) in [(1, (2, id_of(&attested))), (2, (7, id_of(&attested))), (3, (1, id_of(b"{}")))] {
        let gap = evidence.attestation(&attestation, slot, "affirming", "m");
        let answer = cluster.submit(id, &gap).await.unwrap();
        assert!(matches!(answer.text("code"), Some("lineage_fragmented" | "malformed")), "{answer:?}");
    }
    assert_eq!(revision(&cluster).await, before);
    everywhere(&cluster, &evidence, &[]).await;
}

#[tokio::test]
async fn threat_authority_validation_spoofing() {
    let (cluster, evidence, attested) = allowing().await;
    let (attestation, thief) = (cluster.key("attestation").unwrap(), SigningKey::from_seed([99; 32]));
    let before = revision(&cluster).await;
    // In the attester's name, by another key, under the attester's key id.
    let good = evidence.attestation(&attestation, (1, id_of(&attested)), "affirming", "m");
    let mut forged = Envelope::parse(&good).unwrap();
    forged.signatures.clear();
    forged.sign_with(&thief);
    forged.signatures[0].keyid = Some(attestation.public().keyid());
    refused(&cluster.submit(1, &forged.to_vec()).await.unwrap(), "signature_invalid");
    // In its own name, which nobody granted; and by an authority of no right to grant.
    let own = evidence.attestation(&thief, (0, None), "affirming", "m");
    refused(&cluster.submit(2, &own).await.unwrap(), "authority_unknown");
    let granted = evidence.grant(&thief, "attestation", &attestation, (0, None));
    refused(&cluster.submit(3, &granted).await.unwrap(), "role_not_permitted");
    assert_eq!(revision(&cluster).await, before);
}

#[tokio::test]
async fn threat_distributed_runtime_drift() {
    let (cluster, evidence, attested) = allowing().await;
    let attestation = cluster.key("attestation").unwrap();
    let drifted = evidence.attestation(&attestation, (1, id_of(&attested)), "warning", "drifted");
    cluster.accept(3, &drifted).await.unwrap();
    everywhere(&cluster, &evidence, &["attestation_not_affirming"]).await;
}

#[tokio::test]
async fn threat_unsigned_proof_inheritance() {
    let (cluster, evidence, attested) = allowing().await;
    let audit = cluster.key("audit").unwrap();
    let mut unsigned = Envelope::parse(&attested).unwrap();
    unsigned.signatures.clear();
    refused(&cluster.submit(1, &unsigned.to_vec()).await.unwrap(), "unsigned_evidence");
    // What rests on nothing that is there.
    let event = evidence.execution(EvidenceKind::AuditLineage, &json!({"event": "seen"}), &audit, (0, None));
    refused(&cluster.submit(2, &event).await.unwrap(), "evidence_detached");
    let nowhere = format!("\"references\":[\"blake3:{}\"]", "7".repeat(64));
    let resting = altered(&event, "\"references\":[]", &nowhere, &audit);
    refused(&cluster.submit(3, &resting).await.unwrap(), "evidence_detached");
}

#[tokio::test]
async fn threat_topology_reconciliation_ambiguity() {
    let (cluster, evidence, attested) = allowing().await;
    let attestation = cluster.key("attestation").unwrap();
    let half =
        |measurement| evidence.attestation(&attestation, (1, id_of(&attested)), "affirming", measurement);
    let (one, other) = (half("one"), half("other"));
    let (first, second) = tokio::join!(cluster.submit(1, &one), cluster.submit(2, &other));
    let mut statuses = [first.unwrap().status, second.unwrap().status];
    statuses.sort_unstable();
    assert_eq!(statuses, [Some(201), Some(409)], "one is accepted, the other proves the equivocation");
    let expected = ["authority_inconsistent", "evidence_missing", "lineage_quarantined"];
    everywhere(&cluster, &evidence, &expected).await;
}

#[tokio::test]
async fn threat_execution_lineage_corruption() {
    let (cluster, evidence, attested) = allowing().await;
    let (runtime, audit) = (cluster.key("runtime").unwrap(), cluster.key("audit").unwrap());
    // Evidence about something else, put into the lineage.
    let other = evidence.clone().in_lineage("another").integrity(&runtime, (0, None), "m");
    let moved = altered(&other, "\"lineage\":\"another\"", "\"lineage\":\"exec\"", &runtime);
    refused(&cluster.submit(1, &moved).await.unwrap(), "subject_mismatch");
    // A lineage that was closed takes no more, and allows nothing.
    let event =
        evidence.execution(EvidenceKind::AuditLineage, &json!({"event": "completed"}), &audit, (0, None));
    let references = format!("\"references\":[\"{}\"]", id_of(&attested).unwrap());
    let closing = altered(&event, "\"references\":[]", &references, &audit);
    cluster.accept(2, &closing).await.unwrap();
    everywhere(&cluster, &evidence, &["lineage_closed"]).await;
    let more = evidence.integrity(&runtime, (0, None), "m");
    refused(&cluster.submit(3, &more).await.unwrap(), "lineage_closed");
}

#[tokio::test]
async fn threat_runtime_evidence_escalation_attacks() {
    let (cluster, evidence, _) = allowing().await;
    let before = revision(&cluster).await;
    let runtime = cluster.key("runtime").unwrap();
    let (gateway, audit) = (cluster.key("gateway").unwrap(), cluster.key("audit").unwrap());
    for (id, envelope) in [
        (1, evidence.attestation(&runtime, (0, None), "affirming", "m")),
        (2, evidence.authorization(&runtime, (0, None))),
        (3, evidence.authorization(&gateway, (0, None))),
        (1, evidence.revocation(&gateway, &runtime)),
        (2, evidence.grant(&SigningKey::from_seed([98; 32]), "attestation", &audit, (0, None))),
    ] {
        refused(&cluster.submit(id, &envelope).await.unwrap(), "role_not_permitted");
    }
    assert_eq!(revision(&cluster).await, before);
    everywhere(&cluster, &evidence, &[]).await;
}
