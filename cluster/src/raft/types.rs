//! The types that openraft is configured with. Owns no behaviour.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use assent_proof::PublicKey;
use assent_registry::Outcomes;

/// A node's number in the cluster, 1 and up. An id is used once, for one disk.
pub type NodeId = u64;

/// The largest node id. Later members need larger ones, so that an id far away would leave none.
pub(crate) const NODE_ID_MAX: NodeId = 1 << 32;
/// Most members, learners included.
pub(crate) const MEMBERS_MAX: usize = 9;
/// Most voters. More only make every write wait for more disks; one above five is for replacing a member.
pub(crate) const VOTERS_MAX: usize = 7;

/// What the membership says of a node. The first log entry is a membership, so it binds every
/// genesis voter's id to the random id of its store: a wiped disk can never return as itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PeerNode {
    /// `host:port` where peers reach it.
    pub peer_addr: String,
    /// `host:port` where clients reach it, for people and redirects.
    pub client_addr: String,
    /// The random id written into its store when the store was made.
    pub store_id: [u8; 16],
    /// Its signing key, which must stand granted; none in what an older build wrote.
    #[serde(default)]
    pub key: Option<PublicKey>,
}

impl fmt::Display for PeerNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.peer_addr)
    }
}

/// One log entry's payload: an encoded `assent_registry::Command`. Bytes, not the typed command, so that
/// replication and the log copy nothing and the encoding is pinned in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal(pub Bytes);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.0.len())
    }
}

/// What applying one entry answers: one list of outcomes a group, empty for Raft's own entries.
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
