//! Right histories, among them those that a naive check would reject.

use assent_jepsen::history::{Op, Outcome};
use assent_proof::EvidenceKind;
use serde_json::{Value, json};

use super::builder::{
    HistoryBuilder, NamedHistories, Piece, attestation, authorization, containment, counted, permit_of,
    release, request, revocation, with_nonce,
};

pub(crate) fn histories() -> NamedHistories {
    [
        ("good-allow-while-it-is-revoked", while_revoked()),
        ("good-another-issuer-is-left", another_left()),
        ("good-release-that-may-have-come", released()),
        ("good-timeouts", timeouts()),
        ("good-restriction-that-adds-nothing", adds_nothing()),
        ("good-cut-edges", cut_edges()),
        ("good-leapt-clocks", leapt_clocks()),
        ("good-small-leap-after-a-start", small_leap()),
        ("good-raft", raft()),
        ("good-permits", permits()),
        ("good-expiry", expiry()),
        ("good-failed-disk", failed_disk()),
        ("good-members", members()),
        ("good-lost-disks", lost_disks()),
        ("good-rollback-of-nothing", rejoins(9, 1)),
        ("good-rollback-that-somebody-forgot", rejoins(10, 2)),
        ("good-rollback-that-nobody-knew-of", nobody_knew()),
        ("good-faults-and-after", faults_and_after()),
        ("good-busy", busy()),
        ("good-learner-shows-old-voters", old_voters()),
        ("good-who-lost-its-disk-serves-nobody", lost_and_silent()),
        ("good-log-lost-its-end-with-the-power", lost_end()),
        ("good-upgrade", upgrade()),
        ("good-refused-and-said-again", said_again()),
    ]
    .map(|(name, builder)| (name, builder.told()))
    .into()
}

/// Asked before the acknowledgement and answered after it.
fn while_revoked() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.allow(2, 90, 140);
    builder.accept(95, 100, &revocation("governance", "governance-2"));
    builder.deny(3, 101, 120, "authority_revoked");
    builder.ledgers(200);
    builder
}

/// The node through which it was refused says it once more when nothing is in its way any longer.
fn said_again() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.fault("repeat", 1, 25, Some(100));
    builder.refuse(30, 40, &attestation("a"), "domain_isolated");
    builder.enter(&attestation("a"), 50);
    builder.ledgers(200);
    builder
}

/// One of two who authorized, and one of two who attested where one is required, is revoked.
fn another_left() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.policy = Some(policy(&mut builder, 1));
    builder.accept(30, 35, &authorization("governance-2"));
    builder.accept(36, 39, &attestation("attestor"));
    builder.lose(40, &attestation("attestor-2"));
    builder.accept(50, 60, &revocation("governance", "governance-2"));
    builder.accept(61, 70, &revocation("attestor", "governance-2"));
    builder.allow(2, 80, 90);
    builder
}

/// Publishes a policy that requires attestations, and gives its id.
pub(crate) fn policy(builder: &mut HistoryBuilder, issuers: u64) -> String {
    let attested = json!({"kind": "runtime-attestation", "of": "execution", "minIssuers": issuers,
        "maxAgeSeconds": null});
    let claims = json!({"require": [attested], "attestationStatus": null, "measurements": null,
        "decisionTtlSeconds": 10});
    let piece = Piece::new(EvidenceKind::Policy, "_governance", "governance", Some(1), claims);
    builder.accept(22, 25, &piece);
    piece.id
}

/// Nobody knows whether the release came in.
fn released() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let quarantine = containment("quarantine", "x", "audit");
    builder.accept(30, 40, &quarantine);
    builder.deny(2, 41, 45, "lineage_quarantined");
    builder.lose(50, &release(&quarantine));
    builder.allow(2, 45, 60);
    builder
}

/// Of two voters one is cut off, while a learner that catches up still shows the three of before.
fn old_voters() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.sample(1, 1, json!({"voters": [[1, 3]], "learners": [4]}));
    builder.sample(2, 4, json!({"state": "learner", "applied": {"index": 3, "term": 1}}));
    builder.fault("partition", 3, 1000, Some(20_000));
    for second in 0..20 {
        builder.deny(1, second * 1000, second * 1000 + 20, "no_quorum");
    }
    builder
}

/// One voter of three has lost its disk long ago and one is cut off: the third is no majority.
fn lost_and_silent() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.sample(1, 1, json!({}));
    builder.fault("wipe", 2, 100, Some(101));
    builder.fault("partition", 3, 1000, Some(20_000));
    for second in 0..20 {
        builder.deny(1, second * 1000, second * 1000 + 20, "no_quorum");
    }
    builder
}

