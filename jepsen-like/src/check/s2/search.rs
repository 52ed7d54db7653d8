//! Looks for an order of each domain's operations in which the model gives every answer. What is accepted comes in the
//! ledger's order; where between those the answers belong is searched for, whatever revisions they name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ledger::{Leaf, Ledger};
use super::replay::disagreement;
use super::{is_on_the_rules, millis, number, receipt, unavailable};
use crate::check::{Verdict, Violation};
use crate::history::{History, Op, Outcome, Record};
use crate::linear::{self, Spec, Timed};
use crate::model::{Model, SubmitAnswer};

/// How many configurations are looked at for one domain.
const BOUND: usize = 500_000;

/// How far the clocks of two nodes may lie apart.
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
    /// A submission, and the place of its receipt in the ledger; none for one of unknown outcome.
    Accepted { index: usize },
    /// A submission that came to nothing, with the latest moment at which it may have.
    Refused { envelope: &'a str, code: &'a str, latest_ms: i64 },
    /// A decision on the rules.
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
            Done::Refused { envelope, code, latest_ms } => {
                let refused =
                    |at_ms| state.model.submit(envelope, at_ms).1 == SubmitAnswer::Refused(code_of(code));
                (refused(state.model.time_ms()) || refused(*latest_ms)).then(|| state.clone())
            }
            Done::Decided { record, evaluated_ms } => {
                disagreement(&state.model, record, *evaluated_ms).is_none().then(|| state.clone())
            }
        }
    }
}

impl Domain<'_> {
    /// The state in which a leaf has been accepted: this one, if it was before, or one with it as the next.
    fn accepted(&self, state: &State, index: usize) -> Option<State> {
        if self.leaves.iter().take(state.taken).any(|(taken, _)| *taken == index) {
            return Some(state.clone());
        }
        let (_, leaf) = self.leaves.get(state.taken).filter(|(next, _)| *next == index)?;
        let model = if leaf.kind == "permit" {
            state.model.record_permit(&leaf.request, &leaf.envelope, leaf.accepted_ms).ok()?
        } else if leaf.kind == "rules" {
            state.model.founded_with(&leaf.envelope, leaf.accepted_ms)?
        } else {
            let (model, answer) = state.model.submit(&leaf.envelope, leaf.accepted_ms);
            matches!(answer, SubmitAnswer::Accepted(_) | SubmitAnswer::Equivocation(_)).then_some(model)?
        };
        Some(State { model, taken: state.taken.saturating_add(1) })
    }
}

/// The code itself, so that it can be compared with the model's.
fn code_of(code: &str) -> &'static str {
    code.parse::<assent_proof::Code>().map_or("", |code| code.as_str())
}

/// Judges a history domain by domain.
pub(super) fn check(history: &History, ledger: &Ledger) -> Verdict {
    let mut verdict = Verdict::default();
    let asked =
        history.records.iter().filter(|record| matches!(record.op, Op::Submit | Op::Authorize | Op::Permit));
    let domains: BTreeSet<&str> = asked.map(|record| record.key.as_str()).collect();
    let latest = latest_times(history);
    for domain in domains {
        let operations = operations(history, ledger, domain, &latest);
        verdict.looked_at =
            verdict.looked_at.saturating_add(u64::try_from(operations.len()).unwrap_or(u64::MAX));
        let later = ledger.leaves.iter().enumerate().skip(ledger.founding);
        let leaves = later.filter(|(_, leaf)| leaf.domain == domain || leaf.domain == "_root").collect();
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
                let what =
                    format!("domain `{domain}`: after {explained} operations nothing explains this answer");
                let others = window.pending.iter().filter(|at| **at != window.impossible);
                let shown_by = std::iter::once(&window.impossible).chain(others).filter_map(record).collect();
                verdict.violations.push(Violation { what, shown_by });
            }
        }
    }
    verdict
}

/// The operations of one domain, each with its place in the history.
fn operations<'a>(
    history: &'a History,
    ledger: &Ledger,
    domain: &str,
    latest: &BTreeMap<u64, i64>,
) -> Vec<Timed<(usize, Done<'a>)>> {
    let mut operations = Vec::new();
    let mut covered = BTreeSet::new();
    for (place, record) in history.records.iter().enumerate() {
        let of_root = record.op == Op::Submit && record.key == "_root";
        if record.key != domain && !of_root {
            continue;
        }
        let Some((done, certain)) = done(record, ledger, latest) else { continue };
        if let Done::Accepted { index } = &done {
            covered.insert(*index);
        }
        let returned = record.return_ns.filter(|_| certain);
        operations.push(Timed { what: (place, done), invoke: record.invoke_ns, returned });
    }
    // A permit becomes a leaf before its answer is made, and what nobody submitted may have come at any time.
    for (index, leaf) in ledger.leaves.iter().enumerate().skip(ledger.founding) {
        if (leaf.domain != domain && leaf.domain != "_root") || covered.contains(&index) {
            continue;
        }
        let asked =
            history.of(Op::Permit).find(|(_, record)| leaf.kind == "permit" && record.input == leaf.request);
        let (place, invoke) = asked.map_or((ledger.record, 0), |(place, record)| (place, record.invoke_ns));
        operations.push(Timed { what: (place, Done::Accepted { index }), invoke, returned: None });
    }
    operations
}

/// What a record says, and whether it certainly took effect before it returned. Nothing if it says nothing.
fn done<'a>(record: &'a Record, ledger: &Ledger, latest: &BTreeMap<u64, i64>) -> Option<(Done<'a>, bool)> {
    if matches!(record.op, Op::Authorize | Op::Permit) {
        let evaluated_ms = millis(&record.output, "evaluatedAt")?;
        return is_on_the_rules(&record.output).then_some((Done::Decided { record, evaluated_ms }, true));
    }
    if record.op != Op::Submit {
        return None;
    }
    if let Some(index) = receipt(&record.output).and_then(|receipt| number(receipt, "ledgerIndex")) {
        let index = usize::try_from(index).ok()?;
        return (index >= ledger.founding).then_some((Done::Accepted { index }, true));
    }
    if record.outcome == Outcome::Unknown {
        let index = *ledger.index.get(record.input.get("id")?.as_str()?)?;
        return (index >= ledger.founding).then_some((Done::Accepted { index }, false));
    }
    let invalid = record.input.get("valid").and_then(Value::as_bool) == Some(false);
    let code = record.output.get("code")?.as_str().filter(|code| !unavailable(code) && !invalid)?;
    let envelope = record.input.get("envelope")?.as_str()?;
    let next = latest.range(record.return_ns?..).next();
    let latest_ms = next.map_or(i64::MIN, |(_, at_ms)| at_ms.saturating_add(SKEW_MS));
    Some((Done::Refused { envelope, code, latest_ms }, true))
}

/// The times that answers name, by when they were invoked.
fn latest_times(history: &History) -> BTreeMap<u64, i64> {
    let time = |record: &Record| match record.op {
        Op::Authorize | Op::Permit => millis(&record.output, "evaluatedAt"),
        Op::Submit => millis(receipt(&record.output)?, "acceptedAt"),
        _ => None,
    };
    history.records.iter().filter_map(|record| Some((record.invoke_ns, time(record)?))).collect()
}
