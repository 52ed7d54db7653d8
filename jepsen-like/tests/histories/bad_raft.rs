//! What is wrong with elections, votes and disks.

use assent_jepsen::history::{Op, Outcome};
use serde_json::{Value, json};

use crate::story::{Shelf, Story, request};

pub(crate) fn stories() -> Shelf {
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
    .map(|(name, story)| (name, story.told()))
    .into()
}

fn leads(term: u64, node: u64, last_log: u64) -> Value {
    json!({"term": term, "vote": {"term": term, "node": node, "committed": true}, "state": "leader",
        "lastLog": last_log})
}

fn voted(term: u64, node: u64, committed: bool) -> Value {
    json!({"term": term, "vote": {"term": term, "node": node, "committed": committed}})
}

fn seen(samples: [(u64, Value); 2]) -> Story {
    let mut story = Story::default();
    for (at, (node, says)) in (1..).zip(samples) {
        story.sample(at, node, says);
    }
    story
}

fn cut_log() -> Story {
    let mut story = Story::default();
    story.sample(1, 3, json!({}));
    story.fault("bit-flip", 3, 100, Some(101));
    story.sample(200, 3, json!({"boot": 2, "lastLog": 4, "committed": null, "applied": null}));
    story
}

/// The power went as well, but long after the last commit.
fn cut_log_without_power() -> Story {
    let mut story = Story::default();
    story.sample(90, 3, json!({}));
    story.fault("power-cut", 3, 100, Some(100));
    story.fault("bit-flip", 3, 100, Some(101));
    story.sample(200, 3, json!({"boot": 2, "lastLog": 9, "committed": null, "applied": null}));
    story
}

fn failed_disk(votes: bool) -> Story {
    let mut story = Story::default();
    story.sample(1, 3, json!({}));
    story.fault("fsync-failed", 3, 100, Some(5000));
    if votes {
        story.sample(2000, 3, voted(2, 2, false));
    } else {
        story.allow(3, 120, 140);
    }
    story.allow(3, 5100, 5110);
    story
}

fn learner_allows() -> Story {
    let mut story = Story::default();
    for node in [1, 2, 3] {
        story.sample(node, node, json!({"learners": [4]}));
    }
    story.sample(4, 4, json!({"state": "learner", "learners": [4]}));
    story.allow(4, 20_000, 20_010);
    story.sample(40_000, 1, json!({"voters": [[1, 2, 3, 4]]}));
    story
}

/// The node itself has not heard that it was removed.
fn removed_leads() -> Story {
    let mut story = Story::default();
    story.sample(1, 4, json!({"voters": [[1, 2, 3, 4]]}));
    for node in [1, 2, 3] {
        story.sample(1 + node, node, json!({"voters": [[1, 2, 3, 4]]}));
        story.sample(100 + node, node, json!({}));
    }
    let mut leads = leads(2, 4, 10);
    leads["voters"] = json!([[1, 2, 3, 4]]);
    story.sample(20_000, 4, leads);
    story
}

/// Two of three know the rules that are raised; the third goes on deciding, or cannot.
fn raised(decides: bool) -> Story {
    let mut story = Story::authorized();
    for node in [1, 2, 3] {
        story.sample(30 + node, node, json!({}));
    }
    story.upgrade(1, 2, 100, Some(150));
    story.upgrade(2, 2, 200, Some(250));
    story.raise(400);
    if decides {
        story.allow(3, 410, 420);
    } else {
        story.locked_out(3, 410);
    }
    story.ledgers(700);
    story
}

fn three() -> Story {
    let mut story = Story::default();
    for node in [1, 2, 3] {
        story.sample(node, node, json!({}));
    }
    story
}

fn wiped(says: Value, allows: bool) -> Story {
    let mut story = three();
    story.fault("wipe", 3, 100, Some(100));
    let mut says = says;
    says["boot"] = 2.into();
    story.sample(200, 3, says);
    if allows {
        story.allow(3, 210, 220);
    }
    story
}

fn rolled_back(says: Value, allows_at: Option<u64>) -> Story {
    let mut story = three();
    story.fault("rollback", 3, 100, Some(100));
    let mut says = says;
    says["boot"] = 2.into();
    story.sample(200, 3, says);
    if let Some(revision) = allows_at {
        let mut decision = story.decision(3, 210, &request(), None, None);
        decision["revision"] = revision.into();
        story.allow_as(3, 210, 220, decision);
    }
    story
}

/// A node that was rolled back comes back with so much of its log, and then: nodes 1 and 2 knew that it had acknowledged entry 10.
fn rejoined(log_end: u64, then: Value) -> Story {
    let mut story = three();
    let end = json!({"index": log_end, "term": 1});
    let comes_back = json!({"lastLog": log_end, "committed": end, "applied": end});
    rolled_back_from(&mut story, 10);
    for (ms, mut says) in [(200, comes_back), (300, then)] {
        says["boot"] = 2.into();
        story.sample(ms, 3, says);
        story.sample(ms + 1, 1, json!({}));
    }
    story
}

pub(crate) fn rolled_back_from(story: &mut Story, acknowledged: u64) {
    let knew = |node: u64| json!({"node": node, "term": 1, "index": acknowledged});
    let input = json!({"kind": "rollback", "nodes": [3], "remembered": [knew(1), knew(2)]});
    story.push(Op::Fault, 3, (100, Some(100)), (input, Value::Null), Outcome::Ok);
}
