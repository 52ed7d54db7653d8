//! How this node sees the cluster. Local: no barrier, and no decision rests on it.

use assent_api::{ClockBody, ClockReading, NodeRole, StatusBody};
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;

use super::{Caller, Service};

impl Service {
    /// What this node knows right now.
    pub fn status(&self, _caller: &Caller) -> StatusBody {
        let parts = self.parts();
        let metrics = parts.raft.metrics().borrow_watched().clone();
        let membership = &metrics.membership_config;
        let voters: Vec<u64> = membership.voter_ids().collect();
        let learners = membership.nodes().map(|(id, _)| *id).filter(|id| !voters.contains(id)).collect();
        let readings = parts.hub.clock().offsets();
        StatusBody {
            cluster_id: parts.cluster_id.to_string(),
            origin: parts.origin.clone(),
            node_id: parts.config.node_id,
            role: match metrics.state {
                ServerState::Leader => NodeRole::Leader,
                ServerState::Candidate => NodeRole::Candidate,
                ServerState::Learner => NodeRole::Learner,
                _ => NodeRole::Follower,
            },
            leader: metrics.current_leader,
            term: metrics.current_term,
            revision: parts.applied.borrow().revision,
            last_log: metrics.last_log_index,
            applied: metrics.last_applied.map(|log_id| log_id.index),
            voters,
            learners,
            clock: ClockBody {
                sure: parts.clock_is_sure(),
                bound_ms: parts.config.clock_bound_ms,
                readings: readings
                    .iter()
                    .map(|clock| ClockReading {
                        peer: clock.peer,
                        offset_ms: clock.offset_ms,
                        age_ms: clock.age_ms,
                    })
                    .collect(),
            },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: u64::try_from(self.inner.started.elapsed().as_millis()).ok(),
        }
    }
}
