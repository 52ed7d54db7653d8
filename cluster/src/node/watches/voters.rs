//! The watch over the voters. It remembers what the voters and the learners have acknowledged, and as leader it tells
//! the members.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::interval;

use super::unfinished::repeat_unfinished;
use crate::peer::Acknowledged;
use crate::tasks::{TaskHeartbeat, Why};
use crate::usecase::{Parts, Service};

/// How often the leader collects what the voters have acknowledged.
const REMEMBER_EVERY: Duration = Duration::from_millis(100);
/// Once in this many rounds, what is remembered is made durable, and the node repeats what may have been left
/// incomplete.
const SLOW_ROUNDS: u32 = 10;

/// Remembers what the voters have acknowledged and, as leader, tells the members. It also remembers which members
/// have said that this node was removed.
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
        // If this node were stopped now, and started while the members are down, nothing else would tell it.
        let told = remembered.set_removed_by(parts.refusing());
        // If nothing else is written, nothing else makes this durable.
        let now = rounds.is_multiple_of(SLOW_ROUNDS);
        // A failure is one of the store, which ends the node.
        let _ = remembered.save(now || told, |id| membership.get_node(&id).is_some()).await;
        if now {
            repeat_unfinished(&service, &membership, leads).await;
        }
    }
}

/// What each member certainly has on its disk, as the leader knows. Only committed entries count, since others may
/// still be truncated. Learners count too: if a learner forgot what it had acknowledged, its leader could not go on
/// either.
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
