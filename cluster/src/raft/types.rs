//! The types that openraft is configured with. Owns no behaviour.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use assent_api::same_address;
use assent_proof::PublicKey;
use assent_registry::Outcomes;

/// A node's number in the cluster, from 1. An id is used only once, for one disk.
pub type NodeId = u64;

/// Only these functions check the range of ids.
pub(crate) use assent_api::{NodeIdError, check_founder_id, check_new_id, check_node_id};
/// The largest number of members, learners included.
pub(crate) const MEMBERS_MAX: usize = 9;
/// The largest number of voters. More would only make every write wait for more disks. More than five voters are for
/// the replacement of a member.
pub(crate) const VOTERS_MAX: usize = 7;

/// The membership's entry for a node. The first log entry is a membership, so it binds every genesis voter's id to
/// the random id of its store. A wiped disk can never return under its old id.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PeerNode {
    /// `host:port` where peers reach it.
    pub peer_addr: String,
    /// `host:port` where clients reach it, for people and redirects.
    pub client_addr: String,
    /// The random id written into its store when the store was made.
    pub store_id: [u8; 16],
    /// Its signing key, which must be granted; none in what an older build wrote.
    #[serde(default)]
    pub key: Option<PublicKey>,
}

impl PeerNode {
    /// What the two members share that each must have for itself; none if there is nothing.
    pub(crate) fn shares(&self, other: &PeerNode) -> Option<&'static str> {
        if self.store_id == other.store_id {
            return Some("store");
        }
        if self.key.is_some() && self.key == other.key {
            return Some("key");
        }
        self.shares_address(other)
    }

    /// Which address the two members share, in whatever spelling.
    pub(crate) fn shares_address(&self, other: &PeerNode) -> Option<&'static str> {
        let is_of_other = |address: &str| {
            [&other.peer_addr, &other.client_addr].into_iter().any(|taken| same_address(address, taken))
        };
        if is_of_other(&self.peer_addr) {
            return Some("peer address");
        }
        is_of_other(&self.client_addr).then_some("client address")
    }

    /// Whether peers and clients would reach it at one address, on which only one of the two listeners could listen.
    pub(crate) fn has_one_address_for_both(&self) -> bool {
        same_address(&self.peer_addr, &self.client_addr)
    }
}

impl fmt::Display for PeerNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.peer_addr)
    }
}

/// The payload of one log entry: an encoded `assent_registry::Command`. It is bytes and not the typed command, so
/// that replication and the log copy nothing, and so that the encoding is defined in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal(pub Bytes);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.0.len())
    }
}

/// The result of applying one entry: one list of outcomes for each group, empty for Raft's own entries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Applied(pub Outcomes);

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} groups", self.0.groups.len())
    }
}

openraft::declare_raft_types!(
    /// openraft's configuration for Assent: one leader a term (Raft §5.2), `u64` node ids, opaque commands.
    pub TypeConfig:
        D = Proposal,
        R = Applied,
        NodeId = NodeId,
        Node = PeerNode,
        AsyncRuntime = crate::raft::runtime::Tokio,
        LeaderId = openraft::impls::leader_id_std::LeaderId<Self::Term, Self::NodeId>,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_members_share_neither_store_nor_key_nor_address() {
        let key = |seed: u8| Some(assent_proof::SigningKey::from_seed([seed; 32]).public());
        let node = |number: u8| PeerNode {
            peer_addr: format!("a:{number}"),
            client_addr: format!("b:{number}"),
            store_id: [number; 16],
            key: key(number),
        };
        let one = node(1);
        assert_eq!(one.shares(&node(2)), None);
        for (other, what) in [
            (PeerNode { store_id: [1; 16], ..node(2) }, "store"),
            (PeerNode { key: key(1), ..node(2) }, "key"),
            (PeerNode { peer_addr: "a:1".into(), ..node(2) }, "peer address"),
            (PeerNode { client_addr: "a:1".into(), ..node(2) }, "peer address"),
            (PeerNode { client_addr: "b:1".into(), ..node(2) }, "client address"),
            (PeerNode { client_addr: "B.:1".into(), ..node(2) }, "client address"),
        ] {
            assert_eq!(one.shares(&other), Some(what));
            assert!(other.shares(&one).is_some());
        }
        // A build from before spellings were checked may have stored one that no new member could have.
        let of_before = |address: &str| PeerNode { peer_addr: address.into(), ..node(1) };
        let new = PeerNode { client_addr: "127.0.0.1:80".into(), ..node(2) };
        for stored in ["localhost:80", "127.1:80", "[::ffff:127.0.0.1]:80", "127.0.0.1:080"] {
            assert_eq!(of_before(stored).shares(&new), Some("peer address"), "{stored}");
            assert_eq!(new.shares(&of_before(stored)), Some("client address"), "{stored}");
        }
        // If neither key is known, the two cannot be said to have the same one.
        let nameless = |number: u8| PeerNode { key: None, ..node(number) };
        assert_eq!(nameless(1).shares(&nameless(2)), None);
    }
}
