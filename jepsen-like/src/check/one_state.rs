//! S5: nodes that have applied the same entries hold the same state.
//!
//! Two records of ledgers with an equal `applied` have an equal `digest`, from whichever nodes and at whatever times
//! they were taken. And whatever any node ever returned of its ledger, in a page of events or at the end, agrees with
//! everything else that was returned, index by index. The Merkle root is a function of the leaves' indexes, ids and
//! times, so the check compares these.

use std::collections::BTreeMap;

use super::book::ledgers;
use super::read::{list, log_index, number, text};
use super::{Verdict, Violation};
use crate::history::{History, Op};

/// Looks at digests and leaves that could be compared with an earlier one.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    digests(history, &mut verdict);
    leaves(history, &mut verdict);
    verdict
}

fn digests(history: &History, verdict: &mut Verdict) {
    let mut by_applied: BTreeMap<u64, (usize, &str)> = BTreeMap::new();
    for ledger in ledgers(history) {
        let (applied, digest) = (log_index(ledger.output, "applied"), text(ledger.output, "digest"));
        let (Some(applied), Some(digest)) = (applied, digest) else { continue };
        let Some((first, known)) = by_applied.get(&applied) else {
            by_applied.insert(applied, (ledger.at, digest));
            continue;
        };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        if *known != digest {
            let what = format!("at applied index {applied} one digest is `{known}` and another `{digest}`");
            verdict.violations.push(Violation { what, shown_by: vec![*first, ledger.at] });
        }
    }
}

fn leaves(history: &History, verdict: &mut Verdict) {
    let mut ids: BTreeMap<u64, (usize, &str)> = BTreeMap::new();
    let mut times: BTreeMap<u64, (usize, u64)> = BTreeMap::new();
    for (at, record) in &mut history.records.iter().enumerate() {
        let told = match record.op {
            Op::Ledger => list(&record.output, "leaves"),
            Op::Events => list(&record.output, "events"),
            _ => continue,
        };
        for leaf in told {
            let (Some(index), Some(id)) = (number(leaf, "index"), text(leaf, "evidenceId")) else { continue };
            let (first, known) = *ids.entry(index).or_insert((at, id));
            verdict.looked_at = verdict.looked_at.saturating_add(u64::from(first != at));
            if known != id {
                let what = format!("leaf {index} is `{known}` and `{id}`");
                verdict.violations.push(Violation { what, shown_by: vec![first, at] });
            }
            let Some(time) = number(leaf, "acceptedAt") else { continue };
            let (first, known) = *times.entry(index).or_insert((at, time));
            if known != time {
                let what = format!("leaf {index} was accepted at {known} and at {time}");
                verdict.violations.push(Violation { what, shown_by: vec![first, at] });
            }
        }
    }
}
