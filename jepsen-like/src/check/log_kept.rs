//! S12: a log with a damaged entry does not open; it is never truncated there.
//!
//! After a `bit-flip` of a node, the first sample of its next start shows a log that ends no earlier than what the
//! node had applied before: applied entries are in the log, and were synced there. If the node is not seen again, it
//! did not start, which is right.
//!
//! The check is weaker where the power was cut too. The mark that tells an acknowledged commit from a torn one is
//! synced right after the commit. So the check does not look at the last moment before the damage, nor at a node whose
//! disk was slow.

use super::faults::faults;
use super::samples::{last_before, next_boot, samples};
use super::{Verdict, Violation};
use crate::history::History;

/// How long after its acknowledgement a commit may be lost if the power is cut, in nanoseconds.
const UNMARKED_NS: u64 = 5_000_000;
/// The longest time that a slow disk takes for one sync, in nanoseconds.
const STALL_NS: u64 = 5_000_000_000;

/// Looks at starts after a flipped bit.
pub(super) fn check(history: &History) -> Verdict {
    let samples = samples(history);
    let mut verdict = Verdict::default();
    let faults = faults(history);
    for fault in faults.iter().filter(|fault| fault.kind == "bit-flip") {
        let Some(after) = next_boot(&samples, fault.node, fault.from_ns) else { continue };
        let touches = |kind: &str, from_ns: u64, to_ns: u64| {
            faults.iter().any(|other| {
                other.kind.starts_with(kind)
                    && other.nodes.contains(&fault.node)
                    && other.overlaps(from_ns, to_ns)
            })
        };
        let power_went = touches("power-cut", fault.from_ns, after.ns);
        if power_went && touches("slow-disk", fault.from_ns.saturating_sub(STALL_NS), after.ns) {
            continue;
        }
        let unmarked = if power_went { UNMARKED_NS } else { 0 };
        let Some(before) = last_before(&samples, fault.node, fault.from_ns.saturating_sub(unmarked)) else {
            continue;
        };
        let Some((applied, _)) = before.applied else { continue };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        if after.last_log.max(after.committed) < Some(applied) {
            verdict.violations.push(Violation {
                what: format!(
                    "node {} had applied {applied} and started with a log that ends earlier",
                    fault.node
                ),
                shown_by: vec![before.at, fault.at, after.at],
            });
        }
    }
    verdict
}
