//! S2 on histories of a registry that answers one at a time, with clients that see this through overlapping calls.

use assent_jepsen::check::{INVARIANTS, Verdict};
use assent_jepsen::history::{History, Op, Outcome, Record};
use serde_json::{Value, json};

use crate::both::{Both, Dice};

fn s2(records: &[Record]) -> Verdict {
    let invariant = INVARIANTS.iter().find(|invariant| invariant.id == "S2").unwrap();
    (invariant.check)(&History::new(records.to_vec()))
}

/// What clients saw of a registry: each call takes effect at a moment between its invocation and its return, and of some
/// nobody learns what became of them. The last record is the ledger.
fn seen(seed: u64) -> Vec<Record> {
    let mut both = Both::new(seed);
    both.run(60);
    assert!(both.told.is_empty());
    let ledger = both.ledger();
    let mut dice = Dice(seed);
    let mut free = [0; 6];
    let mut records = std::mem::take(&mut both.done);
    for record in &mut records {
        let moment = record.invoke_ns;
        let mut jitter = |most: usize| u64::try_from(dice.below(most)).unwrap();
        let client = (0..free.len()).find(|client| free[*client] < moment);
        let client = client.unwrap_or(0);
        record.client = u64::try_from(client).unwrap();
        record.invoke_ns = (moment - jitter(400)).max(free[client].min(moment) + 1).min(moment);
        let end = moment + jitter(400);
        free[client] = end;
        record.return_ns = Some(end);
        if dice.once_in(12) && record.op == Op::Submit {
            record.outcome = Outcome::Unknown;
            record.output = Value::Null;
        } else if dice.once_in(30) && record.op != Op::Submit {
            record.outcome = Outcome::Deny;
            record.output = json!({"decision": "deny", "reasons": [{"code": "no_quorum"}], "revision": 0, "evaluatedAt": 0});
        }
    }
    records.push(ledger);
    records
}

#[test]
fn what_a_registry_answers_one_at_a_time_passes() {
    let mut looked_at = 0;
    for seed in 0..25 {
        let verdict = s2(&seen(seed));
        if let Some(first) = verdict.violations.first() {
            let records = History::new(seen(seed)).records;
            let shown: Vec<&Record> = first.shown_by.iter().map(|at| &records[*at]).collect();
            panic!("seed {seed}: {:#?}\n{shown:#?}", verdict.violations);
        }
        looked_at += verdict.looked_at;
    }
    assert!(looked_at > 6_000, "{looked_at}");
}

/// Changes one answer; answers whether there was one to change.
fn change(records: &mut [Record], dice: &mut Dice, to: &str) -> bool {
    let fits = |record: &&mut Record| match to {
        "allow" => {
            record.outcome == Outcome::Deny && record.op == Op::Authorize && record.output["revision"] != 0
        }
        "deny" | "until" => record.outcome == Outcome::Ok && record.op == Op::Authorize,
        "reason" => {
            record.outcome == Outcome::Deny && record.op == Op::Authorize && record.output["revision"] != 0
        }
        "refused" | "receipt" | "lost" => record.outcome == Outcome::Ok && record.op == Op::Submit,
        _ => record.outcome == Outcome::Ok && record.op == Op::Permit,
    };
    let mut fitting: Vec<&mut Record> = records.iter_mut().filter(fits).collect();
    if fitting.is_empty() {
        return false;
    }
    let at = dice.below(fitting.len());
    let record = &mut *fitting[at];
    match to {
        "allow" => {
            record.outcome = Outcome::Ok;
            record.output["decision"] = json!("allow");
            record.output["reasons"] = json!([]);
        }
        "deny" => {
            record.outcome = Outcome::Deny;
            record.output["decision"] = json!("deny");
            record.output["reasons"] = json!([{"code": "policy_missing"}]);
        }
        "until" => {
            let until = record.output["validUntil"].as_i64().unwrap();
            record.output["validUntil"] = json!(until + 1);
        }
        "reason" => record.output["reasons"].as_array_mut().unwrap().push(json!({"code": "domain_unknown"})),
        "refused" => {
            record.outcome = Outcome::Deny;
            record.output = json!({"code": "domain_unknown"});
        }
        "receipt" => record.output["acceptedAt"] = json!(1),
        "lost" => {
            record.return_ns = Some(record.invoke_ns - 900);
            record.invoke_ns -= 950;
        }
        _ => record.output["permit"]["evidenceId"] = json!("blake3:00"),
    }
    true
}

#[test]
fn one_changed_answer_fails() {
    for to in ["allow", "deny", "until", "reason", "refused", "receipt", "lost", "permit"] {
        let (mut changed, mut found) = (0_usize, 0_usize);
        for seed in 0..8 {
            let mut records = seen(seed);
            if change(&mut records, &mut Dice(seed), to) {
                changed += 1;
                found += usize::from(!s2(&records).violations.is_empty());
            }
        }
        println!("{to}: {found} of {changed}");
        assert!(changed > 2 && found * 10 >= changed * 7, "{to}: {found} of {changed} found");
    }
}

#[test]
fn a_history_without_a_ledger_is_not_looked_at() {
    let mut records = seen(1);
    records.pop();
    assert_eq!(s2(&records), Verdict::default());
}
