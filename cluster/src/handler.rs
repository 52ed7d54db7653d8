//! What this node does with its peers' requests: Raft's go to the Raft core, the rest to the use cases.
//!
//! Owns the decision who may talk at all: before there is a membership only genesis voters, from then on only
//! members, each with the store that the membership binds to its id.

use std::sync::OnceLock;

use futures_util::future::BoxFuture;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
    VoteResponse,
};

use assent_registry::Group;
use assent_store::LogStore;

use crate::peer::{
    Answer, Handler, Hello, ProbeReply, ReadIndexError, ReadIndexReply, SnapshotReply, SnapshotStep,
    SubmitError, SubmitReply,
};
use crate::raft::log::LogRecord;
use crate::raft::network::RaftService;
use crate::raft::types::{NodeId, TypeConfig};
use crate::usecase::{Service, WeakService, within};

/// The node's side of the peers' requests.
pub(crate) struct PeerHandler {
    pub(crate) raft: RaftService,
    pub(crate) service: OnceLock<WeakService>,
    pub(crate) log: LogStore<LogRecord>,
    pub(crate) store_id: [u8; 16],
    pub(crate) voters: Vec<NodeId>,
}

impl PeerHandler {
    fn service(&self) -> Option<Service> {
        self.service.get().and_then(WeakService::upgrade)
    }
}

impl Handler for PeerHandler {
    fn started(&self) -> bool {
        self.log.vote().is_some() || self.log.range().is_some() || self.log.purged().is_some()
    }

    /// Before there is a membership only genesis voters may talk; from then on only members, each with the
    /// store that the membership binds to its id.
    fn admit(&self, hello: &Hello) -> Result<(), String> {
        let stranger = || Err(format!("node {} is not a member of this cluster", hello.node_id));
        let Some(raft) = self.raft.raft() else {
            return Err("this node is starting".to_owned());
        };
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = &metrics.membership_config;
        if membership.nodes().next().is_none() {
            return if self.voters.contains(&hello.node_id) { Ok(()) } else { stranger() };
        }
        match membership.get_node(&hello.node_id) {
            None => stranger(),
            Some(node) if node.store_id == hello.store_id => Ok(()),
            Some(_) => Err(format!(
                "node {} is bound to another store: a lost or replaced disk never rejoins under its old node id",
                hello.node_id
            )),
        }
    }

    fn append(
        &self,
        from: NodeId,
        rpc: AppendEntriesRequest<TypeConfig>,
    ) -> Answer<AppendEntriesResponse<TypeConfig>> {
        self.raft.append(from, rpc)
    }

    fn vote(&self, from: NodeId, rpc: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>> {
        self.raft.vote(from, rpc)
    }

    fn pre_vote(&self, from: NodeId, rpc: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>> {
        self.raft.pre_vote(from, rpc)
    }

    fn transfer_leader(
        &self,
        from: NodeId,
        rpc: TransferLeaderRequest<TypeConfig>,
    ) -> Answer<TransferLeaderResponse<TypeConfig>> {
        self.raft.transfer_leader(from, rpc)
    }

    fn snapshot(&self, from: NodeId, step: SnapshotStep) -> Answer<SnapshotReply> {
        self.raft.snapshot(from, step)
    }

    /// Only for voters: a removed node that has not learnt of it must not answer on this node's word.
    fn read_index(&self, from: NodeId) -> BoxFuture<'static, ReadIndexReply> {
        let service = self.service();
        Box::pin(async move {
            let Some(service) = service else { return Err(ReadIndexError::NotLeader { leader: None }) };
            let parts = service.parts();
            if !parts.voters().contains(&from) {
                return Err(ReadIndexError::NoQuorum(format!("node {from} is not a voter")));
            }
            parts.confirm(within(parts.config.deadlines.authorize_ms)).await
        })
    }

    fn submit(&self, _from: NodeId, groups: Vec<Group>) -> BoxFuture<'static, SubmitReply> {
        let service = self.service();
        Box::pin(async move {
            let Some(service) = service else { return Err(SubmitError::NotLeader { leader: None }) };
            service.parts().propose_for_peer(groups).await
        })
    }

    fn probe(&self, _from: NodeId) -> BoxFuture<'static, ProbeReply> {
        let leader = self.service().and_then(|service| service.parts().believed_leader());
        let reply = ProbeReply { started: self.started(), store_id: self.store_id, leader };
        Box::pin(std::future::ready(reply))
    }
}
