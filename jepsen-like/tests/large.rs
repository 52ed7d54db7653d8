//! A learner joins, by snapshot and under load, a cluster that holds much.
//!
//! `ASSENT_ENVELOPES` sets the number of envelopes; the default is 6000.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use assent_jepsen::{Cluster, Evidence, id_of};
use assent_proof::EvidenceId;
use futures_util::future::join_all;
use tokio::time::Instant;
use turns::runs_today;

#[path = "turns/today.rs"]
mod turns;

const SETTLES_WITHIN: Duration = Duration::from_secs(120);
/// Envelopes in one batch.
const BATCH: u64 = 250;
/// Batches under way at once.
const AT_ONCE: u64 = 4;

/// Submits one batch of attestations in lineages of their own, and answers one of their ids.
async fn batch(cluster: &Cluster, evidence: &Evidence, name: &str, first: u64) -> EvidenceId {
    let runtime = cluster.key("runtime").unwrap();
    let envelopes: Vec<Vec<u8>> = (first..first + BATCH)
        .map(|n| evidence.clone().in_lineage(&format!("{name}-{n}")).integrity(&runtime, (0, None), "m"))
        .collect();
    let mut body = br#"{"mode":"each","envelopes":["#.to_vec();
    body.extend(envelopes.join(&b','));
    body.extend(b"]}");
    for _ in 0..100 {
        let answer = cluster.post(1 + first / BATCH % 3, "/v1/envelopes:batch", body.clone()).await;
        let results = answer.body["results"].as_array().cloned().unwrap_or_default();
        let accepted = |result: &serde_json::Value| matches!(result["status"].as_u64(), Some(200 | 201));
        if results.len() == envelopes.len() && results.iter().all(accepted) {
            return id_of(&envelopes[0]).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a batch is never accepted");
}

/// Kilobytes that a process has in memory now.
fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_gets_a_large_registry_by_snapshot_and_votes_while_load_goes_on() {
    if !runs_today(1) {
        return;
    }
    let total: u64 = std::env::var("ASSENT_ENVELOPES").ok().and_then(|n| n.parse().ok()).unwrap_or(6_000);
    let mut cluster = Cluster::start(3).await.unwrap();
    for id in 1..=3 {
        cluster.stop(id).unwrap();
        // Two nodes cut their logs by size, one by age; none of them by number.
        let bound = if id == 3 { ("log_age_s", 1) } else { ("log_mib", 1) };
        let short = [bound, ("keep_entries", 5), ("lag_entries", 30), ("snapshot_every_entries", 1_000_000)];
        cluster.configure(id, &short).unwrap();
        cluster.restart(id).unwrap();
    }
    cluster.ready(SETTLES_WITHIN).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let started = Instant::now();
    let mut samples = Vec::new();
    for first in (0..total / BATCH).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let some = (first..first + AT_ONCE).map(|n| batch(&cluster, &evidence, "many", n * BATCH));
        samples.extend(join_all(some).await);
    }
    println!("{total} envelopes in {:?}", started.elapsed());
    for file in std::fs::read_dir(&cluster.node(1).unwrap().data).unwrap() {
        let file = file.unwrap();
        println!("{}: {} KiB", file.file_name().display(), file.metadata().unwrap().len() / 1024);
    }

    for id in 1..=3 {
        // Entries that are too old show as such a second later.
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let log = cluster.get(id, "/v1/cluster/status").await.body["log"].clone();
            let cut = log["first"].as_u64() > Some(0) && log["bytes"].as_u64() < Some(2 << 20);
            if cut {
                break;
            }
            assert!(Instant::now() < until, "the log of node {id} is not cut: {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    cluster.start_newcomer(4).unwrap();
    cluster.grant_newcomer(4).await.unwrap();
    let leader = cluster.leader().await.unwrap();
    let (stop, more) = (AtomicBool::new(false), AtomicU64::new(0));
    let load = async {
        while !stop.load(Ordering::Relaxed) {
            let n = more.fetch_add(1, Ordering::Relaxed);
            batch(&cluster, &evidence, "more", n * BATCH).await;
        }
    };
    let joins = async {
        let before = [resident(cluster.node(leader).unwrap().pid), resident(cluster.node(4).unwrap().pid)];
        let started = Instant::now();
        let added = cluster.add_learner(leader, 4).await.unwrap();
        assert_eq!(added.status, Some(200), "{added:?}");
        // Progress shows while it lasts.
        let (mut seen, mut most) = (0, [0, 0]);
        loop {
            let status = cluster.get(4, "/v1/cluster/status").await;
            if let Some(snapshot) = status.body["snapshots"].get(0) {
                assert_eq!(snapshot["direction"], "receiving", "{snapshot}");
                seen += 1;
            }
            for (most, id) in most.iter_mut().zip([leader, 4]) {
                *most = (*most).max(resident(cluster.node(id).unwrap().pid));
            }
            if status.number("revision") >= Some(total) {
                break;
            }
            assert!(started.elapsed() < SETTLES_WITHIN, "not there yet: {status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        println!("snapshot in {:?}, progress seen {seen} times", started.elapsed());
        println!(
            "resident before and at most: leader {} and {} MiB, learner {} and {} MiB",
            before[0] / 1024,
            most[0] / 1024,
            before[1] / 1024,
            most[1] / 1024
        );
        assert!(seen > 0, "no progress was ever shown");
        let promoted = cluster.promote(leader, 4).await.unwrap();
        assert_eq!(promoted.status, Some(200), "{promoted:?}");
        println!("a voter after {:?}, {} batches meanwhile", started.elapsed(), more.load(Ordering::Relaxed));
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(load, joins);
    assert!(cluster.node_log(4).contains("a snapshot was installed"), "{}", cluster.node_log(4));
    cluster.node_ready(4, SETTLES_WITHIN).await.unwrap();
    for id in samples {
        assert_eq!(cluster.get(4, &format!("/v1/envelopes/{id}")).await.status, Some(200), "{id}");
    }
}
