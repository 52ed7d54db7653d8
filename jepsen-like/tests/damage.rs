//! Files that changed while a node was down.

use std::fs;
use std::time::Duration;

use assent_jepsen::{Cluster, Evidence, id_of};

const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// Flipping one bit of the *key* under which a negative lies hides the row from everyone who looks for it, while
/// every row that is found still matches its checksum.
#[tokio::test]
async fn a_node_whose_file_lost_a_negative_to_a_flipped_bit_does_not_start_and_the_others_go_on() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "flip-lineage").await.unwrap();
    let attestation = cluster.key("attestation").unwrap();
    cluster.accept(1, &evidence.authorization(&cluster.key("governance").unwrap(), (0, None))).await.unwrap();
    let good = evidence.attestation(&attestation, (0, None), "affirming", "m");
    cluster.accept(1, &good).await.unwrap();
    let bad = evidence.attestation(&attestation, (1, id_of(&good)), "contraindicated", "m");
    cluster.accept(1, &bad).await.unwrap();
    for id in 1..=3 {
        assert!(cluster.decide(id, &evidence.request()).await.is_deny());
    }
    let victim = 1 + cluster.leader().await.unwrap() % 3;
    cluster.stop(victim).unwrap();
    let path = cluster.dev_directory().join(format!("data-{victim}")).join("registry-1.redb");
    let mut file = fs::read(&path).unwrap();
    // The key of its slot: (domain, lineage, issuer, slot 1, first half).
    let needle =
        [b"flip-lineage\0", attestation.public().as_bytes().as_slice(), &[0, 0, 0, 0, 0, 0, 0, 1, 0]]
            .concat();
    let places: Vec<usize> = (0..file.len()).filter(|at| file[*at..].starts_with(&needle)).collect();
    assert!(!places.is_empty(), "the row is on disk once the node has stopped");
    for at in places {
        file[at + 5] ^= 2;
    }
    fs::write(&path, file).unwrap();
    cluster.restart(victim).unwrap();
    cluster.ended(victim).unwrap();
    let log = cluster.node_log(victim);
    assert!(log.contains("`registry-1.redb` is damaged"), "{log}");
    assert!(log.contains("let it join as a new node"), "{log}");
    for id in (1..=3).filter(|id| *id != victim) {
        cluster.node_ready(id, SETTLES_WITHIN).await.unwrap();
        let answer = cluster.decide(id, &evidence.request()).await;
        assert_eq!(answer.codes(), ["attestation_not_affirming"], "{answer:?}");
    }
}
