//! Looks for an order of each domain's operations in which the model gives every answer. Accepted statements come in
//! the ledger's order. The search finds where the answers belong between them, whatever revisions the answers name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ledger::{Leaf, Ledger};
use super::replay::disagreement;
use super::{is_on_the_rules, millis, number, receipt, unavailable};
use crate::check::read::{is_of_failed_batch, is_peers_divergence};
use crate::check::{Verdict, Violation};
use crate::history::{History, Op, Outcome, Record};
use crate::linear::{self, Spec, Timed};
use crate::model::{Model, SubmitAnswer};

/// How many configurations the search tries for one domain.
const BOUND: usize = 500_000;

/// How far the clocks of two nodes may differ.
const SKEW_MS: i64 = 1000;

/// One domain's registry: how it was founded, and what it accepts in the end.
struct Domain<'a> {
    founded: Model,
    leaves: Vec<(usize, &'a Leaf)>,
}

/// A domain's registry at one moment: the model, and how many of the domain's leaves it has.
#[derive(Clone)]
struct State {
    model: Model,
    taken: usize,
}

/// An operation with its answer.
enum Done<'a> {
    /// A submission, and the leaf whose receipt answered it.
    Accepted { index: usize },
    /// A restriction that adds nothing to one in force, the leaf of the one in force, and moments near the time of the
    /// answer: the receipt tells only when the leaf was accepted.
    AddsNothing { envelope: &'a str, index: usize, moments_ms: Vec<i64> },
    /// A submission that was refused, with moments near the time of the refusal, which does not state one.
    Refused { envelope: &'a str, code: &'a str, moments_ms: Vec<i64> },
    /// A decision by the rules.
    Decided { record: &'a Record, evaluated_ms: i64 },
}

impl<'a> Spec for Domain<'a> {
    type State = State;
    type Operation = (usize, Done<'a>);

    fn begin(&self) -> State {
        State { model: self.founded.clone(), taken: 0 }
    }

    fn digest(&self, state: &State) -> u128 {
        state.model.digest()
    }

    fn step(&self, state: &State, (_, done): &(usize, Done<'a>)) -> Option<State> {
        match done {
            Done::Accepted { index } => self.accepted(state, *index),
            Done::AddsNothing { envelope, index, moments_ms } => {
                let leaf =
                    self.leaves.iter().find(|(leaf, _)| leaf == index).map(|(_, leaf)| leaf.id.as_str());
                let adds_nothing = |at_ms: &i64| match state.model.submit(envelope, *at_ms) {
                    (model, SubmitAnswer::Again(place)) => leaf.is_some() && leaf == model.id_at(place),
                    _ => false,
                };
                moments_ms.iter().any(adds_nothing).then(|| state.clone())
            }
            Done::Refused { envelope, code, moments_ms } => {
                let refusal = SubmitAnswer::Refused(code_of(code));
                let refused = |at_ms: &i64| state.model.submit(envelope, *at_ms).1 == refusal;
                moments_ms.iter().any(refused).then(|| state.clone())
            }
            Done::Decided { record, evaluated_ms } => {
                disagreement(&state.model, record, *evaluated_ms).is_none().then(|| state.clone())
            }
        }
    }
}

impl Domain<'_> {
    /// The state in which a leaf has been accepted: this state if it already was, or this state with the leaf as the
    /// next one.
    fn accepted(&self, state: &State, index: usize) -> Option<State> {
        if self.leaves.iter().take(state.taken).any(|(taken, _)| *taken == index) {
            return Some(state.clone());
        }
        let (_, leaf) = self.leaves.get(state.taken).filter(|(next, _)| *next == index)?;
        let model = if leaf.kind == "permit" {
            state.model.record_permit(&leaf.request, &leaf.envelope, leaf.accepted_ms).ok()?
        } else if leaf.kind == "rules" {
            state.model.record_rules(&leaf.envelope, leaf.accepted_ms).ok()?
        } else {
            let (model, answer) = state.model.submit(&leaf.envelope, leaf.accepted_ms);
            matches!(answer, SubmitAnswer::Accepted(_) | SubmitAnswer::Equivocation(_)).then_some(model)?
        };
        Some(State { model, taken: state.taken.saturating_add(1) })
    }
}

/// The code as the model spells it, so that it can be compared with the model's.
fn code_of(code: &str) -> &'static str {
    code.parse::<assent_proof::Code>().map_or("", |code| code.as_str())
}

/// Judges a history domain by domain.
pub(super) fn check(history: &History, ledger: &Ledger) -> Verdict {
    let mut verdict = Verdict::default();
    let asked =
        history.records.iter().filter(|record| matches!(record.op, Op::Submit | Op::Authorize | Op::Permit));
    let domains: BTreeSet<&str> = asked.map(|record| record.key.as_str()).collect();
    let times = Times::of(history);
    for domain in domains {
        let operations = operations(history, ledger, domain, &times);
        verdict.looked_at =
            verdict.looked_at.saturating_add(u64::try_from(operations.len()).unwrap_or(u64::MAX));
        let later = ledger.leaves.iter().enumerate().skip(ledger.founding);
        let leaves = later.filter(|(_, leaf)| matters(leaf, domain)).collect();
        let spec = Domain { founded: ledger.founded(), leaves };
        let record = |at: &usize| operations.get(*at).map(|timed| timed.what.0);
        match linear::check(&spec, &operations, BOUND) {
            linear::Outcome::Linearizable(_) => {}
            linear::Outcome::Undecided { explored } => {
                let what = format!("domain `{domain}`: not decided within {explored} configurations");
                verdict.violations.push(Violation { what, shown_by: Vec::new() });
            }
            linear::Outcome::NotLinearizable(window) => {
                let explained = window.explained.len();
                let output =
                    record(&window.impossible).and_then(|at| history.records.get(at)).map(|it| &it.output);
                let answer = output.and_then(|output| output.get("code").or(output.get("decision")));
                let answer = answer.and_then(Value::as_str).unwrap_or("accepted");
                let what =
                    format!("domain `{domain}`: after {explained} operations nothing explains `{answer}`");
                let others = window.pending.iter().filter(|at| **at != window.impossible);
                let shown_by = std::iter::once(&window.impossible).chain(others).filter_map(record).collect();
                verdict.violations.push(Violation { what, shown_by });
            }
        }
    }
    verdict
}

/// Whether the content of a leaf may matter to a domain.
fn matters(leaf: &Leaf, domain: &str) -> bool {
    leaf.domain == domain || leaf.domain == "_root" || domain == "_root"
}

/// The operations of one domain, each with its place in the history.
fn operations<'a>(
    history: &'a History,
    ledger: &Ledger,
    domain: &str,
    times: &Times,
) -> Vec<Timed<(usize, Done<'a>)>> {
    let mut operations = Vec::new();
    let mut covered = BTreeSet::new();
    for (place, record) in history.records.iter().enumerate() {
        let Some((done, certain)) = done(record, ledger, times) else { continue };
        // A change to one may matter to the other: what a domain accepts matters to root, and what root accepts to
        // every domain.
        let of_either = record.key == "_root" || domain == "_root";
        if record.key != domain && !(of_either && matches!(done, Done::Accepted { .. })) {
            continue;
        }
        if let Done::Accepted { index } = &done {
            covered.insert(*index);
        }
        let returned = record.return_ns.filter(|_| certain);
        operations.push(Timed { what: (place, done), invoke: record.invoke_ns, returned });
    }
    // A permit becomes a leaf before its answer is made. The nodes raise the rules themselves, for all domains at
    // once, at some time between the leaves before and after it. Any other leaf that no client submitted may have come
    // at any time.
    for (index, leaf) in ledger.leaves.iter().enumerate().skip(ledger.founding) {
        if !matters(leaf, domain) || covered.contains(&index) {
            continue;
        }
        if leaf.kind == "rules" {
            let (invoke, returned) = between(history, ledger, index);
            operations.push(Timed { what: (ledger.record, Done::Accepted { index }), invoke, returned });
            continue;
        }
        let asked =
            history.of(Op::Permit).find(|(_, record)| leaf.kind == "permit" && record.input == leaf.request);
        let (place, invoke) = asked.map_or((ledger.record, 0), |(place, record)| (place, record.invoke_ns));
        operations.push(Timed { what: (place, Done::Accepted { index }), invoke, returned: None });
    }
    operations
}

