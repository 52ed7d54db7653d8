//! L4: a majority that nothing is wrong with serves, whatever the others do.
//!
//! In every stretch of at least 10 s in which no fault begins or ends and some bite, but none touches a majority of the
//! voters, a client of one of the untouched voters is served within its first 10 s; judged only if one of them asked between
//! its 5th and its 9th second. The voters are those of the newest sample by then that knows of any; while they change, every
//! group has to have an untouched majority. Without samples nothing is judged. A fault without nodes touches everybody.

use std::collections::BTreeSet;

use super::faults::{Calm, calms, faults};
use super::read::{end_ns, list};
use super::serves::{Judged, RESUME_NS, in_vain};
use super::{Verdict, Violation};
use crate::history::{History, Op};

/// Stretches in which somebody asked an untouched majority are looked at.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let faults = faults(history);
    for calm in calms(&faults, end_ns(history), RESUME_NS) {
        let Some(well) = untouched_majority(history, &calm) else { continue };
        match in_vain(history, &calm, |record| well.contains(&record.node)) {
            Judged::NobodyAsked => {}
            Judged::Served => verdict.looked_at = verdict.looked_at.saturating_add(1),
            Judged::InVain(patient) => {
                verdict.looked_at = verdict.looked_at.saturating_add(1);
                let what = format!(
                    "nodes {well:?} are a majority that nothing is wrong with, and served nobody in the 10 s after {} ns",
                    calm.from_ns
                );
                let faults = calm.faults.iter().map(|fault| fault.at);
                verdict.violations.push(Violation { what, shown_by: faults.chain(patient).collect() });
            }
        }
    }
    verdict
}

/// The untouched voters, if some fault bites and they are a majority.
fn untouched_majority(history: &History, calm: &Calm<'_, '_>) -> Option<BTreeSet<u64>> {
    if calm.faults.is_empty() || calm.faults.iter().any(|fault| fault.nodes.is_empty()) {
        return None;
    }
    let touched: BTreeSet<u64> = calm.faults.iter().flat_map(|fault| fault.nodes.iter().copied()).collect();
    let samples = history.of(Op::Sample).filter(|(_, sample)| sample.invoke_ns <= calm.from_ns);
    let groups = samples
        .map(|(_, sample)| list(&sample.output, "voters"))
        .filter(|groups| !groups.is_empty())
        .last()?;
    let mut well = BTreeSet::new();
    for group in groups {
        let voters: BTreeSet<u64> = group.as_array()?.iter().filter_map(serde_json::Value::as_u64).collect();
        let left: BTreeSet<u64> = voters.difference(&touched).copied().collect();
        if left.len().saturating_mul(2) <= voters.len() {
            return None;
        }
        well.extend(left);
    }
    Some(well)
}
