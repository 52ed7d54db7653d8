//! Histories with missing answers, and histories that show nothing.

use assent_jepsen::history::{Op, Outcome};
use serde_json::{Value, json};

use super::builder::{HistoryBuilder, NamedHistories, attestation, request};

pub(crate) fn histories() -> NamedHistories {
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
    .map(|(name, builder)| (name, builder.told()))
    .into()
}

fn allow_in_a_cut() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.fault("cut", 3, 100, Some(5000));
    builder.allow(1, 110, 120);
    builder.allow(3, 110, 120);
    builder
}

fn on_leapt_clocks(kind: &str, accepts: bool) -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    match kind {
        "clocks-ratchet" => builder.small_leap(true, 1, 100, Some(2100)),
        _ => builder.fault(kind, 1, 100, Some(2100)),
    }
    builder.allow(1, 90, 120);
    match accepts {
        true => {
            builder.accept(110, 120, &attestation("a"));
        }
        false => builder.allow(1, 110, 120),
    }
    builder.allow(1, 2200, 2210);
    builder.ledgers(2300);
    builder
}

fn in_a_cut(answered: Option<u64>) -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.fault("cut", 3, 100, Some(5000));
    builder.fault("partition", 3, 100, Some(5000));
    match answered {
        Some(at) => builder.deny(3, 1000, at, "no_quorum"),
        None => builder.silent(Op::Authorize, 3, 1000, request()),
    }
    builder
}

fn never_resumes() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.fault("crash", 1, 1000, Some(2000));
    for second in 0..20 {
        builder.deny(
            2,
            second * 1000,
            second * 1000 + 20,
            if second == 0 { "policy_missing" } else { "no_quorum" },
        );
    }
    builder
}

fn behind(says: Value) -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.ledger(200, 1, json!({}));
    builder.leaves.pop();
    builder.ledger(201, 2, says);
    builder
}

fn unread() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    builder.ledger(200, 1, json!({}));
    builder.push(Op::Ledger, 2, (201, None), (Value::Null, Value::Null), Outcome::Unknown);
    builder
}

fn majority_silent() -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    builder.sample(1, 1, json!({}));
    builder.fault("one-way", 1, 1000, Some(20_000));
    for second in 0..20 {
        builder.silent(Op::Authorize, 2, second * 1000, request());
        // What the touched one answers proves nothing.
        builder.deny(1, second * 1000, second * 1000 + 20, "policy_missing");
    }
    builder
}

/// 250 operations besides so many allows, of a hundred of which so many succeed.
fn share(events: u64, allows: u64) -> HistoryBuilder {
    let mut builder = HistoryBuilder::default();
    for n in 0..250 {
        let outcome = if n % 100 < events { Outcome::Ok } else { Outcome::Unknown };
        builder.push(Op::Events, 1, (n, Some(n + 1)), (Value::Null, json!({"events": []})), outcome);
        if n % 100 < allows {
            builder.allow(1, n, n + 1);
        }
    }
    builder
}
