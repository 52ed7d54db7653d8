//! What is right, and what a naive check would take for wrong.

use assent_jepsen::history::{Op, Outcome};
use assent_proof::EvidenceKind;
use serde_json::{Value, json};

use crate::story::{
    Piece, Shelf, Story, attestation, authorization, containment, counted, permit_of, release, request,
    revocation, with_nonce,
};

pub(crate) fn stories() -> Shelf {
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
    .map(|(name, story)| (name, story.told()))
    .into()
}

/// Asked before the acknowledgement and answered after it.
fn while_revoked() -> Story {
    let mut story = Story::authorized();
    story.allow(2, 90, 140);
    story.accept(95, 100, &revocation("governance", "governance-2"));
    story.deny(3, 101, 120, "authority_revoked");
    story.ledgers(200);
    story
}

/// The node through which it was refused says it once more when nothing is in its way any longer.
fn said_again() -> Story {
    let mut story = Story::authorized();
    story.fault("repeat", 1, 25, Some(100));
    story.refuse(30, 40, &attestation("a"), "domain_isolated");
    story.enter(&attestation("a"), 50);
    story.ledgers(200);
    story
}

/// One of two who authorized, and one of two who attested where one is required, is revoked.
fn another_left() -> Story {
    let mut story = Story::authorized();
    story.policy = Some(policy(&mut story, 1));
    story.accept(30, 35, &authorization("governance-2"));
    story.accept(36, 39, &attestation("attestor"));
    story.lose(40, &attestation("attestor-2"));
    story.accept(50, 60, &revocation("governance", "governance-2"));
    story.accept(61, 70, &revocation("attestor", "governance-2"));
    story.allow(2, 80, 90);
    story
}

/// Publishes a policy that requires attestations, and gives its id.
pub(crate) fn policy(story: &mut Story, issuers: u64) -> String {
    let attested = json!({"kind": "runtime-attestation", "of": "execution", "minIssuers": issuers,
        "maxAgeSeconds": null});
    let claims = json!({"require": [attested], "attestationStatus": null, "measurements": null,
        "decisionTtlSeconds": 10});
    let piece = Piece::new(EvidenceKind::Policy, "_governance", "governance", Some(1), claims);
    story.accept(22, 25, &piece);
    piece.id
}

/// Nobody knows whether the release came in.
fn released() -> Story {
    let mut story = Story::authorized();
    let quarantine = containment("quarantine", "x", "audit");
    story.accept(30, 40, &quarantine);
    story.deny(2, 41, 45, "lineage_quarantined");
    story.lose(50, &release(&quarantine));
    story.allow(2, 45, 60);
    story
}

/// Of two voters one is cut off, while a learner that catches up still shows the three of before.
fn old_voters() -> Story {
    let mut story = Story::default();
    story.sample(1, 1, json!({"voters": [[1, 3]], "learners": [4]}));
    story.sample(2, 4, json!({"state": "learner", "applied": {"index": 3, "term": 1}}));
    story.fault("partition", 3, 1000, Some(20_000));
    for second in 0..20 {
        story.deny(1, second * 1000, second * 1000 + 20, "no_quorum");
    }
    story
}

/// One voter of three has lost its disk long ago and one is cut off: the third is no majority.
fn lost_and_silent() -> Story {
    let mut story = Story::default();
    story.sample(1, 1, json!({}));
    story.fault("wipe", 2, 100, Some(101));
    story.fault("partition", 3, 1000, Some(20_000));
    for second in 0..20 {
        story.deny(1, second * 1000, second * 1000 + 20, "no_quorum");
    }
    story
}

/// Damage and a loss of power in the same moment took the last commit and the mark that would have told.
fn lost_end() -> Story {
    let mut story = Story::default();
    story.sample(
        1,
        3,
        json!({"lastLog": 9, "committed": {"index": 9, "term": 1}, "applied": {"index": 9, "term": 1}}),
    );
    story.sample(97, 3, json!({}));
    story.fault("power-cut", 3, 100, Some(100));
    story.fault("bit-flip", 3, 100, Some(101));
    story.sample(200, 3, json!({"boot": 2, "lastLog": 9, "committed": null, "applied": null}));
    story
}

