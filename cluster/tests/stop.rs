//! A node that stops in order, and the digest by which nodes are compared.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::time::Duration;

use crate::cluster_support::*;
use assent_cluster::config::Config;
use assent_cluster::node::Node;
use assent_cluster::usecase::{Caller, Submitted};
use bytes::Bytes;
use tokio::time::Instant;

async fn cluster(folder: &std::path::Path, drain_ms: u64) -> Vec<Node> {
    cluster_with(folder, |config| config.deadlines.drain_ms = drain_ms).await
}

async fn cluster_with(folder: &std::path::Path, change: impl Fn(&mut Config)) -> Vec<Node> {
    let mut nodes = Vec::new();
    for mut config in configs(folder) {
        change(&mut config);
        nodes.push(start(&config).await);
    }
    for node in &nodes {
        ready(node).await;
    }
    nodes
}

/// Takes the leader out of the nodes.
fn take_leader(nodes: &mut Vec<Node>) -> Node {
    let place = nodes
        .iter()
        .position(|node| {
            let status = node.service().status(Caller::local());
            status.leader == Some(status.node_id)
        })
        .unwrap();
    nodes.remove(place)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_is_not_ready_at_once_serves_on_and_has_a_successor_before_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = cluster(folder.path(), 1_500).await;
    let leader = take_leader(&mut nodes);
    let id = leader.service().status(Caller::local()).node_id;
    let service = leader.service().clone();
    assert!(matches!(
        service.submit(Caller::local(), Bytes::from(authorization())).await,
        Submitted::Accepted { .. }
    ));
    let stopping = tokio::spawn(leader.shutdown());
    let told = Instant::now();
    while service.ready().await.is_ok() {
        assert!(told.elapsed() < Duration::from_millis(700), "it stays ready while it stops");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Another leads while the old leader still serves: nobody waited for an election's silence.
    let successor = loop {
        let leader = nodes[0].service().status(Caller::local()).leader;
        if let Some(leader) = leader.filter(|leader| *leader != id) {
            break leader;
        }
        assert!(!stopping.is_finished(), "it is gone and nobody leads");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_ne!(successor, id);
    // Without leadership it still answers, by the new leader's word.
    let mut allowed = false;
    while !stopping.is_finished() && !allowed {
        allowed = service.authorize(Caller::local(), vec![request()]).await[0].status == 200;
    }
    assert!(allowed, "it answered nothing while it drained");
    stopping.await.unwrap();
    // Gone: nothing is allowed any more.
    for _ in 0..5 {
        assert_eq!(service.authorize(Caller::local(), vec![request()]).await[0].status, 503);
    }
    let answer = nodes[0].service().authorize(Caller::local(), vec![request()]).await;
    assert_eq!(answer[0].status, 200, "{}", String::from_utf8_lossy(&answer[0].body));
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_stop_together_do_not_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    // Elections so slow that waiting for a successor that is gone would show.
    let slow = |config: &mut Config| {
        config.raft.election_min_ms = 1_500;
        config.raft.election_max_ms = 2_000;
    };
    let nodes = cluster_with(folder.path(), slow).await;
    let started = Instant::now();
    let stopping: Vec<_> = nodes.into_iter().map(|node| tokio::spawn(node.shutdown())).collect();
    for stopped in stopping {
        stopped.await.unwrap();
    }
    // A successor that stays is waited for twice as long as an election, here `shutdown_ms`, which is three seconds.
    assert!(started.elapsed() < Duration::from_millis(2_000), "it took {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_takes_no_leadership() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = cluster(folder.path(), 1_200).await;
    let leader = take_leader(&mut nodes);
    let leads = leader.service().status(Caller::local()).node_id;
    let follower = nodes.remove(0);
    let id = follower.service().status(Caller::local()).node_id;
    let service = follower.service().clone();
    let stopping = tokio::spawn(follower.shutdown());
    while service.ready().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // It drains for longer than this takes. Nobody takes leadership then, or a third node does by an election.
    let moved = leader.service().transfer_leader(Caller::local(), Some(id)).await;
    if let Ok(members) = moved {
        assert_ne!(members.leader, Some(id), "a node that is going was given leadership");
    }
    assert_ne!(service.status(Caller::local()).leader, Some(id));
    assert!(!stopping.is_finished(), "it was gone before it was asked");
    stopping.await.unwrap();
    ready(&leader).await;
    let leader_now = leader.service().status(Caller::local()).leader;
    assert!(leader_now.is_some_and(|now| now != id), "{leader_now:?}, and {leads} led before");
    leader.shutdown().await;
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_at_the_same_position_have_the_same_digest_and_make_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = cluster(folder.path(), 0).await;
    let before = nodes[0].service().digest(Caller::local()).await.unwrap();
    for n in 0..5 {
        let bytes = Bytes::from(authorization_for(&format!("exec-{n}")));
        let answer = nodes[n % 3].service().submit(Caller::local(), bytes).await;
        assert!(matches!(answer, Submitted::Accepted { fresh: true, .. }), "{answer:?}");
    }
    let mut digests = Vec::new();
    for node in &nodes {
        // Passing a barrier means having applied all of it.
        ready(node).await;
        digests.push(node.service().digest(Caller::local()).await.unwrap());
    }
    for digest in &digests {
        assert_eq!(digest.applied, digests[0].applied);
        assert_eq!(digest.digest, digests[0].digest);
        assert_eq!((digest.revision, digest.rows), (digests[0].revision, digests[0].rows));
        assert_ne!(digest.digest, before.digest);
        assert_eq!(digest.revision, before.revision + 5);
    }
    assert_eq!(digests.iter().map(|digest| digest.node_id).collect::<Vec<_>>(), [1, 2, 3]);
    let service = nodes[0].service();
    // So many at once that some come while one is being made, however soon each is done.
    let asked = (0..32).map(|_| service.digest(Caller::local()));
    let (made, refused): (Vec<_>, Vec<_>) =
        futures_util::future::join_all(asked).await.into_iter().partition(Result::is_ok);
    assert!(!made.is_empty(), "{refused:?}");
    let refused = refused.into_iter().next().expect("some were refused").unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (503, "overloaded"));
    assert!(refused.detail.contains("at most 1"), "{refused:?}");
    assert!(service.digest(Caller::local()).await.is_ok(), "the turn was given back");
    for node in nodes {
        node.shutdown().await;
    }
}
