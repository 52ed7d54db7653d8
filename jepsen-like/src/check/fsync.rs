//! S11: a node whose disk failed acknowledges nothing and votes for no node.
//!
//! The check looks at the time from an `fsync-failed` of a node until its next start. That is the fault's end, the
//! first sample of a later start, or the end of the run. Nothing that was asked of the node and answered within that
//! time is accepted or allowed. And no sample later than the usual delay of samples shows a vote for itself or for
//! another node, or a term in which it leads, that the node did not have when the disk failed. That the node never
//! tries the fsync again cannot be seen in a history.

use super::faults::{Fault, faults};
use super::read::is_clients;
use super::samples::{SAMPLE_LAG_NS, Sample, last_before, next_boot, samples};
use super::{Verdict, Violation};
use crate::history::{History, Op, Outcome, Record};

/// Looks at what nodes with a failed disk answered, and at their samples.
pub(super) fn check(history: &History) -> Verdict {
    let samples = samples(history);
    let mut verdict = Verdict::default();
    for fault in faults(history).iter().filter(|fault| fault.kind == "fsync-failed") {
        let boot = next_boot(&samples, fault.node, fault.from_ns).map_or(u64::MAX, |sample| sample.ns);
        let end = boot.min(fault.to_ns);
        for (at, record) in history.records.iter().enumerate() {
            if !is_within(record, fault, end) {
                continue;
            }
            verdict.looked_at = verdict.looked_at.saturating_add(1);
            if record.outcome == Outcome::Ok && record.op != Op::Events {
                let what = format!("node {} acknowledged after its disk had failed", fault.node);
                verdict.violations.push(Violation { what, shown_by: vec![fault.at, at] });
            }
        }
        let Some(before) = last_before(&samples, fault.node, fault.from_ns) else { continue };
        let seen = samples.iter().filter(|sample| {
            sample.node == fault.node
                && sample.ns > fault.from_ns.saturating_add(SAMPLE_LAG_NS)
                && sample.ns < end
        });
        for sample in seen {
            verdict.looked_at = verdict.looked_at.saturating_add(1);
            if votes_anew(before, sample) {
                let what = format!("node {} voted after its disk had failed", fault.node);
                verdict.violations.push(Violation { what, shown_by: vec![before.at, fault.at, sample.at] });
                break;
            }
        }
    }
    verdict
}

fn is_within(record: &Record, fault: &Fault<'_>, end: u64) -> bool {
    is_clients(record)
        && record.node == fault.node
        && record.invoke_ns > fault.from_ns
        && record.return_ns.is_some_and(|returned| returned < end)
}

fn votes_anew(before: &Sample<'_>, after: &Sample<'_>) -> bool {
    let leads_anew = after.leads() && after.term > before.term;
    let given = after.vote.filter(|vote| !vote.committed && vote.term > 0);
    let had = before.vote.map(|vote| (vote.term, vote.node));
    leads_anew || given.is_some_and(|vote| Some((vote.term, vote.node)) != had)
}
