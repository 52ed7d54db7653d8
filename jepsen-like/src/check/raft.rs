//! S7: what Raft promises, as far as samples of the nodes' states show it.
//!
//! - Election safety: no two nodes are seen leading in one term.
//! - Leader completeness: the log of the node that leads in a term reaches every index that a node of an earlier term
//!   saw committed.
//! - Committed entries never change: an applied index always has the same position, on every node and at every time.
//! - A sample shows the vote that is on the node's disk. The vote never falls to an earlier term. Within one term it
//!   is never for a second node, although the node can learn that a quorum voted for another node. Nor does the node
//!   take back that a quorum voted. This holds across starts too, but not across the loss or rollback of its disk,
//!   which S16 judges.
//! - Within one start, the node's term, `committed` and `applied` never fall. Across starts all three may: a term that
//!   is not on the disk yet was told to no other node, and the other two are not synced each time.
//!
//! Samples cannot show that logs match and that only quorums commit. They show the consequence: what is applied never
//! changes.

use std::collections::BTreeMap;

use super::faults::{Fault, faults};
use super::samples::{Sample, samples};
use super::{Verdict, Violation};
use crate::history::History;

/// Looks at samples.
pub(super) fn check(history: &History) -> Verdict {
    let samples = samples(history);
    let faults = faults(history);
    let mut violations = Vec::new();
    elections(&samples, &mut violations);
    completeness(&samples, &mut violations);
    entries(&samples, &mut violations);
    let mut last: BTreeMap<u64, &Sample<'_>> = BTreeMap::new();
    for sample in &samples {
        if let Some(before) = last.insert(sample.node, sample) {
            let lost = faults.iter().any(|fault| loses_disk(fault, before, sample));
            violations.extend(falls(before, sample, lost));
        }
    }
    Verdict { looked_at: u64::try_from(samples.len()).unwrap_or(u64::MAX), violations }
}

fn elections(samples: &[Sample<'_>], violations: &mut Vec<Violation>) {
    let mut leaders: BTreeMap<u64, &Sample<'_>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.leads()) {
        let first = leaders.entry(sample.term).or_insert(sample);
        if first.node != sample.node {
            let what = format!("nodes {} and {} lead in term {}", first.node, sample.node, sample.term);
            violations.push(Violation { what, shown_by: vec![first.at, sample.at] });
        }
    }
}

fn completeness(samples: &[Sample<'_>], violations: &mut Vec<Violation>) {
    // The furthest index that was seen committed in each term.
    let mut furthest: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
    for sample in samples {
        let Some(committed) = sample.committed else { continue };
        let known = furthest.entry(sample.term).or_insert((committed, sample.at));
        *known = (*known).max((committed, sample.at));
    }
    for leader in samples.iter().filter(|sample| sample.leads()) {
        let earlier = furthest.range(..leader.term).map(|(_, known)| known).max();
        let (Some((committed, seen)), Some(last)) = (earlier, leader.last_log) else { continue };
        if last < *committed {
            let what = format!(
                "node {} leads in term {} with a log up to {last}, and {committed} was committed before",
                leader.node, leader.term
            );
            violations.push(Violation { what, shown_by: vec![*seen, leader.at] });
        }
    }
}

fn entries(samples: &[Sample<'_>], violations: &mut Vec<Violation>) {
    let mut known: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
    for sample in samples {
        let Some((index, term)) = sample.applied else { continue };
        let (first, at) = *known.entry(index).or_insert((term, sample.at));
        if first != term {
            let what = format!("entry {index} was applied as of term {first} and as of term {term}");
            violations.push(Violation { what, shown_by: vec![at, sample.at] });
        }
    }
}

fn loses_disk(fault: &Fault<'_>, before: &Sample<'_>, after: &Sample<'_>) -> bool {
    matches!(fault.kind, "wipe" | "rollback")
        && fault.node == after.node
        && fault.overlaps(before.ns, after.ns)
}

/// Which of its promises a node took back between two samples.
fn falls(before: &Sample<'_>, after: &Sample<'_>, lost_disk: bool) -> Vec<Violation> {
    let mut what = Vec::new();
    if let (Some(old), Some(new), false) = (before.vote, after.vote, lost_disk) {
        if new.term < old.term {
            what.push(format!("its vote fell from term {} to {}", old.term, new.term));
        } else if old.is_broken_by(new) {
            what.push(format!("it voted for {} and for {} in term {}", old.node, new.node, new.term));
        } else if new.term == old.term && old.committed && !new.committed {
            what.push(format!("it took back that a quorum voted for {} in term {}", new.node, new.term));
        }
    }
    if before.boot == after.boot {
        if after.term < before.term {
            what.push(format!("its term fell from {} to {}", before.term, after.term));
        }
        if after.committed < before.committed {
            what.push(format!("committed fell from {:?} to {:?}", before.committed, after.committed));
        }
        let applied = |sample: &Sample<'_>| sample.applied.map(|(index, _)| index);
        if applied(after) < applied(before) {
            what.push(format!("applied fell from {:?} to {:?}", applied(before), applied(after)));
        }
    }
    let shown_by = vec![before.at, after.at];
    let violation =
        |what| Violation { what: format!("node {}: {what}", after.node), shown_by: shown_by.clone() };
    what.into_iter().map(violation).collect()
}
