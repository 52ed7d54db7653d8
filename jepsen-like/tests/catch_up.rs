//! A node that was away catches up: by log if the log reaches back far enough, by snapshot if it does not.

use std::fs;
use std::time::Duration;

use assent_jepsen::{Cluster, Evidence, id_of};
use assent_proof::EvidenceId;
use tokio::time::Instant;

const SETTLES_WITHIN: Duration = Duration::from_secs(60);
const INSTALLED: &str = "a snapshot was installed";

/// Attestations in slots from `first` on, one log entry each; answers the newest's id.
async fn attest(
    cluster: &Cluster,
    evidence: &Evidence,
    first: u64,
    parent: Option<EvidenceId>,
) -> EvidenceId {
    let key = cluster.key("attestation").unwrap();
    let mut parent = parent;
    for sequence in first..first + 80 {
        let bytes = evidence.attestation(&key, (sequence, parent), "affirming", "m");
        cluster.accept(1 + sequence % 2, &bytes).await.unwrap();
        parent = id_of(&bytes);
    }
    parent.unwrap()
}

async fn same_everywhere(cluster: &Cluster, head: EvidenceId) {
    let path = format!("/v1/lineages/{}/exec?limit=1000", cluster.domain);
    let first = cluster.get(1, &path).await;
    assert_eq!(first.text("head"), Some(head.to_string().as_str()), "{first:?}");
    for id in 2..=3 {
        assert_eq!(cluster.get(id, &path).await.body, first.body, "node {id}");
    }
}

#[tokio::test]
async fn a_node_that_was_away_catches_up_by_log_or_by_snapshot() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let governance = cluster.key("governance").unwrap();
    cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
    let log = cluster.dev_directory().join("node-3.log");
    let installed = || fs::read_to_string(&log).unwrap().contains(INSTALLED);

    // The log reaches back: no snapshot.
    cluster.kill(3).unwrap();
    let head = attest(&cluster, &evidence, 0, None).await;
    cluster.restart(3).unwrap();
    cluster.node_ready(3, SETTLES_WITHIN).await.unwrap();
    same_everywhere(&cluster, head).await;
    assert!(!installed(), "the log would have done");

    // Now with a log that is cut short behind it.
    for id in 1..=3 {
        cluster.kill(id).unwrap();
        let short = [("snapshot_every_entries", 10), ("keep_entries", 2), ("lag_entries", 15)];
        cluster.configure(id, &short).unwrap();
    }
    cluster.restart(1).unwrap();
    cluster.restart(2).unwrap();
    cluster.node_ready(1, SETTLES_WITHIN).await.unwrap();
    let head = attest(&cluster, &evidence, 80, Some(head)).await;
    cluster.restart(3).unwrap();
    cluster.node_ready(3, SETTLES_WITHIN).await.unwrap();
    // A node waits for nobody who takes its log, so what it says is there a moment later.
    let until = Instant::now() + SETTLES_WITHIN;
    while !installed() {
        assert!(Instant::now() < until, "it caught up without a snapshot:\n{}", cluster.node_log(3));
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    same_everywhere(&cluster, head).await;
    let answer = cluster.decide(3, &evidence.request()).await;
    assert!(answer.is_allow(), "{answer:?}");

    // What a snapshot brought survives like anything else.
    cluster.kill(3).unwrap();
    cluster.restart(3).unwrap();
    cluster.node_ready(3, SETTLES_WITHIN).await.unwrap();
    same_everywhere(&cluster, head).await;
}