/// What nobody answered came in, or did not, or was answered the second time.
fn timeouts() -> Story {
    let mut story = Story::authorized();
    let (came, never, again) = (attestation("a"), attestation("b"), attestation("c"));
    story.lose(30, &came);
    story.enter(&came, 30);
    story.lose(31, &never);
    story.lose(32, &again);
    let receipt = story.enter(&again, 32);
    let mut repeated = receipt.clone();
    repeated["repeated"] = true.into();
    story.answered(40, 50, &again.reencoded(), receipt, Outcome::Ok);
    story.answered(60, 70, &again, repeated, Outcome::Ok);
    // A 504 is no refusal, whatever the recorder took it for.
    let late = attestation("d");
    story.answered(71, 75, &late, json!({"code": "no_quorum", "outcome": "unknown"}), Outcome::Deny);
    story.enter(&late, 72);
    // And a refusal of the second try undoes no first.
    let refused = attestation("e");
    story.lose(76, &refused);
    story.enter(&refused, 77);
    story.refuse(78, 79, &refused, "overloaded");
    story.refuse(80, 81, &attestation("f"), "overloaded");
    // Denied, after it was recorded.
    let permit = permit_of(&with_nonce("n"));
    story.silent(Op::Permit, 3, 82, with_nonce("n"));
    story.enter(&permit, 83);
    story.ledgers(200);
    story
}

/// The second is answered with the receipt of the one in force; after a release the same bytes take effect themselves.
fn adds_nothing() -> Story {
    let mut story = Story::authorized();
    let (first, second) = (containment("quarantine", "x", "audit"), revocation("attestor", "audit"));
    let receipt = story.accept(30, 40, &first);
    let again = Piece::new(
        EvidenceKind::Containment,
        "_governance",
        "audit",
        None,
        json!({"action": "quarantine", "target": "x", "detail": "again"}),
    );
    story.answered(50, 60, &again, receipt, Outcome::Ok);
    story.accept(61, 62, &release(&first));
    story.accept(63, 64, &again);
    story.accept(65, 66, &second);
    story.ledgers(200);
    story
}

/// Asked before the cut, answered after it, or not answered by a node that was down besides.
fn cut_edges() -> Story {
    let mut story = Story::default();
    story.allow(3, 90, 150);
    story.fault("cut", 3, 100, Some(5000));
    story.deny(3, 110, 400, "no_quorum");
    story.allow(1, 200, 210);
    story.fault("crash", 3, 2000, Some(3000));
    story.silent(Op::Authorize, 3, 1500, request());
    story.allow(3, 4900, 5100);
    lost_connection(&mut story);
    story.silent(Op::Authorize, 3, 4500, request());
    story.allow(3, 5200, 5210);
    story
}

/// Asked before the clocks leapt, answered after that; denied meanwhile, and allowed when it is over. Another node is not among them.
fn leapt_clocks() -> Story {
    let mut story = Story::authorized();
    for (node, kind) in [(1, "clocks-leap"), (2, "time-passes")] {
        story.fault(kind, node, 100, Some(2100));
        story.allow(node, 90, 110);
        story.deny(node, 120, 130, "clock_uncertain");
        story.refuse(140, 150, &attestation("a"), "clock_uncertain");
        story.allow(node, 2000, 2110);
    }
    story.allow(3, 200, 210);
    story.ledgers(2200);
    story
}

/// One process was not anchored when all clocks leapt a little, or was started since: it may trust them at once, and so the others.
fn small_leap() -> Story {
    let mut story = Story::authorized();
    story.small_leap(false, 1, 100, Some(2100));
    story.allow(1, 90, 120);
    story.accept(110, 120, &attestation("a"));
    story.allow(1, 2200, 2210);
    story.ledgers(2300);
    story
}

/// A client whose connection broke asks again at once.
fn lost_connection(story: &mut Story) {
    story.silent(Op::Authorize, 3, 3100, request());
    story.deny(3, 3140, 3300, "no_quorum");
    let [.., lost, again] = story.records.as_mut_slice() else { return };
    again.client = lost.client;
}

