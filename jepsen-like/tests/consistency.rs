//! What one node acknowledged binds every node, from the next question on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assent_jepsen::{Answer, Cluster, Evidence, id_of};
use assent_proof::{EvidenceId, SigningKey};
use futures_util::future::join_all;
use tokio::time::Instant;

/// Rules R5, R56.
#[tokio::test]
async fn every_node_sees_a_write_the_moment_it_was_acknowledged_elsewhere() {
    let cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let governance = cluster.key("governance").unwrap();
    let attestation = cluster.key("attestation").unwrap();
    cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
    let mut parent: Option<EvidenceId> = None;
    for sequence in 0..45_u64 {
        let (write, read) = (1 + sequence % 3, 1 + (sequence / 3) % 3);
        let status = if sequence % 2 == 0 { "affirming" } else { "contraindicated" };
        let bytes = evidence.attestation(&attestation, (sequence, parent), status, "m");
        let receipt = cluster.accept(write, &bytes).await.unwrap();
        parent = id_of(&bytes);
        let answer = cluster.decide(read, &evidence.request()).await;
        assert_eq!(answer.is_allow(), sequence % 2 == 0, "node {read} after a write on {write}: {answer:?}");
        assert!(answer.number("revision") >= receipt.number("revision"));
        assert_eq!(answer.text("head"), receipt.text("evidenceId"));
        let lineage = cluster.get(read, &format!("/v1/lineages/{}/exec", cluster.domain)).await;
        assert_eq!(lineage.text("head"), receipt.text("evidenceId"), "{lineage:?}");
    }
}

/// Rule R5.
#[tokio::test]
async fn a_follower_that_slept_through_a_write_answers_with_it_or_not_at_all() {
    let cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let governance = cluster.key("governance").unwrap();
    let attestation = cluster.key("attestation").unwrap();
    cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
    let mut parent: Option<EvidenceId> = None;
    let mut confirmed = 0;
    for sequence in 0..12_u64 {
        let leader = cluster.leader().await.unwrap();
        let sleeper = 1 + leader % 3;
        cluster.pause(sleeper).unwrap();
        let status = if sequence % 2 == 0 { "affirming" } else { "contraindicated" };
        let bytes = evidence.attestation(&attestation, (sequence, parent), status, "m");
        let receipt = cluster.accept(leader, &bytes).await.unwrap();
        parent = id_of(&bytes);
        // Asked after the acknowledgement, while it sleeps: it finds the question when it wakes.
        let request = evidence.request();
        let asked = (0..8).map(|_| cluster.authorize(sleeper, &request));
        let wake = async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            cluster.resume(sleeper).unwrap();
        };
        let (answers, ()) = tokio::join!(join_all(asked), wake);
        for answer in answers {
            if answer.status == Some(503) {
                continue;
            }
            assert_eq!(answer.is_allow(), sequence % 2 == 0, "slot {sequence}: {answer:?}");
            assert!(answer.number("revision") >= receipt.number("revision"), "{answer:?}");
            confirmed += 1;
        }
    }
    assert!(confirmed > 0, "it never answered");
}

#[tokio::test]
async fn no_authorize_invoked_after_a_revocations_acknowledgement_allows_on_any_node() {
    let cluster = Arc::new(Cluster::start(3).await.unwrap());
    let governance = cluster.key("governance").unwrap();
    for round in 0..6_u8 {
        let evidence = Evidence::new(&cluster, &format!("exec-{round}")).await.unwrap();
        let fresh = SigningKey::from_seed([100 + round; 32]);
        let slot = cluster.governance_slot(1, &cluster.domain).await;
        cluster.accept(1, &evidence.grant(&fresh, "attestation", &governance, slot)).await.unwrap();
        cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
        cluster.accept(1, &evidence.attestation(&fresh, (0, None), "affirming", "m")).await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let askers: Vec<_> = (0..6_u64)
            .map(|n| {
                let (cluster, stop, request) = (cluster.clone(), stop.clone(), evidence.request());
                tokio::spawn(async move {
                    let mut answers: Vec<Answer> = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        answers.push(cluster.authorize(1 + n % 3, &request).await);
                    }
                    answers
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let through = 1 + u64::from(round) % 3;
        cluster.accept(through, &evidence.revocation(&fresh, &governance)).await.unwrap();
        let acknowledged = Instant::now();
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.store(true, Ordering::Relaxed);
        let mut before = 0;
        let mut after = 0;
        for asker in askers {
            for answer in asker.await.unwrap() {
                if answer.invoked >= acknowledged {
                    after += 1;
                    assert!(!answer.is_allow(), "invoked after the acknowledgement: {answer:?}");
                } else if answer.is_allow() {
                    before += 1;
                }
            }
        }
        assert!(
            before > 0 && after > 0,
            "the race did not happen: {before} allows before, {after} asked after"
        );
    }
}

#[tokio::test]
async fn equivocation_in_either_order_ends_in_the_same_decisions() {
    let cluster = Cluster::start(3).await.unwrap();
    let governance = cluster.key("governance").unwrap();
    let attestation = cluster.key("attestation").unwrap();
    let mut ends = Vec::new();
    for (lineage, swapped) in [("one-way", false), ("other-way", true)] {
        let evidence = Evidence::new(&cluster, lineage).await.unwrap();
        cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
        let good = evidence.attestation(&attestation, (0, None), "affirming", "m");
        let bad = evidence.attestation(&attestation, (0, None), "contraindicated", "m");
        let (first, second) = if swapped { (bad, good) } else { (good, bad) };
        cluster.accept(2, &first).await.unwrap();
        let answer = cluster.submit(3, &second).await.unwrap();
        assert_eq!(answer.status, Some(409), "{answer:?}");
        assert_eq!(answer.text("code"), Some("authority_inconsistent"));
        assert!(
            answer.body["receipt"]["evidenceId"].is_string(),
            "it is answered with its receipt: {answer:?}"
        );
        let again = cluster.submit(1, &second).await.unwrap();
        assert_eq!(again.body["receipt"], answer.body["receipt"]);
        let page = cluster.get(1, &format!("/v1/lineages/{}/{lineage}", cluster.domain)).await;
        assert_eq!(page.text("status"), Some("quarantined"));
        let mut decisions = Vec::new();
        for id in 1..=3 {
            let answer = cluster.decide(id, &evidence.request()).await;
            assert_eq!(answer.status, Some(403), "{answer:?}");
            decisions.push(answer.codes());
        }
        ends.push(decisions);
    }
    assert_eq!(ends[0], ends[1]);
    assert!(ends[0][0].contains(&"lineage_quarantined".to_owned()));
}
