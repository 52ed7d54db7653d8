//! Histories as chaos records them, right ones and wrong ones: submissions that name no node, faults of real processes, one look at
//! each node's ledger at the end, and no samples.

use assent_jepsen::chaos::{Fault, Kind, Struck};
use assent_jepsen::check::{Setting, judge};
use assent_jepsen::history::{History, Op, Outcome};
use assent_proof::EvidenceKind;
use serde_json::{Value, json};

use crate::good::without_receipt;
use crate::real;
use crate::story::{Piece, Shelf, Story, attestation, authorization, containment, name, request, time};

pub(crate) fn stories() -> Shelf {
    [
        ("good-chaos-run", run()),
        ("good-chaos-leader-struck", leader_struck()),
        ("good-chaos-comes-back", after_a_kill(None)),
        ("good-chaos-replayed", real::held_by(3)),
        ("bad-S1-chaos-asked-after", asked_after()),
        ("bad-S3-chaos-missing", missing()),
        ("bad-S3-chaos-different", different()),
        ("bad-S4-chaos-other-index", other_receipt(|receipt| receipt["ledgerIndex"] = 9.into())),
        ("bad-S4-chaos-other-time", other_receipt(|receipt| receipt["acceptedAt"] = 5.into())),
        ("bad-S4-chaos-of-another", other_receipt(|receipt| receipt["evidenceId"] = "blake3:11".into())),
        ("bad-S5-chaos-another-leaf", another_leaf()),
        ("bad-S8-chaos-earlier-than-told", earlier()),
        ("bad-S9-chaos-without-a-quorum", with(|story| allow(story, 1, (230, 240), &request()))),
        ("bad-S9-chaos-by-a-struck-node", with(|story| allow(story, 2, (230, 240), &request()))),
        ("bad-S10-chaos-other-rows", real::other_rows()),
        ("bad-S14-chaos-no-receipt", unsigned()),
        ("bad-L2-chaos-never-resumes", after_a_kill(Some("no_quorum"))),
        ("bad-L3-chaos-behind", behind()),
        ("bad-L3-chaos-unread", unread()),
        ("bad-C1-chaos-refused", refused()),
        ("bad-C1-chaos-refused-again", refused_again()),
        ("bad-C1-chaos-unknown", with(|story| story.lose(710, &attestation("c")))),
    ]
    .map(|(name, story)| (name, told(story)))
    .into()
}

/// As chaos tells it: the real client does not say which node took a submission.
pub(crate) fn told(mut story: Story) -> History {
    for submit in story.records.iter_mut().filter(|record| record.op == Op::Submit && record.client != 0) {
        submit.node = 0;
    }
    story.told()
}

/// What is asked about a lineage.
fn about(lineage: &str) -> Value {
    let mut request = request();
    request["lineage"] = lineage.into();
    request
}

fn ask(story: &mut Story, node: u64, at: (u64, u64), request: &Value, deny: Option<&str>) {
    let decision = story.decision(node, at.0, request, deny, None);
    let outcome = if deny.is_some() { Outcome::Deny } else { Outcome::Ok };
    story.push(Op::Authorize, node, (at.0, Some(at.1)), (request.clone(), decision), outcome);
}

fn allow(story: &mut Story, node: u64, at: (u64, u64), request: &Value) {
    ask(story, node, at, request, None);
}

fn ms(ms: u64) -> std::time::Duration {
    std::time::Duration::from_millis(ms)
}

/// A kill from 200 to 600 ms: it was effective from 220 to 400.
fn strike(story: &mut Story, struck: Struck, victims: &[u64]) {
    let fault = Fault {
        kind: Kind::Kill,
        struck,
        victims: victims.to_vec(),
        begun: ms(200),
        effective: ms(220),
        healing: ms(400),
        over: ms(600),
    };
    story.records.extend(fault.records(&[1, 2, 3]));
}

/// The run until the fault: lineages `x` and `y` are authorized, something is accepted when it is submitted again, and `y` is
/// quarantined. Gives the receipt for `x`.
fn before_the_fault() -> (Story, Value) {
    let mut story = Story::founded();
    let receipt = story.accept(2, 4, &authorization("governance"));
    let claims = json!({"actions": ["run"], "notBefore": time(0), "notAfter": time(100)});
    let of_y = Piece::new(EvidenceKind::ExecutionAuthorization, "y", "governance", Some(0), claims);
    story.accept(5, 7, &of_y);
    allow(&mut story, 1, (8, 12), &request());
    let again = attestation("b");
    story.lose(30, &again);
    story.lose(33, &again);
    let mut repeated = story.enter(&again, 30);
    repeated["repeated"] = true.into();
    story.answered(40, 50, &again, repeated, Outcome::Ok);
    // Asked before the acknowledgement at 100 and answered after it: both answers are right.
    allow(&mut story, 2, (90, 140), &about("y"));
    story.accept(95, 100, &containment("quarantine", "y", "audit"));
    ask(&mut story, 3, (101, 120), &about("y"), Some("lineage_quarantined"));
    allow(&mut story, 1, (101, 110), &request());
    (story, receipt)
}

/// A run in which everything happens that may.
pub(crate) fn run() -> Story {
    with(|_| {})
}

/// The same, and something besides before the nodes are looked at.
fn with(besides: impl FnOnce(&mut Story)) -> Story {
    let mut story = until_the_end();
    besides(&mut story);
    looked_at(story)
}

