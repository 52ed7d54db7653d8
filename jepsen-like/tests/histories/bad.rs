//! Histories with wrong answers and wrong ledgers.

use assent_jepsen::history::{Op, Outcome};
use serde_json::{Value, json};

use super::builder::{
    HistoryBuilder, NamedHistories, attestation, authorization, containment, counted, permit_of, release,
    request, revocation, signed, with_nonce,
};
use super::good::{policy, without_receipt};

pub(crate) fn histories() -> NamedHistories {
    [
        ("bad-S1-revoked", revoked()),
        ("bad-S1-quarantined", contained("quarantine", "x")),
        ("bad-S1-isolated", contained("isolate", "prod")),
        ("bad-S1-invalidated", invalidated()),
        ("bad-S1-required-issuer-revoked", required_revoked()),
        ("bad-S1-released-too-late", released_too_late()),
        ("bad-S3-lost", lost()),
        ("bad-S3-other-bytes", other_bytes()),
        ("bad-S4-invented", invented()),
        ("bad-S4-refused-and-there", refused()),
        ("bad-S4-permit-nobody-asked-for", unasked_permit()),
        ("bad-S4-twice", twice()),
        ("bad-S4-two-receipts", two_receipts()),
        ("bad-S4-receipt-of-another", receipt_of_another()),
        ("bad-S5-digests", digests()),
        ("bad-S5-events", events()),
        ("bad-S8-earlier-than-told", earlier()),
        ("bad-S8-expired-grounds", expired()),
        ("bad-S8-accepted-earlier", accepted_earlier()),
        ("bad-S14-changed", decided(|said| said["revision"] = 99.into())),
        ("bad-S14-no-receipt", decided(|said| *said = without_receipt(said.clone()))),
        ("bad-S14-another-request", decided(another_request)),
        ("bad-S14-deny-taken-for-allow", taken_for_allow()),
        ("bad-S14-unsigned-leaf", unsigned_leaf()),
        ("bad-S15-too-many", too_many()),
        ("bad-S15-too-many-of-the-first", too_many_of_the_first()),
        ("bad-S15-not-recorded", not_recorded()),
        ("bad-S15-one-nonce-twice", one_nonce_twice()),
    ]
    .map(|(name, builder)| (name, builder.told()))
    .into()
}

fn revoked() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.accept(95, 100, &revocation("governance", "governance-2"));
    builder.allow(2, 101, 140);
    builder
}

fn contained(action: &str, target: &str) -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let first = containment(action, target, "audit");
    builder.accept(30, 40, &first);
    // Another one in force is not released by this.
    builder.accept(41, 42, &containment(action, target, "audit-2"));
    builder.accept(43, 44, &release(&first));
    builder.allow(2, 50, 60);
    builder
}

fn invalidated() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let target = authorization("governance").id;
    builder.accept(30, 40, &containment("invalidate", &target, "audit"));
    builder.allow(2, 50, 60);
    builder
}

fn required_revoked() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.policy = Some(policy(&mut builder, 2));
    builder.accept(26, 27, &attestation("attestor"));
    builder.accept(28, 29, &attestation("attestor-2"));
    builder.accept(30, 40, &revocation("attestor", "governance"));
    builder.allow(2, 50, 60);
    builder
}

fn released_too_late() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let quarantine = containment("quarantine", "x", "audit");
    builder.accept(30, 40, &quarantine);
    builder.refuse(41, 42, &release(&quarantine), "threshold_not_met");
    builder.allow(2, 50, 60);
    builder.accept(61, 62, &release(&quarantine));
    builder
}

fn lost() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.accept(30, 40, &attestation("a"));
    builder.leaves.pop();
    builder.ledgers(200);
    builder
}

fn other_bytes() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.ledger(200, 1, json!({}));
    let last = builder.leaves.last_mut().unwrap();
    last.piece = last.piece.reencoded();
    builder.ledger(201, 2, json!({}));
    builder
}

fn invented() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.enter(&attestation("a"), 30);
    builder.ledgers(200);
    builder
}

/// Another node says things twice, and this one did before.
fn refused() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.fault("repeat", 1, 10, Some(25));
    builder.fault("repeat", 2, 25, Some(100));
    builder.refuse(30, 40, &attestation("a"), "overloaded");
    builder.enter(&attestation("a"), 50);
    builder.ledgers(200);
    builder
}

