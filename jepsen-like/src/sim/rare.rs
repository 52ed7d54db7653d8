//! The rare things that a history shows: what the seeds together have to have reached, or they tested less than they say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::history::{History, Op, Outcome, Record};

/// Rare things, each with what it is.
pub const SOMETIMES: &[(&str, &str)] = &[
    ("leader changed", "a node led after another had led"),
    ("election contested", "two nodes were candidates in one term, or a term passed without a leader"),
    ("stale leader asked", "a node that took itself for the leader was asked after another led a later term"),
    ("snapshot installed", "a node's registry came from a snapshot"),
    ("snapshot under a crash", "a node that was receiving a snapshot went down"),
    ("snapshot under a cut", "a node that was receiving a snapshot was cut off"),
    ("log truncated", "a node took back entries that another leader had not"),
    ("log purged", "a node cut off the beginning of its log"),
    ("member added", "a node voted that had not from the beginning"),
    ("node refused to start", "a node did not start on what its disk had"),
    ("allow raced a restriction", "an allow was under way while its domain was restricted"),
    ("equivocation recorded", "two statements for one slot were accepted"),
    ("permit repeated", "the same permit was asked for again and allowed again"),
    ("unknown resolved", "a submission of unknown outcome had been accepted, as its repetition showed"),
    ("clock unsure", "a node denied because it was not sure of its clock"),
    ("leader changed meanwhile", "a question was answered by the rules, and the leader changed while it was"),
    ("message came late", "a message was held, and came after others that were said later"),
    ("message said again", "a peer heard the same message more than once"),
    ("power lost at a message", "a machine lost power between two messages"),
    ("no quorum", "a node denied because it could reach no quorum"),
    ("expired between", "what was allowed was denied later as expired"),
];

/// What the history shows of them, and how often.
pub fn rare(history: &History) -> BTreeMap<String, u64> {
    let mut seen = Seen::default();
    for record in &history.records {
        match record.op {
            Op::Sample => seen.sample(record),
            Op::Authorize => seen.authorize(record),
            Op::Permit => seen.permit(record),
            Op::Submit => seen.submit(record),
            Op::Events | Op::Ledger | Op::Fault => {}
        }
    }
    seen.races(history);
    seen.changes(history);
    seen.counts
}

#[derive(Default)]
struct Seen {
    counts: BTreeMap<String, u64>,
    /// By node: the term that it leads.
    leads: BTreeMap<u64, u64>,
    newest_term: u64,
    /// When somebody was first seen leading in a term.
    changed_at: Vec<u64>,
    /// Permits that were allowed, by request.
    permits: BTreeSet<String>,
    /// Submissions of unknown outcome, by id.
    unknown: BTreeSet<String>,
    /// Requests that were allowed.
    allowed: BTreeSet<String>,
}

impl Seen {
    fn reached(&mut self, what: &str) {
        let count = self.counts.entry(what.to_owned()).or_insert(0);
        *count = count.saturating_add(1);
    }

    fn sample(&mut self, record: &Record) {
        let leads = record.output.get("state").and_then(Value::as_str) == Some("leader");
        let term = record.output.get("term").and_then(Value::as_u64).unwrap_or(0);
        if leads {
            self.leads.insert(record.node, term);
            if term > self.newest_term {
                self.changed_at.push(record.invoke_ns);
            }
            self.newest_term = self.newest_term.max(term);
        } else {
            self.leads.remove(&record.node);
        }
    }

    fn authorize(&mut self, record: &Record) {
        if self.leads.get(&record.node).is_some_and(|term| *term < self.newest_term) {
            self.reached("stale leader asked");
        }
        self.codes(record);
        let request = record.input.to_string();
        if record.outcome == Outcome::Ok {
            self.allowed.insert(request);
        } else if has_code(record, "evidence_expired") && self.allowed.contains(&request) {
            self.reached("expired between");
        }
    }

    fn permit(&mut self, record: &Record) {
        self.codes(record);
        if record.outcome == Outcome::Ok && !self.permits.insert(record.input.to_string()) {
            self.reached("permit repeated");
        }
    }

    fn codes(&mut self, record: &Record) {
        for (code, what) in [("clock_uncertain", "clock unsure"), ("no_quorum", "no quorum")] {
            if record.outcome == Outcome::Deny && has_code(record, code) {
                self.reached(what);
            }
        }
    }

    fn submit(&mut self, record: &Record) {
        let id = record.input.get("id").and_then(Value::as_str).unwrap_or_default();
        match record.outcome {
            Outcome::Unknown => {
                self.unknown.insert(id.to_owned());
            }
            Outcome::Ok => {
                if record.output.get("repeated") == Some(&Value::Bool(true)) && self.unknown.remove(id) {
                    self.reached("unknown resolved");
                }
            }
            Outcome::Deny => {
                if record.output.get("receipt").is_some_and(Value::is_object) {
                    self.reached("equivocation recorded");
                }
            }
        }
    }

    fn changes(&mut self, history: &History) {
        let questions = history.records.iter().filter(|record| {
            matches!(record.op, Op::Authorize | Op::Permit)
                && record.outcome != Outcome::Unknown
                && !has_code(record, "no_quorum")
        });
        let spans = questions.filter_map(|record| Some((record.invoke_ns, record.return_ns?)));
        let within = |(from, to): &(u64, u64)| self.changed_at.iter().any(|at| from < at && at < to);
        let count = spans.filter(within).count();
        for _ in 0..count {
            self.reached("leader changed meanwhile");
        }
    }

    fn races(&mut self, history: &History) {
        let is_restriction = |record: &&Record| {
            let envelope = record.input.get("envelope").and_then(Value::as_str).unwrap_or_default();
            record.outcome == Outcome::Ok && (restricts(envelope))
        };
        let restrictions: Vec<&Record> =
            history.of(Op::Submit).map(|(_, record)| record).filter(is_restriction).collect();
        for allow in history.records.iter().filter(|record| record.is_allow()) {
            let raced = restrictions.iter().any(|restriction| {
                restriction.key == allow.key && !restriction.precedes(allow) && !allow.precedes(restriction)
            });
            if raced {
                self.reached("allow raced a restriction");
            }
        }
    }
}

fn has_code(record: &Record, code: &str) -> bool {
    let reasons = record.output.get("reasons").and_then(Value::as_array).into_iter().flatten();
    reasons.filter_map(|reason| reason.get("code")).any(|found| found == code)
}

/// Whether an envelope is a revocation or a containment.
fn restricts(envelope: &str) -> bool {
    let Ok(envelope) = assent_proof::Envelope::parse(envelope.as_bytes()) else { return false };
    let payload = String::from_utf8_lossy(&envelope.payload).into_owned();
    payload.contains("urn:egpep:v1:revocation") || payload.contains("urn:egpep:v1:containment")
}
