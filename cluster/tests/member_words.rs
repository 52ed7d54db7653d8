//! What members state about themselves and about others: whose statement changes the membership, and whose does not.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::time::Duration;

use assent_cluster::config::Config;
use assent_cluster::env::{Clock, RealClock};
use assent_cluster::node::Node;
use assent_cluster::peer::Moved;
use assent_cluster::raft::types::PeerNode;
use assent_cluster::recover::recover;
use assent_cluster::usecase::Caller;
use assent_proof::{Code, Millis};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cluster_support::certificates::{Says, TestCa};
use crate::cluster_support::members::{
    address, are_where_they_are, member, ready_all, ready_says, stop, store_of,
};
use crate::cluster_support::*;
use crate::peer_support::{Raw, asked, cluster_id, member_of, node_of};

/// Whoever dials this address is told that it was removed.
async fn says_removed(addr: &str) -> JoinHandle<()> {
    let listener = TcpListener::bind(addr).await.unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let mut raw = Raw { stream };
            if raw.read().await.is_some() {
                raw.frame(2, 0, b"this node was removed from the cluster: it is no member any more").await;
            }
        }
    })
}

async fn end(task: JoinHandle<()>) {
    task.abort();
    // Cancelled, which is what was asked for.
    let _ = task.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announcement_is_carried_out_only_once_the_member_answers_at_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut nodes = ready_all(&configs).await;
    let store_id = store_of(&nodes[2]).await;
    nodes.remove(2).shutdown().await;
    ready(&nodes[0]).await;
    let before = member(&nodes[0], 3).await;
    // A peer in the place of node 3, with its key: what it says is signed, and is not so.
    let peer = member_of(&configs, 3, store_id, &[1, 2]).await;
    let other_store = node_of(&configs, 3, [9; 16]).await;
    let own_port = peer.hub.local_addr().port();
    for (claimed, whys) in [
        (address(), ["is not found at the address", "is not found at the address"]),
        (other_store.hub.local_addr().to_string(), ["with another store", "with another store"]),
        // At another member's address that member answers, and the leader need not even look.
        (configs[0].peer_listen.clone(), ["is not found at the address", "member_exists"]),
        (format!("0.0.0.0:{own_port}"), ["no other node can dial", "no other node can dial"]),
        (format!("[::]:{own_port}"), ["no other node can dial", "no other node can dial"]),
    ] {
        for to in [1, 2] {
            // The word before it has been answered by all who got it.
            sleep(Duration::from_millis(200)).await;
            let node = PeerNode { peer_addr: claimed.clone(), client_addr: address(), store_id, key: None };
            let now = Millis(RealClock.now().0);
            let word = Moved::signed(&cluster_id(&configs), 3, &node, now, &key(13));
            let refused = asked(&peer, to, &word).await.unwrap().unwrap_err();
            assert!(whys.iter().any(|why| refused.contains(why)), "`{claimed}` to node {to}: {refused}");
        }
    }
    sleep(Duration::from_secs(2)).await;
    for node in &nodes {
        let now = member(node, 3).await;
        assert_eq!((&now.peer, &now.client), (&before.peer, &before.client));
    }
    peer.hub.shutdown().await;
    other_store.hub.shutdown().await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_say_where_others_reach_it_keeps_the_address_that_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    // Only with TLS may a node listen for peers beyond loopback.
    let (ca, cluster) = (TestCa::new(folder.path(), "ca"), cluster_id(&configs));
    for config in &mut configs {
        let id = config.node_id;
        config.peer_tls = Some(ca.issue(&format!("peer-{id}"), &Says::node(cluster, id).serial(id)));
    }
    stop(ready_all(&configs).await).await;
    // It listens on every address now, and neither `voters` nor `peer_advertise` says which one others use.
    let third = &mut configs[2];
    let client = address();
    third.voters[2].id = 9;
    (third.voters[2].peer, third.voters[2].client) = (address(), address());
    third.peer_listen = third.peer_listen.replace("127.0.0.1", "0.0.0.0");
    third.client_advertise = Some(client.clone());
    third.validate().unwrap();
    let nodes = start_all(&configs).await;
    let mut seen = member(&nodes[0], 3).await;
    for _ in 0..400 {
        if seen.client == client {
            break;
        }
        sleep(Duration::from_millis(50)).await;
        seen = member(&nodes[0], 3).await;
    }
    // What others can dial it does say.
    assert_eq!(seen.client, client);
    assert_eq!(seen.peer, third_peer(&configs));
    stop(nodes).await;
}

