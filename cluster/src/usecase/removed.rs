//! Whether this node belongs to the cluster, as far as it can tell: a member, one that waits to be added, or one that was removed.
//!
//! By its own log a node was removed if it is no member, and its id is one of the past: ids only grow. A node that was down, or cut
//! off, when it was removed never gets the log entry that says so. Then the members that refuse it say it. Their word is remembered, so
//! that a node that is started again while they are down still says it, and forgotten once a quorum talks to this node, or the
//! member itself does. It is shown and changes nothing else: peers are not authenticated yet, and a node that they refuse answers
//! nothing anyhow, since no quorum hears it.

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
    /// It never was one.
    Waiting,
    /// It was one. If its own log does not say so, then these members do.
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

    /// The members that refuse this node as one that was removed: each that does, and each that did and has not let it in since, also
    /// before this node was started. A node that a quorum talks to is a member, whatever another peer says or has said.
    pub(crate) fn refusing(&self) -> BTreeSet<NodeId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        self.refusing_of(&metrics.membership_config)
    }

    /// The same by this membership. The caller may hold what Raft shows, which is not to be borrowed twice.
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
        // Ids that are no members' say nothing. Of a membership that has no members nothing follows.
        if !voters.is_empty() {
            refusing.retain(|id| membership.get_node(id).is_some());
        }
        refusing
    }
}
