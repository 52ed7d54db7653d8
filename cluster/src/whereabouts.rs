//! Where members say that they are, while the membership does not say it yet.
//!
//! Two members that both moved find each other by this, before there is a leader that could change the membership. Owns nothing
//! but their newest words, each checked by its signature before it comes here: they are forgotten with the process, and gone once
//! the membership says something else than it did.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::peer::Moved;
use crate::raft::types::{NodeId, PeerNode};

/// What this node has heard. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Whereabouts {
    members: Arc<Mutex<BTreeMap<NodeId, Heard>>>,
    /// Whether the membership has had this node's own addresses since it was started.
    settled: Arc<AtomicBool>,
    /// What was written to the log last of this node's own word, so that it is not written every second.
    told: Arc<Mutex<Option<String>>>,
}

/// A member's newest word.
struct Heard {
    /// When it said so, by its clock, in Unix milliseconds.
    at_ms: i64,
    /// Where peers reach it.
    peer_addr: String,
    /// What the membership said of it when this was heard.
    instead_of: PeerNode,
}

impl Whereabouts {
    /// Takes in a word that was checked, of a member that is `known` so. Answers whether it is newer than what there was.
    pub(crate) fn heed(&self, moved: &Moved, known: &PeerNode) -> bool {
        let mut members = self.lock();
        if members.get(&moved.node_id).is_some_and(|heard| heard.at_ms >= moved.at_ms) {
            return false;
        }
        let heard =
            Heard { at_ms: moved.at_ms, peer_addr: moved.peer_addr.clone(), instead_of: known.clone() };
        members.insert(moved.node_id, heard);
        true
    }

    /// Where a member has said that it is, as long as the membership says of it what it said then.
    pub(crate) fn of(&self, id: NodeId, known: &PeerNode) -> Option<String> {
        let members = self.lock();
        let heard = members.get(&id).filter(|heard| heard.instead_of == *known)?;
        Some(heard.peer_addr.clone())
    }

    /// Forgets who is no member.
    pub(crate) fn retain(&self, is_member: impl Fn(NodeId) -> bool) {
        self.lock().retain(|id, _| is_member(*id));
    }

    /// The membership has this node's own addresses: from here on it says no more where it is. An operator may give it others,
    /// which hold until it is started again.
    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// Whether the membership has had this node's own addresses.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    /// Whether this is something else than what was written to the log last.
    pub(crate) fn is_news(&self, text: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let news = told.as_deref() != Some(text);
        *told = Some(text.to_owned());
        news
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Heard>> {
        // Nothing that holds it panics halfway through a change.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn moved(at_ms: i64, peer_addr: &str) -> Moved {
        Moved {
            node_id: 2,
            store_id: [2; 16],
            peer_addr: peer_addr.to_owned(),
            client_addr: "c:1".to_owned(),
            at_ms,
            signature: Bytes::new(),
        }
    }

    #[test]
    fn only_a_members_newest_word_counts_and_only_until_the_membership_changes() {
        let heard = Whereabouts::default();
        let known = PeerNode { peer_addr: "a:1".into(), ..PeerNode::default() };
        assert_eq!(heard.of(2, &known), None);
        assert!(heard.heed(&moved(5, "b:1"), &known));
        assert!(heard.heed(&moved(6, "b:2"), &known));
        for old in [moved(5, "b:1"), moved(6, "b:3"), moved(0, "b:4")] {
            assert!(!heard.heed(&old, &known), "{old:?}");
        }
        assert_eq!(heard.of(2, &known).as_deref(), Some("b:2"));
        let changed = PeerNode { peer_addr: "b:9".into(), ..known.clone() };
        assert_eq!(heard.of(2, &changed), None);
        heard.retain(|id| id != 2);
        assert_eq!(heard.of(2, &known), None);
    }
}