/// The run up to its last question.
fn until_the_end() -> Story {
    let (mut story, receipt) = before_the_fault();
    strike(&mut story, Struck::Majority, &[2, 3]);
    // Asked before the majority was gone at 220, answered after it; asked before it was back at 400, answered after.
    allow(&mut story, 1, (215, 225), &request());
    ask(&mut story, 1, (230, 480), &request(), Some("no_quorum"));
    ask(&mut story, 1, (240, 300), &request(), Some("no_quorum"));
    story.silent(Op::Authorize, 2, 230, request());
    allow(&mut story, 1, (390, 500), &request());
    allow(&mut story, 1, (700, 710), &request());
    submitted_again(&mut story, receipt);
    story
}

/// The harness submits once more what was accepted.
fn submitted_again(story: &mut Story, mut receipt: Value) {
    receipt["repeated"] = true.into();
    story.answered(810, 820, &authorization("governance"), receipt, Outcome::Ok);
    let again = story.records.last_mut().unwrap();
    (again.client, again.node) = (0, 2);
}

/// Each node is looked at.
fn looked_at(mut story: Story) -> Story {
    story.ledgers(900);
    story.ledger(902, 3, json!({}));
    story
}

/// Allowed, asked after the quarantine was acknowledged.
pub(crate) fn asked_after() -> Story {
    with(|story| allow(story, 2, (101, 130), &about("y")))
}

/// While a quorum is left, what the others allow is right.
fn leader_struck() -> Story {
    let (mut story, _) = before_the_fault();
    strike(&mut story, Struck::Leader, &[1]);
    allow(&mut story, 2, (230, 240), &request());
    looked_at(story)
}

/// What a cluster answers in the 20 s after a kill.
fn after_a_kill(deny: Option<&str>) -> Story {
    let mut story = Story::authorized();
    strike(&mut story, Struck::Follower, &[3]);
    for second in 1..20 {
        ask(&mut story, 2, (second * 1000, second * 1000 + 20), &request(), deny);
    }
    story
}

/// What was acknowledged last is on no node.
fn missing() -> Story {
    with(|story| {
        story.accept(720, 730, &attestation("c"));
        story.leaves.pop();
    })
}

/// One node has other bytes.
fn different() -> Story {
    let mut story = until_the_end();
    story.ledgers(900);
    let last = story.leaves.last_mut().unwrap();
    last.piece = last.piece.reencoded();
    story.ledger(902, 3, json!({}));
    story
}

/// The harness submits again what was accepted, and another receipt comes back.
fn other_receipt(change: impl FnOnce(&mut Value)) -> Story {
    let mut story = Story::founded();
    let mut receipt = story.accept(2, 4, &authorization("governance"));
    change(&mut receipt);
    submitted_again(&mut story, receipt);
    story
}

/// One node was founded with another key.
fn another_leaf() -> Story {
    let mut story = until_the_end();
    story.ledgers(900);
    let claims = json!({"authority": name("node-2"), "name": "nodes", "role": "registry",
        "notBefore": time(0), "notAfter": time(9000)});
    story.leaves[1].piece = Piece::new(EvidenceKind::AuthorityGrant, "_root", "root", Some(1), claims);
    story.ledger(902, 3, json!({}));
    story
}

/// Allowed as of a time before one that had been told.
fn earlier() -> Story {
    with(|story| {
        let early = story.decision(3, 715, &request(), None, None);
        story.accept(720, 730, &attestation("c"));
        story.allow_as(3, 740, 750, early);
    })
}

/// An allow that proves nothing.
fn unsigned() -> Story {
    with(|story| {
        let decision = without_receipt(story.decision(2, 720, &request(), None, None));
        story.allow_as(2, 720, 730, decision);
    })
}

/// One node never gets so far as the others.
fn behind() -> Story {
    let mut story = until_the_end();
    story.ledgers(900);
    story.leaves.pop();
    story.ledger(902, 3, json!({"applied": 29, "digest": "d29"}));
    story
}

/// One node cannot be read.
fn unread() -> Story {
    let mut story = until_the_end();
    story.ledgers(900);
    story.push(Op::Ledger, 3, (902, None), (Value::Null, Value::Null), Outcome::Unknown);
    story
}

/// What follows something acknowledged finds a gap before it.
fn refused() -> Story {
    with(|story| story.refuse(720, 730, &attestation("c"), "lineage_fragmented"))
}

/// What was acknowledged is refused when it is submitted again.
fn refused_again() -> Story {
    with(|story| {
        story.refuse(720, 730, &authorization("governance"), "lineage_fragmented");
        let again = story.records.last_mut().unwrap();
        (again.client, again.node) = (0, 2);
    })
}

#[test]
fn nodes_that_hold_something_else_at_one_position_violate_both_what_is_said_of_states_and_of_the_end() {
    let mut story = until_the_end();
    story.ledgers(900);
    story.ledger(902, 3, json!({"digest": "other"}));
    let report = judge(&told(story), Setting::Chaos);
    assert_eq!(report.violated().into_iter().collect::<Vec<_>>(), ["L3", "S5"]);
}

#[test]
fn a_restriction_that_comes_later_excuses_no_allow_after_an_earlier_one() {
    let mut story = until_the_end();
    allow(&mut story, 2, (101, 130), &about("y"));
    story.accept(720, 730, &containment("quarantine", "y", "audit-2"));
    let report = judge(&told(looked_at(story)), Setting::Chaos);
    assert_eq!(report.violated().into_iter().collect::<Vec<_>>(), ["S1"]);
}
