//! Leaving: first not ready any more, then not leading any more, then gone.
//!
//! A node that stops goes on answering while it hands leadership over; what it allows meanwhile it allows behind a
//! barrier, as ever. It takes no leadership any more, so that when several nodes stop at once none hands it to another
//! that is going too.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{Instant, sleep};

use super::{Parts, Service};
use crate::raft::types::NodeId;

/// How often it is looked whether somebody else leads.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A successor that has not taken leadership after so many longest elections will not: the next one is asked.
const TAKES_WITHIN_ELECTIONS: u32 = 2;

impl Service {
    /// From now on this node is not ready, campaigns no more and refuses leadership. It still answers and votes.
    pub(crate) fn begin_stop(&self) {
        let parts = self.parts();
        // First: what ends because of the one must not be taken for an end by itself.
        parts.tasks.begin_stop();
        parts.lifecycle.stopping.store(true, Ordering::Relaxed);
        parts.raft.runtime_config().elect(false);
    }

    /// Hands leadership over, if this node has it, and waits until somebody else does. Asks one voter after the other;
    /// if none is there to take it, the others elect once this node is gone.
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
            tracing::warn!("nobody was there to take leadership; the others elect once this node is gone");
        }
    }
}

impl Parts {
    /// Whether this node is on its way out.
    pub(crate) fn is_stopping(&self) -> bool {
        self.lifecycle.stopping.load(Ordering::Relaxed)
    }

    /// The connected voter that holds the most of the log, but for those that were asked already.
    pub(super) fn successor(&self, asked: &BTreeSet<NodeId>) -> Option<NodeId> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let replication = metrics.replication?;
        let me = self.config.node_id;
        self.voters()
            .into_iter()
            .filter(|id| *id != me && !asked.contains(id) && self.hub.is_connected(*id))
            .max_by_key(|id| replication.get(id).and_then(|matched| matched.as_ref().map(|m| m.index)))
    }

    /// Who leads in this node's place, by `until`; nobody if `successor` goes away meanwhile.
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
