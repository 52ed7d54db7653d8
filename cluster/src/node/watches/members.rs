//! The watch over the members. It keeps the address of each member, and ends the connections with a node that is not
//! a member any more.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{Instant, sleep, timeout};

use crate::raft::types::{NodeId, PeerNode};
use crate::tasks::{TaskHeartbeat, Why};
use crate::usecase::Service;

/// The shortest time between two checks of the membership.
const MEMBERS_EVERY: Duration = Duration::from_millis(100);
/// The longest wait for a change in Raft before the next check.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_millis(500);
/// How long a node that was removed keeps its connections.
const LEAVES_WITHIN: Duration = Duration::from_millis(300);

/// Keeps an address of every member in the membership and of no node that was removed, and checks what the membership
/// says of this node.
pub(super) async fn follow_members(service: Service, heartbeat: TaskHeartbeat) -> Why {
    let parts = service.parts();
    let me = parts.config.node_id;
    let mut metrics = parts.raft.metrics();
    let mut told: Option<String> = None;
    let mut leaving: BTreeMap<NodeId, Instant> = BTreeMap::new();
    loop {
        heartbeat.beat();
        let members: Vec<(NodeId, PeerNode)> = metrics
            .borrow_watched()
            .membership_config
            .nodes()
            .map(|(id, node)| (*id, node.clone()))
            .collect();
        let highest = parts.highest_id();
        for (id, node) in &members {
            if *id == me && node.store_id != parts.identity.store_id {
                let cause = "the membership binds this node id to another store: a lost or replaced disk never \
                             rejoins under its old node id";
                // Only the first cause is kept.
                let _ = parts.lifecycle.ends.set(cause.to_owned());
            }
            parts.hub.ensure_peer_at(*id, parts.peer_addresses(*id, node));
        }
        let introduced = parts.gossip.introductions.all();
        for (id, node) in &introduced {
            parts.hub.ensure_known(*id, &node.peer_addr);
        }
        let is_member = |id: NodeId| members.iter().any(|(member, _)| *member == id);
        leaving.retain(|id, _| !is_member(*id));
        for id in parts.hub.known() {
            if members.is_empty() || id > highest || is_member(id) {
                continue;
            }
            // The removed node may be waiting for the answer that tells it so.
            let since = leaving.entry(id).or_insert_with(Instant::now);
            if since.elapsed() >= LEAVES_WITHIN {
                tracing::info!(id, "a node is no member any more");
                parts.hub.forget(id, "it is no member any more");
            }
        }
        let removed = parts.membership_status().removed().map(|removed| removed.detail);
        if removed != told {
            if let Some(detail) = &removed {
                tracing::warn!("{detail}; stop it and keep its data for the auditors");
            }
            told = removed;
        }
        // Introductions come without a change in Raft, so the watch also checks from time to time.
        if let Ok(Err(_)) = timeout(LOOK_AT_LEAST_EVERY, metrics.changed()).await {
            return "raft is gone";
        }
        sleep(MEMBERS_EVERY).await;
    }
}
