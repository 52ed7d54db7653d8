//! S2: each domain's history is linearizable against the [`Model`](crate::model::Model), and every decision is the
//! model's at the revision that it names.
//!
//! Two checks share nothing except the model. [`search`] looks for an order of each domain's operations that explains
//! every answer; it does not trust the revisions that answers name. [`replay`] goes through the final ledger once. It
//! compares each decision with the model at exactly its revision, each receipt with its leaf, and revisions with real
//! time. A deny because the registry cannot know is always legal; an allow, or a deny by the rules, must be as the
//! rules say.
//!
//! A domain's history is judged together with what founded the registry and what clients submitted to `_root`. One
//! rule crosses domains: a key has one role in one domain. So a workload that grants one key in two domains cannot be
//! judged domain by domain.

mod ledger;
mod replay;
mod search;

use serde_json::Value;

use super::Verdict;
use crate::history::History;
use ledger::Ledger;

/// Judges a history. A history without a ledger has nothing to look at.
pub(super) fn check(history: &History) -> Verdict {
    let Some(ledger) = Ledger::of(history) else { return Verdict::default() };
    let mut verdict = replay::check(history, &ledger);
    let searched = search::check(history, &ledger);
    verdict.looked_at = verdict.looked_at.saturating_add(searched.looked_at);
    verdict.violations.extend(searched.violations);
    verdict
}

/// Whether a code says that the registry could not know or that the request was wrong, so that any state may answer
/// it. For a checkpoint of another registry, `registry_diverged` means more, see
/// [`is_peers_divergence`](super::read::is_peers_divergence).
fn unavailable(code: &str) -> bool {
    matches!(
        code,
        "no_quorum"
            | "deadline_exceeded"
            | "overloaded"
            | "clock_uncertain"
            | "revision_not_reached"
            | "registry_diverged"
            | "evidence_mutated"
            | "caller_not_permitted"
    )
}

/// The codes of a decision's reasons.
fn reasons(output: &Value) -> Vec<&str> {
    let reasons = output.get("reasons").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    reasons.iter().filter_map(|reason| reason.get("code")?.as_str()).collect()
}

/// Whether this is a decision by the rules. A missing answer is not, nor is a decision that the registry could not
/// make.
fn is_on_the_rules(output: &Value) -> bool {
    output.get("decision").is_some() && !reasons(output).into_iter().any(unavailable)
}

/// The receipt of a submission, also that of an equivocation.
fn receipt(output: &Value) -> Option<&Value> {
    let direct = output.get("ledgerIndex").is_some().then_some(output);
    direct.or_else(|| output.get("receipt").filter(|receipt| receipt.get("ledgerIndex").is_some()))
}

/// A number of a JSON object.
fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64()
}

/// A time of a JSON object.
fn millis(value: &Value, name: &str) -> Option<i64> {
    value.get(name)?.as_i64()
}