/// Whom a quorum voted for is learned; what is not synced may fall across a start; a new disk knows nothing.
fn raft() -> Story {
    let mut story = Story::default();
    story.sample(1, 1, json!({"state": "leader"}));
    story.sample(2, 2, json!({}));
    story.sample(
        3,
        2,
        json!({"term": 2, "vote": {"term": 2, "node": 2, "committed": false}, "state": "candidate"}),
    );
    story.sample(
        4,
        3,
        json!({"term": 2, "vote": {"term": 2, "node": 3, "committed": true}, "state": "leader",
        "lastLog": 11}),
    );
    story.sample(5, 2, json!({"term": 2, "vote": {"term": 2, "node": 3, "committed": true}, "lastLog": 11}));
    story.sample(
        6,
        2,
        json!({"boot": 2, "term": 2, "vote": {"term": 2, "node": 3, "committed": true},
        "committed": null, "applied": {"index": 4, "term": 1}}),
    );
    story.sample(
        7,
        3,
        json!({"term": 2, "vote": {"term": 2, "node": 3, "committed": true}, "state": "leader",
        "lastLog": 12, "committed": 12, "applied": {"index": 12, "term": 2}}),
    );
    story.fault("wipe", 1, 9, Some(9));
    story.sample(10, 1, json!({"boot": 2, "term": 0, "vote": {"term": 0, "node": 0, "committed": false},
        "state": "learner", "lastLog": null, "committed": null, "applied": null, "voters": [], "revision": 0}));
    story
}

/// The same permit again takes no use, and a second authorization brings its own.
fn permits() -> Story {
    let mut story = Story::founded();
    story.accept(10, 20, &counted("governance", 0, 2));
    story.permit(30, 40, "a");
    story.permit(41, 45, "b");
    story.permit(46, 49, "a");
    story.accept(50, 60, &counted("governance", 1, 1));
    story.permit(61, 65, "c");
    story.ledgers(200);
    story
}

/// Two nodes that are sure of their clocks are a little apart, and nothing was accepted between.
fn expiry() -> Story {
    let mut story = Story::authorized();
    let early = story.decision(3, 600, &request(), None, None);
    story.allow(2, 1000, 1010);
    story.allow_as(3, 1020, 1030, early);
    story.accept(1040, 1050, &attestation("a"));
    let equal = story.decision(3, 1040, &request(), None, None);
    story.allow_as(3, 1060, 1070, equal);
    story.ledgers(2000);
    story
}

/// What was asked before the failure is answered after it, and the next start acknowledges again.
fn failed_disk() -> Story {
    let mut story = Story::default();
    story.sample(1, 3, json!({}));
    story.allow(3, 90, 150);
    story.fault("fsync-failed", 3, 100, None);
    story.deny(3, 120, 140, "no_quorum");
    story.sample(500, 3, json!({"term": 2, "vote": {"term": 2, "node": 2, "committed": false}}));
    story.sample(3000, 3, json!({"boot": 2, "term": 3, "vote": {"term": 3, "node": 2, "committed": false}}));
    story.allow(3, 3100, 3110);
    story
}

/// Both builds answer before the raise; who is put back after it, or only learns, may be locked out, but no one else.
fn upgrade() -> Story {
    let mut story = Story::authorized();
    for node in [1, 2, 3] {
        story.sample(30 + node, node, json!({"learners": [4]}));
    }
    story.upgrade(1, 2, 100, Some(150));
    story.allow(1, 160, 170);
    story.allow(3, 180, 190);
    story.upgrade(2, 2, 200, Some(250));
    story.upgrade(4, 1, 260, Some(260));
    story.upgrade(3, 2, 300, Some(350));
    story.raise(400);
    story.locked_out(4, 410);
    story.allow(2, 420, 430);
    story.upgrade(3, 1, 500, Some(600));
    story.allow(3, 505, 510);
    story.locked_out(3, 550);
    story.upgrade(3, 2, 600, Some(650));
    story.allow(3, 660, 670);
    story.ledgers(700);
    story
}

/// A learner denies, is promoted and allows; a leader that removes itself leads for a moment more.
fn members() -> Story {
    let mut story = Story::default();
    for node in [1, 2, 3] {
        story.sample(node, node, json!({"voters": [[1, 2, 3]], "learners": [4]}));
    }
    story.sample(4, 4, json!({"state": "learner", "voters": [[1, 2, 3]], "learners": [4]}));
    story.deny(4, 20_000, 20_010, "no_quorum");
    story.allow(4, 30_000, 30_010);
    for node in [1, 2, 3, 4] {
        story.sample(30_100 + node, node, json!({"voters": [[1, 2, 3, 4]]}));
    }
    for node in [1, 2, 3, 4] {
        story.sample(50_000 + node, node, json!({"voters": [[1, 2, 3]], "state": "follower"}));
    }
    story.allow(4, 50_100, 50_110);
    story
}