/// The time from which on a leaf may have been accepted, and the time by which it certainly was: after the last of the
/// leaves before it was first asked for, and before the first of the leaves after it was acknowledged. So a leaf that
/// no client knows of belongs in its place, and the search need not try it elsewhere.
fn between(history: &History, ledger: &Ledger, index: usize) -> (u64, Option<u64>) {
    let mut asked: BTreeMap<usize, u64> = BTreeMap::new();
    let mut acknowledged: Option<u64> = None;
    for (_, record) in history.of(Op::Submit).chain(history.of(Op::Permit)) {
        let receipt = match record.op {
            Op::Submit => receipt(&record.output),
            _ => record.output.get("permit").and_then(receipt),
        };
        let told = receipt.and_then(|receipt| number(receipt, "ledgerIndex"));
        if told.is_some_and(|told| told > u64::try_from(index).unwrap_or(u64::MAX)) {
            acknowledged = acknowledged.into_iter().chain(record.return_ns).min();
        }
        let id = record.input.get("id").and_then(Value::as_str);
        if let Some(own) = id.and_then(|id| ledger.index.get(id)).filter(|own| **own < index) {
            let first = asked.entry(*own).or_insert(record.invoke_ns);
            *first = record.invoke_ns.min(*first);
        }
    }
    (asked.into_values().max().unwrap_or(0), acknowledged)
}

