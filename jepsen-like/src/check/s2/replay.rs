//! Goes through the final ledger once and checks four things: the rules accept each leaf, each decision is the model's
//! at the revision that it names, each receipt is that of its leaf, and revisions follow real time.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ledger::{Leaf, Ledger};
use super::{is_on_the_rules, number, reasons, receipt, unavailable};
use crate::check::{Verdict, Violation};
use crate::history::{History, Op, Outcome, Record};
use crate::model::{Model, SubmitAnswer};

/// Judges a history by its final ledger.
pub(super) fn check(history: &History, ledger: &Ledger) -> Verdict {
    let mut verdict = Verdict::default();
    let mut at_revision: BTreeMap<u64, Vec<(usize, &Record)>> = BTreeMap::new();
    for (place, record) in history.of(Op::Authorize).chain(history.of(Op::Permit)) {
        if is_on_the_rules(&record.output) {
            let revision = number(&record.output, "revision").unwrap_or(u64::MAX);
            at_revision.entry(revision).or_default().push((place, record));
        }
    }
    let mut model = ledger.founded();
    for revision in ledger.founding..=ledger.leaves.len() {
        let here = u64::try_from(revision).ok().and_then(|revision| at_revision.remove(&revision));
        for (place, record) in here.unwrap_or_default() {
            verdict.looked_at = verdict.looked_at.saturating_add(1);
            if let Err(what) = compare(&model, record) {
                verdict.violations.push(Violation { what, shown_by: vec![place, ledger.record] });
            }
        }
        if let Some(leaf) = ledger.leaves.get(revision) {
            verdict.looked_at = verdict.looked_at.saturating_add(1);
            model = accept(&model, leaf).unwrap_or_else(|what| {
                let what =
                    format!("leaf {revision}, {} `{}`, is in the ledger, but {what}", leaf.kind, leaf.id);
                verdict.violations.push(Violation { what, shown_by: vec![ledger.record] });
                model.founded_with(&leaf.envelope, leaf.accepted_ms).unwrap_or_else(|| model.clone())
            });
        }
    }
    for (revision, records) in at_revision {
        let what = format!("decided at revision {revision}, which no ledger has that can decide");
        let shown_by = records.into_iter().map(|(place, _)| place).collect();
        verdict.violations.push(Violation { what, shown_by });
    }
    receipts(history, ledger, &mut verdict);
    real_time(history, &mut verdict);
    verdict
}

/// The model with one more leaf, if the rules accept it.
fn accept(model: &Model, leaf: &Leaf) -> Result<Model, String> {
    if leaf.kind == "permit" {
        let recorded = model.record_permit(&leaf.request, &leaf.envelope, leaf.accepted_ms);
        return recorded.map_err(|judged| format!("the rules do not permit it: {:?}", judged.reasons));
    }
    if leaf.kind == "rules" {
        let raised = model.record_rules(&leaf.envelope, leaf.accepted_ms);
        return raised.map_err(|code| format!("by the rules it is refused with `{code}`"));
    }
    match model.submit(&leaf.envelope, leaf.accepted_ms) {
        (next, SubmitAnswer::Accepted(_) | SubmitAnswer::Equivocation(_)) if next.len() > model.len() => {
            Ok(next)
        }
        (_, answer) => Err(format!("by the rules the answer is {answer:?}")),
    }
}

/// Compares a decision with the model's.
fn compare(model: &Model, record: &Record) -> Result<(), String> {
    let output = &record.output;
    let evaluated = super::millis(output, "evaluatedAt").ok_or("a decision without a time")?;
    let revision = number(output, "revision").unwrap_or_default();
    if number(&record.input, "minRevision").is_some_and(|least| least > revision) {
        return Err(format!("decided at revision {revision}, before the one asked for"));
    }
    disagreement(model, record, evaluated)
        .map_or(Ok(()), |what| Err(format!("at revision {revision} {what}")))
}

