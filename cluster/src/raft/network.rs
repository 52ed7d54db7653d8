//! openraft's network, on top of the peer connections.
//!
//! [`PeerNetworkFactory`] makes one [`PeerNetwork`] for each target, which sends. [`RaftService`] receives. This
//! module owns the pipelining of appends, the translation of errors into openraft's, and the transfer of snapshots.
//! It keeps no connections, which belong to `peer`, and decides nothing about Raft.

mod sender;
mod service;
mod target;
mod transfers;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use openraft::alias::{LogIdOf, SnapshotOf, VoteOf};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError};
use openraft::network::{Backoff, RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use crate::env::Blocking;
use crate::peer::{Append, PeerHub, PreVote, TransferLeader, Vote};

use self::target::{RpcResult, Target};
use super::machine::SnapshotData;
use super::remembered::Remembered;
use super::types::{NodeId, PeerNode, TypeConfig};

pub use self::service::RaftService;
pub use self::transfers::{Direction, Progress, Transfers};

/// How long a replicated append may wait for a follower that answers pings. Such a follower has a slow disk, and
/// sending the same entries again would only add to its work.
const APPEND_DEADLINE: Duration = Duration::from_secs(3);
/// The pauses before an unreachable target is tried again. They are short, since redialing has a pause of its own.
/// The last one repeats.
const BACKOFF_MS: [u64; 3] = [50, 100, 200];

/// Makes the network clients that openraft asks for. All of them share the one connection to their target.
#[derive(Clone)]
pub struct PeerNetworkFactory {
    hub: PeerHub,
    blocking: Arc<dyn Blocking>,
    remembered: Arc<Remembered>,
    transfers: Transfers,
}

impl PeerNetworkFactory {
    /// Makes clients over `hub`. Snapshots are read in `blocking` and shown in `transfers`. Every append carries what
    /// `remembered` holds of the voters.
    pub fn new(
        hub: PeerHub,
        blocking: Arc<dyn Blocking>,
        remembered: Arc<Remembered>,
        transfers: Transfers,
    ) -> Self {
        Self { hub, blocking, remembered, transfers }
    }
}

impl RaftNetworkFactory<TypeConfig> for PeerNetworkFactory {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: NodeId, node: &PeerNode) -> PeerNetwork {
        self.hub.ensure_known(target, &node.peer_addr);
        let (hub, blocking) = (self.hub.clone(), self.blocking.clone());
        let target = Target { id: target, hub, blocking, transfers: self.transfers.clone() };
        PeerNetwork { target, remembered: self.remembered.clone() }
    }
}

/// Sends Raft's messages to one node.
pub struct PeerNetwork {
    target: Target,
    remembered: Arc<Remembered>,
}

impl RaftNetworkV2<TypeConfig> for PeerNetwork {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<AppendEntriesResponse<TypeConfig>> {
        let append = Append { rpc, acknowledged: self.remembered.told() };
        self.target.unary(RPCTypes::AppendEntries, &append, option.soft_ttl()).await
    }

    /// Keeps several appends in flight. They are sent in the order of `input`, because a call is queued when it is
    /// made. They are answered in that order, because `buffered` keeps it. The stream ends with the first answer that
    /// is not a success, and openraft then opens a new stream.
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, RpcResult<BoxStream<'s, RpcResult<StreamAppendResult<TypeConfig>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let patience = option.soft_ttl();
        let (target, remembered) = (&self.target, &self.remembered);
        let answers = input
            .map(move |rpc| {
                let prev = rpc.prev_log_id;
                let last = rpc.entries.last().map(|entry| entry.log_id).or(prev);
                let append = Append { rpc, acknowledged: remembered.told() };
                let call = target.hub.call_patient(target.id, &append, patience, APPEND_DEADLINE);
                async move {
                    match call.await {
                        Ok(answer) => stream_result(answer, prev, last),
                        Err(error) => Err(target.rpc_error(RPCTypes::AppendEntries, APPEND_DEADLINE, error)),
                    }
                }
            })
            .buffered(target.hub.limits().append_pipeline.max(1));
        let until_failure = answers.scan(false, |failed, answer| {
            let next = (!*failed).then_some(answer);
            *failed = !matches!(next, Some(Ok(Ok(_))));
            std::future::ready(next)
        });
        let stream: BoxStream<'s, _> = Box::pin(until_failure);
        Box::pin(std::future::ready(Ok(stream)))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        self.target.unary(RPCTypes::Vote, &Vote(rpc), option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        self.target.unary(RPCTypes::Vote, &PreVote(rpc), option.soft_ttl()).await
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<TransferLeaderResponse<TypeConfig>> {
        self.target.unary(RPCTypes::TransferLeader, &TransferLeader(rpc), option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = sender::send(&self.target, vote, snapshot, option.soft_ttl()) => sent,
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        let last = BACKOFF_MS.last().copied().unwrap_or_default();
        Some(Backoff::new(BACKOFF_MS.into_iter().chain(std::iter::repeat(last)).map(Duration::from_millis)))
    }
}

/// Translates a follower's answer for openraft's stream. An answer that no correct follower gives is an error, never
/// progress. This holds for a conflict before the log's beginning, and for progress that the request did not ask for.
fn stream_result(
    answer: AppendEntriesResponse<TypeConfig>,
    prev: Option<LogIdOf<TypeConfig>>,
    last: Option<LogIdOf<TypeConfig>>,
) -> RpcResult<StreamAppendResult<TypeConfig>> {
    let nonsense = |what: &str| Err(RPCError::Network(NetworkError::from_string(what)));
    match (answer, prev) {
        (AppendEntriesResponse::Success, _) => Ok(Ok(last)),
        (AppendEntriesResponse::Conflict, Some(prev)) => Ok(Err(StreamAppendError::Conflict(prev))),
        (AppendEntriesResponse::HigherVote(vote), _) => Ok(Err(StreamAppendError::HigherVote(vote))),
        (AppendEntriesResponse::Conflict, None) => nonsense("a conflict before the log's beginning"),
        (AppendEntriesResponse::PartialSuccess(_), _) => nonsense("a part of an append was answered"),
    }
}
