//! What a node does with its peers' requests. Implemented by the node; the transport only calls it.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::raft::{
    AppendEntriesResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use assent_registry::Group;

use crate::raft::types::{NodeId, TypeConfig};

use super::hello::{Hello, StoreProgress};
use super::message::{
    Append, CosignRules, CosignRulesReply, Introduce, Manage, ManageReply, ProbeReply, ReadIndexReply,
    SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotReply, SubmitReply,
};
use super::moved::{Moved, MovedReply};

/// An answer, or why there is none: the text goes to the peer, which treats it as a failure to reach this node.
pub type Answer<T> = BoxFuture<'static, Result<T, String>>;

/// One step of receiving a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotStep {
    /// One starts; any other from this peer ends.
    Begin(SnapshotBegin),
    /// The next piece.
    Chunk(SnapshotChunk),
    /// Install it.
    End(SnapshotEnd),
}

/// Serves the peers. `from` is the node id that the handshake established.
///
/// The methods start work and return at once; only the futures may wait. A future may be dropped at any await when
/// the connection ends.
pub trait Handler: Send + Sync + 'static {
    /// How far this node's store has come. Said in every handshake.
    fn store_progress(&self) -> StoreProgress;

    /// Whether the peer may talk to this node. Versions, cluster id and node ids were checked; this decides on the
    /// rest, above all whether its store is the one that the membership binds to its node id, and has all that it
    /// acknowledged. The error is sent
    /// to the peer and logged on both sides.
    fn admit(&self, hello: &Hello) -> Result<(), String>;

    /// Whether a peer that was let in may still talk, as far as its store goes: asked for every frame, since this node may
    /// have learnt only meanwhile which store is bound to that id, or to its own. The error ends the connection.
    fn is_bound(&self, hello: &Hello) -> Result<(), String>;

    /// Root's statement by which the cluster was recovered without that peer, if it was: told in place of a refusal.
    fn recovery(&self, hello: &Hello) -> Option<Bytes>;

    /// The peer that said this hello, and was let in, says that the cluster was recovered without this node, and shows root's
    /// statement.
    fn recovered(&self, hello: &Hello, envelope: &Bytes);

    /// Raft AppendEntries. Called, and first polled, in the order in which the peer sent them; several may be
    /// in work at once, and their answers may come in any order.
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

    /// Up to where a linearizable read must have applied, confirmed with a quorum.
    fn read_index(&self, from: NodeId) -> BoxFuture<'static, ReadIndexReply>;

    /// Propose and wait for the outcome.
    fn submit(&self, from: NodeId, groups: Vec<Group>) -> BoxFuture<'static, SubmitReply>;

    /// Sign that this node's build knows these rules.
    fn cosign_rules(&self, from: NodeId, ask: CosignRules) -> BoxFuture<'static, CosignRulesReply>;

    /// Change the membership, if this node leads.
    fn manage(&self, from: NodeId, manage: Manage) -> BoxFuture<'static, ManageReply>;

    /// A member says where it is now. The word is the one of the member that it names, whoever brings it.
    fn moved(&self, from: NodeId, moved: Moved) -> BoxFuture<'static, MovedReply>;

    /// A peer says who the members are.
    fn introduce(&self, from: NodeId, introduce: Introduce);

    /// How this node stands.
    fn probe(&self, from: NodeId) -> BoxFuture<'static, ProbeReply>;
}