/// How a decision by the rules differs from the model's, if it does.
pub(super) fn disagreement(model: &Model, record: &Record, evaluated_ms: i64) -> Option<String> {
    let output = &record.output;
    let judged = match record.op {
        Op::Permit => model.permit(&record.input, evaluated_ms),
        _ => model.authorize(&record.input, evaluated_ms),
    };
    let said: std::collections::BTreeSet<&str> = reasons(output).into_iter().collect();
    let allowed = output.get("decision").and_then(Value::as_str) == Some("allow");
    if allowed != said.is_empty() || allowed != (record.outcome == Outcome::Ok) {
        return Some("the decision, its reasons and its outcome contradict one another".to_owned());
    }
    if judged.reasons != said {
        return Some(format!("the answer is {said:?} and by the rules {:?}", judged.reasons));
    }
    let said_until_ms = super::millis(output, "validUntil");
    if said_until_ms != Some(judged.valid_until_ms) {
        return Some(format!(
            "it holds until {said_until_ms:?} and by the rules until {}",
            judged.valid_until_ms
        ));
    }
    let permit = output.get("permit").filter(|permit| !permit.is_null());
    let index = permit.and_then(|permit| number(permit, "ledgerIndex"));
    let recorded = judged.permit.and_then(|place| model.id_at(place));
    let same_id = recorded == permit.and_then(|permit| permit.get("evidenceId")?.as_str());
    (allowed && record.op == Op::Permit && !(same_id && index.is_some()))
        .then(|| format!("the permit is {permit:?} and by the rules {recorded:?}"))
}

/// Every receipt names its leaf, and a statement that is not validly signed has no receipt.
fn receipts(history: &History, ledger: &Ledger, verdict: &mut Verdict) {
    let submits = history.of(Op::Submit).map(|(place, record)| (place, record, receipt(&record.output)));
    let permits = history
        .of(Op::Permit)
        .map(|(place, record)| (place, record, record.output.get("permit").and_then(receipt)));
    for (place, record, receipt) in submits.chain(permits) {
        let Some(receipt) = receipt else { continue };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let index = number(receipt, "ledgerIndex").unwrap_or(u64::MAX);
        let leaf = usize::try_from(index).ok().and_then(|index| ledger.leaves.get(index));
        let id = receipt.get("evidenceId").and_then(Value::as_str);
        let submitted = record.input.get("id").and_then(Value::as_str);
        let same = leaf.is_some_and(|leaf| {
            // A restriction that adds nothing gets the receipt of the restriction in force.
            let restricts = matches!(leaf.kind.as_str(), "revocation" | "containment");
            let its_own = submitted.is_none_or(|submitted| submitted == leaf.id || restricts);
            Some(leaf.id.as_str()) == id
                && Some(leaf.accepted_ms) == super::millis(receipt, "acceptedAt")
                && its_own
        });
        let forged = record.input.get("valid").and_then(Value::as_bool) == Some(false);
        if !same || forged || number(receipt, "revision") != index.checked_add(1) {
            let what = format!("the receipt {receipt} is not that of leaf {index}");
            verdict.violations.push(Violation { what, shown_by: vec![place, ledger.record] });
        }
    }
}

/// What an operation tells of the ledger's size: the size that it had at least when the operation returned, and
/// whether the decision was made exactly there.
fn revision_of(record: &Record) -> Option<(u64, bool)> {
    match record.op {
        Op::Authorize | Op::Permit => {
            let knew = !reasons(&record.output).into_iter().any(unavailable);
            Some((number(&record.output, "revision")?, knew))
        }
        Op::Submit => {
            let receipt = receipt(&record.output)?;
            let fresh = record.output.get("repeated").and_then(Value::as_bool) == Some(false);
            Some((number(receipt, "revision")?, fresh))
        }
        _ => None,
    }
}

/// An operation that was invoked after another one returned sees everything that the other one had seen, and what it
/// adds comes after that.
fn real_time(history: &History, verdict: &mut Verdict) {
    let mut returned: Vec<(u64, u64, usize)> = Vec::new();
    for (place, record) in history.records.iter().enumerate() {
        if let (Some(at), Some((revision, _))) = (record.return_ns, revision_of(record)) {
            returned.push((at, revision, place));
        }
    }
    returned.sort_unstable();
    let mut returned = returned.into_iter().peekable();
    let mut newest = (0, None);
    for (place, record) in history.records.iter().enumerate() {
        while let Some((_, revision, by)) = returned.next_if(|(at, _, _)| *at < record.invoke_ns) {
            newest = newest.max((revision, Some(by)));
        }
        let Some((revision, true)) = revision_of(record) else { continue };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let least = newest.0.saturating_add(u64::from(record.op == Op::Submit));
        if revision < least {
            let what = format!("revision {revision}, asked for when {} had been answered", newest.0);
            verdict
                .violations
                .push(Violation { what, shown_by: newest.1.into_iter().chain([place]).collect() });
        }
    }
}
