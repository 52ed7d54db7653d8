//! A leader that is dead, cut off or stopped: nodes deny until a quorum has another leader, and never allow in doubt.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use assent_jepsen::{Answer, Cluster, Evidence};
use futures_util::future::join_all;
use tokio::time::Instant;

const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// What a node may say while it cannot know.
fn cannot_know(answer: &Answer) -> bool {
    let codes = answer.codes();
    // A deny is prompt: 250 ms by default, at most a second, and twice that on a busy machine.
    answer.took() <= Duration::from_secs(2)
        && answer.is_deny()
        && answer.status == Some(503)
        && !codes.is_empty()
        && codes.iter().all(|code| {
            matches!(code.as_str(), "no_quorum" | "clock_uncertain" | "deadline_exceeded" | "overloaded")
        })
}

async fn allowed(cluster: &Cluster, lineage: &str) -> Evidence {
    let evidence = Evidence::new(cluster, lineage).await.unwrap();
    let governance = cluster.key("governance").unwrap();
    let attestation = cluster.key("attestation").unwrap();
    cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
    cluster.accept(2, &evidence.attestation(&attestation, (0, None), "affirming", "m")).await.unwrap();
    for node in &cluster.nodes {
        let answer = cluster.decide(node.id, &evidence.request()).await;
        assert!(answer.is_allow(), "node {}: {answer:?}", node.id);
    }
    evidence
}

/// Asks a node until it allows; every answer on the way is a prompt deny that says why.
async fn until_allowed(cluster: &Cluster, id: u64, evidence: &Evidence) {
    let until = Instant::now() + SETTLES_WITHIN;
    loop {
        let answer = cluster.authorize(id, &evidence.request()).await;
        if answer.is_allow() {
            return;
        }
        assert!(cannot_know(&answer), "node {id}: {answer:?}");
        assert!(Instant::now() < until, "node {id} never allowed again: {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_dead_leader_is_replaced_and_comes_back_as_a_follower_that_knows_everything() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = allowed(&cluster, "before").await;
    let leader = cluster.leader().await.unwrap();
    cluster.kill(leader).unwrap();
    let living: Vec<u64> = cluster.nodes.iter().map(|node| node.id).filter(|id| *id != leader).collect();
    for id in &living {
        until_allowed(&cluster, *id, &evidence).await;
    }
    assert_ne!(cluster.leader().await.unwrap(), leader);

    let after = Evidence::new(&cluster, "after").await.unwrap();
    let governance = cluster.key("governance").unwrap();
    let receipt = cluster.accept(living[0], &after.authorization(&governance, (0, None))).await.unwrap();
    cluster.restart(leader).unwrap();
    cluster.node_ready(leader, SETTLES_WITHIN).await.unwrap();
    let path = format!("/v1/envelopes/{}", receipt.text("evidenceId").unwrap());
    assert_eq!(cluster.get(leader, &path).await.bytes, cluster.get(living[1], &path).await.bytes);
    until_allowed(&cluster, leader, &evidence).await;
}

/// Rule R3.
#[tokio::test]
async fn a_minority_never_allows_and_says_no_quorum() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = allowed(&cluster, "exec").await;
    let leader = cluster.leader().await.unwrap();
    let dead: Vec<u64> = cluster.nodes.iter().map(|node| node.id).filter(|id| *id != leader).collect();
    for id in &dead {
        cluster.kill(*id).unwrap();
    }
    // From here on the old leader has no quorum; nothing asked from now on may be allowed.
    let until = Instant::now() + Duration::from_secs(8);
    let mut denies = 0;
    while Instant::now() < until {
        let answer = cluster.authorize(leader, &evidence.request()).await;
        assert!(cannot_know(&answer), "{answer:?}");
        denies += 1;
    }
    assert!(denies >= 5, "only {denies} answers in 8 s");
    assert_eq!(cluster.get(leader, "/readyz").await.status, Some(503));
    assert_eq!(cluster.get(leader, "/livez").await.status, Some(200));
    let attestation = cluster.key("attestation").unwrap();
    let late = Evidence::new(&cluster, "late").await.unwrap();
    let late = late.attestation(&attestation, (0, None), "affirming", "m");
    let answer = cluster.post(leader, "/v1/envelopes", late.clone()).await;
    assert!(matches!(answer.status, Some(503 | 504 | 429)), "{answer:?}");
    for id in &dead {
        cluster.restart(*id).unwrap();
    }
    cluster.ready(SETTLES_WITHIN).await.unwrap();
    until_allowed(&cluster, leader, &evidence).await;
    // Unknown is not failed: the same bytes find out.
    cluster.accept(dead[0], &late).await.unwrap();
    let again = cluster.submit(leader, &late).await.unwrap();
    assert_eq!(again.status, Some(200));
}

/// Rule R1.
#[tokio::test]
async fn a_stopped_leader_allows_nothing_that_was_revoked_while_it_slept() {
    let cluster = Cluster::start(3).await.unwrap();
    let evidence = allowed(&cluster, "exec").await;
    let leader = cluster.leader().await.unwrap();
    let other = cluster.nodes.iter().map(|node| node.id).find(|id| *id != leader).unwrap();
    cluster.pause(leader).unwrap();
    let governance = cluster.key("governance").unwrap();
    let attestation = cluster.key("attestation").unwrap();
    cluster.accept(other, &evidence.revocation(&attestation, &governance)).await.unwrap();
    // Asked while it sleeps, after the acknowledgement; answered when it wakes.
    let request = evidence.request();
    let asked = async {
        let queued = (0..20).map(|_| cluster.authorize(leader, &request));
        join_all(queued).await
    };
    let wake = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.resume(leader).unwrap();
    };
    let (answers, ()) = tokio::join!(asked, wake);
    for answer in answers {
        assert!(!answer.is_allow(), "{answer:?}");
    }
    let until = Instant::now() + SETTLES_WITHIN;
    loop {
        let answer = cluster.authorize(leader, &request).await;
        assert!(!answer.is_allow(), "{answer:?}");
        if answer.codes() == ["authority_revoked"] {
            break;
        }
        assert!(Instant::now() < until, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