/// Where node 3 was founded.
fn third_peer(configs: &[Config]) -> String {
    configs[0].voters[2].peer.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_that_exchanged_their_addresses_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    stop(ready_all(&configs).await).await;
    let (one, two) = (configs[0].addresses(), configs[1].addresses());
    for (config, (peer, client)) in configs.iter_mut().zip([two, one]) {
        (config.peer_listen, config.client_listen) = (peer.clone(), client.clone());
        (config.peer_advertise, config.client_advertise) = (Some(peer), Some(client));
    }
    let nodes = start_all(&configs).await;
    are_where_they_are(&nodes, &configs).await;
    for node in &nodes {
        ready(node).await;
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_claim_of_removal_is_only_shown_and_only_while_no_quorum_is_connected() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut nodes = ready_all(&configs).await;
    nodes.remove(1).shutdown().await;
    let second = says_removed(&configs[1].peer_listen).await;
    let status = |node: &Node| node.service().status(Caller::local());
    // With a quorum it is not even shown.
    for _ in 0..20 {
        ready(&nodes[0]).await;
        assert_eq!(status(&nodes[0]).removed, None);
        sleep(Duration::from_millis(100)).await;
    }
    nodes.remove(1).shutdown().await;
    let third = says_removed(&configs[2].peer_listen).await;
    let problem = ready_says(&nodes[0], Code::MemberRemoved).await;
    assert!(problem.detail.contains("members that refuse it say so"), "{problem:?}");
    sleep(Duration::from_secs(2)).await;
    let cut_off = status(&nodes[0]);
    assert!(cut_off.removed.is_some() && cut_off.member, "{cut_off:?}");
    assert_eq!(cut_off.voters, [1, 2, 3]);
    assert!(nodes[0].service().live().is_ok() && nodes[0].service().alive().is_ok());
    let refused = nodes[0].service().submit(Caller::local(), authorization_for("cut-off").into()).await;
    assert!(!matches!(refused, assent_cluster::usecase::Submitted::Accepted { .. }), "{refused:?}");
    // The members themselves are back: it goes on as one of them, of its own accord.
    end(second).await;
    end(third).await;
    for config in &configs[1..] {
        nodes.push(start(config).await);
    }
    for node in &nodes {
        ready(node).await;
        assert_eq!(status(node).removed, None);
    }
    assert!(status(&nodes[0]).revision >= cut_off.revision);
    // Nor does it remember the false word: alone, it lacks a quorum and nothing else.
    sleep(Duration::from_secs(1)).await;
    stop(nodes).await;
    let alone = start(&configs[0]).await;
    ready_says(&alone, Code::NoQuorum).await;
    assert_eq!(status(&alone).removed, None);
    alone.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_the_key_of_another_member_is_not_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    stop(ready_all(&configs).await).await;
    let shared = configs[1].node_key.clone();
    let own = std::mem::replace(&mut configs[0].node_key, shared);
    let env = environment(&configs[0]).await;
    let refused = recover(&configs[0], &env, b"{}").await.unwrap_err().to_string();
    assert!(refused.contains("member_exists: node 2 has the same key"), "{refused}");
    assert!(refused.contains("nothing was changed"), "{refused}");
    drop(env);
    configs[0].node_key = own;
    stop(ready_all(&configs).await).await;
}