/// Damage and a loss of power in the same moment took the last commit and the mark that would have told.
fn lost_end() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.sample(
        1,
        3,
        json!({"lastLog": 9, "committed": {"index": 9, "term": 1}, "applied": {"index": 9, "term": 1}}),
    );
    builder.sample(97, 3, json!({}));
    builder.fault("power-cut", 3, 100, Some(100));
    builder.fault("bit-flip", 3, 100, Some(101));
    builder.sample(200, 3, json!({"boot": 2, "lastLog": 9, "committed": null, "applied": null}));
    builder
}

/// What nobody answered came in, or did not, or was answered the second time.
fn timeouts() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let (came, never, again) = (attestation("a"), attestation("b"), attestation("c"));
    builder.lose(30, &came);
    builder.enter(&came, 30);
    builder.lose(31, &never);
    builder.lose(32, &again);
    let receipt = builder.enter(&again, 32);
    let mut repeated = receipt.clone();
    repeated["repeated"] = true.into();
    builder.answered(40, 50, &again.reencoded(), receipt, Outcome::Ok);
    builder.answered(60, 70, &again, repeated, Outcome::Ok);
    // A 504 is no refusal, whatever the recorder took it for.
    let late = attestation("d");
    builder.answered(71, 75, &late, json!({"code": "no_quorum", "outcome": "unknown"}), Outcome::Deny);
    builder.enter(&late, 72);
    // And a refusal of the second try undoes no first.
    let refused = attestation("e");
    builder.lose(76, &refused);
    builder.enter(&refused, 77);
    builder.refuse(78, 79, &refused, "overloaded");
    builder.refuse(80, 81, &attestation("f"), "overloaded");
    // Denied, after it was recorded.
    let permit = permit_of(&with_nonce("n"));
    builder.silent(Op::Permit, 3, 82, with_nonce("n"));
    builder.enter(&permit, 83);
    builder.ledgers(200);
    builder
}

/// The second is answered with the receipt of the one in force; after a release the same bytes take effect themselves.
fn adds_nothing() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let (first, second) = (containment("quarantine", "x", "audit"), revocation("attestor", "audit"));
    let receipt = builder.accept(30, 40, &first);
    let again = Piece::new(
        EvidenceKind::Containment,
        "_governance",
        "audit",
        None,
        json!({"action": "quarantine", "target": "x", "detail": "again"}),
    );
    builder.answered(50, 60, &again, receipt, Outcome::Ok);
    builder.accept(61, 62, &release(&first));
    builder.accept(63, 64, &again);
    builder.accept(65, 66, &second);
    builder.ledgers(200);
    builder
}

/// Asked before the cut, answered after it, or not answered by a node that was down besides.
fn cut_edges() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.allow(3, 90, 150);
    builder.fault("cut", 3, 100, Some(5000));
    builder.deny(3, 110, 400, "no_quorum");
    builder.allow(1, 200, 210);
    builder.fault("crash", 3, 2000, Some(3000));
    builder.silent(Op::Authorize, 3, 1500, request());
    builder.allow(3, 4900, 5100);
    lost_connection(&mut builder);
    builder.silent(Op::Authorize, 3, 4500, request());
    builder.allow(3, 5200, 5210);
    builder
}

/// Asked before the clocks leapt, answered after that; denied meanwhile, and allowed when it is over. Another node is not among them.
fn leapt_clocks() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    for (node, kind) in [(1, "clocks-leap"), (2, "time-passes")] {
        builder.fault(kind, node, 100, Some(2100));
        builder.allow(node, 90, 110);
        builder.deny(node, 120, 130, "clock_uncertain");
        builder.refuse(140, 150, &attestation("a"), "clock_uncertain");
        builder.allow(node, 2000, 2110);
    }
    builder.allow(3, 200, 210);
    builder.ledgers(2200);
    builder
}

/// One process was not anchored when all clocks leapt a little, or was started since: it may trust them at once, and so the others.
fn small_leap() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.small_leap(false, 1, 100, Some(2100));
    builder.allow(1, 90, 120);
    builder.accept(110, 120, &attestation("a"));
    builder.allow(1, 2200, 2210);
    builder.ledgers(2300);
    builder
}

/// A client whose connection broke asks again at once.
fn lost_connection(builder: &mut HistoryBuilder) {
    builder.silent(Op::Authorize, 3, 3100, request());
    builder.deny(3, 3140, 3300, "no_quorum");
    let [.., lost, again] = builder.records.as_mut_slice() else { return };
    again.client = lost.client;
}

