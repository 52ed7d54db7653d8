//! The rare events that a history shows. All seeds together must reach each of them, or they have tested less than
//! they claim.

mod batches;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::history::{History, Op, Outcome, Record};
use batches::batch_of;

/// The rare events, each with its meaning.
pub const SOMETIMES: &[(&str, &str)] = &[
    ("leader changed", "a node led after another had led"),
    ("election contested", "two nodes were candidates in one term, or a term passed without a leader"),
    (
        "stale leader asked",
        "a node that still acted as the leader was asked after another node led a later term",
    ),
    ("snapshot installed", "a node's registry came from a snapshot"),
    ("snapshot under a crash", "a node that was receiving a snapshot went down"),
    ("snapshot under a cut", "a node that was receiving a snapshot was cut off"),
    ("log truncated", "a node removed entries that another leader did not have"),
    ("log purged", "a node purged the beginning of its log"),
    ("member added", "a node became a voter that was not one at the beginning"),
    ("member moved", "the membership has the new address of a node that moved"),
    ("node refused to start", "a node did not start with the content of its disk"),
    ("allow raced a restriction", "an allow was in progress while its domain was restricted"),
    ("equivocation recorded", "two statements for one slot were accepted"),
    ("permit repeated", "the same permit was asked for again and allowed again"),
    ("unknown resolved", "a submission of unknown outcome had been accepted, as its repetition showed"),
    ("clock unsure", "a node denied because it was not sure of its clock"),
    ("clocks leapt", "a node denied because all clocks had leapt together"),
    ("clocks went back", "a node denied because all clocks had gone back together"),
    ("small leap doubted", "a node denied because all clocks had leapt by less than ten minutes"),
    ("ratchet doubted", "a node denied because all clocks had leapt by less than ten minutes, again"),
    ("one clock leapt", "a node denied because its own clock had jumped, while another one allowed"),
    ("wrong clock at a move", "a voter moved while its own clock, or another one's, was wrong"),
    ("clocks settled", "a node allowed again after time had passed that was not counted in boot time"),
    (
        "leader changed meanwhile",
        "a question was answered by the rules, and the leader changed before the answer",
    ),
    ("message came late", "a message was held back, and arrived after messages that were sent later"),
    ("message said again", "a peer received the same message more than once"),
    ("lie refused by raft", "an append that Raft refuses made false claims about the members"),
    ("impossible lie", "a false append or vote named an impossible term or log index"),
    ("power lost at a message", "a machine lost power between two messages"),
    ("no quorum", "a node denied because it could reach no quorum"),
    ("expired between", "a request that was allowed was denied later as expired"),
    ("versions mixed", "nodes of both builds answered, and none changed its build in between"),
    ("rules raised", "the rules were raised"),
    ("newer rules bit", "an audit event was refused for a fault that only the newer rules know"),
    ("peer's checkpoint accepted", "a checkpoint of another registry was accepted"),
    (
        "peer's checkpoint diverged",
        "a checkpoint of another registry was refused, since it does not extend that registry's last one",
    ),
    ("late half accepted", "a second statement was accepted for a slot whose issuer had filled the next one"),
    ("crowd answered", "a question in a crowd's batch was decided"),
    ("crowd's garbage refused", "an envelope by an ungranted key in a crowd's batch was refused"),
    (
        "crowd's early refused",
        "a correctly signed envelope in a crowd's batch was refused because it is dated ahead",
    ),
    ("crowd's again answered", "an envelope in a crowd's batch got the receipt that it already had"),
    ("crowd turned away", "a crowd's batch, or a part of it, was shed"),
    ("caller beside a crowd", "a node served another caller while it worked on a crowd's batch"),
    (
        "stranger refused alone",
        "in a batch of mode `each` an unknown issuer's envelope was refused and another one accepted",
    ),
    (
        "leader found a stranger",
        "the same in a batch that a learner had forwarded, so that the leader had to find the unknown issuer",
    ),
    ("batch refused whole", "a batch of mode `all` was refused because of one envelope"),
    (
        "batch accepted whole",
        "more than one envelope of a batch of mode `all` was accepted, and none was refused",
    ),
    ("old build locked out", "a node ended, or did not start, because its build does not know the rules"),
];

