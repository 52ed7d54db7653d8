//! What is wrong with what was answered and with what is stored.

use assent_jepsen::history::{Op, Outcome};
use serde_json::{Value, json};

use crate::good::{policy, without_receipt};
use crate::story::{
    Shelf, Story, attestation, authorization, containment, counted, permit_of, release, request, revocation,
    signed, with_nonce,
};

pub(crate) fn stories() -> Shelf {
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
    .map(|(name, story)| (name, story.told()))
    .into()
}

fn revoked() -> Story {
    let mut story = Story::authorized();
    story.accept(95, 100, &revocation("governance", "governance-2"));
    story.allow(2, 101, 140);
    story
}

fn contained(action: &str, target: &str) -> Story {
    let mut story = Story::authorized();
    let first = containment(action, target, "audit");
    story.accept(30, 40, &first);
    // Another one in force is not released by this.
    story.accept(41, 42, &containment(action, target, "audit-2"));
    story.accept(43, 44, &release(&first));
    story.allow(2, 50, 60);
    story
}

fn invalidated() -> Story {
    let mut story = Story::authorized();
    let target = authorization("governance").id;
    story.accept(30, 40, &containment("invalidate", &target, "audit"));
    story.allow(2, 50, 60);
    story
}

fn required_revoked() -> Story {
    let mut story = Story::authorized();
    story.policy = Some(policy(&mut story, 2));
    story.accept(26, 27, &attestation("attestor"));
    story.accept(28, 29, &attestation("attestor-2"));
    story.accept(30, 40, &revocation("attestor", "governance"));
    story.allow(2, 50, 60);
    story
}

fn released_too_late() -> Story {
    let mut story = Story::authorized();
    let quarantine = containment("quarantine", "x", "audit");
    story.accept(30, 40, &quarantine);
    story.refuse(41, 42, &release(&quarantine), "threshold_not_met");
    story.allow(2, 50, 60);
    story.accept(61, 62, &release(&quarantine));
    story
}

fn lost() -> Story {
    let mut story = Story::authorized();
    story.accept(30, 40, &attestation("a"));
    story.leaves.pop();
    story.ledgers(200);
    story
}

fn other_bytes() -> Story {
    let mut story = Story::authorized();
    story.ledger(200, 1, json!({}));
    let last = story.leaves.last_mut().unwrap();
    last.piece = last.piece.reencoded();
    story.ledger(201, 2, json!({}));
    story
}

fn invented() -> Story {
    let mut story = Story::authorized();
    story.enter(&attestation("a"), 30);
    story.ledgers(200);
    story
}

/// Another node says things twice, and this one did before.
fn refused() -> Story {
    let mut story = Story::authorized();
    story.fault("repeat", 1, 10, Some(25));
    story.fault("repeat", 2, 25, Some(100));
    story.refuse(30, 40, &attestation("a"), "overloaded");
    story.enter(&attestation("a"), 50);
    story.ledgers(200);
    story
}

fn unasked_permit() -> Story {
    let mut story = Story::authorized();
    story.silent(Op::Permit, 1, 30, with_nonce("b"));
    story.enter(&permit_of(&with_nonce("a")), 30);
    story.ledgers(200);
    story
}

fn twice() -> Story {
    let mut story = Story::authorized();
    story.enter(&authorization("governance"), 30);
    story.ledgers(200);
    story
}

fn two_receipts() -> Story {
    let mut story = Story::authorized();
    let mut receipt = story.accept(30, 40, &attestation("a"));
    receipt["acceptedAt"] = 5.into();
    story.answered(50, 60, &attestation("a"), receipt, Outcome::Ok);
    story
}

fn receipt_of_another() -> Story {
    let mut story = Story::authorized();
    let receipt = story.accept(30, 40, &attestation("a"));
    story.answered(50, 60, &attestation("b"), receipt, Outcome::Ok);
    story
}

