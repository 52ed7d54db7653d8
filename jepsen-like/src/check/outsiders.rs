//! S13: a node that is not a voter neither leads nor allows.
//!
//! A node is outside when all other nodes agree on it. Every voter that any other node's sample names must have
//! samples of its own. In all of them, from the last one at least 10 s before the moment (or before the operation's
//! beginning) to 10 s after it (or after its end), no group of voters has the node. Then the node must not be seen
//! leading in a term in which it was not seen leading before, and must not allow. What the node itself holds as the
//! membership does not count: a removed node may never have been told.
//!
//! The 10 s of grace have two reasons. A sample shows a membership when it is in the log, not when it is committed.
//! And a leader that removes itself leads until its removal is committed, which happens soon once no node has the old
//! membership.

use std::collections::{BTreeMap, BTreeSet};

use super::samples::{Sample, samples};
use super::{Verdict, Violation};
use crate::history::{History, Op};

/// For how long all other nodes must have agreed, in nanoseconds.
const GRACE_NS: u64 = 10_000_000_000;

/// Looks at answers and elections of nodes that were outside.
pub(super) fn check(history: &History) -> Verdict {
    let samples = samples(history);
    let mut views = Views::new();
    for sample in &samples {
        views.entry(sample.node).or_default().push(sample);
    }
    let mut verdict = Verdict::default();
    let answers = history.records.iter().enumerate().filter_map(|(at, record)| {
        let asked = matches!(record.op, Op::Authorize | Op::Permit);
        asked.then_some((at, record, record.return_ns?))
    });
    for (at, record, returned) in answers {
        let Some(shown_by) = outside(&views, record.node, record.invoke_ns, returned) else {
            continue;
        };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        if record.is_allow() {
            let what = format!("node {} is not a voter and allowed", record.node);
            verdict.violations.push(Violation { what, shown_by: shown_by.into_iter().chain([at]).collect() });
        }
    }
    let mut led: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for sample in &samples {
        let anew = sample.leads() && led.entry(sample.node).or_default().insert(sample.term);
        let Some(shown_by) = outside(&views, sample.node, sample.ns, sample.ns) else { continue };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        if anew {
            let what = format!("node {} is not a voter and leads in term {}", sample.node, sample.term);
            verdict
                .violations
                .push(Violation { what, shown_by: shown_by.into_iter().chain([sample.at]).collect() });
        }
    }
    verdict
}

/// Each node's samples, in order.
type Views<'s, 'h> = BTreeMap<u64, Vec<&'s Sample<'h>>>;

/// The samples of all other nodes, if they agree that the node is outside.
fn outside(views: &Views<'_, '_>, node: u64, from_ns: u64, to_ns: u64) -> Option<BTreeSet<usize>> {
    let from_ns = from_ns.checked_sub(GRACE_NS)?;
    let to_ns = to_ns.saturating_add(GRACE_NS);
    let mut shown_by = BTreeSet::new();
    let mut voters = BTreeSet::new();
    let mut heard = BTreeSet::new();
    for (other, views) in views.iter().filter(|(other, _)| **other != node) {
        // The last sample before that time counts too.
        let begin = views.partition_point(|view| view.ns <= from_ns).saturating_sub(1);
        let end = views.partition_point(|view| view.ns <= to_ns);
        for view in views.get(begin..end).unwrap_or(&[]).iter().filter(|view| !view.voters.is_empty()) {
            if view.voters.contains(&node) {
                return None;
            }
            voters.extend(&view.voters);
            if view.ns <= from_ns {
                heard.insert(*other);
                shown_by.insert(view.at);
            }
        }
    }
    (!voters.is_empty() && voters.is_subset(&heard)).then_some(shown_by)
}