/// Which of them the history shows, and how often.
pub fn rare(history: &History) -> BTreeMap<String, u64> {
    let mut seen = Seen::default();
    for record in &history.records {
        match record.op {
            Op::Sample => seen.sample(record),
            Op::Authorize => seen.authorize(record),
            Op::Permit => seen.permit(record),
            Op::Submit => seen.submit(record),
            Op::Fault => seen.fault(record),
            Op::Events | Op::Ledger => {}
        }
    }
    seen.races(history);
    seen.changes(history);
    seen.leaps(history);
    seen.jumps(history);
    seen.crowds(history);
    seen.batches(history);
    seen.mixed(history);
    if history.of(Op::Ledger).any(|(_, record)| has_rules(&record.output)) {
        seen.reached("rules raised");
    }
    seen.counts
}

#[derive(Default)]
struct Seen {
    counts: BTreeMap<String, u64>,
    /// For each node, the term in which it leads.
    leads: BTreeMap<u64, u64>,
    /// The nodes that are learners.
    learn: BTreeSet<u64>,
    /// Batches that were sent to a learner.
    learned: BTreeSet<String>,
    newest_term: u64,
    /// When a node was first seen leading in a term.
    changed_at: Vec<u64>,
    /// Permits that were allowed, by request.
    permits: BTreeSet<String>,
    /// Submissions of unknown outcome, by id.
    unknown: BTreeSet<String>,
    /// The requests that were allowed.
    allowed: BTreeSet<String>,
    /// The last slot that was filled in each chain, by lineage and issuer's key.
    filled: BTreeMap<(String, String), u64>,
}

impl Seen {
    fn reached(&mut self, what: &str) {
        let count = self.counts.entry(what.to_owned()).or_insert(0);
        *count = count.saturating_add(1);
    }

