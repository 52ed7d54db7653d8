//! S4: no leaf appears that was not submitted, and none appears twice.
//!
//! In the last ledger of every node, each leaf is one of four: a leaf from the founding (those that share the first
//! leaf's time), a statement that was submitted and not certainly refused, a `rules` statement of the nodes' own, or
//! the permit of a question that a client asked with exactly that request. A refusal that says `unknown` refused
//! nothing, and a denied permit may have been recorded before it was denied.
//!
//! No id is in a ledger twice. All receipts of one id are equal, whichever clients got them and however often. Only a
//! restriction can be answered with the receipt of another id.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::book::{Leaf, Ledger, last_ledgers};
use super::faults::{Fault, faults};
use super::read::{Receipt, StatementContent, may_be_accepted, receipt, request, text};
use super::{Verdict, Violation};
use crate::history::{History, Op, Record};

/// Looks at leaves and receipts.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    leaves(history, &mut verdict);
    receipts(history, &mut verdict);
    verdict
}

fn leaves(history: &History, verdict: &mut Verdict) {
    let asked = Asked::of(history);
    for ledger in last_ledgers(history) {
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        for leaf in &ledger.leaves {
            verdict.looked_at = verdict.looked_at.saturating_add(1);
            if let Some(first) = seen.insert(leaf.id, leaf.index) {
                let what = format!("`{}` is leaf {first} and leaf {}", leaf.id, leaf.index);
                verdict.violations.push(Violation { what, shown_by: vec![ledger.at] });
            }
        }
        for leaf in ledger.leaves.iter().skip(ledger.founded_with()) {
            verdict.violations.extend(asked.judge(history, &ledger, leaf));
        }
    }
}

/// What clients asked for.
struct Asked<'h> {
    submitted: BTreeSet<&'h str>,
    permits: Vec<Value>,
}

impl<'h> Asked<'h> {
    fn of(history: &'h History) -> Self {
        let repeats: Vec<Fault<'_>> =
            faults(history).into_iter().filter(|fault| fault.kind == "repeat").collect();
        let said_again = |submit: &Record| {
            let until = submit.return_ns.unwrap_or(u64::MAX);
            repeats.iter().any(|fault| fault.node == submit.node && fault.overlaps(submit.invoke_ns, until))
        };
        let submits =
            history.of(Op::Submit).filter(|(_, submit)| may_be_accepted(submit) || said_again(submit));
        let permits = history.of(Op::Permit).map(|(_, asked)| request(&asked.input));
        Self {
            submitted: submits.filter_map(|(_, submit)| text(&submit.input, "id")).collect(),
            permits: permits.collect(),
        }
    }

    fn judge(&self, history: &History, ledger: &Ledger<'_>, leaf: &Leaf<'_>) -> Option<Violation> {
        if self.submitted.contains(leaf.id) {
            return None;
        }
        let said = StatementContent::of(leaf.envelope);
        let why = match said.as_ref().map(|said| (said.kind.as_str(), &said.claims)) {
            Some(("rules", _)) => return None,
            Some(("permit", claims)) => {
                let permitted = claims.get("request").map(request);
                if permitted.is_some_and(|permitted| self.permits.contains(&permitted)) {
                    return None;
                }
                "is a permit that no client asked for"
            }
            _ if refused(history, leaf.id).is_some() => "was refused",
            _ => "was never submitted",
        };
        let what = format!("leaf {} (`{}`) on node {} {why}", leaf.index, leaf.id, ledger.node);
        Some(Violation { what, shown_by: refused(history, leaf.id).into_iter().chain([ledger.at]).collect() })
    }
}

fn refused(history: &History, id: &str) -> Option<usize> {
    let mut submits = history.of(Op::Submit);
    submits.find(|(_, submit)| text(&submit.input, "id") == Some(id)).map(|(at, _)| at)
}

fn receipts(history: &History, verdict: &mut Verdict) {
    let mut by_id: BTreeMap<String, (usize, Receipt)> = BTreeMap::new();
    let mut by_index: BTreeMap<u64, (usize, String)> = BTreeMap::new();
    for (at, record) in history.records.iter().enumerate() {
        let Some(receipt) = receipt(record) else { continue };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let mut push = |what, shown_by| verdict.violations.push(Violation { what, shown_by });
        if is_of_another_statement(record, &receipt) {
            push(format!("the receipt is that of `{}`", receipt.id), vec![at]);
        }
        let (index, id) = (receipt.index, receipt.id.clone());
        let (first, known) = by_id.entry(id.clone()).or_insert((at, receipt.clone()));
        if *known != receipt {
            push(format!("`{id}` has two receipts: {known:?} and {receipt:?}"), vec![*first, at]);
        }
        let (first, known) = by_index.entry(index).or_insert((at, id.clone()));
        if *known != id {
            push(format!("leaf {index} was acknowledged as `{known}` and as `{id}`"), vec![*first, at]);
        }
    }
}

/// Whether the receipt is of another statement, which only a restriction that adds nothing can have as its answer.
fn is_of_another_statement(record: &Record, receipt: &Receipt) -> bool {
    let (Some(id), Some(envelope)) = (text(&record.input, "id"), text(&record.input, "envelope")) else {
        return false;
    };
    let restricts = |said: StatementContent| matches!(said.kind.as_str(), "revocation" | "containment");
    id != receipt.id && !StatementContent::of(envelope).is_some_and(restricts)
}
