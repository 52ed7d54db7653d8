//! Raft's state on a stopped node's disk: the end of its log, its term, and the membership.

use openraft::alias::{EntryOf, LogIdOf};
use openraft::entry::RaftEntry;
use openraft::{EntryPayload, Membership};

use assent_registry::{ClusterId, RulesVersion};
use assent_store::Store;

use super::error::RecoverError;
use crate::node::{NodeError, belongs_to, with_text};
use crate::raft::codec;
use crate::raft::log::LogRecord;
use crate::raft::types::{NodeId, PeerNode, TypeConfig};
use crate::raft::voters::Voters;

/// The entries of the log after the applied position.
#[derive(Clone)]
pub(super) struct Tail {
    pub(super) entries: Vec<EntryOf<TypeConfig>>,
    /// The voters before the first of these entries.
    pub(super) voters: Voters,
}

/// Raft's state on the disk.
pub(super) struct StoredRaftState {
    /// The entries of the log after the applied position.
    pub(super) tail: Tail,
    pub(super) last: LogIdOf<TypeConfig>,
    pub(super) term: u64,
    pub(super) membership: Membership<NodeId, PeerNode>,
}

impl StoredRaftState {
    pub(super) async fn read(
        store: &Store<LogRecord>,
        cluster_id: ClusterId,
        known: RulesVersion,
    ) -> Result<Self, RecoverError> {
        let position = {
            let view = store.registry.view().map_err(with_text(NodeError::Registry))?;
            belongs_to(&view, cluster_id, known).map_err(NodeError::Registry)?;
            view.applied().map_err(with_text(NodeError::Registry))?
        };
        // Before the first flush there is no position, and everything is in the log.
        let position = position.filter(|bytes| !bytes.is_empty()).map(|bytes| codec::decode_position(&bytes));
        let applied = position.transpose().map_err(with_text(RecoverError::Position))?;
        let (applied, _) = applied.unwrap_or_default();
        let from = applied.last_log_id.map_or(0, |id| id.index.saturating_add(1));
        let tail: Vec<EntryOf<TypeConfig>> = match store.log.range() {
            Some((_, last)) if last >= from => {
                let read = store.log.read(from, last.saturating_add(1), usize::MAX).await;
                read.map_err(with_text(NodeError::Log))?.into_iter().map(|LogRecord(entry)| entry).collect()
            }
            _ => Vec::new(),
        };
        let voters = Voters::of(applied.last_membership.membership());
        let last = tail.last().map(RaftEntry::log_id).or(applied.last_log_id);
        let last = last.ok_or_else(|| NodeError::Log("it is empty".to_owned()))?;
        let voted = match store.log.vote() {
            Some(bytes) => codec::decode_vote(&bytes).map_err(with_text(NodeError::Vote))?.leader_id().term,
            None => 0,
        };
        let newest = tail.iter().rev().find_map(|entry| match &entry.payload {
            EntryPayload::Membership(membership) => Some(membership.clone()),
            _ => None,
        });
        let membership = newest.unwrap_or_else(|| applied.last_membership.membership().clone());
        let tail = Tail { entries: tail, voters };
        Ok(Self { tail, last, term: voted.max(last.leader_id.term), membership })
    }

    /// The membership's entry for this node, if it is a member with this very disk.
    pub(super) fn own(&self, id: NodeId, store_id: &[u8; 16]) -> Result<PeerNode, RecoverError> {
        let refuse = |problem: String| Err(RecoverError::NotMember(problem));
        match self.membership.get_node(&id) {
            Some(node) if node.store_id == *store_id => Ok(node.clone()),
            Some(_) => refuse(format!("node {id} is bound to another store than this one")),
            None => refuse(format!("node {id} is not a member of the cluster")),
        }
    }
}
