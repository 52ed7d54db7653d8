//! One node that Raft's messages go to, and what it takes to reach it.

use std::sync::Arc;
use std::time::Duration;

use openraft::errors::{RPCError, Timeout, Unreachable};
use openraft::network::RPCTypes;

use crate::env::Blocking;
use crate::peer::{Message, PeerError, PeerHub};
use crate::raft::types::{NodeId, TypeConfig};

use super::transfers::Transfers;

pub(super) type RpcResult<T> = Result<T, RPCError<TypeConfig>>;

/// A node, and how its messages and snapshots reach it.
pub(super) struct Target {
    pub(super) id: NodeId,
    pub(super) hub: PeerHub,
    pub(super) blocking: Arc<dyn Blocking>,
    pub(super) transfers: Transfers,
}

impl Target {
    /// One request, whose answer openraft awaits for so long.
    pub(super) async fn unary<M: Message>(
        &self,
        action: RPCTypes,
        message: &M,
        deadline: Duration,
    ) -> RpcResult<M::Reply> {
        let reply = self.hub.call(self.id, message, deadline).await;
        reply.map_err(|error| self.rpc_error(action, deadline, error))
    }

    /// What went wrong, as openraft weighs it: a timeout may be retried at once, everything else after a pause.
    pub(super) fn rpc_error(
        &self,
        action: RPCTypes,
        timeout: Duration,
        error: PeerError,
    ) -> RPCError<TypeConfig> {
        match error {
            PeerError::Deadline => {
                RPCError::Timeout(Timeout { action, id: self.hub.node_id(), target: self.id, timeout })
            }
            other => RPCError::Unreachable(Unreachable::new(&other)),
        }
    }
}
