//! What the harness saw of the nodes' Raft states.

use std::collections::BTreeSet;

use serde_json::Value;

use super::read::{list, log_index, number, text};
use crate::history::{History, Op};

/// How much later than a change the harness may have seen it, in nanoseconds.
pub(super) const SAMPLE_LAG_NS: u64 = 1_000_000_000;

/// One look at one node that ran.
#[derive(Debug, Clone)]
pub(super) struct Sample<'h> {
    /// The record.
    pub(super) at: usize,
    pub(super) node: u64,
    pub(super) ns: u64,
    pub(super) boot: u64,
    pub(super) term: u64,
    /// Whom it voted for, and in which term.
    pub(super) vote: Option<Vote>,
    pub(super) state: &'h str,
    pub(super) last_log: Option<u64>,
    pub(super) committed: Option<u64>,
    /// The index and the rest of the position of the last entry that it applied.
    pub(super) applied: Option<(u64, u64)>,
    /// Everyone who votes, in either group; none if it knows of no membership.
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
    /// Whether the later vote is for a second node in one term. To learn that a quorum voted for another breaks nothing.
    pub(super) fn is_broken_by(self, later: Vote) -> bool {
        self.term == later.term && self.node != later.node && (self.committed || !later.committed)
    }
}

impl Sample<'_> {
    /// Whether it leads.
    pub(super) fn leads(&self) -> bool {
        self.state == "leader"
    }
}

/// Every look, in order. What tells of a node's end only, without a term, is none.
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

/// The last look at a node up to a moment.
pub(super) fn last_before<'s, 'h>(samples: &'s [Sample<'h>], node: u64, ns: u64) -> Option<&'s Sample<'h>> {
    samples.iter().rev().find(|sample| sample.node == node && sample.ns <= ns)
}

/// The first look at a later start of a node than the one that ran at that moment.
pub(super) fn next_boot<'s, 'h>(samples: &'s [Sample<'h>], node: u64, ns: u64) -> Option<&'s Sample<'h>> {
    let boot = last_before(samples, node, ns).map(|sample| sample.boot);
    samples
        .iter()
        .find(|sample| sample.node == node && sample.ns > ns && boot.is_none_or(|boot| sample.boot > boot))
}