/// Whom a quorum voted for is learned; what is not synced may fall across a start; a new disk knows nothing.
fn raft() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.sample(1, 1, json!({"state": "leader"}));
    builder.sample(2, 2, json!({}));
    builder.sample(
        3,
        2,
        json!({"term": 2, "vote": {"term": 2, "node": 2, "committed": false}, "state": "candidate"}),
    );
    builder.sample(
        4,
        3,
        json!({"term": 2, "vote": {"term": 2, "node": 3, "committed": true}, "state": "leader",
        "lastLog": 11}),
    );
    builder.sample(
        5,
        2,
        json!({"term": 2, "vote": {"term": 2, "node": 3, "committed": true}, "lastLog": 11}),
    );
    builder.sample(
        6,
        2,
        json!({"boot": 2, "term": 2, "vote": {"term": 2, "node": 3, "committed": true},
        "committed": null, "applied": {"index": 4, "term": 1}}),
    );
    builder.sample(
        7,
        3,
        json!({"term": 2, "vote": {"term": 2, "node": 3, "committed": true}, "state": "leader",
        "lastLog": 12, "committed": 12, "applied": {"index": 12, "term": 2}}),
    );
    builder.fault("wipe", 1, 9, Some(9));
    builder.sample(10, 1, json!({"boot": 2, "term": 0, "vote": {"term": 0, "node": 0, "committed": false},
        "state": "learner", "lastLog": null, "committed": null, "applied": null, "voters": [], "revision": 0}));
    builder
}

/// The same permit again takes no use, and a second authorization brings its own.
fn permits() -> HistoryBuilder {
    let mut builder = HistoryBuilder::founded();
    builder.accept(10, 20, &counted("governance", 0, 2));
    builder.permit(30, 40, "a");
    builder.permit(41, 45, "b");
    builder.permit(46, 49, "a");
    builder.accept(50, 60, &counted("governance", 1, 1));
    builder.permit(61, 65, "c");
    builder.ledgers(200);
    builder
}

/// Two nodes that are sure of their clocks are a little apart, and nothing was accepted between.
fn expiry() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let early = builder.decision(3, 600, &request(), None, None);
    builder.allow(2, 1000, 1010);
    builder.allow_as(3, 1020, 1030, early);
    builder.accept(1040, 1050, &attestation("a"));
    let equal = builder.decision(3, 1040, &request(), None, None);
    builder.allow_as(3, 1060, 1070, equal);
    builder.ledgers(2000);
    builder
}

/// What was asked before the failure is answered after it, and the next start acknowledges again.
fn failed_disk() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.sample(1, 3, json!({}));
    builder.allow(3, 90, 150);
    builder.fault("fsync-failed", 3, 100, None);
    builder.deny(3, 120, 140, "no_quorum");
    builder.sample(500, 3, json!({"term": 2, "vote": {"term": 2, "node": 2, "committed": false}}));
    builder.sample(
        3000,
        3,
        json!({"boot": 2, "term": 3, "vote": {"term": 3, "node": 2, "committed": false}}),
    );
    builder.allow(3, 3100, 3110);
    builder
}

/// Both builds answer before the raise; who is put back after it, or only learns, may be locked out, but no one else.
fn upgrade() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    for node in [1, 2, 3] {
        builder.sample(30 + node, node, json!({"learners": [4]}));
    }
    builder.upgrade(1, 2, 100, Some(150));
    builder.allow(1, 160, 170);
    builder.allow(3, 180, 190);
    builder.upgrade(2, 2, 200, Some(250));
    builder.upgrade(4, 1, 260, Some(260));
    builder.upgrade(3, 2, 300, Some(350));
    builder.raise(400);
    builder.locked_out(4, 410);
    builder.allow(2, 420, 430);
    builder.upgrade(3, 1, 500, Some(600));
    builder.allow(3, 505, 510);
    builder.locked_out(3, 550);
    builder.upgrade(3, 2, 600, Some(650));
    builder.allow(3, 660, 670);
    builder.ledgers(700);
    builder
}

/// A learner denies, is promoted and allows; a leader that removes itself leads for a moment more.
fn members() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    for node in [1, 2, 3] {
        builder.sample(node, node, json!({"voters": [[1, 2, 3]], "learners": [4]}));
    }
    builder.sample(4, 4, json!({"state": "learner", "voters": [[1, 2, 3]], "learners": [4]}));
    builder.deny(4, 20_000, 20_010, "no_quorum");
    builder.allow(4, 30_000, 30_010);
    for node in [1, 2, 3, 4] {
        builder.sample(30_100 + node, node, json!({"voters": [[1, 2, 3, 4]]}));
    }
    for node in [1, 2, 3, 4] {
        builder.sample(50_000 + node, node, json!({"voters": [[1, 2, 3]], "state": "follower"}));
    }
    builder.allow(4, 50_100, 50_110);
    builder
}

