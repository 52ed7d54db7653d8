//! The watch over the voters: what they and the learners have acknowledged is remembered, and as leader told.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::interval;

use super::unfinished::repeat_unfinished;
use crate::peer::Acknowledged;
use crate::tasks::{TaskHeartbeat, Why};
use crate::usecase::{Parts, Service};

/// How often the leader takes stock of what the voters acknowledged.
const REMEMBER_EVERY: Duration = Duration::from_millis(100);
/// Once in so many rounds what is remembered is made durable, and the node looks after what may have been left half done.
const SLOW_ROUNDS: u32 = 10;

/// Keeps what the voters acknowledged, and as leader tells it. Keeps also which members have said that this node was removed.
pub(super) async fn remember_voters(service: Service, heartbeat: TaskHeartbeat) -> Why {
    let mut ticks = interval(REMEMBER_EVERY);
    let mut rounds: u32 = 0;
    loop {
        ticks.tick().await;
        heartbeat.beat();
        let parts = service.parts();
        let remembered = &parts.storage.remembered;
        let leads = parts.believed_leader() == Some(parts.config.node_id);
        remembered.tell(if leads { acknowledged(parts) } else { Vec::new() });
        let metrics = parts.raft.metrics();
        let membership = metrics.borrow_watched().membership_config.clone();
        rounds = rounds.wrapping_add(1);
        // Were this node stopped now, and started while the members are down, nothing else would tell it.
        let told = remembered.set_removed_by(parts.refusing());
        // When nothing else is written, nothing carries it to the disk.
        let now = rounds.is_multiple_of(SLOW_ROUNDS);
        // A failure is the store's, which ends the node.
        let _ = remembered.save(now || told, |id| membership.get_node(&id).is_some()).await;
        if now {
            repeat_unfinished(&service, &membership, leads).await;
        }
    }
}

/// What each member has on its disk for certain, as the leader knows: only what is committed too, since the rest may be
/// truncated again. Learners count: a leader whose learner forgot what it had acknowledged could not go on either.
fn acknowledged(parts: &Parts) -> Vec<Acknowledged> {
    let metrics = parts.metrics_now();
    let (Some(replication), Some(committed)) = (&metrics.replication, &metrics.local_committed) else {
        return Vec::new();
    };
    metrics
        .membership_config
        .nodes()
        .filter_map(|(node, _)| {
            let node = *node;
            let matched = replication.get(&node)?.as_ref()?.index;
            Some(Acknowledged { node, term: metrics.current_term, index: matched.min(committed.index) })
        })
        .collect()
}
