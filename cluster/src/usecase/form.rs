//! Forms the cluster: once, from a genesis file, without a command.
//!
//! The voter with the smallest id initializes the cluster, once every genesis voter has answered that its store never
//! started. The first log entry is the membership, which binds each node id to the random id of its store. So two
//! voters that lost their disks can never found the cluster again, and a voter that lost its disk can never return
//! under its old id.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use tokio::time::sleep;

use assent_api::{AddressError, MemberAddress};
use assent_proof::{Code, Refusal};

use super::{Parts, Service};
use crate::locked::lock;
use crate::peer::Probe;
use crate::raft::types::{NodeId, PeerNode};

const ASK_EVERY: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The log repeats what the node is waiting for once in this many rounds.
const SAY_EVERY: u32 = 100;

/// Runs until this store has started, whether this node or another one started it.
pub(crate) async fn form(service: Service, store_id: [u8; 16], started: impl Fn() -> bool + Send) {
    let parts = service.parts();
    let me = parts.config.node_id;
    if let Some(problem) = parts.config.undialable() {
        tracing::warn!(problem, "this node announces only addresses that other nodes can dial");
    }
    if !parts.config.is_founder() {
        return wait_to_be_added(parts, started).await;
    }
    let first = parts.config.voters.iter().map(|voter| voter.id).min() == Some(me);
    let mut asked: u32 = 0;
    while !started() {
        match fresh_voters(&service, store_id).await {
            Ok(members) => {
                let wrong = duplicate_founder(&members).or_else(|| unreachable_founder(&members));
                say_wrong(parts, wrong.as_ref());
                if wrong.is_none() && first {
                    match parts.raft.initialize(members).await {
                        Ok(()) => tracing::info!("the cluster is formed"),
                        Err(error) => tracing::warn!(%error, "the cluster could not be formed yet"),
                    }
                }
            }
            Err(waiting_for) => {
                if asked.is_multiple_of(SAY_EVERY) {
                    tracing::info!(waiting_for, "this store is new");
                }
                asked = asked.wrapping_add(1);
            }
        }
        sleep(ASK_EVERY).await;
    }
    say_wrong(parts, None);
}

/// Finds two founders that share a store, a key or an address. Such a cluster would count one signature for two
/// nodes, and could not lose one of the two without the other.
fn duplicate_founder(members: &BTreeMap<NodeId, PeerNode>) -> Option<Refusal> {
    members.iter().find_map(|(id, node)| {
        let mut others = members.range((Bound::Excluded(*id), Bound::Unbounded));
        let (other, what) = others.find_map(|(other, known)| Some((other, node.shares(known)?)))?;
        let detail = format!(
            "nodes {id} and {other} have the same {what}: the cluster is not founded until each has its own"
        );
        Some(Refusal::new(Code::MemberExists, detail))
    })
}

/// Finds a founder whose address in `voters` no member may have.
fn unreachable_founder(members: &BTreeMap<NodeId, PeerNode>) -> Option<Refusal> {
    members.iter().find_map(|(id, node)| {
        let wrong = |address: &String| {
            let error: AddressError = address.parse::<MemberAddress>().err()?;
            Some((address.clone(), error))
        };
        let (address, error) = [&node.peer_addr, &node.client_addr].into_iter().find_map(wrong)?;
        let detail = format!(
            "`voters` has node {id} at `{address}`, and {error}: the cluster is not founded until `voters` says on every node where \
             each one is reached"
        );
        Some(Refusal::new(Code::Malformed, detail))
    })
}

/// Keeps what is wrong with the founders, for `/readyz`, and logs it once.
fn say_wrong(parts: &Parts, wrong: Option<&Refusal>) {
    let mut said = lock(&parts.lifecycle.not_founded);
    if said.as_ref() != wrong {
        if let Some(refusal) = wrong {
            let (code, remedy) = (refusal.code.as_str(), refusal.code.remedy());
            tracing::error!(code, problem = refusal.detail, remedy, "the cluster cannot be founded");
        }
        *said = wrong.cloned();
    }
}

/// Logs from time to time what this node is waiting for, until a leader sends it a log.
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

/// Why the connection to a peer failed.
fn problem_with(parts: &Parts, id: NodeId) -> Option<String> {
    parts.hub.status().into_iter().find(|peer| peer.id == id).and_then(|peer| peer.problem)
}

/// Every genesis voter with its store, if none has ever started. Otherwise what the node waits for.
async fn fresh_voters(service: &Service, store_id: [u8; 16]) -> Result<BTreeMap<NodeId, PeerNode>, String> {
    let parts = service.parts();
    let mut members = BTreeMap::new();
    for voter in &parts.config.voters {
        let (store_id, key) = if voter.id == parts.config.node_id {
            (store_id, parts.identity.key.public())
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

#[cfg(test)]
mod tests {
    use assent_proof::SigningKey;

    use super::*;

    fn founder(number: u8) -> (NodeId, PeerNode) {
        let node = PeerNode {
            peer_addr: format!("a:{number}"),
            client_addr: format!("b:{number}"),
            store_id: [number; 16],
            key: Some(SigningKey::from_seed([number; 32]).public()),
        };
        (u64::from(number), node)
    }

    #[test]
    fn no_cluster_is_founded_with_an_address_that_nobody_can_dial() {
        let mut members = BTreeMap::from([founder(1), founder(2), founder(3)]);
        assert_eq!(unreachable_founder(&members), None);
        members.insert(2, PeerNode { client_addr: "0.0.0.0:7400".into(), ..founder(2).1 });
        let refusal = unreachable_founder(&members).unwrap();
        assert_eq!(refusal.code, Code::Malformed);
        assert!(refusal.detail.starts_with("`voters` has node 2 at `0.0.0.0:7400`"), "{}", refusal.detail);
        // Nor with one in a spelling by which one member could pass for two.
        members.insert(2, PeerNode { peer_addr: "localhost:7500".into(), ..founder(2).1 });
        let refusal = unreachable_founder(&members).unwrap();
        assert_eq!(refusal.code, Code::Malformed);
        assert!(refusal.detail.contains("another spelling of `127.0.0.1:7500`"), "{}", refusal.detail);
    }

    #[test]
    fn two_founders_with_one_store_key_or_address_found_no_cluster() {
        let all = BTreeMap::from([founder(1), founder(2), founder(3)]);
        assert_eq!(duplicate_founder(&all), None);
        let one = founder(1).1;
        for (second, what) in [
            (PeerNode { store_id: one.store_id, ..founder(3).1 }, "store"),
            (PeerNode { key: one.key, ..founder(3).1 }, "key"),
            (PeerNode { peer_addr: one.client_addr.clone(), ..founder(3).1 }, "client address"),
        ] {
            let members = BTreeMap::from([founder(1), founder(2), (3, second)]);
            let refusal = duplicate_founder(&members).unwrap();
            assert_eq!(refusal.code, Code::MemberExists);
            let said = format!("nodes 1 and 3 have the same {what}");
            assert!(refusal.detail.starts_with(&said), "{}", refusal.detail);
        }
    }
}
