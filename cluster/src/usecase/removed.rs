//! Whether this node belongs to the cluster, as far as it can tell: whether it is a member, waits to be added, or was
//! removed.
//!
//! By its own log, a node was removed if it is not a member and its id is an earlier one, because ids only grow. A
//! node that was down or cut off when it was removed never gets the log entry that says so. Then the members that
//! refuse it tell it. The node remembers their answers, so that it still reports them if it is started again while
//! those members are down. It forgets a member's answer once that member lets it in, or once a quorum talks to it.
//! The answers are shown and change nothing else. Peers are not authenticated yet, and a node that they refuse cannot
//! answer anyway, since it has no quorum.

use std::collections::BTreeSet;

use assent_api::RemovedBody;
use assent_proof::Code;
use openraft::alias::StoredMembershipOf;
use openraft::async_runtime::watch::WatchReceiver;

use super::Parts;
use crate::raft::types::{NodeId, TypeConfig};

/// What a node is to its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MembershipStatus {
    /// It is a member, as far as it knows.
    Member,
    /// It was never a member.
    Waiting,
    /// It was a member and was removed. If its own log does not say so, these members do.
    Removed(Vec<NodeId>),
}

impl MembershipStatus {
    /// What is shown of a node that was removed.
    pub(crate) fn removed(self) -> Option<RemovedBody> {
        let said_by = match self {
            MembershipStatus::Member | MembershipStatus::Waiting => return None,
            MembershipStatus::Removed(said_by) => said_by,
        };
        let detail = match said_by.is_empty() {
            true => "this node was removed from the cluster, as its own log says".to_owned(),
            false => {
                let ids: Vec<String> = said_by.iter().map(ToString::to_string).collect();
                format!(
                    "this node was removed from the cluster: the members that refuse it say so, or said so when they last answered: \
                     {}",
                    ids.join(", ")
                )
            }
        };
        Some(RemovedBody { said_by, detail, remedy: Code::MemberRemoved.remedy().to_owned() })
    }
}

impl Parts {
    /// What this node is to its cluster, as far as it can tell.
    pub(crate) fn membership_status(&self) -> MembershipStatus {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let (membership, me) = (&metrics.membership_config, self.config.node_id);
        if membership.nodes().next().is_none() {
            return MembershipStatus::Waiting;
        }
        if membership.get_node(&me).is_none() {
            let highest = membership
                .nodes()
                .map(|(id, _)| *id)
                .fold(self.storage.applied.borrow().highest_id, NodeId::max);
            return if me <= highest {
                MembershipStatus::Removed(Vec::new())
            } else {
                MembershipStatus::Waiting
            };
        }
        let said_by: Vec<NodeId> = self.refusing_of(membership).into_iter().collect();
        if said_by.is_empty() { MembershipStatus::Member } else { MembershipStatus::Removed(said_by) }
    }

    /// The members that refuse this node as one that was removed: each that refuses it now, and each that did and has
    /// not let it in since, also before this node was started. If a quorum talks to this node, it is a member,
    /// whatever another peer answers or has answered.
    pub(crate) fn refusing(&self) -> BTreeSet<NodeId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        self.refusing_of(&metrics.membership_config)
    }

    /// The same, by this membership. The caller may hold a borrow of Raft's metrics, which must not be borrowed
    /// twice.
    fn refusing_of(&self, membership: &StoredMembershipOf<TypeConfig>) -> BTreeSet<NodeId> {
        let me = self.config.node_id;
        let voters: Vec<NodeId> = membership.voter_ids().collect();
        let heard = voters.iter().filter(|id| **id == me || self.hub.is_connected(**id)).count();
        if heard > voters.len() / 2 {
            return BTreeSet::new();
        }
        let mut refusing = self.storage.remembered.removed_by();
        for peer in self.hub.status() {
            if peer.says_removed {
                refusing.insert(peer.id);
            } else if peer.connected {
                refusing.remove(&peer.id);
            }
        }
        // Answers of nodes that are not members count for nothing. If the membership has no members, nothing follows
        // from it.
        if !voters.is_empty() {
            refusing.retain(|id| membership.get_node(id).is_some());
        }
        refusing
    }
}
