//! Each node in turn is stopped in order and started again, under load: no client loses anything, and none waits long.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use assent_jepsen::Cluster;
use assent_jepsen::chaos::{Fault, Kind, Load, LoadConfig, Struck, measure, settle};
use assent_jepsen::check::{Setting, judge};
use tokio::task::block_in_place;

const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// Far above what is measured: CI machines are slow and shared.
const SILENCE_AT_MOST: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_submission_and_leaves_no_gap_longer_than_an_election() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let ms = Duration::from_millis;
    let config = LoadConfig { ask_pause: ms(10), submit_pause: ms(20), rounds: true, seed: 5 };
    let load = Load::start(&cluster, config).await.unwrap();
    tokio::time::sleep(ms(700)).await;
    let recorder = load.recorder();
    let mut handed_over = 0;
    for id in 1..=3 {
        let leader = cluster.leader().await.unwrap();
        let begun = load.at();
        let code = block_in_place(|| cluster.stop(id)).unwrap();
        let effective = load.at();
        assert_eq!(code, Some(0), "node {id}:\n{}", cluster.node_log(id));
        let log = cluster.node_log(id);
        if leader == id {
            // Before it was gone somebody else led: it said who, and nobody has to fall silent first.
            assert!(log.contains("leadership was handed over"), "node {id}:\n{log}");
            let others: Vec<u64> = (1..=3).filter(|other| *other != id).collect();
            let status = cluster.get(others[0], "/v1/cluster/status").await;
            let successor = status.number("leader");
            assert!(successor.is_some_and(|successor| others.contains(&successor)), "{status:?}");
            handed_over += 1;
        }
        tokio::time::sleep(ms(300)).await;
        let healing = load.at();
        cluster.restart(id).unwrap();
        cluster.node_ready(id, SETTLES_WITHIN).await.unwrap();
        let struck = if leader == id { Struck::Leader } else { Struck::Follower };
        let over = load.at();
        recorder.fault(&Fault {
            kind: Kind::Stop,
            struck,
            victims: vec![id],
            begun,
            effective,
            healing,
            over,
        });
        tokio::time::sleep(ms(500)).await;
    }
    assert!(handed_over > 0, "no leader was stopped");
    load.stop().await.unwrap();
    settle(&cluster, &recorder, 5, |what| eprintln!("{what}")).await.unwrap();
    let history = recorder.take();
    let judged = judge(&history, Setting::Chaos);
    assert!(judged.is_good(), "{}", judged.to_text(&history));
    let measures = measure(&history);
    let submissions = &measures.submissions;
    println!(
        "longest silence {} ms, {} allows, {} denies; {} submissions, {} of them by a retry, slowest {} ms",
        measures.longest_silence.as_millis(),
        measures.allows,
        measures.denies,
        submissions.acknowledged,
        submissions.retried,
        submissions.slowest.as_millis()
    );
    assert!(submissions.acknowledged > 100, "only {} submissions", submissions.acknowledged);
    assert_eq!(submissions.unresolved + submissions.refused, 0);
    assert_eq!(submissions.resolved, 0, "the client gave up on a submission before it knew");
    assert!(measures.longest_silence < SILENCE_AT_MOST, "{:?}", measures.longest_silence);
}