/// What a record says, and whether it certainly took effect before it returned. `None` if it says nothing.
fn done<'a>(record: &'a Record, ledger: &Ledger, times: &Times) -> Option<(Done<'a>, bool)> {
    if matches!(record.op, Op::Authorize | Op::Permit) {
        let evaluated_ms = millis(&record.output, "evaluatedAt")?;
        return is_on_the_rules(&record.output).then_some((Done::Decided { record, evaluated_ms }, true));
    }
    if record.op != Op::Submit {
        return None;
    }
    if let Some(index) = receipt(&record.output).and_then(|receipt| number(receipt, "ledgerIndex")) {
        let index = usize::try_from(index).ok()?;
        let own = ledger.leaves.get(index).map(|leaf| leaf.id.as_str())
            == record.input.get("id").and_then(Value::as_str);
        let done = match record.input.get("envelope").and_then(Value::as_str) {
            Some(envelope) if !own => {
                let moments_ms = times.around(record.invoke_ns, record.return_ns?)?;
                Done::AddsNothing { envelope, index, moments_ms }
            }
            _ => Done::Accepted { index },
        };
        return (index >= ledger.founding).then_some((done, true));
    }
    if record.outcome == Outcome::Unknown {
        let index = *ledger.index.get(record.input.get("id")?.as_str()?)?;
        return (index >= ledger.founding).then_some((Done::Accepted { index }, false));
    }
    if is_of_failed_batch(record) {
        return None;
    }
    let invalid = record.input.get("valid").and_then(Value::as_bool) == Some(false);
    let by_the_rules = |code: &&str| !unavailable(code) || is_peers_divergence(record);
    let code = record.output.get("code")?.as_str().filter(|code| by_the_rules(code) && !invalid)?;
    let envelope = record.input.get("envelope")?.as_str()?;
    let told = millis(&record.output, "at").map(|at_ms| vec![at_ms]);
    let moments_ms = told.or_else(|| times.around(record.invoke_ns, record.return_ns?))?;
    Some((Done::Refused { envelope, code, moments_ms }, true))
}

/// The times that answers name.
struct Times {
    /// The times by which the answers were asked for.
    invoked: BTreeMap<u64, i64>,
    /// The times by which the answers came.
    returned: BTreeMap<u64, i64>,
}

impl Times {
    fn of(history: &History) -> Self {
        let time = |record: &Record| match record.op {
            Op::Authorize | Op::Permit if is_on_the_rules(&record.output) => {
                millis(&record.output, "evaluatedAt")
            }
            Op::Submit if record.outcome == Outcome::Ok && !is_repeated(record) => {
                millis(&record.output, "acceptedAt")
            }
            _ => None,
        };
        let mut times = Self { invoked: BTreeMap::new(), returned: BTreeMap::new() };
        for record in &history.records {
            if let (Some(at_ms), Some(returned)) = (time(record), record.return_ns) {
                times.invoked.insert(record.invoke_ns, at_ms);
                times.returned.insert(returned, at_ms);
            }
        }
        times
    }

    /// Moments around an interval: the last known time before it, the first within it, the first after it, and times a
    /// little earlier and later than these, because another node's clock may have set them. `None` if no time after
    /// the interval is known, because then the time of a refusal within it is unknown too.
    fn around(&self, invoke: u64, returned: u64) -> Option<Vec<i64>> {
        let before = self.returned.range(..invoke).next_back().map(|(_, at_ms)| *at_ms);
        let within = self.invoked.range(invoke..returned).next().map(|(_, at_ms)| *at_ms);
        let after = *self.invoked.range(returned..).next()?.1;
        let earlier = before.unwrap_or(after).saturating_sub(SKEW_MS);
        let later = after.saturating_add(SKEW_MS);
        Some(before.into_iter().chain(within).chain([after, later, earlier]).collect())
    }
}

/// Whether the answer is a receipt that was already given.
fn is_repeated(record: &Record) -> bool {
    record.output.get("repeated").and_then(Value::as_bool) == Some(true)
}
