//! A cluster whose nodes are killed again and again under load keeps its promises.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use assent_jepsen::chaos::{ChaosConfig, Kind, LoadConfig, run};
use turns::runs_today;

#[path = "turns/today.rs"]
mod turns;

fn load() -> LoadConfig {
    let ms = Duration::from_millis;
    LoadConfig { ask_pause: ms(20), submit_pause: ms(60), rounds: true, seed: 1 }
}

fn config(kinds: &[Kind], faults: usize, majorities: bool) -> ChaosConfig {
    ChaosConfig {
        nodes: 3,
        seconds: 150,
        faults_max: faults,
        seed: 11,
        kinds: kinds.to_vec(),
        majorities,
        load: load(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_of_random_nodes_under_load_lose_and_change_nothing_and_leave_equal_nodes() {
    if !runs_today(0) {
        return;
    }
    let (report, _) = run(config(&[Kind::Kill], 22, false), |what| eprintln!("{what}")).await.unwrap();
    println!("{}", report.to_text());
    assert!(report.faults() >= 20, "only {} kills", report.faults());
    assert!(report.is_good(), "{}", report.to_text());
    assert!(
        report.measures.restrictions >= 5,
        "only {} restrictions raced the questions",
        report.measures.restrictions
    );
    assert_eq!(report.to_json()["wrongAnswers"].as_array().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_allowed_whatever_happened_to_it() {
    let faults = config(&Kind::ALL, 0, true);
    // Majorities only, each kind once: found in the seed's plan, so that the run stays short.
    let report = run_majorities(faults).await;
    println!("{}", report.to_text());
    assert!(report.is_good(), "{}", report.to_text());
    assert!(
        report.asked_without_quorum >= 6,
        "only {} answers without a quorum",
        report.asked_without_quorum
    );
}

async fn run_majorities(config: ChaosConfig) -> assent_jepsen::chaos::Report {
    use assent_jepsen::Cluster;
    use assent_jepsen::chaos::{Load, Plan, Report, Struck, settle, strike};

    let mut cluster = Cluster::start(config.nodes).await.unwrap();
    let load = Load::start(&cluster, config.load).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let recorder = load.recorder();
    for kind in Kind::ALL {
        let planned = Plan::new(config.seed, &[kind], true).find(|fault| fault.struck == Struck::Majority);
        let mut planned = planned.unwrap();
        planned.hold = Duration::from_millis(1_500);
        let say = |what: &str| eprintln!("{what}");
        strike(&mut cluster, &planned, &recorder, say).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    load.stop().await.unwrap();
    settle(&cluster, &recorder, config.seed, |what| eprintln!("{what}")).await.unwrap();
    Report::new(config, &recorder.take())
}