/// A node was cut off for so long that nobody has heard of anything that it acknowledged; nor is anybody seen since.
fn nobody_knew() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    for node in [1, 2, 3] {
        builder.sample(node, node, json!({"term": 2, "vote": {"term": 2, "node": 2, "committed": true}}));
    }
    let input = json!({"kind": "rollback", "nodes": [3], "remembered": []});
    builder.push(Op::Fault, 3, (100, Some(100)), (input, Value::Null), Outcome::Ok);
    builder.sample(200, 3, json!({"boot": 2, "lastLog": 1, "committed": null, "applied": null}));
    let then = json!({"boot": 2, "lastLog": 1, "committed": null, "applied": null, "term": 2, "leader": 2,
        "vote": {"term": 2, "node": 2, "committed": true}});
    builder.sample(300, 3, then);
    builder
}

/// A flipped bit that did no harm; a wiped node learns; a rolled-back one leads among those who know no more.
fn lost_disks() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    for node in [1, 2, 3] {
        builder.sample(node, node, json!({}));
    }
    builder.fault("bit-flip", 2, 50, Some(51));
    builder.sample(60, 2, json!({"boot": 2}));
    builder.fault("wipe", 3, 100, Some(100));
    builder.sample(200, 3, json!({"boot": 2, "state": "learner", "term": 0, "vote": {"term": 0, "node": 0}}));
    builder.sample(201, 3, json!({"boot": 2, "state": "learner"}));
    builder.deny(3, 210, 220, "no_quorum");
    builder.sample(250, 1, json!({"lastLog": 14}));
    builder.fault("rollback", 1, 300, Some(300));
    builder.sample(
        400,
        1,
        json!({"boot": 2, "lastLog": 10, "committed": 10, "state": "leader", "term": 3,
        "vote": {"term": 3, "node": 1, "committed": true}}),
    );
    let mut decision = builder.decision(1, 410, &request(), None, None);
    decision["revision"] = 5.into();
    builder.allow_as(1, 410, 420, super::builder::signed(without_receipt(decision)));
    builder
}

pub(crate) fn without_receipt(mut decision: Value) -> Value {
    decision.as_object_mut().unwrap().remove("receipt");
    decision
}

/// Served within seconds after each change; a node that was removed and one that is down need not converge.
fn faults_and_after() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    for node in [1, 2, 3] {
        builder.sample(node, node, json!({"voters": [[1, 2, 3]], "learners": []}));
    }
    builder.fault("crash", 1, 1000, Some(30_000));
    for second in 1..29 {
        builder.deny(
            2,
            second * 1000 + 1,
            second * 1000 + 20,
            if second < 8 { "no_quorum" } else { "evidence_missing" },
        );
    }
    for second in 31..60 {
        builder.deny(
            2,
            second * 1000,
            second * 1000 + 20,
            if second < 38 { "no_quorum" } else { "lineage_unknown" },
        );
    }
    builder.fault("crash", 3, 60_000, None);
    for second in 61..75 {
        builder.allow(2, second * 1000, second * 1000 + 20);
    }
    builder.ledgers(80_000);
    builder.ledger(80_010, 3, json!({"applied": 3, "digest": "d3", "revision": 2, "leaves": []}));
    builder.push(Op::Ledger, 5, (80_020, None), (Value::Null, Value::Null), Outcome::Unknown);
    builder.sample(79_000, 1, json!({"voters": [[1, 2, 3]], "learners": [5]}));
    builder.ledger(80_020, 4, json!({"applied": 3, "digest": "d3", "revision": 2, "leaves": []}));
    builder
}

/// More than 200 operations, of which enough succeed and are allows.
fn busy() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    for n in 0..300 {
        let output = match n % 10 {
            0..2 => (json!({"decision": "x"}), Outcome::Unknown),
            2..4 => (json!({"events": []}), Outcome::Ok),
            _ => (Value::Null, Outcome::Unknown),
        };
        builder.push(Op::Events, 1, (n, Some(n + 1)), (Value::Null, output.0), output.1);
        if n % 5 == 0 {
            builder.allow(1, n, n + 1);
        }
    }
    builder
}

/// The node had acknowledged no more than the copy has; or it had, and node 1 was started since and may have forgotten.
fn rejoins(acknowledged: u64, boot: u64) -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    for node in [1, 2, 3] {
        builder.sample(node, node, json!({}));
    }
    super::bad_raft::rolled_back_from(&mut builder, acknowledged);
    builder.sample(200, 3, json!({"boot": 2, "lastLog": 9, "committed": null, "applied": null}));
    builder.sample(210, 1, json!({"boot": boot}));
    builder.sample(300, 3, json!({"boot": 2}));
    builder
}
