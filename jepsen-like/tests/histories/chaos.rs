//! Histories as chaos records them, right and wrong ones: submissions that name no node, faults of real processes, one
//! record of each node's ledger at the end, and no samples.

use assent_jepsen::chaos::{Fault, Kind, Struck};
use assent_jepsen::check::{Setting, judge};
use assent_jepsen::history::{History, Op, Outcome};
use assent_proof::EvidenceKind;
use serde_json::{Value, json};

use super::builder::{
    HistoryBuilder, NamedHistories, Piece, attestation, authorization, containment, name, request, time,
};
use super::good::without_receipt;
use super::real;

pub(crate) fn histories() -> NamedHistories {
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
        ("bad-S9-chaos-without-a-quorum", with(|builder| allow(builder, 1, (230, 240), &request()))),
        ("bad-S9-chaos-by-a-struck-node", with(|builder| allow(builder, 2, (230, 240), &request()))),
        ("bad-S10-chaos-other-rows", real::other_rows()),
        ("bad-S14-chaos-no-receipt", unsigned()),
        ("bad-L2-chaos-never-resumes", after_a_kill(Some("no_quorum"))),
        ("bad-L3-chaos-behind", behind()),
        ("bad-L3-chaos-unread", unread()),
        ("bad-C1-chaos-refused", refused()),
        ("bad-C1-chaos-refused-again", refused_again()),
        ("bad-C1-chaos-unknown", with(|builder| builder.lose(710, &attestation("c")))),
    ]
    .map(|(name, builder)| (name, told(builder)))
    .into()
}

/// As chaos tells it: the real client does not say which node took a submission.
pub(crate) fn told(mut builder: HistoryBuilder) -> History {
    for submit in builder.records.iter_mut().filter(|record| record.op == Op::Submit && record.client != 0) {
        submit.node = 0;
    }
    builder.told()
}

/// What is asked about a lineage.
fn about(lineage: &str) -> Value {
    let mut request = request();
    request["lineage"] = lineage.into();
    request
}

fn ask(builder: &mut HistoryBuilder, node: u64, at: (u64, u64), request: &Value, deny: Option<&str>) {
    let decision = builder.decision(node, at.0, request, deny, None);
    let outcome = if deny.is_some() { Outcome::Deny } else { Outcome::Ok };
    builder.push(Op::Authorize, node, (at.0, Some(at.1)), (request.clone(), decision), outcome);
}

fn allow(builder: &mut HistoryBuilder, node: u64, at: (u64, u64), request: &Value) {
    ask(builder, node, at, request, None);
}

fn ms(ms: u64) -> std::time::Duration {
    std::time::Duration::from_millis(ms)
}

/// A kill from 200 to 600 ms: it was effective from 220 to 400.
fn strike(builder: &mut HistoryBuilder, struck: Struck, victims: &[u64]) {
    let fault = Fault {
        kind: Kind::Kill,
        struck,
        victims: victims.to_vec(),
        begun: ms(200),
        effective: ms(220),
        healing: ms(400),
        over: ms(600),
    };
    builder.records.extend(fault.records(&[1, 2, 3]));
}

/// The run until the fault: lineages `x` and `y` are authorized, something is accepted when it is submitted again, and `y` is
/// quarantined. Gives the receipt for `x`.
fn before_the_fault() -> (HistoryBuilder, Value) {
    let mut builder = HistoryBuilder::founded();
    let receipt = builder.accept(2, 4, &authorization("governance"));
    let claims = json!({"actions": ["run"], "notBefore": time(0), "notAfter": time(100)});
    let of_y = Piece::new(EvidenceKind::ExecutionAuthorization, "y", "governance", Some(0), claims);
    builder.accept(5, 7, &of_y);
    allow(&mut builder, 1, (8, 12), &request());
    let again = attestation("b");
    builder.lose(30, &again);
    builder.lose(33, &again);
    let mut repeated = builder.enter(&again, 30);
    repeated["repeated"] = true.into();
    builder.answered(40, 50, &again, repeated, Outcome::Ok);
    // Asked before the acknowledgement at 100 and answered after it: both answers are right.
    allow(&mut builder, 2, (90, 140), &about("y"));
    builder.accept(95, 100, &containment("quarantine", "y", "audit"));
    ask(&mut builder, 3, (101, 120), &about("y"), Some("lineage_quarantined"));
    allow(&mut builder, 1, (101, 110), &request());
    (builder, receipt)
}

/// A run in which everything happens that may.
pub(crate) fn run() -> HistoryBuilder {
    with(|_| {})
}

/// The same, and something besides before the nodes are looked at.
fn with(besides: impl FnOnce(&mut HistoryBuilder)) -> HistoryBuilder {
    let mut builder = until_the_end();
    besides(&mut builder);
    looked_at(builder)
}

/// The run up to its last question.
fn until_the_end() -> HistoryBuilder {
    let (mut builder, receipt) = before_the_fault();
    strike(&mut builder, Struck::Majority, &[2, 3]);
    // Asked before the majority was gone at 220, answered after it; asked before it was back at 400, answered after.
    allow(&mut builder, 1, (215, 225), &request());
    ask(&mut builder, 1, (230, 480), &request(), Some("no_quorum"));
    ask(&mut builder, 1, (240, 300), &request(), Some("no_quorum"));
    builder.silent(Op::Authorize, 2, 230, request());
    allow(&mut builder, 1, (390, 500), &request());
    allow(&mut builder, 1, (700, 710), &request());
    submitted_again(&mut builder, receipt);
    builder
}

