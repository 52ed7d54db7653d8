//! The samples that the harness took of the nodes' Raft states.

use std::collections::BTreeSet;

use serde_json::Value;

use super::read::{list, log_index, number, text};
use crate::history::{History, Op};

/// How much later than a change a sample may show it, in nanoseconds.
pub(super) const SAMPLE_LAG_NS: u64 = 1_000_000_000;

/// One sample of a node that ran.
#[derive(Debug, Clone)]
pub(super) struct Sample<'h> {
    /// The place of the record in the history.
    pub(super) at: usize,
    pub(super) node: u64,
    pub(super) ns: u64,
    pub(super) boot: u64,
    pub(super) term: u64,
    /// The node that it voted for, and the term of the vote.
    pub(super) vote: Option<Vote>,
    pub(super) state: &'h str,
    pub(super) last_log: Option<u64>,
    pub(super) committed: Option<u64>,
    /// The index and the rest of the position of the last entry that it applied.
    pub(super) applied: Option<(u64, u64)>,
    /// All voters of either group; empty if the node has no membership.
    pub(super) voters: BTreeSet<u64>,
    pub(super) learners: BTreeSet<u64>,
    pub(super) revision: Option<u64>,
}

/// A vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vote {
    pub(super) term: u64,
    pub(super) node: u64,
    /// Whether a quorum is known to have voted so.
    pub(super) committed: bool,
}

impl Vote {
    /// Whether the later vote is for a second node in one term. A node that learns that a quorum voted for another
    /// node breaks nothing.
    pub(super) fn is_broken_by(self, later: Vote) -> bool {
        self.term == later.term && self.node != later.node && (self.committed || !later.committed)
    }
}

impl Sample<'_> {
    /// Whether the node leads.
    pub(super) fn leads(&self) -> bool {
        self.state == "leader"
    }
}

/// Every sample, in order. A record that tells only of a node's end, without a term, is not a sample.
pub(super) fn samples(history: &History) -> Vec<Sample<'_>> {
    let read = history.of(Op::Sample).filter_map(|(at, record)| {
        let output = &record.output;
        Some(Sample {
            at,
            node: record.node,
            ns: record.invoke_ns,
            boot: number(output, "boot").unwrap_or(0),
            term: number(output, "term")?,
            vote: output.get("vote").and_then(vote),
            state: text(output, "state").unwrap_or_default(),
            last_log: log_index(output, "lastLog"),
            committed: log_index(output, "committed"),
            applied: output.get("applied").and_then(|at| Some((number(at, "index")?, number(at, "term")?))),
            voters: list(output, "voters")
                .iter()
                .filter_map(Value::as_array)
                .flat_map(|list| ids(list))
                .collect(),
            learners: output
                .get("learners")
                .and_then(Value::as_array)
                .into_iter()
                .flat_map(|list| ids(list))
                .collect(),
            revision: number(output, "revision"),
        })
    });
    read.collect()
}

fn vote(value: &Value) -> Option<Vote> {
    let committed = value.get("committed").and_then(Value::as_bool).unwrap_or(false);
    Some(Vote { term: number(value, "term")?, node: number(value, "node")?, committed })
}

fn ids(list: &[Value]) -> impl Iterator<Item = u64> + '_ {
    list.iter().filter_map(Value::as_u64)
}

/// The last sample of a node up to a moment.
pub(super) fn last_before<'s, 'h>(samples: &'s [Sample<'h>], node: u64, ns: u64) -> Option<&'s Sample<'h>> {
    samples.iter().rev().find(|sample| sample.node == node && sample.ns <= ns)
}

/// The first sample of a later start of a node than the start that ran at that moment.
pub(super) fn next_boot<'s, 'h>(samples: &'s [Sample<'h>], node: u64, ns: u64) -> Option<&'s Sample<'h>> {
    let boot = last_before(samples, node, ns).map(|sample| sample.boot);
    samples
        .iter()
        .find(|sample| sample.node == node && sample.ns > ns && boot.is_none_or(|boot| sample.boot > boot))
}