/// A node was cut off for so long that nobody has heard of anything that it acknowledged; nor is anybody seen since.
fn nobody_knew() -> Story {
    let mut story = Story::default();
    for node in [1, 2, 3] {
        story.sample(node, node, json!({"term": 2, "vote": {"term": 2, "node": 2, "committed": true}}));
    }
    let input = json!({"kind": "rollback", "nodes": [3], "remembered": []});
    story.push(Op::Fault, 3, (100, Some(100)), (input, Value::Null), Outcome::Ok);
    story.sample(200, 3, json!({"boot": 2, "lastLog": 1, "committed": null, "applied": null}));
    let then = json!({"boot": 2, "lastLog": 1, "committed": null, "applied": null, "term": 2, "leader": 2,
        "vote": {"term": 2, "node": 2, "committed": true}});
    story.sample(300, 3, then);
    story
}

/// A flipped bit that did no harm; a wiped node learns; a rolled-back one leads among those who know no more.
fn lost_disks() -> Story {
    let mut story = Story::default();
    for node in [1, 2, 3] {
        story.sample(node, node, json!({}));
    }
    story.fault("bit-flip", 2, 50, Some(51));
    story.sample(60, 2, json!({"boot": 2}));
    story.fault("wipe", 3, 100, Some(100));
    story.sample(200, 3, json!({"boot": 2, "state": "learner", "term": 0, "vote": {"term": 0, "node": 0}}));
    story.sample(201, 3, json!({"boot": 2, "state": "learner"}));
    story.deny(3, 210, 220, "no_quorum");
    story.sample(250, 1, json!({"lastLog": 14}));
    story.fault("rollback", 1, 300, Some(300));
    story.sample(
        400,
        1,
        json!({"boot": 2, "lastLog": 10, "committed": 10, "state": "leader", "term": 3,
        "vote": {"term": 3, "node": 1, "committed": true}}),
    );
    let mut decision = story.decision(1, 410, &request(), None, None);
    decision["revision"] = 5.into();
    story.allow_as(1, 410, 420, crate::story::signed(without_receipt(decision)));
    story
}

pub(crate) fn without_receipt(mut decision: Value) -> Value {
    decision.as_object_mut().unwrap().remove("receipt");
    decision
}

/// Served within seconds after each change; a node that was removed and one that is down need not converge.
fn faults_and_after() -> Story {
    let mut story = Story::authorized();
    for node in [1, 2, 3] {
        story.sample(node, node, json!({"voters": [[1, 2, 3]], "learners": []}));
    }
    story.fault("crash", 1, 1000, Some(30_000));
    for second in 1..29 {
        story.deny(
            2,
            second * 1000 + 1,
            second * 1000 + 20,
            if second < 8 { "no_quorum" } else { "evidence_missing" },
        );
    }
    for second in 31..60 {
        story.deny(
            2,
            second * 1000,
            second * 1000 + 20,
            if second < 38 { "no_quorum" } else { "lineage_unknown" },
        );
    }
    story.fault("crash", 3, 60_000, None);
    for second in 61..75 {
        story.allow(2, second * 1000, second * 1000 + 20);
    }
    story.ledgers(80_000);
    story.ledger(80_010, 3, json!({"applied": 3, "digest": "d3", "revision": 2, "leaves": []}));
    story.push(Op::Ledger, 5, (80_020, None), (Value::Null, Value::Null), Outcome::Unknown);
    story.sample(79_000, 1, json!({"voters": [[1, 2, 3]], "learners": [5]}));
    story.ledger(80_020, 4, json!({"applied": 3, "digest": "d3", "revision": 2, "leaves": []}));
    story
}

/// More than 200 operations, of which enough succeed and are allows.
fn busy() -> Story {
    let mut story = Story::default();
    for n in 0..300 {
        let output = match n % 10 {
            0..2 => (json!({"decision": "x"}), Outcome::Unknown),
            2..4 => (json!({"events": []}), Outcome::Ok),
            _ => (Value::Null, Outcome::Unknown),
        };
        story.push(Op::Events, 1, (n, Some(n + 1)), (Value::Null, output.0), output.1);
        if n % 5 == 0 {
            story.allow(1, n, n + 1);
        }
    }
    story
}

/// The node had acknowledged no more than the copy has; or it had, and node 1 was started since and may have forgotten.
fn rejoins(acknowledged: u64, boot: u64) -> Story {
    let mut story = Story::default();
    for node in [1, 2, 3] {
        story.sample(node, node, json!({}));
    }
    crate::bad_raft::rolled_back_from(&mut story, acknowledged);
    story.sample(200, 3, json!({"boot": 2, "lastLog": 9, "committed": null, "applied": null}));
    story.sample(210, 1, json!({"boot": boot}));
    story.sample(300, 3, json!({"boot": 2}));
    story
}
