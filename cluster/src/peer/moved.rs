//! A member's announcement of its own addresses, signed with the key that the membership has for it.
//!
//! This module owns the bytes that are signed, and the check of the signature. An announcement can change only
//! addresses. Node id, store and key are the membership's. `usecase/moved.rs` decides what is done about an
//! announcement.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use assent_api::MemberAddress;
use assent_proof::{Millis, PublicKey, SigningKey, pae};

use crate::raft::types::{NodeId, PeerNode};

/// The type of the payload that is signed, so that the signature is good for nothing else.
const MOVED_PAYLOAD_TYPE: &str = "application/vnd.egpep.member-moved.v1";
/// The largest difference between the time of an announcement and the clock of the node that receives it, in
/// milliseconds. An older one says where the member was before.
pub(crate) const MOVED_USABLE_MS: u64 = 60_000;

/// A member's announcement of its present addresses. Members pass it on to others. The signature proves it, whichever
/// node delivers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The member.
    pub node_id: NodeId,
    /// The random id of its store.
    pub store_id: [u8; 16],
    /// `host:port` where peers reach it now.
    pub peer_addr: String,
    /// `host:port` where clients reach it now.
    pub client_addr: String,
    /// When the member announced it, by its own clock, in Unix milliseconds. A later announcement replaces an earlier
    /// one.
    pub at_ms: i64,
    /// The 64 bytes of its key's Ed25519 signature.
    pub signature: Bytes,
}

/// The answer to [`Moved`]: it is accepted, or why not.
pub type MovedReply = Result<(), String>;

impl Moved {
    /// The announcement of the member `node_id` of a cluster, signed with its key. It contains all of `node` except
    /// the key.
    pub fn signed(
        cluster_id: &[u8; 32],
        node_id: NodeId,
        node: &PeerNode,
        at: Millis,
        key: &SigningKey,
    ) -> Self {
        let mut moved = Self {
            node_id,
            store_id: node.store_id,
            peer_addr: node.peer_addr.clone(),
            client_addr: node.client_addr.clone(),
            at_ms: at.0,
            signature: Bytes::new(),
        };
        moved.signature = Bytes::copy_from_slice(&key.sign(&moved.message(cluster_id)));
        moved
    }

    /// Checks that this is the announcement of this member of this cluster, as the membership has it, and that its
    /// time is about `now`.
    pub(crate) fn is_by(
        &self,
        cluster_id: &[u8; 32],
        node: &PeerNode,
        now: Millis,
    ) -> Result<PublicKey, String> {
        let id = self.node_id;
        if self.store_id != node.store_id {
            return Err(format!("node {id} is bound to another store"));
        }
        let Some(key) = node.key else {
            return Err(format!("the membership names no key of node {id}, so it cannot prove where it is"));
        };
        if !key.verify(&self.message(cluster_id), &self.signature) {
            return Err(format!("it is not signed by the key of node {id}, `{key}`"));
        }
        // An address that the membership has already may be from before addresses were checked.
        let said = [(&self.peer_addr, &node.peer_addr), (&self.client_addr, &node.client_addr)];
        for (address, _) in said.into_iter().filter(|(address, known)| address != known) {
            address.parse::<MemberAddress>().map_err(|error| error.to_string())?;
        }
        if self.at_ms.abs_diff(now.0) > MOVED_USABLE_MS {
            return Err(format!(
                "node {id} announced it more than {MOVED_USABLE_MS} ms before or after this node's time: set the clocks right"
            ));
        }
        Ok(key)
    }

    /// The membership's entry for the member once this announcement is accepted. `known` is the present entry.
    pub(crate) fn instead_of(&self, known: &PeerNode) -> PeerNode {
        PeerNode { peer_addr: self.peer_addr.clone(), client_addr: self.client_addr.clone(), ..known.clone() }
    }

    /// Whether another announcement has the same addresses, whatever its time.
    pub(crate) fn says_the_same(&self, other: &Moved) -> bool {
        self.peer_addr == other.peer_addr && self.client_addr == other.client_addr
    }

