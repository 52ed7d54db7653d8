//! A node's Raft state, for tests and tools that check the node from outside. No decision depends on it.

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;

use crate::raft::network::Direction;
use crate::raft::types::NodeId;
use crate::usecase::Service;

/// A node's Raft state at one moment, as the node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Its term.
    pub term: u64,
    /// The last vote on its disk: the term, the node that it voted for, and whether a quorum did. The term may be
    /// earlier than `term`.
    pub vote: (u64, NodeId, bool),
    /// `leader`, `candidate`, `follower`, `learner` or `shutdown`.
    pub state: &'static str,
    /// The node that it believes to be the leader.
    pub leader: Option<NodeId>,
    /// The last entry of its log.
    pub last_log: Option<u64>,
    /// How often it truncated entries of its log since it was started.
    pub truncations: u64,
    /// The last entry that it knows to be committed.
    pub committed: Option<LogPosition>,
    /// The last entry that it applied.
    pub applied: Option<LogPosition>,
    /// The last entry that it purged.
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

/// A log entry, by its index and its term. A term has one leader, so two entries at equal positions are the same
/// (Raft §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// Its index.
    pub index: u64,
    /// The term in which it was proposed.
    pub term: u64,
}

impl Service {
    /// This node's Raft state now. None for a moment after the start, until Raft has published its state, and while
    /// the node is not a member.
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

    /// The address at which peers reach a member, by this node's newest membership.
    pub fn peer_known(&self, node: NodeId) -> Option<String> {
        let metrics = self.parts().raft.metrics().borrow_watched().clone();
        metrics.membership_config.get_node(&node).map(|known| known.peer_addr.clone())
    }

    /// The term and the log index that this node knows a member to have acknowledged.
    pub fn remembers(&self, node: NodeId) -> Option<(u64, u64)> {
        self.parts().storage.remembered.known(node)
    }
}
