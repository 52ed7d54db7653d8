//! L3: once the faults have stopped, all nodes come to hold the same state.
//!
//! The last record of every node's ledger shows the same revision and the same digest. The check leaves out nodes that
//! a fault still affects, and nodes that no other node's last sample names as a member. If a node could not be read,
//! that is a violation of its own, unless the node is left out, or no other node's last sample names it as a voter: a
//! learner's reads are not confirmed. The harness, not this check, makes sure that it waited long enough before it
//! read the ledgers, and while it read them.

use std::collections::{BTreeMap, BTreeSet};

use super::faults::faults;
use super::read::{end_ns, number, text};
use super::samples::{Sample, samples};
use super::{Verdict, Violation};
use crate::history::{History, Op, Outcome, Record};

/// Looks at the last record of each ledger, except the first.
pub(super) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let last: BTreeMap<u64, (usize, &Record)> =
        history.of(Op::Ledger).map(|(at, record)| (record.node, (at, record))).collect();
    let end = end_ns(history);
    let bitten: BTreeSet<u64> =
        faults(history).into_iter().filter(|fault| fault.to_ns > end).flat_map(|fault| fault.nodes).collect();
    let samples = samples(history);
    let mut first: Option<(usize, &Record)> = None;
    for (node, (at, record)) in &last {
        if bitten.contains(node)
            || is_none_of(&samples, *node, |sample| sample.voters.iter().chain(&sample.learners).collect())
        {
            continue;
        }
        if record.outcome != Outcome::Ok {
            if is_none_of(&samples, *node, |sample| sample.voters.iter().collect()) {
                continue;
            }
            let what = format!("node {node} could not be read in the end");
            verdict.violations.push(Violation { what, shown_by: vec![*at] });
            continue;
        }
        let (first, other) = *first.get_or_insert((*at, record));
        verdict.looked_at = verdict.looked_at.saturating_add(u64::from(first != *at));
        let held = |record: &Record| {
            (number(&record.output, "revision"), text(&record.output, "digest").map(str::to_owned))
        };
        if held(other) != held(record) {
            let what = format!("in the end nodes {} and {node} hold different states", other.node);
            verdict.violations.push(Violation { what, shown_by: vec![first, *at] });
        }
    }
    verdict
}

/// Whether other nodes have samples, and none of their last samples counts the node among these.
fn is_none_of(samples: &[Sample<'_>], node: u64, of: for<'s> fn(&'s Sample<'_>) -> Vec<&'s u64>) -> bool {
    let last: BTreeMap<u64, &Sample<'_>> = samples
        .iter()
        .filter(|sample| !sample.voters.is_empty())
        .map(|sample| (sample.node, sample))
        .collect();
    let mut others = last.values().filter(|sample| sample.node != node).peekable();
    others.peek().is_some() && others.all(|sample| !of(sample).contains(&&node))
}
