//! Time in a cluster: a clock outside its bound on a follower and on the leader, and expiry across failover.

use std::time::Duration;

use crate::cluster_support::clocks::{Moved, reasons, start_by, until, until_unsure};
use crate::cluster_support::*;
use assent_cluster::config::Config;
use assent_cluster::node::Node;
use assent_cluster::usecase::{Caller, Submitted};
use assent_proof::Code;
use bytes::Bytes;

/// Three nodes, each with a clock that can be set.
async fn cluster(folder: &std::path::Path) -> (Vec<Config>, Vec<Node>, Vec<Moved>) {
    let mut configs = configs(folder);
    let mut nodes = Vec::new();
    let mut clocks = Vec::new();
    for config in &mut configs {
        config.clock_settle_ms = 500;
        let clock = Moved::default();
        nodes.push(start_by(config, &clock).await);
        clocks.push(clock);
    }
    for node in &nodes {
        ready(node).await;
    }
    match nodes[0].service().submit(Caller::local(), Bytes::from(authorization())).await {
        Submitted::Accepted { .. } => {}
        other => panic!("{other:?}"),
    }
    (configs, nodes, clocks)
}

fn leader(nodes: &[Node]) -> usize {
    let leader = nodes[0].service().status(Caller::local()).leader.unwrap();
    usize::try_from(leader).unwrap() - 1
}

/// Rules R6, R141.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_out_of_bounds_silences_its_node_and_no_other_until_it_is_right_again() {
    let folder = tempfile::tempdir().unwrap();
    let (_, nodes, clocks) = cluster(folder.path()).await;
    for node in &nodes {
        until(node, &[]).await;
    }
    // A follower's clock is behind: behind, it would call young what is old.
    let follower = (leader(&nodes) + 1) % 3;
    clocks[follower].set(-3_000);
    until(&nodes[follower], &[Code::ClockUncertain]).await;
    for (place, node) in nodes.iter().enumerate().filter(|(place, _)| *place != follower) {
        assert_eq!(reasons(node).await, vec![], "node {place}");
    }
    clocks[follower].set(0);
    until(&nodes[follower], &[]).await;
    // The leader's clock runs ahead: it hands over, and the others go on.
    let before = leader(&nodes);
    clocks[before].set(3_000);
    until(&nodes[before], &[Code::ClockUncertain]).await;
    let others: Vec<usize> = (0..3).filter(|place| *place != before).collect();
    for _ in 0..400 {
        let leads = nodes[others[0]].service().status(Caller::local()).leader;
        if leads.is_some_and(|leads| leads != before as u64 + 1) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    for place in others {
        until(&nodes[place], &[]).await;
        let bytes = Bytes::from(authorization_for(&format!("exec-{place}-again")));
        match nodes[place].service().submit(Caller::local(), bytes).await {
            Submitted::Accepted { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    clocks[before].set(0);
    until(&nodes[before], &[]).await;
    for node in nodes {
        node.shutdown().await;
    }
}

/// Rule R77.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_expired_stays_expired_whoever_leads() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut nodes, clocks) = cluster(folder.path()).await;
    // All clocks run 20 minutes ahead, where the artifact is over, and registry time follows with the next entry.
    for clock in &clocks {
        clock.set(1_200_000);
    }
    for node in &nodes {
        until(node, &[Code::EvidenceExpired]).await;
    }
    let mut last = None;
    for _ in 0..400 {
        let outcome = nodes[0].service().submit(Caller::local(), Bytes::from(validation())).await;
        let done = matches!(outcome, Submitted::Accepted { .. });
        last = Some(outcome);
        if done {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(matches!(last, Some(Submitted::Accepted { .. })), "{last:?}");
    // The clocks run back, and the leader goes: registry time does not, and nothing is decided as of a time before it.
    for clock in &clocks {
        clock.set(0);
    }
    let gone = nodes.remove(leader(&nodes));
    gone.shutdown().await;
    for node in &nodes {
        until_unsure(node, "behind registry time").await;
    }
    for clock in &clocks {
        clock.set(1_200_000);
    }
    for node in &nodes {
        until(node, &[Code::EvidenceExpired]).await;
    }
    for node in nodes {
        node.shutdown().await;
    }
}
