//! When a fault affected which nodes.

use std::collections::BTreeSet;

use super::read::{list, text};
use crate::history::{History, Op};

/// Kinds that affect only the network between nodes: the process runs, and its clients reach it.
const OF_THE_NETWORK: &[&str] = &[
    "cut",
    "partition",
    "isolate",
    "one-way",
    "bridge",
    "ring",
    "leader-with-one",
    "flap",
    "delay",
    "hold",
    "repeat",
    "lie",
];

/// Kinds after which a node never returns under its number: another node replaces it.
const OF_A_LOST_DISK: &[&str] = &["wipe", "rollback", "bit-flip"];

/// One fault.
#[derive(Debug, Clone)]
pub(super) struct Fault<'h> {
    /// The place of the record in the history.
    pub(super) at: usize,
    pub(super) kind: &'h str,
    /// The node of the fault; 0 if it names no node.
    pub(super) node: u64,
    /// All nodes that it affects.
    pub(super) nodes: BTreeSet<u64>,
    /// From when on it has an effect.
    pub(super) from_ns: u64,
    /// When it was undone; the end of time if it never was.
    pub(super) to_ns: u64,
}

impl Fault<'_> {
    /// Whether it has an effect at some moment of this time.
    pub(super) fn overlaps(&self, from_ns: u64, to_ns: u64) -> bool {
        self.from_ns <= to_ns && self.to_ns >= from_ns
    }

    /// Whether the node has lost the content of its disk for good.
    pub(super) fn loses_the_disk(&self) -> bool {
        OF_A_LOST_DISK.contains(&self.kind)
    }

    /// Whether it affects neither processes nor their clients.
    pub(super) fn is_of_the_network(&self) -> bool {
        OF_THE_NETWORK.contains(&self.kind)
    }
}

/// Every fault, in order.
pub(super) fn faults(history: &History) -> Vec<Fault<'_>> {
    let read = history.of(Op::Fault).map(|(at, record)| {
        let listed = list(&record.input, "nodes").iter().filter_map(serde_json::Value::as_u64);
        Fault {
            at,
            kind: text(&record.input, "kind").unwrap_or_default(),
            node: record.node,
            nodes: listed.chain((record.node != 0).then_some(record.node)).collect(),
            from_ns: record.invoke_ns,
            to_ns: record.return_ns.unwrap_or(u64::MAX),
        }
    });
    read.collect()
}

/// A stretch of time in which no fault begins or ends.
#[derive(Debug)]
pub(super) struct Calm<'f, 'h> {
    pub(super) from_ns: u64,
    /// The faults that have an effect all that time.
    pub(super) faults: Vec<&'f Fault<'h>>,
}

/// All such stretches of at least this length, up to the end of the history.
pub(super) fn calms<'f, 'h>(faults: &'f [Fault<'h>], end_ns: u64, least_ns: u64) -> Vec<Calm<'f, 'h>> {
    let edges = faults.iter().flat_map(|fault| [fault.from_ns, fault.to_ns]);
    let edges: BTreeSet<u64> = edges.filter(|edge| *edge < end_ns).chain([0, end_ns]).collect();
    let stretches = edges.iter().zip(edges.iter().skip(1));
    let long = stretches.filter(|(from, to)| to.saturating_sub(**from) >= least_ns);
    long.map(|(from, to)| Calm {
        from_ns: *from,
        faults: faults.iter().filter(|fault| fault.from_ns <= *from && fault.to_ns >= *to).collect(),
    })
    .collect()
}
