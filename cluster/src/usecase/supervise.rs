//! Two permanent watches: over the clock, and over the durability of the registry.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{interval, sleep};

use assent_api::ClockStanding;

use super::Service;
use super::anchor::Unsure;
use super::clock::Watched;
use crate::env::blocking;
use crate::tasks::{TaskHeartbeat, Why};

/// How often the clock is judged.
const CLOCK_EVERY: Duration = Duration::from_millis(100);
/// How long the node waits for a handover of leadership before it tries again.
const HANDOVER_PAUSE: Duration = Duration::from_secs(1);
/// A leader hands over after this many checks in a row at which no quorum agreed with its clock.
const UNSURE_TICKS: u32 = 3;

/// Watches the clock. If no quorum agrees with it, the node does not campaign, and hands leadership over if it has
/// it. If a quorum agrees, any other problem with the clock is one of the whole quorum: another leader could not
/// stamp either, and this one can still serve reads.
pub(crate) async fn supervise_clock(service: Service, heartbeat: TaskHeartbeat) -> Why {
    let mut ticks = interval(CLOCK_EVERY);
    let mut campaigns = None;
    // Every node of a cluster of several starts in this state, so it is not logged.
    let mut said = Some(ClockStanding::NoQuorum);
    let mut unsure_ticks: u32 = 0;
    loop {
        ticks.tick().await;
        heartbeat.beat();
        let parts = service.parts();
        if parts.is_stopping() {
            return "the node stops";
        }
        let Watched { quorum, unsure } = parts.watch_clock();
        let standing = unsure.map(Unsure::standing);
        if said != standing {
            match unsure {
                Some(unsure) => tracing::warn!(
                    standing = unsure.standing().as_str(),
                    remedy = unsure.remedy(),
                    "{}",
                    unsure.detail()
                ),
                None => tracing::info!("this node is sure of its clock"),
            }
            said = standing;
        }
        if campaigns != Some(quorum) {
            parts.raft.runtime_config().elect(quorum);
            campaigns = Some(quorum);
        }
        unsure_ticks = if quorum { 0 } else { unsure_ticks.saturating_add(1) };
        let leads = parts.believed_leader() == Some(parts.config.node_id);
        if leads && unsure_ticks >= UNSURE_TICKS && service.hand_over().await {
            // openraft keeps a transfer for ever, and a leader that transfers sends no heartbeats. If the successor
            // does not take over, the others elect.
            sleep(HANDOVER_PAUSE).await;
        }
    }
}

impl Service {
    /// Hands leadership to a connected voter that has the whole log, if there is one. Best effort.
    pub(crate) async fn hand_over(&self) -> bool {
        let parts = self.parts();
        match parts.successor(&BTreeSet::new()) {
            None => false,
            Some(to) => {
                tracing::info!(to, "handing leadership over");
                parts.raft.trigger().transfer_leader(to).await.is_ok()
            }
        }
    }
}

/// Makes the registry durable from time to time. The Raft log covers what was applied since.
pub(crate) async fn flush_registry(service: Service, heartbeat: TaskHeartbeat) -> Why {
    let mut ticks = interval(Duration::from_millis(service.config().limits.registry_flush_ms));
    loop {
        ticks.tick().await;
        heartbeat.beat();
        let registry = service.parts().storage.registry.clone();
        // A failure poisons the store, which ends the node.
        if blocking(&*service.parts().env.blocking, move || registry.flush()).await.is_err() {
            return "making the registry durable panicked";
        }
    }
}
