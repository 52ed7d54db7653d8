//! Histories with wrong elections, votes and disks.

use assent_jepsen::history::{Op, Outcome};
use serde_json::{Value, json};

use super::builder::{HistoryBuilder, NamedHistories, request};

pub(crate) fn histories() -> NamedHistories {
    [
        ("bad-S7-two-leaders", seen([(1, leads(2, 1, 10)), (3, leads(2, 3, 10))])),
        ("bad-S7-leader-without-what-was-committed", seen([(1, leads(1, 1, 10)), (3, leads(2, 3, 9))])),
        ("bad-S7-entry-changed", seen([(1, json!({})), (3, json!({"applied": {"index": 10, "term": 2}}))])),
        ("bad-S7-term-fell", seen([(3, json!({"term": 2, "vote": null})), (3, json!({"vote": null}))])),
        ("bad-S7-voted-twice", seen([(3, voted(2, 1, false)), (3, voted(2, 2, false))])),
        ("bad-S7-vote-fell", seen([(3, json!({"vote": {"term": 2, "node": 2}})), (3, json!({"boot": 2}))])),
        ("bad-S7-quorum-taken-back", seen([(3, voted(2, 1, true)), (3, voted(2, 1, false))])),
        ("bad-S7-committed-fell", seen([(3, json!({"committed": 9})), (3, json!({"committed": 8}))])),
        ("bad-S7-applied-fell", seen([(3, json!({})), (3, json!({"applied": {"index": 9, "term": 1}}))])),
        ("bad-S11-acknowledged", failed_disk(false)),
        ("bad-S11-voted", failed_disk(true)),
        ("bad-S12-log-was-cut", cut_log()),
        ("bad-S12-log-lost-its-end-with-the-power", cut_log_without_power()),
        ("bad-S13-learner-allows", learner_allows()),
        ("bad-S13-removed-leads", removed_leads()),
        ("bad-S16-wiped-votes", wiped(voted(2, 2, false), false)),
        ("bad-S16-wiped-stands", wiped(json!({"state": "candidate"}), false)),
        ("bad-S16-wiped-leads", wiped(json!({"state": "leader"}), false)),
        ("bad-S16-wiped-allows", wiped(json!({"state": "learner"}), true)),
        ("bad-S16-rolled-back-votes-again", rolled_back(voted(1, 2, false), None)),
        ("bad-S16-rolled-back-leads", rolled_back(json!({"state": "leader", "lastLog": 9}), None)),
        ("bad-S16-rolled-back-grows", rejoined(9, json!({"lastLog": 10}))),
        ("bad-S16-rolled-back-votes", rejoined(9, voted(2, 2, false))),
        ("bad-S16-rolled-back-allows", rolled_back(json!({}), Some(4))),
        ("bad-S18-voter-is-locked-out", raised(false)),
        ("bad-S18-old-build-decides", raised(true)),
    ]
    .map(|(name, builder)| (name, builder.told()))
    .into()
}

fn leads(term: u64, node: u64, last_log: u64) -> Value {
    json!({"term": term, "vote": {"term": term, "node": node, "committed": true}, "state": "leader",
        "lastLog": last_log})
}

fn voted(term: u64, node: u64, committed: bool) -> Value {
    json!({"term": term, "vote": {"term": term, "node": node, "committed": committed}})
}

fn seen(samples: [(u64, Value); 2]) -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    for (at, (node, says)) in (1..).zip(samples) {
        builder.sample(at, node, says);
    }
    builder
}

fn cut_log() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.sample(1, 3, json!({}));
    builder.fault("bit-flip", 3, 100, Some(101));
    builder.sample(200, 3, json!({"boot": 2, "lastLog": 4, "committed": null, "applied": null}));
    builder
}

