//! Every request that one node can send to another, with its answer. This module owns their shapes and their numbers
//! on the wire. The [`Handler`](super::Handler) defines what they mean.

use bytes::Bytes;
use openraft::alias::{SnapshotMetaOf, VoteOf};
use openraft::raft::linearizable_read::ReadLogId;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use assent_api::MembersBody;
use assent_proof::{PublicKey, Refusal};
use assent_registry::{Group, Outcomes};

use crate::raft::types::{NodeId, PeerNode, TypeConfig};

use super::bounds::Bounded;
use super::frame::kind;
use super::moved::{Moved, MovedReply};

/// A request with one kind of answer. Bodies are encoded by position: a field is never moved or removed, and any
/// change raises the protocol version.
pub trait Message: Serialize + DeserializeOwned + Bounded + Send + 'static {
    /// Its number on the wire.
    const KIND: u8;
    /// Its name in logs and metrics.
    const NAME: &'static str;
    /// What answers it.
    type Reply: Serialize + DeserializeOwned + Bounded + Send + 'static;
}

macro_rules! messages {
    ($($message:ty, $kind:expr, $name:literal => $reply:ty;)*) => {
        $(impl Message for $message {
            const KIND: u8 = $kind;
            const NAME: &'static str = $name;
            type Reply = $reply;
        })*
    };
}

messages! {
    Append, kind::APPEND, "append" => AppendEntriesResponse<TypeConfig>;
    Vote, kind::VOTE, "vote" => VoteResponse<TypeConfig>;
    PreVote, kind::PRE_VOTE, "pre_vote" => VoteResponse<TypeConfig>;
    TransferLeader, kind::TRANSFER_LEADER, "transfer_leader" => openraft::raft::TransferLeaderResponse<TypeConfig>;
    SnapshotBegin, kind::SNAPSHOT_BEGIN, "snapshot_begin" => SnapshotReply;
    SnapshotChunk, kind::SNAPSHOT_CHUNK, "snapshot_chunk" => SnapshotReply;
    SnapshotEnd, kind::SNAPSHOT_END, "snapshot_end" => SnapshotReply;
    ReadIndex, kind::READ_INDEX, "read_index" => ReadIndexReply;
    Submit, kind::SUBMIT, "submit" => SubmitReply;
    Probe, kind::PROBE, "probe" => ProbeReply;
    Manage, kind::MANAGE, "manage" => ManageReply;
    Introduce, kind::INTRODUCE, "introduce" => ();
    CosignRules, kind::COSIGN_RULES, "cosign_rules" => CosignRulesReply;
    Moved, kind::MOVED, "moved" => MovedReply;
    SubmitFor, kind::SUBMIT_FOR, "submit_for" => SubmitReply;
    ManageFor, kind::MANAGE_FOR, "manage_for" => ManageReply;
}

/// Raft AppendEntries (§5.3). The peer's Raft core gets them in the order sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Append {
    /// Raft's own request.
    pub rpc: AppendEntriesRequest<TypeConfig>,
    /// What the leader knows of every voter. The receiver remembers it.
    pub acknowledged: Vec<Acknowledged>,
}

/// What a voter has acknowledged. Its store never has less than this again, unless its disk was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The voter.
    pub node: NodeId,
    /// A term that it has voted in or followed.
    pub term: u64,
    /// A committed log index that it has on its disk. An index that is not committed does not count, because it may
    /// be truncated again.
    pub index: u64,
}

/// Raft RequestVote (§5.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote(pub VoteRequest<TypeConfig>);

/// Asks whether the peer would vote for this node. It changes no term (Raft dissertation §9.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreVote(pub VoteRequest<TypeConfig>);

/// The leader asks the peer to take over (Raft dissertation §3.10).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferLeader(pub TransferLeaderRequest<TypeConfig>);

/// The leader is about to send a snapshot, or continues one after the connection broke. A sender has one transfer to
/// a peer at a time, and a new one ends the former.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotBegin {
    /// The id of the transfer, by which its chunks name it. The sender chooses it.
    pub transfer: u64,
    /// The leader's vote.
    pub vote: VoteOf<TypeConfig>,
    /// What the snapshot covers.
    pub meta: SnapshotMetaOf<TypeConfig>,
    /// The store's own encoding of what comes first.
    pub header: Bytes,
}

/// One piece of a snapshot. It is sent once the previous piece is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotChunk {
    /// The transfer it belongs to.
    pub transfer: u64,
    /// The store's own encoding of it, which carries its place and its digest.
    pub chunk: Bytes,
}

/// The end of a snapshot, after all chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEnd {
    /// The transfer that ends.
    pub transfer: u64,
    /// The store's own encoding of the summary of all chunks.
    pub summary: Bytes,
}

/// The state of a snapshot transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotReply {
    /// The sender should send this chunk next.
    Continue {
        /// The index of the chunk. A resumed transfer continues after the last chunk that was written.
        next: u64,
    },
    /// The snapshot was installed, or the receiver did not install it because it has seen a higher vote. Its vote
    /// tells which (Raft §7).
    Done(VoteOf<TypeConfig>),
    /// The receiver gave up on this transfer. The sender must start again.
    Aborted(String),
}

/// A follower asks the leader how far a reader must have applied (ReadIndex, dissertation §6.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadIndex {}

/// The answer to [`ReadIndex`].
pub type ReadIndexReply = Result<ReadLogId<TypeConfig>, ReadIndexError>;

