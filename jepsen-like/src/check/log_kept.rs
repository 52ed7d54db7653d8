//! S12: a log with a damaged entry does not open; it is never cut there.
//!
//! After a `bit-flip` of a node, the first sample of its next start shows a log that ends no earlier than what the node had
//! applied before: entries that were applied are in the log, and were synced there. A node that is not seen again did not
//! start, which is right.
//!
//! Weaker where the power went as well: by then the file that tells an acknowledged commit from a torn one may be lost with
//! it, so a log may have lost the very last commit. Such a node must not lead and not allow until its next start: its peers
//! remember what it acknowledged.

use super::faults::{Fault, faults};
use super::samples::{Sample, last_before, next_boot, samples};
use super::{Verdict, Violation};
use crate::history::History;

/// Starts after a flipped bit are looked at.
pub(super) fn check(history: &History) -> Verdict {
    let samples = samples(history);
    let mut verdict = Verdict::default();
    let faults = faults(history);
    for fault in faults.iter().filter(|fault| fault.kind == "bit-flip") {
        let before = last_before(&samples, fault.node, fault.from_ns);
        let after = next_boot(&samples, fault.node, fault.from_ns);
        let (Some(before), Some(after)) = (before, after) else { continue };
        let Some((applied, _)) = before.applied else { continue };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        if after.last_log.max(after.committed) >= Some(applied) {
            continue;
        }
        let mut shown_by = vec![before.at, fault.at, after.at];
        let mut what =
            format!("node {} had applied {applied} and started with a log that ends earlier", fault.node);
        if faults.iter().any(|other| cuts_power(other, before, after)) {
            let Some(harm) = harm(history, &samples, after) else { continue };
            what.push_str(", and was let lead or allow");
            shown_by.push(harm);
        }
        verdict.violations.push(Violation { what, shown_by });
    }
    verdict
}

/// Whether it may have taken the node's power between these two looks.
fn cuts_power(fault: &Fault<'_>, before: &Sample<'_>, after: &Sample<'_>) -> bool {
    fault.kind.starts_with("power-cut")
        && fault.nodes.contains(&before.node)
        && fault.overlaps(before.ns, after.ns)
}

/// The first record in which a start of a node leads or allows.
fn harm(history: &History, samples: &[Sample<'_>], start: &Sample<'_>) -> Option<usize> {
    let until = next_boot(samples, start.node, start.ns).map_or(u64::MAX, |next| next.ns);
    let within = |ns: u64| ns >= start.ns && ns < until;
    let leads =
        samples.iter().find(|sample| sample.node == start.node && within(sample.ns) && sample.leads());
    let allows = history.records.iter().position(|record| {
        record.node == start.node
            && record.is_allow()
            && within(record.invoke_ns)
            && record.return_ns.is_some_and(within)
    });
    leads.map(|sample| sample.at).or(allows)
}
