//! Decides, for the liveness checks, whether a cluster served its clients in a calm stretch of time.

use std::collections::BTreeSet;

use super::faults::{Calm, Fault};
use super::lives::Lives;
use super::read::{is_clients, is_served, list, log_index};
use crate::history::{History, Op, Record};

/// How long a cluster may take to resume, in nanoseconds. The aim is one second; only a time far above it is a
/// violation.
pub(super) const RESUME_NS: u64 = 10_000_000_000;

/// Which operations were not served in the stretch's first [`RESUME_NS`]. There are none if a client was served in it,
/// or if no client asked in its second half early enough to be answered.
///
/// A client is served if it was allowed, accepted or answered, or denied or refused by the rules. S2 judges whether
/// that was right.
pub(super) fn in_vain(history: &History, calm: &Calm<'_, '_>, of: impl Fn(&Record) -> bool) -> Judged {
    let due = calm.from_ns.saturating_add(RESUME_NS);
    let half = calm.from_ns.saturating_add(RESUME_NS / 2);
    let early = due.saturating_sub(RESUME_NS / 10);
    let asked = || {
        history.records.iter().enumerate().filter(|(_, record)| {
            is_clients(record) && of(record) && record.invoke_ns >= calm.from_ns && record.invoke_ns < due
        })
    };
    let patient: Vec<usize> =
        asked().filter(|(_, record)| (half..early).contains(&record.invoke_ns)).map(|(at, _)| at).collect();
    if patient.is_empty() {
        return Judged::NobodyAsked;
    }
    let served = asked()
        .any(|(_, record)| is_served(record) && record.return_ns.is_some_and(|returned| returned <= due));
    if served { Judged::Served } else { Judged::InVain(patient) }
}

/// The voters that no fault affects, that have not lost their disk, and that ran from the stretch's 2nd to its 10th
/// second. The voters are those of the sample until then that has applied most. The result is `None` if no
/// sample names the voters, and `Some(None)` if those left are not a majority of every group of voters.
pub(super) fn voters_left(
    history: &History,
    faults: &[Fault<'_>],
    lives: &Lives,
    calm: &Calm<'_, '_>,
) -> Option<Option<BTreeSet<u64>>> {
    // Not the latest sample: a learner that catches up still shows an old membership.
    let groups = history
        .of(Op::Sample)
        .filter(|(_, sample)| sample.invoke_ns <= calm.from_ns)
        .map(|(_, sample)| (log_index(&sample.output, "applied"), list(&sample.output, "voters")))
        .filter(|(_, groups)| !groups.is_empty())
        .max_by_key(|(applied, _)| *applied)
        .map(|(_, groups)| groups)?;
    let (from, due) = (calm.from_ns.saturating_add(RESUME_NS / 5), calm.from_ns.saturating_add(RESUME_NS));
    let everybody = calm.faults.iter().any(|fault| fault.nodes.is_empty());
    let lost = |node: &u64| {
        faults
            .iter()
            .any(|fault| fault.loses_the_disk() && fault.from_ns <= due && fault.nodes.contains(node))
    };
    let touched = |node: &u64| {
        everybody
            || lost(node)
            || calm.faults.iter().any(|fault| fault.nodes.contains(node))
            || !lives.through(*node, from, due)
    };
    let mut well = BTreeSet::new();
    for group in groups.iter().filter_map(serde_json::Value::as_array) {
        let voters: BTreeSet<u64> = group.iter().filter_map(serde_json::Value::as_u64).collect();
        let left: BTreeSet<u64> = voters.iter().copied().filter(|node| !touched(node)).collect();
        if left.len().saturating_mul(2) <= voters.len() {
            return Some(None);
        }
        well.extend(left);
    }
    Some(Some(well))
}

/// How a stretch went.
pub(super) enum Judged {
    /// No client asked in time, so there is nothing to judge.
    NobodyAsked,
    /// A client was served.
    Served,
    /// These operations were asked in time, and no client was served.
    InVain(Vec<usize>),
}