/// The harness submits once more what was accepted.
fn submitted_again(builder: &mut HistoryBuilder, mut receipt: Value) {
    receipt["repeated"] = true.into();
    builder.answered(810, 820, &authorization("governance"), receipt, Outcome::Ok);
    let again = builder.records.last_mut().unwrap();
    (again.client, again.node) = (0, 2);
}

/// Each node is looked at.
fn looked_at(mut builder: HistoryBuilder) -> HistoryBuilder {
    builder.ledgers(900);
    builder.ledger(902, 3, json!({}));
    builder
}

/// Allowed, asked after the quarantine was acknowledged.
pub(crate) fn asked_after() -> HistoryBuilder {
    with(|builder| allow(builder, 2, (101, 130), &about("y")))
}

/// While a quorum is left, what the others allow is right.
fn leader_struck() -> HistoryBuilder {
    let (mut builder, _) = before_the_fault();
    strike(&mut builder, Struck::Leader, &[1]);
    allow(&mut builder, 2, (230, 240), &request());
    looked_at(builder)
}

/// What a cluster answers in the 20 s after a kill.
fn after_a_kill(deny: Option<&str>) -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    strike(&mut builder, Struck::Follower, &[3]);
    for second in 1..20 {
        ask(&mut builder, 2, (second * 1000, second * 1000 + 20), &request(), deny);
    }
    builder
}

/// What was acknowledged last is on no node.
fn missing() -> HistoryBuilder {
    with(|builder| {
        builder.accept(720, 730, &attestation("c"));
        builder.leaves.pop();
    })
}

/// One node has other bytes.
fn different() -> HistoryBuilder {
    let mut builder = until_the_end();
    builder.ledgers(900);
    let last = builder.leaves.last_mut().unwrap();
    last.piece = last.piece.reencoded();
    builder.ledger(902, 3, json!({}));
    builder
}

/// The harness submits again what was accepted, and another receipt comes back.
fn other_receipt(change: impl FnOnce(&mut Value)) -> HistoryBuilder {
    let mut builder = HistoryBuilder::founded();
    let mut receipt = builder.accept(2, 4, &authorization("governance"));
    change(&mut receipt);
    submitted_again(&mut builder, receipt);
    builder
}

/// One node was founded with another key.
fn another_leaf() -> HistoryBuilder {
    let mut builder = until_the_end();
    builder.ledgers(900);
    let claims = json!({"authority": name("node-2"), "name": "nodes", "role": "registry",
        "notBefore": time(0), "notAfter": time(9000)});
    builder.leaves[1].piece = Piece::new(EvidenceKind::AuthorityGrant, "_root", "root", Some(1), claims);
    builder.ledger(902, 3, json!({}));
    builder
}

/// Allowed as of a time before one that had been told.
fn earlier() -> HistoryBuilder {
    with(|builder| {
        let early = builder.decision(3, 715, &request(), None, None);
        builder.accept(720, 730, &attestation("c"));
        builder.allow_as(3, 740, 750, early);
    })
}

/// An allow that proves nothing.
fn unsigned() -> HistoryBuilder {
    with(|builder| {
        let decision = without_receipt(builder.decision(2, 720, &request(), None, None));
        builder.allow_as(2, 720, 730, decision);
    })
}

/// One node never gets so far as the others.
fn behind() -> HistoryBuilder {
    let mut builder = until_the_end();
    builder.ledgers(900);
    builder.leaves.pop();
    builder.ledger(902, 3, json!({"applied": 29, "digest": "d29"}));
    builder
}

/// One node cannot be read.
fn unread() -> HistoryBuilder {
    let mut builder = until_the_end();
    builder.ledgers(900);
    builder.push(Op::Ledger, 3, (902, None), (Value::Null, Value::Null), Outcome::Unknown);
    builder
}

/// What follows something acknowledged finds a gap before it.
fn refused() -> HistoryBuilder {
    with(|builder| builder.refuse(720, 730, &attestation("c"), "lineage_fragmented"))
}

/// What was acknowledged is refused when it is submitted again.
fn refused_again() -> HistoryBuilder {
    with(|builder| {
        builder.refuse(720, 730, &authorization("governance"), "lineage_fragmented");
        let again = builder.records.last_mut().unwrap();
        (again.client, again.node) = (0, 2);
    })
}

#[test]
fn nodes_with_different_content_at_one_position_violate_the_checks_of_states_and_of_the_end() {
    let mut builder = until_the_end();
    builder.ledgers(900);
    builder.ledger(902, 3, json!({"digest": "other"}));
    let report = judge(&told(builder), Setting::Chaos);
    assert_eq!(report.violated().into_iter().collect::<Vec<_>>(), ["L3", "S5"]);
}

#[test]
fn a_restriction_that_comes_later_excuses_no_allow_after_an_earlier_one() {
    let mut builder = until_the_end();
    allow(&mut builder, 2, (101, 130), &about("y"));
    builder.accept(720, 730, &containment("quarantine", "y", "audit-2"));
    let report = judge(&told(looked_at(builder)), Setting::Chaos);
    assert_eq!(report.violated().into_iter().collect::<Vec<_>>(), ["S1"]);
}