    /// The bytes that are signed: the cluster, the node, its store, the time, and both addresses, each after its
    /// length.
    fn message(&self, cluster_id: &[u8; 32]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(cluster_id);
        bytes.extend_from_slice(&self.node_id.to_be_bytes());
        bytes.extend_from_slice(&self.store_id);
        bytes.extend_from_slice(&self.at_ms.to_be_bytes());
        for text in [&self.peer_addr, &self.client_addr] {
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        pae(MOVED_PAYLOAD_TYPE, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: [u8; 32] = [7; 32];
    const NOW: Millis = Millis(1_790_000_000_000);

    fn node(seed: u8) -> (PeerNode, SigningKey) {
        let key = SigningKey::from_seed([seed; 32]);
        let node = PeerNode {
            peer_addr: "a:1".into(),
            client_addr: "a:2".into(),
            store_id: [seed; 16],
            key: Some(key.public()),
        };
        (node, key)
    }

    #[test]
    fn a_members_announcement_counts_if_its_own_key_signed_it_recently_for_this_cluster() {
        let (member, key) = node(1);
        let moved = Moved::signed(&CLUSTER, 3, &member, NOW, &key);
        assert_eq!(moved.is_by(&CLUSTER, &member, NOW), Ok(key.public()));
        assert_eq!(moved.is_by(&CLUSTER, &member, Millis(NOW.0 + 60_000)), Ok(key.public()));
        for (other, why) in [
            (Moved { peer_addr: "b:1".into(), ..moved.clone() }, "not signed"),
            (Moved { client_addr: "b:1".into(), ..moved.clone() }, "not signed"),
            (Moved { node_id: 4, ..moved.clone() }, "not signed"),
            (Moved { at_ms: NOW.0 + 1, ..moved.clone() }, "not signed"),
            (Moved { store_id: [2; 16], ..moved.clone() }, "another store"),
            (Moved::signed(&CLUSTER, 3, &member, NOW, &node(2).1), "not signed"),
            (Moved::signed(&[8; 32], 3, &member, NOW, &key), "not signed"),
            (Moved::signed(&CLUSTER, 3, &member, Millis(NOW.0 - 60_001), &key), "set the clocks right"),
            (Moved::signed(&CLUSTER, 3, &member, Millis(i64::MIN), &key), "set the clocks right"),
        ] {
            let refused = other.is_by(&CLUSTER, &member, NOW).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        for (peer, client, why) in [
            ("0.0.0.0:1", "a:2", "set `peer_advertise`"),
            ("a:1", "[::]:2", "set `peer_advertise`"),
            ("127.1:1", "a:2", "write `127.0.0.1:1`"),
            ("a:1", "localhost:2", "write `127.0.0.1:2`"),
        ] {
            let at = PeerNode { peer_addr: peer.into(), client_addr: client.into(), ..member.clone() };
            let said = Moved::signed(&CLUSTER, 3, &at, NOW, &key);
            let refused = said.is_by(&CLUSTER, &member, NOW).unwrap_err();
            assert!(refused.contains(why), "{refused}");
            // Unless the membership has it so.
            assert_eq!(said.is_by(&CLUSTER, &at, NOW), Ok(key.public()));
        }
        let nameless = PeerNode { key: None, ..member };
        assert!(moved.is_by(&CLUSTER, &nameless, NOW).unwrap_err().contains("names no key"));
    }

    #[test]
    fn letters_cannot_wander_from_one_address_into_the_other() {
        let (member, key) = node(1);
        let one = PeerNode { peer_addr: "a:12".into(), client_addr: "b:3".into(), ..member.clone() };
        let moved = Moved::signed(&CLUSTER, 3, &one, NOW, &key);
        let shifted = Moved { peer_addr: "a:1".into(), client_addr: "2b:3".into(), ..moved };
        assert!(shifted.is_by(&CLUSTER, &member, NOW).is_err());
    }
}
