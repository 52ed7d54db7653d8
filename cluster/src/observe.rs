//! How a node stands in Raft, for whoever checks it from outside; no decision rests on it.

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;

use crate::raft::network::Direction;
use crate::raft::types::NodeId;
use crate::usecase::Service;

/// A node's Raft state at one moment, as it sees itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Its term.
    pub term: u64,
    /// The last vote that its disk has: the term, whom it voted for, and whether a quorum did. It may be of an earlier term
    /// than `term`.
    pub vote: (u64, NodeId, bool),
    /// `leader`, `candidate`, `follower`, `learner` or `shutdown`.
    pub state: &'static str,
    /// Whom it takes for the leader.
    pub leader: Option<NodeId>,
    /// The last entry of its log.
    pub last_log: Option<u64>,
    /// How often it took back entries of its log since it was started.
    pub truncations: u64,
    /// The last entry that it knows to be committed.
    pub committed: Option<LogPosition>,
    /// The last entry that it applied.
    pub applied: Option<LogPosition>,
    /// The last entry that it cut off.
    pub purged: Option<u64>,
    /// The last entry that its newest snapshot holds.
    pub snapshot: Option<u64>,
    /// The voters: one group, or two while they change.
    pub voters: Vec<Vec<NodeId>>,
    /// The members that do not vote.
    pub learners: Vec<NodeId>,
    /// The size of its ledger.
    pub revision: u64,
    /// Whether a snapshot is on its way to it.
    pub receiving: bool,
}

/// A log entry, named by where it is and when it was proposed: a term has one leader, so that two entries with equal
/// positions are the same (Raft §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// Its index.
    pub index: u64,
    /// The term in which it was proposed.
    pub term: u64,
}

impl Service {
    /// How this node stands right now; none as long as Raft has not said, which is for a moment after the start, and while the
    /// node is no member of anything.
    pub fn observe(&self) -> Option<Observed> {
        let parts = self.parts();
        let metrics = parts.raft.metrics().borrow_watched().clone();
        if metrics.current_term == 0 && metrics.last_log_index.is_none() && metrics.last_applied.is_none() {
            return None;
        }
        let position = |id: openraft::alias::LogIdOf<crate::raft::types::TypeConfig>| LogPosition {
            index: id.index,
            term: id.leader_id.term,
        };
        let membership = metrics.membership_config.membership();
        Some(Observed {
            term: metrics.current_term,
            vote: (metrics.vote.leader_id.term, metrics.vote.leader_id.voted_for, metrics.vote.committed),
            state: match metrics.state {
                ServerState::Leader => "leader",
                ServerState::Candidate => "candidate",
                ServerState::Follower => "follower",
                ServerState::Learner => "learner",
                ServerState::Shutdown => "shutdown",
            },
            leader: metrics.current_leader,
            last_log: metrics.last_log_index,
            truncations: parts.storage.log.counters().truncations,
            committed: metrics.local_committed.map(position),
            applied: metrics.last_applied.map(position),
            purged: metrics.purged.map(|id| id.index),
            snapshot: metrics.snapshot.map(|id| id.index),
            voters: membership
                .get_joint_config()
                .iter()
                .map(|group| group.iter().copied().collect())
                .collect(),
            learners: membership.learner_ids().collect(),
            revision: parts.storage.applied.borrow().revision,
            receiving: parts
                .storage
                .transfers
                .all()
                .iter()
                .any(|(direction, ..)| *direction == Direction::Receiving),
        })
    }

    /// Where peers reach a member, by this node's newest membership.
    pub fn peer_known(&self, node: NodeId) -> Option<String> {
        let metrics = self.parts().raft.metrics().borrow_watched().clone();
        metrics.membership_config.get_node(&node).map(|known| known.peer_addr.clone())
    }

    /// Term and log index that this node knows a member to have acknowledged, as long as this process runs.
    pub fn remembers(&self, node: NodeId) -> Option<(u64, u64)> {
        self.parts().storage.remembered.known(node)
    }
}