fn digests() -> Story {
    let mut story = Story::authorized();
    story.ledgers(200);
    // The later looks agree, so that the nodes did converge; the two at one index do not.
    story.ledger(300, 1, json!({"applied": 31, "digest": "d31"}));
    story.ledger(301, 2, json!({"applied": 31, "digest": "d31"}));
    story.ledger(250, 2, json!({"applied": 30, "digest": "other"}));
    story
}

fn events() -> Story {
    let mut story = Story::authorized();
    let page = json!({"events": [{"index": 2, "evidenceId": "blake3:11"}], "revision": 3});
    story.push(Op::Events, 3, (100, Some(110)), (json!({"after": 0}), page), Outcome::Ok);
    story.ledgers(200);
    story
}

fn earlier() -> Story {
    let mut story = Story::authorized();
    let early = story.decision(3, 29, &request(), None, None);
    story.accept(30, 40, &attestation("a"));
    story.allow_as(3, 50, 60, early);
    story
}

fn expired() -> Story {
    let mut story = Story::authorized();
    story.allow(2, 100_000, 100_010);
    story
}

fn accepted_earlier() -> Story {
    let mut story = Story::authorized();
    story.lose(30, &attestation("a"));
    story.enter(&attestation("a"), 5);
    story.ledgers(200);
    story
}

/// A decision that was changed after it was signed.
fn decided(change: impl FnOnce(&mut Value)) -> Story {
    let mut story = Story::authorized();
    let mut said = story.decision(2, 30, &request(), None, None);
    change(&mut said);
    story.allow_as(2, 30, 40, said);
    story.ledgers(200);
    story
}

fn another_request(said: &mut Value) {
    let mut other = without_receipt(said.clone());
    other["request"]["action"] = "stop".into();
    *said = signed(other);
}

fn taken_for_allow() -> Story {
    let mut story = Story::authorized();
    let deny = story.decision(2, 30, &request(), Some("no_quorum"), None);
    story.push(Op::Authorize, 2, (30, Some(40)), (request(), deny), Outcome::Deny);
    let allow = story.decision(2, 50, &request(), None, None);
    story.push(Op::Authorize, 2, (50, Some(60)), (request(), allow), Outcome::Deny);
    story
}

fn unsigned_leaf() -> Story {
    let mut story = Story::founded();
    let mut piece = authorization("governance");
    let mut envelope: Value = serde_json::from_str(&piece.text).unwrap();
    let other: Value = serde_json::from_str(&authorization("governance-2").text).unwrap();
    envelope["signatures"] = other["signatures"].clone();
    piece.text = envelope.to_string();
    story.accept(10, 20, &piece);
    story.ledgers(200);
    story
}

fn too_many() -> Story {
    let mut story = Story::founded();
    story.accept(10, 20, &counted("governance", 0, 1));
    story.accept(21, 25, &counted("governance-2", 0, 1));
    story.permit(30, 40, "a");
    story.permit(41, 45, "b");
    story.permit(46, 49, "c");
    story.ledgers(200);
    story
}

fn too_many_of_the_first() -> Story {
    let mut story = Story::founded();
    story.accept(10, 20, &counted("governance", 0, 1));
    story.permit(30, 40, "a");
    story.permit(41, 45, "b");
    story.accept(50, 60, &counted("governance", 1, 5));
    story.ledgers(200);
    story
}

fn not_recorded() -> Story {
    let mut story = Story::authorized();
    let request = with_nonce("a");
    let allow = story.decision(2, 30, &request, None, None);
    story.push(Op::Permit, 2, (30, Some(40)), (request, allow), Outcome::Ok);
    story.ledgers(200);
    story
}

fn one_nonce_twice() -> Story {
    let mut story = Story::authorized();
    story.permit(30, 40, "a");
    let mut other = with_nonce("a");
    other["action"] = "stop".into();
    story.silent(Op::Permit, 1, 41, other.clone());
    story.enter(&permit_of(&other), 42);
    story.ledgers(200);
    story
}