    fn sample(&mut self, record: &Record) {
        let state = record.output.get("state").and_then(Value::as_str);
        if state == Some("learner") {
            self.learn.insert(record.node);
        } else {
            self.learn.remove(&record.node);
        }
        let leads = state == Some("leader");
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
        let envelope = record.input.get("envelope").and_then(Value::as_str).unwrap_or_default();
        if let Some(batch) = batch_of(record)
            && self.learn.contains(&record.node)
        {
            self.learned.insert(batch.to_owned());
        }
        match record.outcome {
            Outcome::Unknown => {
                self.unknown.insert(id.to_owned());
            }
            Outcome::Ok => {
                if record.output.get("repeated") == Some(&Value::Bool(true)) && self.unknown.remove(id) {
                    self.reached("unknown resolved");
                }
                if is_of(envelope, &["synchronization-continuity"]) {
                    self.reached("peer's checkpoint accepted");
                }
                if let Some((chain, sequence)) = slot_of(envelope) {
                    let last = self.filled.entry(chain).or_insert(sequence);
                    *last = sequence.max(*last);
                }
            }
            Outcome::Deny => {
                let code = record.output.get("code").and_then(Value::as_str);
                // A missing detail is the only fault in the claims of the audit events that the callers sign.
                if code == Some("claims_invalid") && is_of(envelope, &["audit-lineage"]) {
                    self.reached("newer rules bit");
                }
                if code == Some("registry_diverged") && is_of(envelope, &["synchronization-continuity"]) {
                    self.reached("peer's checkpoint diverged");
                }
                if record.output.get("receipt").is_some_and(Value::is_object) {
                    self.reached("equivocation recorded");
                    let is_late = slot_of(envelope).is_some_and(|(chain, sequence)| {
                        self.filled.get(&chain).is_some_and(|last| *last > sequence)
                    });
                    if is_late {
                        self.reached("late half accepted");
                    }
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

    /// All clocks leapt together, nodes noticed it, and trusted the new time in the end.
    fn leaps(&mut self, history: &History) {
        for (_, leap) in history.of(Op::Fault) {
            let kind = leap.input.get("kind").and_then(Value::as_str).unwrap_or_default();
            let again = leap.input.get("step").and_then(Value::as_u64).is_some_and(|step| step > 1);
            let what = match kind {
                "clocks-leap" | "time-passes" => "clocks leapt",
                "clocks-back" => "clocks went back",
                "clocks-ratchet" if again => "ratchet doubted",
                "clocks-ratchet" => "small leap doubted",
                _ => continue,
            };
            let ended = leap.return_ns.unwrap_or(u64::MAX);
            let mut asked = history
                .records
                .iter()
                .filter(|record| record.node == leap.node && record.invoke_ns > leap.invoke_ns);
            let is_doubt = |record: &&Record| {
                record.outcome == Outcome::Deny
                    && record.return_ns.is_some_and(|returned| returned < ended)
                    && has_code(record, "clock_uncertain")
            };
            if asked.clone().any(|record| is_doubt(&record)) {
                self.reached(what);
            }
            if kind == "time-passes" && asked.any(|record| record.is_allow() && record.invoke_ns > ended) {
                self.reached("clocks settled");
            }
        }
    }

    /// One clock jumped, its node noticed it, and other nodes continued.
    fn jumps(&mut self, history: &History) {
        let of_one = |fault: &&Record| fault.input.get("kind").and_then(Value::as_str) == Some("clock-jump");
        for jump in history.of(Op::Fault).map(|(_, fault)| fault).filter(of_one) {
            let ended = jump.return_ns.unwrap_or(u64::MAX);
            let within = |record: &&Record| {
                record.invoke_ns > jump.invoke_ns && record.return_ns.is_some_and(|returned| returned < ended)
            };
            let mut own = history.records.iter().filter(within).filter(|record| record.node == jump.node);
            let mut others = history.records.iter().filter(within).filter(|record| record.node != jump.node);
            if own.any(|record| record.outcome == Outcome::Deny && has_code(record, "clock_uncertain"))
                && others.any(Record::is_allow)
            {
                self.reached("one clock leapt");
            }
        }
    }

    fn fault(&mut self, record: &Record) {
        let why = record.input.get("why").and_then(Value::as_str).unwrap_or_default();
        if why.contains("newer build") {
            self.reached("old build locked out");
        }
    }

    /// Nodes of both builds answered while no node was changing its build.
    fn mixed(&mut self, history: &History) {
        let mut moments = builds(history).into_iter().peekable();
        let mut build: BTreeMap<u64, Option<u64>> = BTreeMap::new();
        let mut answered = BTreeSet::new();
        let asked =
            history.records.iter().filter(|record| record.client > 0 && record.outcome == Outcome::Ok);
        let mut answers: Vec<(u64, u64)> =
            asked.filter_map(|record| Some((record.return_ns?, record.node))).collect();
        answers.sort_unstable();
        for (at, node) in answers {
            while let Some((_, changed, known)) = moments.next_if(|(moment, ..)| *moment < at) {
                build.insert(changed, known);
                answered.clear();
            }
            // All nodes begin with the build that knows only the first rules.
            let known = build.get(&node).copied().unwrap_or(Some(1));
            if known.is_some_and(|known| answered.insert(known)) && answered.len() == 2 {
                self.reached("versions mixed");
            }
        }
    }

    fn races(&mut self, history: &History) {
        let is_restriction = |record: &&Record| {
            let envelope = record.input.get("envelope").and_then(Value::as_str).unwrap_or_default();
            record.outcome == Outcome::Ok && is_of(envelope, &["revocation", "containment"])
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

/// Whether an envelope is of one of these kinds.
fn is_of(envelope: &str, kinds: &[&str]) -> bool {
    let Ok(envelope) = assent_proof::Envelope::parse(envelope.as_bytes()) else { return false };
    let payload = String::from_utf8_lossy(&envelope.payload).into_owned();
    kinds.iter().any(|kind| payload.contains(&format!("\"urn:egpep:v1:{kind}\"")))
}

/// The chain in which an envelope takes a slot, by lineage and issuer's key, and the slot; `None` if it takes none.
fn slot_of(envelope: &str) -> Option<((String, String), u64)> {
    let envelope = assent_proof::Envelope::parse(envelope.as_bytes()).ok()?;
    let statement = assent_proof::Statement::parse(&envelope.payload).ok()?;
    let issuer = statement.issuers.first()?.to_string();
    Some(((statement.lineage.to_string(), issuer), statement.sequence?))
}

/// Whether a ledger has a leaf by which the rules were raised.
fn has_rules(ledger: &Value) -> bool {
    let leaves = ledger.get("leaves").and_then(Value::as_array).into_iter().flatten();
    leaves.filter_map(|leaf| leaf.get("envelope")?.as_str()).any(|envelope| is_of(envelope, &["rules"]))
}

/// When each node began to run with which build; `None` while its build is being changed.
fn builds(history: &History) -> Vec<(u64, u64, Option<u64>)> {
    let mut moments = Vec::new();
    for (_, record) in history.of(Op::Fault) {
        let Some(known) = record.input.get("rulesKnown").and_then(Value::as_u64) else { continue };
        moments.push((record.invoke_ns, record.node, None));
        moments.extend(record.return_ns.map(|at| (at, record.node, Some(known))));
    }
    moments.sort_unstable();
    moments
}
