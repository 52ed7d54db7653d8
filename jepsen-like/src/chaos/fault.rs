//! The faults that chaos causes in nodes, and how a history records them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::history::{Op, Outcome, Record};

/// A time since the run's start.
pub type At = Duration;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The process is killed (SIGKILL).
    Kill,
    /// The process is stopped (SIGSTOP), and later continued (SIGCONT).
    Pause,
    /// The process is told to end (SIGTERM): the node hands over and exits.
    Stop,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 3] = [Kind::Kill, Kind::Pause, Kind::Stop];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Pause => "pause",
            Kind::Stop => "stop",
        }
    }
}

/// Which part of the cluster a fault struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Struck {
    /// Followers only.
    Follower,
    /// The leader alone.
    Leader,
    /// So many nodes that no quorum was left.
    Majority,
}

impl Struck {
    /// Every part.
    pub const ALL: [Struck; 3] = [Struck::Follower, Struck::Leader, Struck::Majority];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Struck::Follower => "follower",
            Struck::Leader => "leader",
            Struck::Majority => "majority",
        }
    }
}

/// One fault, from its beginning until the cluster had recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What was done.
    pub kind: Kind,
    /// To what part of the cluster.
    pub struck: Struck,
    /// To which nodes.
    pub victims: Vec<u64>,
    /// Right before the first signal.
    pub begun: At,
    /// Once the last victim had exited or stood still.
    pub effective: At,
    /// Right before the first victim was started again or continued.
    pub healing: At,
    /// Once every node was ready again.
    pub over: At,
}

impl Fault {
    /// The records of this fault in a cluster of these nodes: the fault itself, and a `cut` of each node while no
    /// quorum was left.
    pub fn records(&self, nodes: &[u64]) -> Vec<Record> {
        let node = match self.victims.as_slice() {
            [only] => *only,
            _ => 0,
        };
        let input = json!({"kind": self.kind.name(), "nodes": self.victims, "struck": self.struck.name()});
        let mut records = vec![record(node, input, self.begun, self.over)];
        if self.struck == Struck::Majority {
            // The victims too: a paused process must not answer, whatever it was doing when it was paused.
            let cut = |node: &u64| {
                let input = json!({"kind": "cut", "nodes": [node]});
                record(*node, input, self.effective, self.healing)
            };
            records.extend(nodes.iter().map(cut));
        }
        records
    }
}

fn record(node: u64, input: Value, from: At, to: At) -> Record {
    Record {
        op: Op::Fault,
        client: 0,
        node,
        key: String::new(),
        input,
        output: Value::Null,
        invoke_ns: nanos(from),
        return_ns: Some(nanos(to)),
        outcome: Outcome::Ok,
    }
}

/// A time in nanoseconds, as a record states it.
pub(super) fn nanos(at: At) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}
