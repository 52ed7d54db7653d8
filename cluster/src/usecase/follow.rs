//! Standing watches over the membership: ways to the members, what the voters acknowledged, changes left half done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{Instant, interval, sleep, timeout};

use super::{Parts, Service};
use crate::peer::{Acknowledged, Introduce};
use crate::raft::memory::Memory;
use crate::raft::types::{NodeId, PeerNode};
use crate::tasks::{Pulse, Why};

/// How often it is looked who the members are, at most.
const MEMBERS_EVERY: Duration = Duration::from_millis(100);
/// and at least.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_millis(500);
/// How long a node that was removed keeps its connections.
const LEAVES_WITHIN: Duration = Duration::from_millis(300);
/// How often the leader takes stock of what the voters acknowledged.
const REMEMBER_EVERY: Duration = Duration::from_millis(100);
/// How long a peer may take to hear who the members are.
const INTRODUCE_WITHIN: Duration = Duration::from_millis(900);
/// Once in so many rounds what is remembered is made durable, and a leader looks after a change of the membership
/// that nobody completes.
const SLOW_ROUNDS: u32 = 10;

/// Keeps a way to every member that the membership names and to nobody who has left it, and checks what it says of
/// this node.
pub(crate) async fn follow_members(service: Service, pulse: Pulse) -> Why {
    let parts = service.parts();
    let me = parts.config.node_id;
    let mut metrics = parts.raft.metrics();
    let mut told: Option<String> = None;
    let mut leaving: BTreeMap<NodeId, Instant> = BTreeMap::new();
    loop {
        pulse.beat();
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
        let introduced = parts.acquaintances.introductions.all();
        for (id, node) in &introduced {
            parts.hub.ensure_known(*id, &node.peer_addr);
        }
        let is_member = |id: NodeId| members.iter().any(|(member, _)| *member == id);
        leaving.retain(|id, _| !is_member(*id));
        for id in parts.hub.known() {
            if members.is_empty() || id > highest || is_member(id) {
                continue;
            }
            // It may be waiting for the answer that says so.
            let since = leaving.entry(id).or_insert_with(Instant::now);
            if since.elapsed() >= LEAVES_WITHIN {
                tracing::info!(id, "a node is no member any more");
                parts.hub.forget(id, "it is no member any more");
            }
        }
        let removed = parts.belonging().removed().map(|removed| removed.detail);
        if removed != told {
            if let Some(detail) = &removed {
                tracing::warn!("{detail}; stop it and keep its data for the auditors");
            }
            told = removed;
        }
        // Introductions come without a change of Raft's, so it is looked now and again all the same.
        if let Ok(Err(_)) = timeout(LOOK_AT_LEAST_EVERY, metrics.changed()).await {
            return "raft is gone";
        }
        sleep(MEMBERS_EVERY).await;
    }
}

/// Keeps what the voters acknowledged, and as leader tells it. Keeps also who has said that this node was removed.
pub(crate) async fn remember_voters(service: Service, memory: Arc<Memory>, pulse: Pulse) -> Why {
    let mut ticks = interval(REMEMBER_EVERY);
    let mut rounds: u32 = 0;
    loop {
        ticks.tick().await;
        pulse.beat();
        let parts = service.parts();
        let leads = parts.believed_leader() == Some(parts.config.node_id);
        memory.tell(if leads { acknowledged(parts) } else { Vec::new() });
        let metrics = parts.raft.metrics();
        let membership = metrics.borrow_watched().membership_config.clone();
        rounds = rounds.wrapping_add(1);
        // Were this node stopped now, and started while the members are down, nothing else would tell it.
        let told = memory.set_removed_by(parts.refusing());
        // When nothing else is written, nothing carries it to the disk.
        let now = rounds.is_multiple_of(SLOW_ROUNDS);
        // A failure is the store's, which ends the node.
        let _ = memory.save(now || told, |id| membership.get_node(&id).is_some()).await;
        if now {
            introduce(parts);
            service.say_where();
            parts.acquaintances.whereabouts.retain(|id| membership.get_node(&id).is_some());
        }
        if leads && now {
            parts.finish_joint().await;
        }
    }
}

/// Names the members to every peer: one that was away may have missed that somebody joined.
fn introduce(parts: &Parts) {
    let metrics = parts.metrics_now();
    let membership = &metrics.committed_membership_config;
    let me = parts.config.node_id;
    if membership.get_node(&me).is_none() {
        return;
    }
    let members: Vec<_> = membership.nodes().map(|(id, node)| (*id, node.clone())).collect();
    let message = Introduce { members };
    for (id, _) in message.members.iter().filter(|(id, _)| *id != me && parts.hub.is_connected(*id)) {
        // Said again in a second; nobody waits for the answer.
        parts.tasks.passing("introduction", parts.hub.call(*id, &message, INTRODUCE_WITHIN));
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
