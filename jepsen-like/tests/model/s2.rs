//! S2 on histories of a registry that answers one call at a time, while its clients' calls overlap.

use assent_jepsen::check::{INVARIANTS, Verdict};
use assent_jepsen::history::{History, Op, Outcome, Record};
use assent_jepsen::ledgers::{FoundedRegistries, Ledger, Profile};
use assent_jepsen::sim::dice::Dice;
use serde_json::{Value, json};

fn s2(records: &[Record]) -> Verdict {
    let invariant = INVARIANTS.iter().find(|invariant| invariant.id == "S2").unwrap();
    (invariant.check)(&History::new(records.to_vec()))
}

/// What clients saw of a registry: each call takes effect at a moment between its invocation and its return, and of some
/// nobody learns what became of them. The last record is the ledger.
fn seen(seed: u64) -> Vec<Record> {
    let founded = FoundedRegistries::default().of(Profile::Wide).unwrap();
    let mut grown = Ledger::new(founded, seed, Profile::Wide);
    grown.both_mut().keep_records();
    grown.run_for(70).unwrap();
    assert_eq!(grown.both().finding(), None, "seed {seed}");
    let ledger = grown.both().ledger().unwrap();
    let mut dice = Dice::new(seed);
    let mut free = [0; 6];
    let mut records = grown.both_mut().take_records();
    for record in &mut records {
        let moment = record.invoke_ns;
        let mut jitter = |most: u64| dice.below(most);
        let client = (0..free.len()).find(|client| free[*client] < moment);
        let client = client.unwrap_or(0);
        record.client = u64::try_from(client).unwrap();
        record.invoke_ns = (moment - jitter(400)).max(free[client].min(moment) + 1).min(moment);
        let end = moment + jitter(400);
        free[client] = end;
        record.return_ns = Some(end);
        if dice.chance(1, 12) && record.op == Op::Submit {
            record.outcome = Outcome::Unknown;
            record.output = Value::Null;
        } else if dice.chance(1, 30) && record.op != Op::Submit {
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

/// Whether it submits an audit event without detail.
fn is_bare(record: &Record) -> bool {
    let envelope = record.input["envelope"].as_str().unwrap_or_default();
    let Ok(envelope) = assent_proof::Envelope::parse(envelope.as_bytes()) else { return false };
    let payload = String::from_utf8(envelope.payload.clone()).unwrap();
    payload.contains("urn:egpep:v1:audit-lineage") && !payload.contains("\"detail\":\"")
}

/// Whether it submits a checkpoint of another registry.
fn is_checkpoint(record: &Record) -> bool {
    let envelope = record.input["envelope"].as_str().unwrap_or_default();
    let Ok(envelope) = assent_proof::Envelope::parse(envelope.as_bytes()) else { return false };
    String::from_utf8_lossy(&envelope.payload).contains("urn:egpep:v1:synchronization-continuity")
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
        "rules" => {
            record.outcome == Outcome::Deny && is_bare(record) && record.output["code"] == "claims_invalid"
        }
        "diverged" => record.outcome == Outcome::Ok && is_checkpoint(record),
        "refused" | "receipt" => record.outcome == Outcome::Ok && record.op == Op::Submit,
        // Something must have been before it.
        "lost" => record.outcome == Outcome::Ok && record.op == Op::Submit && record.invoke_ns > 2_000,
        _ => record.outcome == Outcome::Ok && record.op == Op::Permit,
    };
    let mut fitting: Vec<&mut Record> = records.iter_mut().filter(fits).collect();
    if fitting.is_empty() {
        return false;
    }
    let at = usize::try_from(dice.below(fitting.len() as u64)).unwrap();
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
        "rules" => record.output["code"] = json!("domain_unknown"),
        "refused" => {
            record.outcome = Outcome::Deny;
            record.output = json!({"code": "domain_unknown"});
        }
        "diverged" => {
            record.outcome = Outcome::Deny;
            record.output = json!({"code": "registry_diverged"});
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
    let changes =
        ["allow", "deny", "until", "reason", "refused", "rules", "diverged", "receipt", "lost", "permit"];
    for to in changes {
        let (mut changed, mut found) = (0_usize, 0_usize);
        // Few runs allow anything, raise the rules and are refused for it, accept a checkpoint of another registry, or record a
        // permit.
        for seed in 0..if ["deny", "until", "rules", "diverged", "permit"].contains(&to) { 24 } else { 8 } {
            let mut records = seen(seed);
            if change(&mut records, &mut Dice::new(seed), to) {
                changed += 1;
                found += usize::from(!s2(&records).violations.is_empty());
            }
        }
        println!("{to}: {found} of {changed}");
        assert!(changed > 2 && found * 10 >= changed * 7, "{to}: {found} of {changed} found");
    }
}

/// The same history with the leaf by which the rules were raised moved after the next one, if the ledger has one.
fn raised_later(records: &mut [Record], places: usize) -> bool {
    let leaves = records.last_mut().unwrap().output["leaves"].as_array_mut().unwrap();
    let is_raise = |leaf: &Value| {
        let envelope = assent_proof::Envelope::parse(leaf["envelope"].as_str().unwrap().as_bytes()).unwrap();
        String::from_utf8(envelope.payload.clone()).unwrap().contains("\"urn:egpep:v1:rules\"")
    };
    let Some(at) = leaves.iter().position(is_raise).filter(|at| at + places < leaves.len()) else {
        return false;
    };
    let raise = leaves.remove(at);
    leaves.insert(at + places, raise);
    for (index, leaf) in leaves.iter_mut().enumerate() {
        leaf["index"] = json!(index);
    }
    true
}

#[test]
fn events_are_judged_by_the_rules_of_their_time() {
    let (mut judged, mut bare) = (0, 0);
    for seed in 0..60 {
        let mut records = seen(seed);
        let refused = |record: &Record| is_bare(record) && record.output["code"] == "claims_invalid";
        let accepted = |record: &Record| is_bare(record) && record.outcome == Outcome::Ok;
        bare += records.iter().filter(|record| refused(record) || accepted(record)).count();
        if records.iter().any(refused) && raised_later(&mut records, 6) {
            judged += 1;
            assert!(!s2(&records).violations.is_empty(), "seed {seed}");
        }
    }
    assert!(judged > 10 && bare > 30, "{judged} raises, {bare} events without detail");
}

#[test]
fn a_history_without_a_ledger_is_not_looked_at() {
    let mut records = seen(1);
    records.pop();
    assert_eq!(s2(&records), Verdict::default());
}
