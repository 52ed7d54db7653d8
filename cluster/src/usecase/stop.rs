//! How a node stops: first it is not ready any more, then it does not lead any more, and then it ends.
//!
//! A stopping node continues to answer while it hands its leadership over. Each allow still has a barrier before it.
//! The node takes no leadership any more, so that when several nodes stop at once, none hands leadership to another
//! one that is stopping too.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{Instant, sleep};

use super::{Parts, Service};
use crate::raft::types::NodeId;

/// How often the node checks whether another node leads.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// If a successor has not taken leadership after this many times the longest election timeout, the next one is asked.
const TAKES_WITHIN_ELECTIONS: u32 = 2;

impl Service {
    /// From now on this node is not ready, does not campaign and refuses leadership. It still answers and votes.
    pub(crate) fn begin_stop(&self) {
        let parts = self.parts();
        // This comes first, so that an end that follows from the stop does not count as the failure of a task.
        parts.tasks.begin_stop();
        parts.lifecycle.stopping.store(true, Ordering::Relaxed);
        parts.raft.runtime_config().elect(false);
    }

    /// Hands leadership over, if this node has it, and waits until another node leads. It asks one voter after
    /// another. If none takes it, the others elect once this node has ended.
    pub(crate) async fn leave_leadership(&self, within: Duration) {
        let parts = self.parts();
        if parts.believed_leader() != Some(parts.config.node_id) {
            return;
        }
        let (started, until) = (Instant::now(), Instant::now() + within);
        let patience = Duration::from_millis(parts.config.raft.election_max_ms) * TAKES_WITHIN_ELECTIONS;
        let mut asked = BTreeSet::new();
        while let Some(to) = parts.successor(&asked)
            && Instant::now() < until
        {
            asked.insert(to);
            tracing::info!(to, "handing leadership over");
            if parts.raft.trigger().transfer_leader(to).await.is_err() {
                break;
            }
            if let Some(leader) = parts.wait_for_new_leader(to, until.min(Instant::now() + patience)).await {
                let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(leader, took_ms, "leadership was handed over");
                return;
            }
        }
        if parts.voters().len() > 1 {
            tracing::warn!("no other voter took leadership; the others elect once this node has ended");
        }
    }
}

impl Parts {
    /// Whether this node is stopping.
    pub(crate) fn is_stopping(&self) -> bool {
        self.lifecycle.stopping.load(Ordering::Relaxed)
    }

    /// The connected voter that holds the most of the log, except those that were asked already.
    pub(super) fn successor(&self, asked: &BTreeSet<NodeId>) -> Option<NodeId> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let replication = metrics.replication?;
        let me = self.config.node_id;
        self.voters()
            .into_iter()
            .filter(|id| *id != me && !asked.contains(id) && self.hub.is_connected(*id))
            .max_by_key(|id| replication.get(id).and_then(|matched| matched.as_ref().map(|m| m.index)))
    }

    /// The node that leads in this node's place, by `until`. None if `successor` disconnects in the meantime.
    pub(super) async fn wait_for_new_leader(&self, successor: NodeId, until: Instant) -> Option<NodeId> {
        loop {
            match self.believed_leader() {
                Some(leader) if leader != self.config.node_id => return Some(leader),
                _ if Instant::now() >= until || !self.hub.is_connected(successor) => return None,
                _ => sleep(LOOK_EVERY).await,
            }
        }
    }
}
