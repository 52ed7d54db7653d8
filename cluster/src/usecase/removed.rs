//! Whether this node belongs to the cluster, as far as it can tell: a member, one that waits to be added, or one that was removed.
//!
//! By its own log a node was removed if it is no member, and its id is one of the past: ids only grow. A node that was down, or cut
//! off, when it was removed never gets the log entry that says so. Then the members that refuse it say it. Their word is shown and
//! changes nothing else: peers are not authenticated yet, and a node that they refuse answers nothing anyhow, since no quorum
//! hears it.

use assent_api::RemovedBody;
use assent_proof::Code;
use openraft::async_runtime::watch::WatchReceiver;

use super::Parts;
use crate::raft::types::NodeId;

/// What a node is to its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Belonging {
    /// It is a member, as far as it knows.
    Member,
    /// It never was one.
    Waiting,
    /// It was one. If its own log does not say so, then these members do.
    Removed(Vec<NodeId>),
}

impl Belonging {
    /// What is shown of a node that was removed.
    pub(super) fn removed(self) -> Option<RemovedBody> {
        let said_by = match self {
            Belonging::Member | Belonging::Waiting => return None,
            Belonging::Removed(said_by) => said_by,
        };
        let detail = match said_by.is_empty() {
            true => "this node was removed from the cluster, as its own log says".to_owned(),
            false => {
                let ids: Vec<String> = said_by.iter().map(ToString::to_string).collect();
                format!(
                    "this node was removed from the cluster: the members that refuse it say so: {}",
                    ids.join(", ")
                )
            }
        };
        Some(RemovedBody { said_by, detail, remedy: Code::MemberRemoved.remedy().to_owned() })
    }
}

impl Parts {
    /// What this node is to its cluster, as far as it can tell.
    pub(super) fn belonging(&self) -> Belonging {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let (membership, me) = (&metrics.membership_config, self.config.node_id);
        if membership.nodes().next().is_none() {
            return Belonging::Waiting;
        }
        if membership.get_node(&me).is_none() {
            let highest =
                membership.nodes().map(|(id, _)| *id).fold(self.applied.borrow().highest_id, NodeId::max);
            return if me <= highest { Belonging::Removed(Vec::new()) } else { Belonging::Waiting };
        }
        // A node that a quorum talks to is a member, whatever another peer says.
        let voters: Vec<NodeId> = membership.voter_ids().collect();
        let heard = voters.iter().filter(|id| **id == me || self.hub.is_connected(**id)).count();
        if heard > voters.len() / 2 {
            return Belonging::Member;
        }
        let is_member = |id: NodeId| membership.get_node(&id).is_some();
        let refusing = self.hub.status().into_iter().filter(|peer| peer.says_removed && is_member(peer.id));
        let said_by: Vec<NodeId> = refusing.map(|peer| peer.id).collect();
        if said_by.is_empty() { Belonging::Member } else { Belonging::Removed(said_by) }
    }
}
