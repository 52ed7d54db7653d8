//! What was acknowledged survives kill -9 of every node at once.

use std::time::Duration;

use assent_jepsen::{Cluster, Evidence, id_of};
use assent_proof::EvidenceId;
use futures_util::future::join_all;

const SETTLES_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn killing_all_nodes_at_once_loses_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let governance = cluster.key("governance").unwrap();
    let attestation = cluster.key("attestation").unwrap();
    cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
    let mut acknowledged: Vec<(Vec<u8>, EvidenceId, serde_json::Value)> = Vec::new();
    let mut parent = None;
    for sequence in 0..40 {
        let bytes = evidence.attestation(&attestation, (sequence, parent), "affirming", "m");
        let answer = cluster.accept(1 + sequence % 3, &bytes).await.unwrap();
        parent = id_of(&bytes);
        acknowledged.push((bytes, parent.unwrap(), answer.body));
    }
    let lineage = format!("/v1/lineages/{}/exec?limit=1000", cluster.domain);
    let before = cluster.get(1, &lineage).await;
    let policy = cluster.get(1, &format!("/v1/policies/{}", cluster.domain)).await;
    assert_eq!(before.status, Some(200), "{before:?}");
    // More are on their way when everything ends at once; those that are acknowledged count too.
    let cluster_ref = &cluster;
    let in_flight = (0..60_u64).map(|n| {
        let other = Evidence::clone(&evidence).in_lineage(&format!("flight-{n}"));
        let bytes = other.attestation(&attestation, (0, None), "affirming", "m");
        async move {
            let answer = cluster_ref.post(1 + n % 3, "/v1/envelopes", bytes.clone()).await;
            (answer.status == Some(201)).then(|| (id_of(&bytes).unwrap(), bytes, answer.body))
        }
    });
    let pids: Vec<i32> = cluster.nodes.iter().map(|node| node.pid).collect();
    let strike = async {
        tokio::time::sleep(Duration::from_millis(15)).await;
        for pid in pids {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
                .unwrap();
        }
    };
    let (answers, ()) = tokio::join!(join_all(in_flight), strike);
    for (evidence_id, bytes, receipt) in answers.into_iter().flatten() {
        acknowledged.push((bytes, evidence_id, receipt));
    }
    for id in 1..=3 {
        cluster.gone(id).unwrap();
    }
    for id in 1..=3 {
        cluster.restart(id).unwrap();
    }
    cluster.ready(SETTLES_WITHIN).await.unwrap();
    for id in 1..=3 {
        for (bytes, evidence_id, _) in &acknowledged {
            let stored = cluster.get(id, &format!("/v1/envelopes/{evidence_id}")).await;
            assert_eq!(stored.status, Some(200), "node {id} lost `{evidence_id}`");
            assert_eq!(&stored.bytes[..], &bytes[..], "node {id} changed `{evidence_id}`");
        }
        assert_eq!(cluster.get(id, &lineage).await.body, before.body, "node {id}");
        let again = cluster.get(id, &format!("/v1/policies/{}", cluster.domain)).await;
        assert_eq!(again.body, policy.body);
        let answer = cluster.decide(id, &evidence.request()).await;
        assert!(answer.is_allow(), "node {id}: {answer:?}");
    }
    let (bytes, _, receipt) = &acknowledged[7];
    let again = cluster.submit(2, bytes).await.unwrap();
    assert_eq!(again.status, Some(200));
    assert_eq!(&again.body, receipt, "the same envelope returns its first receipt");
}

#[tokio::test]
async fn killing_a_random_node_again_and_again_under_load_loses_nothing() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let attestation = cluster.key("attestation").unwrap();
    let mut acknowledged = Vec::new();
    let mut parent = None;
    let mut sequence = 0;
    for round in 0..6_u64 {
        let victim = 1 + round % 3;
        cluster.kill(victim).unwrap();
        let living = 1 + victim % 3;
        for _ in 0..10 {
            let bytes = evidence.attestation(&attestation, (sequence, parent), "affirming", "m");
            cluster.accept(living, &bytes).await.unwrap();
            parent = id_of(&bytes);
            acknowledged.push(parent.unwrap());
            sequence += 1;
        }
        cluster.restart(victim).unwrap();
        cluster.node_ready(victim, SETTLES_WITHIN).await.unwrap();
    }
    for id in 1..=3 {
        for evidence_id in &acknowledged {
            let stored = cluster.get(id, &format!("/v1/envelopes/{evidence_id}")).await;
            assert_eq!(stored.status, Some(200), "node {id} lost `{evidence_id}`");
        }
    }
}