/// Why there is no read index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ReadIndexError {
    /// The node asked does not lead.
    #[error("it is not the leader")]
    NotLeader {
        /// The node that leads, as far as it knows.
        leader: Option<NodeId>,
    },
    /// It could not confirm its leadership with a quorum in time.
    #[error("no quorum confirmed its leadership: {0}")]
    NoQuorum(String),
    /// It has too many requests under way.
    #[error("it is overloaded")]
    Overloaded,
}

/// The caller for whom a node forwards something, by that node's word: it has judged the caller. It never shows what
/// the caller has shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behalf {
    /// The name that the sender's table of callers gives it. Empty if it has none.
    pub name: String,
    /// How the sender has identified it, one word.
    pub by: String,
    /// The sender's id of the request. Empty if it has none.
    pub request: String,
    /// Whether the sender's table gives it the role `operator`.
    pub operator: bool,
}

/// A follower asks the leader to propose these envelopes, and says for which callers. Since protocol version 7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitFor {
    /// What to propose, as one command.
    pub groups: Vec<Group>,
    /// The caller of each group, in their order.
    pub behalf: Vec<Behalf>,
}

/// A node asks the leader for a change of the membership, and says for which caller. Since protocol version 7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageFor {
    /// What to change.
    pub manage: Manage,
    /// Who has asked for it.
    pub behalf: Behalf,
}

/// A follower asks the leader to propose these envelopes. A peer of protocol version 6 sends this, and gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// What to propose, as one command.
    pub groups: Vec<Group>,
}

/// The answer to [`Submit`].
pub type SubmitReply = Result<Outcomes, SubmitError>;

/// Why a submission brought no outcomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum SubmitError {
    /// The node asked does not lead; nothing was proposed.
    #[error("it is not the leader")]
    NotLeader {
        /// The node that leads, as far as it knows.
        leader: Option<NodeId>,
    },
    /// Its clock is not to be trusted; nothing was proposed.
    #[error("its clock is uncertain")]
    ClockUncertain,
    /// It has too many requests under way; nothing was proposed.
    #[error("it is overloaded")]
    Overloaded,
    /// The envelopes were proposed, but it is not known whether they are applied. The same bytes may be submitted
    /// again.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

/// Asks for the peer's state, before a fresh store initializes the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {}

/// The answer to [`Probe`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReply {
    /// Whether its store has ever started: a vote or a log entry is present.
    pub started: bool,
    /// Its store's random id.
    pub store_id: [u8; 16],
    /// The node that leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// Its signing key.
    pub key: PublicKey,
}

/// Names the members. A peer that has missed changes learns from it which nodes to talk to. Nothing else depends on
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduce {
    /// Every member, by id.
    pub members: Vec<(NodeId, PeerNode)>,
}

/// The leader asks each voter to sign that its build knows these rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CosignRules {
    /// A `rules` statement, as it will be an envelope's payload.
    pub statement: Bytes,
}

/// The answer to [`CosignRules`]: the 64 bytes of an Ed25519 signature over the statement's DSSE encoding, or why
/// there is none.
pub type CosignRulesReply = Result<Bytes, String>;

/// A node that got a call asks the leader to change the membership, or for its present state. A change in this form
/// does not say who has asked for it, so this build sends it only to a peer of protocol version 6, and refuses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manage {
    /// Every member, as the leader sees it.
    List,
    /// Begin to send the log to a new node, as a learner.
    Add {
        /// Its number, never used before.
        id: NodeId,
        /// Its addresses, its store and its key.
        node: PeerNode,
    },
    /// Make a learner that has caught up a voter.
    Promote(NodeId),
    /// Take a member out, for good.
    Remove(NodeId),
    /// Transfer leadership to this voter, or to any.
    Transfer(Option<NodeId>),
    /// Change the addresses of a member. Of an address that is left out, the membership keeps its own. Since protocol
    /// version 6.
    Update {
        /// The member.
        id: NodeId,
        /// Where peers reach it.
        peer_addr: Option<String>,
        /// Where clients reach it.
        client_addr: Option<String>,
    },
}

/// The answer to [`Manage`]: every member afterwards, or why nothing was changed.
pub type ManageReply = Result<MembersBody, ManageError>;

/// Why the membership was not changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ManageError {
    /// The node asked does not lead; nothing was changed.
    NotLeader {
        /// The node that leads, as far as it knows.
        leader: Option<NodeId>,
    },
    /// It was refused; nothing was changed.
    Refused(Refusal),
    /// It may have been changed, or may still be.
    Unknown(String),
}

/// The body of a failure: its cause, by number on the wire, and a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    /// One of the constants of this type.
    pub(super) cause: u8,
    /// The text, for people.
    pub(super) detail: String,
}

impl Failure {
    /// Too many requests are under way; nothing was done.
    pub(super) const OVERLOADED: u8 = 1;
    /// The request could not be carried out.
    pub(super) const FAILED: u8 = 2;
    /// This build does not know the request.
    pub(super) const UNSUPPORTED: u8 = 3;
}

/// The body of a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ping {
    /// The number of bytes of this connection that the asking side has received. While it grows, the other side is
    /// known to be heard, even if a long frame is under way on a slow link and no answer can be sent.
    pub(super) received: u64,
}

/// The body of a pong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pong {
    /// The answering side's wall clock, in Unix milliseconds.
    pub(super) now_ms: i64,
    /// How far that clock was ahead, at that very moment, of the time that the answering side trusts by its own boot
    /// time, in milliseconds. None if the clock was not where it is trusted to be.
    pub(super) anchored: Option<i64>,
}

#[cfg(test)]
mod golden;
