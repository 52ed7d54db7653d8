//! How a node handles its peers' requests. The node implements it, and the transport only calls it.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::raft::{
    AppendEntriesResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use assent_registry::Group;

use crate::raft::types::{NodeId, TypeConfig};

use super::hello::{Hello, StoreProgress};
use super::message::{
    Append, Behalf, CosignRules, CosignRulesReply, Introduce, Manage, ManageReply, ProbeReply,
    ReadIndexReply, SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotReply, SubmitReply,
};
use super::moved::{Moved, MovedReply};

/// An answer, or why there is none: the text goes to the peer, which treats it as a failure to reach this node.
pub type Answer<T> = BoxFuture<'static, Result<T, String>>;

/// One step of receiving a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotStep {
    /// The start of a snapshot. Any other snapshot from this peer ends.
    Begin(SnapshotBegin),
    /// The next piece.
    Chunk(SnapshotChunk),
    /// The end, after which it is installed.
    End(SnapshotEnd),
}

/// Serves the peers. `from` is the node id that the handshake established.
///
/// The methods start work and return at once; only the futures may wait. A future may be dropped at any await when
/// the connection ends.
pub trait Handler: Send + Sync + 'static {
    /// How far this node's store has come. Every handshake sends it.
    fn store_progress(&self) -> StoreProgress;

    /// Whether the peer may talk to this node. Versions, cluster id and node ids were checked already. This decides
    /// on the rest: above all, whether its store is the one that the membership binds to its node id, and whether
    /// that store has everything that the peer acknowledged. The error is sent to the peer and logged on both sides.
    fn admit(&self, hello: &Hello) -> Result<(), String>;

    /// Whether an admitted peer may still talk, as far as its store goes. It is called for every frame, since this
    /// node may have learnt only in the meantime which store is bound to that id or to its own. An error ends the
    /// connection.
    fn is_bound(&self, hello: &Hello) -> Result<(), String>;

    /// Root's statement by which the cluster was recovered without that peer, if it was. It is sent in place of a
    /// refusal.
    fn recovery(&self, hello: &Hello) -> Option<Bytes>;

    /// Called when an admitted peer, with this hello, claims that the cluster was recovered without this node, and
    /// shows root's statement.
    fn recovered(&self, hello: &Hello, envelope: &Bytes);

    /// Raft AppendEntries. It is called, and first polled, in the order in which the peer sent the appends. Several
    /// may be under way at once, and their answers may come in any order.
    fn append(&self, from: NodeId, append: Append) -> Answer<AppendEntriesResponse<TypeConfig>>;

    /// Raft RequestVote.
    fn vote(&self, from: NodeId, rpc: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>>;

    /// Raft PreVote.
    fn pre_vote(&self, from: NodeId, rpc: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>>;

    /// The leader asks this node to take over.
    fn transfer_leader(
        &self,
        from: NodeId,
        rpc: TransferLeaderRequest<TypeConfig>,
    ) -> Answer<TransferLeaderResponse<TypeConfig>>;

    /// One step of receiving a snapshot. The sender waits for each answer before the next step.
    fn snapshot(&self, from: NodeId, step: SnapshotStep) -> Answer<SnapshotReply>;

    /// How far a linearizable read must have applied, confirmed with a quorum.
    fn read_index(&self, from: NodeId) -> BoxFuture<'static, ReadIndexReply>;

    /// Proposes envelopes, and waits for their outcome. `behalf` names the caller of each group, or is empty if the peer
    /// does not say who they are.
    fn submit(
        &self,
        from: NodeId,
        groups: Vec<Group>,
        behalf: Vec<Behalf>,
    ) -> BoxFuture<'static, SubmitReply>;

    /// Signs that this node's build knows these rules.
    fn cosign_rules(&self, from: NodeId, ask: CosignRules) -> BoxFuture<'static, CosignRulesReply>;

    /// Changes the membership, if this node leads. `behalf` is absent if the peer does not say who has asked for it.
    fn manage(&self, from: NodeId, manage: Manage, behalf: Option<Behalf>)
    -> BoxFuture<'static, ManageReply>;

    /// A member announces its addresses. The announcement is that of the member that it names, whichever node
    /// delivers it.
    fn moved(&self, from: NodeId, moved: Moved) -> BoxFuture<'static, MovedReply>;

    /// A peer names the members.
    fn introduce(&self, from: NodeId, introduce: Introduce);

    /// The state of this node.
    fn probe(&self, from: NodeId) -> BoxFuture<'static, ProbeReply>;
}
