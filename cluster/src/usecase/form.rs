//! Forming the cluster: once, from a genesis file, without a command.
//!
//! The voter with the smallest id initializes, and only once every genesis voter has answered that its store
//! never started. The first log entry is the membership, which binds each node id to the random id of its
//! store. So two voters that lost their disks can never form the past again, and one that lost its disk
//! never returns as itself.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use super::{Parts, Service};
use crate::peer::Probe;
use crate::raft::types::{NodeId, PeerNode};

const ASK_EVERY: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How often the log repeats what a node is waiting for.
const SAY_EVERY: u32 = 100;

/// Runs until this store has started, by this node's doing or another's.
pub(crate) async fn form(service: Service, store_id: [u8; 16], started: impl Fn() -> bool + Send) {
    let parts = service.parts();
    let me = parts.config.node_id;
    if !parts.config.is_founder() {
        return wait_to_be_added(parts, started).await;
    }
    let first = parts.config.voters.iter().map(|voter| voter.id).min() == Some(me);
    let mut asked: u32 = 0;
    while !started() {
        match fresh_voters(&service, store_id).await {
            Ok(members) if first => match parts.raft.initialize(members).await {
                Ok(()) => tracing::info!("the cluster is formed"),
                Err(error) => tracing::warn!(%error, "the cluster could not be formed yet"),
            },
            Ok(_) => {}
            Err(waiting_for) => {
                if asked.is_multiple_of(SAY_EVERY) {
                    tracing::info!(waiting_for, "this store is new");
                }
                asked = asked.wrapping_add(1);
            }
        }
        sleep(ASK_EVERY).await;
    }
}

/// Says now and again what this node is waiting for, until somebody sends it a log.
async fn wait_to_be_added(parts: &Parts, started: impl Fn() -> bool + Send) {
    let mut asked: u32 = 0;
    while !started() {
        if asked.is_multiple_of(SAY_EVERY) {
            let (_, client) = parts.config.addresses();
            tracing::info!(
                "this node is not among the genesis voters and waits to be added: `assent member add --node \
                 http://{client}`"
            );
        }
        asked = asked.wrapping_add(1);
        sleep(ASK_EVERY).await;
    }
}

/// What the connection to a peer failed of.
fn problem_with(parts: &Parts, id: NodeId) -> Option<String> {
    parts.hub.status().into_iter().find(|peer| peer.id == id).and_then(|peer| peer.problem)
}

/// Every genesis voter with its store, if none has ever started; otherwise what is waited for.
async fn fresh_voters(service: &Service, store_id: [u8; 16]) -> Result<BTreeMap<NodeId, PeerNode>, String> {
    let parts = service.parts();
    let mut members = BTreeMap::new();
    for voter in &parts.config.voters {
        let (store_id, key) = if voter.id == parts.config.node_id {
            (store_id, parts.key.public())
        } else {
            let answer = parts.hub.call(voter.id, &Probe {}, ANSWER_WITHIN).await;
            let reply = answer.map_err(|error| match problem_with(parts, voter.id) {
                Some(problem) => format!("node {}: {error}, {problem}", voter.id),
                None => format!("node {}: {error}", voter.id),
            })?;
            if reply.started {
                return Err(format!(
                    "node {} has started already, so this cluster exists and this store is not part of it; a lost \
                     disk never rejoins under its old node id: take this data directory away and replace the member",
                    voter.id
                ));
            }
            (reply.store_id, reply.key)
        };
        let node = PeerNode {
            peer_addr: voter.peer.clone(),
            client_addr: voter.client.clone(),
            store_id,
            key: Some(key),
        };
        members.insert(voter.id, node);
    }
    Ok(members)
}
