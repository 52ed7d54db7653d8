//! One node to which Raft sends messages, and how to reach it.

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
    /// Sends one request. openraft waits for the answer for this long.
    pub(super) async fn unary<M: Message>(
        &self,
        action: RPCTypes,
        message: &M,
        deadline: Duration,
    ) -> RpcResult<M::Reply> {
        let reply = self.hub.call(self.id, message, deadline).await;
        reply.map_err(|error| self.rpc_error(action, deadline, error))
    }

    /// An error in openraft's terms: after a timeout openraft may try again at once, after any other error only after
    /// a pause.
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
