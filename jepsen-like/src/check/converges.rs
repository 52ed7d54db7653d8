//! L3: when the faults have stopped, all nodes come to hold the same.
//!
//! The last look at every node's ledger shows the same revision and the same digest. Left out are nodes that a fault bites
//! still, and nodes that no other node's last sample names as a member; and a look that failed is a violation of its own
//! unless the node is left out, or no other node's last sample names it as a voter: a learner's reads are not confirmed.
//! Whether the harness waited long enough before it looked, and while, is its own to see to.

use std::collections::{BTreeMap, BTreeSet};

use super::faults::faults;
use super::read::{end_ns, number, text};
use super::samples::{Sample, samples};
use super::{Verdict, Violation};
use crate::history::{History, Op, Outcome, Record};

/// The last looks are looked at, each but the first.
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
            let what = format!("in the end nodes {} and {node} hold something else", other.node);
            verdict.violations.push(Violation { what, shown_by: vec![first, *at] });
        }
    }
    verdict
}

/// Whether others were seen, and in the end none of them counts the node among these.
fn is_none_of(samples: &[Sample<'_>], node: u64, of: for<'s> fn(&'s Sample<'_>) -> Vec<&'s u64>) -> bool {
    let last: BTreeMap<u64, &Sample<'_>> = samples
        .iter()
        .filter(|sample| !sample.voters.is_empty())
        .map(|sample| (sample.node, sample))
        .collect();
    let mut others = last.values().filter(|sample| sample.node != node).peekable();
    others.peek().is_some() && others.all(|sample| !of(sample).contains(&&node))
}
