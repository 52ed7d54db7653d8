//! Members that this node has not heard of by its own log, told by members that it knows.
//!
//! A node that was away may have missed that others joined, and one of those may lead by now. It talks to them on a known
//! member's word. Owns nothing but that word: it is forgotten with the process, and gone once the log says it itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::raft::types::{NodeId, PeerNode};

/// Most members that one can be told of: more than there can be.
const INTRODUCED_MAX: usize = 16;

/// What this node was told. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Introductions {
    members: Arc<Mutex<BTreeMap<NodeId, PeerNode>>>,
}

impl Introductions {
    /// A known member names the members; those with larger ids than any that this node knows of are new to it.
    pub(crate) fn heed(&self, members: Vec<(NodeId, PeerNode)>, highest: NodeId) {
        let new = members.into_iter().filter(|(id, _)| *id > highest).take(INTRODUCED_MAX);
        *self.lock() = new.collect();
    }

    /// Whether a known member has named this node with this store.
    pub(crate) fn name(&self, id: NodeId, store_id: &[u8; 16]) -> bool {
        self.lock().get(&id).is_some_and(|node| node.store_id == *store_id)
    }

    /// Who was named, and where they are.
    pub(crate) fn all(&self) -> Vec<(NodeId, PeerNode)> {
        self.lock().iter().map(|(id, node)| (*id, node.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, PeerNode>> {
        // Nothing that holds it panics halfway through a change.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