fn unasked_permit() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.silent(Op::Permit, 1, 30, with_nonce("b"));
    builder.enter(&permit_of(&with_nonce("a")), 30);
    builder.ledgers(200);
    builder
}

fn twice() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.enter(&authorization("governance"), 30);
    builder.ledgers(200);
    builder
}

fn two_receipts() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let mut receipt = builder.accept(30, 40, &attestation("a"));
    receipt["acceptedAt"] = 5.into();
    builder.answered(50, 60, &attestation("a"), receipt, Outcome::Ok);
    builder
}

fn receipt_of_another() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let receipt = builder.accept(30, 40, &attestation("a"));
    builder.answered(50, 60, &attestation("b"), receipt, Outcome::Ok);
    builder
}

fn digests() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.ledgers(200);
    // The later looks agree, so that the nodes did converge; the two at one index do not.
    builder.ledger(300, 1, json!({"applied": 31, "digest": "d31"}));
    builder.ledger(301, 2, json!({"applied": 31, "digest": "d31"}));
    builder.ledger(250, 2, json!({"applied": 30, "digest": "other"}));
    builder
}

fn events() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let page = json!({"events": [{"index": 2, "evidenceId": "blake3:11"}], "revision": 3});
    builder.push(Op::Events, 3, (100, Some(110)), (json!({"after": 0}), page), Outcome::Ok);
    builder.ledgers(200);
    builder
}

fn earlier() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let early = builder.decision(3, 29, &request(), None, None);
    builder.accept(30, 40, &attestation("a"));
    builder.allow_as(3, 50, 60, early);
    builder
}

fn expired() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.allow(2, 100_000, 100_010);
    builder
}

fn accepted_earlier() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.lose(30, &attestation("a"));
    builder.enter(&attestation("a"), 5);
    builder.ledgers(200);
    builder
}

/// A decision that was changed after it was signed.
fn decided(change: impl FnOnce(&mut Value)) -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let mut said = builder.decision(2, 30, &request(), None, None);
    change(&mut said);
    builder.allow_as(2, 30, 40, said);
    builder.ledgers(200);
    builder
}

fn another_request(said: &mut Value) {
    let mut other = without_receipt(said.clone());
    other["request"]["action"] = "stop".into();
    *said = signed(other);
}

fn taken_for_allow() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let deny = builder.decision(2, 30, &request(), Some("no_quorum"), None);
    builder.push(Op::Authorize, 2, (30, Some(40)), (request(), deny), Outcome::Deny);
    let allow = builder.decision(2, 50, &request(), None, None);
    builder.push(Op::Authorize, 2, (50, Some(60)), (request(), allow), Outcome::Deny);
    builder
}

fn unsigned_leaf() -> HistoryBuilder {
    let mut builder = HistoryBuilder::founded();
    let mut piece = authorization("governance");
    let mut envelope: Value = serde_json::from_str(&piece.text).unwrap();
    let other: Value = serde_json::from_str(&authorization("governance-2").text).unwrap();
    envelope["signatures"] = other["signatures"].clone();
    piece.text = envelope.to_string();
    builder.accept(10, 20, &piece);
    builder.ledgers(200);
    builder
}

fn too_many() -> HistoryBuilder {
    let mut builder = HistoryBuilder::founded();
    builder.accept(10, 20, &counted("governance", 0, 1));
    builder.accept(21, 25, &counted("governance-2", 0, 1));
    builder.permit(30, 40, "a");
    builder.permit(41, 45, "b");
    builder.permit(46, 49, "c");
    builder.ledgers(200);
    builder
}

fn too_many_of_the_first() -> HistoryBuilder {
    let mut builder = HistoryBuilder::founded();
    builder.accept(10, 20, &counted("governance", 0, 1));
    builder.permit(30, 40, "a");
    builder.permit(41, 45, "b");
    builder.accept(50, 60, &counted("governance", 1, 5));
    builder.ledgers(200);
    builder
}

fn not_recorded() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let request = with_nonce("a");
    let allow = builder.decision(2, 30, &request, None, None);
    builder.push(Op::Permit, 2, (30, Some(40)), (request, allow), Outcome::Ok);
    builder.ledgers(200);
    builder
}

fn one_nonce_twice() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.permit(30, 40, "a");
    let mut other = with_nonce("a");
    other["action"] = "stop".into();
    builder.silent(Op::Permit, 1, 41, other.clone());
    builder.enter(&permit_of(&other), 42);
    builder.ledgers(200);
    builder
}