/// The power went as well, but long after the last commit.
fn cut_log_without_power() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.sample(90, 3, json!({}));
    builder.fault("power-cut", 3, 100, Some(100));
    builder.fault("bit-flip", 3, 100, Some(101));
    builder.sample(200, 3, json!({"boot": 2, "lastLog": 9, "committed": null, "applied": null}));
    builder
}

fn failed_disk(votes: bool) -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.sample(1, 3, json!({}));
    builder.fault("fsync-failed", 3, 100, Some(5000));
    if votes {
        builder.sample(2000, 3, voted(2, 2, false));
    } else {
        builder.allow(3, 120, 140);
    }
    builder.allow(3, 5100, 5110);
    builder
}

fn learner_allows() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    for node in [1, 2, 3] {
        builder.sample(node, node, json!({"learners": [4]}));
    }
    builder.sample(4, 4, json!({"state": "learner", "learners": [4]}));
    builder.allow(4, 20_000, 20_010);
    builder.sample(40_000, 1, json!({"voters": [[1, 2, 3, 4]]}));
    builder
}

/// The node itself has not heard that it was removed.
fn removed_leads() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.sample(1, 4, json!({"voters": [[1, 2, 3, 4]]}));
    for node in [1, 2, 3] {
        builder.sample(1 + node, node, json!({"voters": [[1, 2, 3, 4]]}));
        builder.sample(100 + node, node, json!({}));
    }
    let mut leads = leads(2, 4, 10);
    leads["voters"] = json!([[1, 2, 3, 4]]);
    builder.sample(20_000, 4, leads);
    builder
}

/// Two of three know the rules that are raised; the third goes on deciding, or cannot.
fn raised(decides: bool) -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    for node in [1, 2, 3] {
        builder.sample(30 + node, node, json!({}));
    }
    builder.upgrade(1, 2, 100, Some(150));
    builder.upgrade(2, 2, 200, Some(250));
    builder.raise(400);
    if decides {
        builder.allow(3, 410, 420);
    } else {
        builder.locked_out(3, 410);
    }
    builder.ledgers(700);
    builder
}

fn three() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    for node in [1, 2, 3] {
        builder.sample(node, node, json!({}));
    }
    builder
}

fn wiped(says: Value, allows: bool) -> HistoryBuilder {
    let mut builder = three();
    builder.fault("wipe", 3, 100, Some(100));
    let mut says = says;
    says["boot"] = 2.into();
    builder.sample(200, 3, says);
    if allows {
        builder.allow(3, 210, 220);
    }
    builder
}

fn rolled_back(says: Value, allows_at: Option<u64>) -> HistoryBuilder {
    let mut builder = three();
    builder.fault("rollback", 3, 100, Some(100));
    let mut says = says;
    says["boot"] = 2.into();
    builder.sample(200, 3, says);
    if let Some(revision) = allows_at {
        let mut decision = builder.decision(3, 210, &request(), None, None);
        decision["revision"] = revision.into();
        builder.allow_as(3, 210, 220, decision);
    }
    builder
}

/// A node that was rolled back comes back with so much of its log, and then: nodes 1 and 2 knew that it had acknowledged entry 10.
fn rejoined(log_end: u64, then: Value) -> HistoryBuilder {
    let mut builder = three();
    let end = json!({"index": log_end, "term": 1});
    let comes_back = json!({"lastLog": log_end, "committed": end, "applied": end});
    rolled_back_from(&mut builder, 10);
    for (ms, mut says) in [(200, comes_back), (300, then)] {
        says["boot"] = 2.into();
        builder.sample(ms, 3, says);
        builder.sample(ms + 1, 1, json!({}));
    }
    builder
}

pub(crate) fn rolled_back_from(builder: &mut HistoryBuilder, acknowledged: u64) {
    let knew = |node: u64| json!({"node": node, "term": 1, "index": acknowledged});
    let input = json!({"kind": "rollback", "nodes": [3], "remembered": [knew(1), knew(2)]});
    builder.push(Op::Fault, 3, (100, Some(100)), (input, Value::Null), Outcome::Ok);
}
