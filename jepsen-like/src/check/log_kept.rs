//! S12: a log with a damaged entry does not open; it is never cut there.
//!
//! After a `bit-flip` of a node, the first sample of its next start shows a log that ends no earlier than what the node had
//! applied before: entries that were applied are in the log, and were synced there. A node that is not seen again did not
//! start, which is right.

use super::faults::faults;
use super::samples::{last_before, next_boot, samples};
use super::{Verdict, Violation};
use crate::history::History;

/// Starts after a flipped bit are looked at.
pub(super) fn check(history: &History) -> Verdict {
    let samples = samples(history);
    let mut verdict = Verdict::default();
    for fault in faults(history).iter().filter(|fault| fault.kind == "bit-flip") {
        let before = last_before(&samples, fault.node, fault.from_ns);
        let after = next_boot(&samples, fault.node, fault.from_ns);
        let (Some(before), Some(after)) = (before, after) else { continue };
        let Some((applied, _)) = before.applied else { continue };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        if after.last_log.max(after.committed) < Some(applied) {
            let what =
                format!("node {} had applied {applied} and started with a log that ends earlier", fault.node);
            verdict.violations.push(Violation { what, shown_by: vec![before.at, fault.at, after.at] });
        }
    }
    verdict
}
