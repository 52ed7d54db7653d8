//! Members that this node does not know from its own log, but that known members have named.
//!
//! A node that was away may have missed that others joined, and one of those may be the leader by now. The node talks
//! to such a member if a known member has named it. This module owns only what members have named. The process
//! forgets it when it ends, and an entry is gone once the node's own log has the member.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::locked::lock;
use crate::raft::types::{NodeId, PeerNode, check_node_id};

/// The largest number of members that this node can be told of. It is larger than the number of members that there
/// can be.
const INTRODUCED_MAX: usize = 16;

/// The members that were named to this node. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Introductions {
    members: Arc<Mutex<BTreeMap<NodeId, PeerNode>>>,
}

impl Introductions {
    /// Takes in the members that a known member names. Those whose ids are larger than any that this node knows are
    /// new to it.
    pub(crate) fn accept(&self, members: Vec<(NodeId, PeerNode)>, highest: NodeId) {
        let is_new = |id: NodeId| id > highest && check_node_id(id).is_ok();
        let new = members.into_iter().filter(|(id, _)| is_new(*id)).take(INTRODUCED_MAX);
        *lock(&self.members) = new.collect();
    }

    /// Whether a known member has named this node with this store.
    pub(crate) fn name(&self, id: NodeId, store_id: &[u8; 16]) -> bool {
        lock(&self.members).get(&id).is_some_and(|node| node.store_id == *store_id)
    }

    /// The members that were named, with their addresses.
    pub(crate) fn all(&self) -> Vec<(NodeId, PeerNode)> {
        lock(&self.members).iter().map(|(id, node)| (*id, node.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_member_is_introduced_with_an_impossible_id() {
        let introductions = Introductions::default();
        let named = |id| (id, PeerNode { store_id: [9; 16], ..PeerNode::default() });
        introductions.accept(vec![named(3), named(4), named((1 << 63) - 1)], 3);
        let ids: Vec<NodeId> = introductions.all().into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [4]);
        assert!(introductions.name(4, &[9; 16]) && !introductions.name(3, &[9; 16]));
    }
}
