//! When each node was running, so that a check does not blame a node that was down: a node can also end by itself,
//! without a recorded fault.

use std::collections::BTreeMap;

use super::read::{is_clients, number, text};
use crate::history::{History, Op};

/// The starts and ends of each node that were seen, in order.
#[derive(Debug, Default)]
pub(super) struct Lives {
    looks: BTreeMap<u64, Vec<Sighting>>,
}

/// The start of the node that was seen.
#[derive(Debug, Clone, Copy)]
struct Sighting {
    ns: u64,
    boot: u64,
    /// The node was seen to have ended.
    ended: bool,
}

impl Lives {
    /// Reads the samples, and the last answer of each node.
    pub(super) fn of(history: &History) -> Self {
        let mut lives = Self::default();
        for (_, sample) in history.of(Op::Sample) {
            let ended = text(&sample.output, "state") == Some("shutdown");
            let look =
                Sighting { ns: sample.invoke_ns, boot: number(&sample.output, "boot").unwrap_or(0), ended };
            lives.looks.entry(sample.node).or_default().push(look);
        }
        for answer in history.records.iter().filter(|record| is_clients(record) && !record.output.is_null()) {
            let (Some(ns), Some(looks)) = (answer.return_ns, lives.looks.get_mut(&answer.node)) else {
                continue;
            };
            if let Some(last) = looks.last().copied().filter(|last| last.ns < ns && !last.ended) {
                looks.push(Sighting { ns, ..last });
            }
        }
        lives
    }

    /// Whether one start of the node is seen to have run all that time: it ran by the beginning, and it still ran at
    /// the end or later. Also true for a node that was never seen, because nothing else is known of it.
    pub(super) fn through(&self, node: u64, from_ns: u64, to_ns: u64) -> bool {
        let Some(looks) = self.looks.get(&node) else { return true };
        let first = looks.partition_point(|look| look.ns <= from_ns).saturating_sub(1);
        let after = looks.partition_point(|look| look.ns < to_ns);
        let (Some(first), Some(last)) = (looks.get(first), looks.get(after)) else { return false };
        let mut within = looks.iter().filter(|look| look.ns >= first.ns && look.ns < last.ns);
        first.ns <= from_ns
            && last.boot == first.boot
            && within.all(|look| look.boot == first.boot && !look.ended)
    }
}
