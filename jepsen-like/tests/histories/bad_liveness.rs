//! What is wrong with what was not answered, and with runs that show nothing.

use assent_jepsen::history::{Op, Outcome};
use serde_json::{Value, json};

use crate::story::{Shelf, Story, attestation, request};

pub(crate) fn stories() -> Shelf {
    [
        ("bad-S9-allow-in-a-cut", allow_in_a_cut()),
        ("bad-S19-allow-on-leapt-clocks", on_leapt_clocks("clocks-leap", false)),
        ("bad-S19-accepted-on-leapt-clocks", on_leapt_clocks("time-passes", true)),
        ("bad-S19-allow-on-clocks-that-went-back", on_leapt_clocks("clocks-back", false)),
        ("bad-S19-accepted-on-a-small-leap", on_leapt_clocks("clocks-ratchet", true)),
        ("bad-L1-silent-in-a-cut", in_a_cut(None)),
        ("bad-L1-slow-in-a-cut", in_a_cut(Some(2200))),
        ("bad-L2-never-resumes", never_resumes()),
        ("bad-L3-behind", behind(json!({"applied": 29, "digest": "d29", "revision": 2}))),
        ("bad-L3-unread", unread()),
        ("bad-L4-majority-silent", majority_silent()),
        ("bad-M3-few-succeed", share(3, 8)),
        ("bad-M3-few-allows", share(50, 0)),
    ]
    .map(|(name, story)| (name, story.told()))
    .into()
}

fn allow_in_a_cut() -> Story {
    let mut story = Story::default();
    story.fault("cut", 3, 100, Some(5000));
    story.allow(1, 110, 120);
    story.allow(3, 110, 120);
    story
}

fn on_leapt_clocks(kind: &str, accepts: bool) -> Story {
    let mut story = Story::authorized();
    match kind {
        "clocks-ratchet" => story.small_leap(true, 1, 100, Some(2100)),
        _ => story.fault(kind, 1, 100, Some(2100)),
    }
    story.allow(1, 90, 120);
    match accepts {
        true => {
            story.accept(110, 120, &attestation("a"));
        }
        false => story.allow(1, 110, 120),
    }
    story.allow(1, 2200, 2210);
    story.ledgers(2300);
    story
}

fn in_a_cut(answered: Option<u64>) -> Story {
    let mut story = Story::default();
    story.fault("cut", 3, 100, Some(5000));
    story.fault("partition", 3, 100, Some(5000));
    match answered {
        Some(at) => story.deny(3, 1000, at, "no_quorum"),
        None => story.silent(Op::Authorize, 3, 1000, request()),
    }
    story
}

fn never_resumes() -> Story {
    let mut story = Story::default();
    story.fault("crash", 1, 1000, Some(2000));
    for second in 0..20 {
        story.deny(
            2,
            second * 1000,
            second * 1000 + 20,
            if second == 0 { "policy_missing" } else { "no_quorum" },
        );
    }
    story
}

fn behind(says: Value) -> Story {
    let mut story = Story::authorized();
    story.ledger(200, 1, json!({}));
    story.leaves.pop();
    story.ledger(201, 2, says);
    story
}

fn unread() -> Story {
    let mut story = Story::authorized();
    story.ledger(200, 1, json!({}));
    story.push(Op::Ledger, 2, (201, None), (Value::Null, Value::Null), Outcome::Unknown);
    story
}

fn majority_silent() -> Story {
    let mut story = Story::default();
    story.sample(1, 1, json!({}));
    story.fault("one-way", 1, 1000, Some(20_000));
    for second in 0..20 {
        story.silent(Op::Authorize, 2, second * 1000, request());
        // What the touched one answers proves nothing.
        story.deny(1, second * 1000, second * 1000 + 20, "policy_missing");
    }
    story
}

/// 250 operations besides so many allows, of a hundred of which so many succeed.
fn share(events: u64, allows: u64) -> Story {
    let mut story = Story::default();
    for n in 0..250 {
        let outcome = if n % 100 < events { Outcome::Ok } else { Outcome::Unknown };
        story.push(Op::Events, 1, (n, Some(n + 1)), (Value::Null, json!({"events": []})), outcome);
        if n % 100 < allows {
            story.allow(1, n, n + 1);
        }
    }
    story
}
