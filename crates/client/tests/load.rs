//! The load generator counts everything that happened, and nothing else.

use crate::support::*;
use assent_client::load::{Call, LoadConfig, Stop, Work, judge_authorize, judge_ok, judge_submit, run};
use std::collections::BTreeSet;
use std::time::Duration;

fn config(endpoints: &[&str], clients: usize) -> LoadConfig {
    let mut config = LoadConfig::new(endpoints.iter().copied(), clients);
    config.warm_up = Duration::ZERO;
    config.attempt_timeout = Duration::from_millis(200);
    config
}

fn calls(from: u32, count: u32) -> Vec<Call> {
    (from..from + count).map(|n| Call::post("/v1/envelopes", envelope(n)).unwrap()).collect()
}

#[tokio::test]
async fn every_envelope_is_sent_once_and_in_its_clients_order() {
    let (a, b) = (Server::start(vec![]).await, Server::start(vec![]).await);
    let config = LoadConfig { stop: Stop::Operations(40), ..config(&[&a.endpoint, &b.endpoint], 2) };
    let report = run(config, Work::Once(vec![calls(0, 20), calls(100, 20)]), judge_submit).await.unwrap();
    assert_eq!(report.outcomes.get("accepted"), Some(&report.operations));
    assert_eq!(report.unexpected, 0);
    let sent: Vec<_> = [a.bodies(), b.bodies()].concat();
    assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), sent.len());
    assert_eq!(a.bodies(), (0..20).map(envelope).take(a.requests()).collect::<Vec<_>>());
    assert!(a.requests() > 0 && b.requests() > 0);
}

#[tokio::test]
async fn the_run_ends_when_a_client_has_nothing_left() {
    let server = Server::start(vec![]).await;
    let report =
        run(config(&[&server.endpoint], 1), Work::Once(vec![calls(0, 5)]), judge_submit).await.unwrap();
    assert!(report.exhausted);
    assert_eq!(report.operations, 5);
}

#[tokio::test]
async fn an_open_outcome_is_sent_again_with_the_same_bytes_and_counted_once() {
    let slow = Do::Slow(Duration::from_secs(30), Box::new(Do::Drop));
    let server = Server::start(vec![Do::Drop, unknown(), slow, Do::Accept(200)]).await;
    let config = LoadConfig { stop: Stop::Operations(2), ..config(&[&server.endpoint], 1) };
    let report = run(config, Work::Once(vec![calls(0, 2)]), judge_submit).await.unwrap();
    assert_eq!(server.bodies(), [0, 0, 0, 0, 1].map(envelope));
    assert_eq!((report.operations, report.unexpected), (2, 0));
    assert_eq!(report.retries.values().sum::<u64>(), 3, "{report:?}");
    assert!(report.latency.max_us > 200_000);
}

#[tokio::test]
async fn anything_but_an_allow_is_unexpected() {
    let server = Server::start(vec![
        Do::Answer(200, b"{\"decision\":\"allow\",".to_vec()),
        Do::Answer(200, b"{\"decision\":\"deny\",".to_vec()),
        Do::Answer(403, b"{\"decision\":\"allow\",".to_vec()),
        Do::Answer(503, vec![]),
    ])
    .await;
    let config = LoadConfig { stop: Stop::Operations(4), ..config(&[&server.endpoint], 1) };
    let work = Work::Repeat(vec![Call::post("/v1/authorize", "{}").unwrap()]);
    let report = run(config, work, judge_authorize).await.unwrap();
    assert_eq!((report.operations, report.unexpected, report.outcomes["allow"]), (4, 3, 1));
}

#[tokio::test]
async fn a_timed_run_measures_its_time_without_the_warm_up() {
    let server = Server::start(vec![]).await;
    let mut config = config(&[&server.endpoint], 4);
    config.warm_up = Duration::from_millis(100);
    config.stop = Stop::After(Duration::from_millis(300));
    let report = run(config, Work::Repeat(vec![Call::get("/livez").unwrap()]), judge_submit).await.unwrap();
    assert!((0.29..0.6).contains(&report.seconds), "{report:?}");
    assert!((server.requests() as u64) > report.operations);
}

#[tokio::test]
async fn nobody_there_and_bad_use_are_errors() {
    let dead = dead_endpoint().await;
    let call = Call::get("/livez").unwrap();
    let mut nobody = config(&[&dead], 2);
    nobody.stop = Stop::Operations(1);
    nobody.resend_max = 2;
    let report = run(nobody, Work::Repeat(vec![call.clone()]), judge_ok).await.unwrap();
    assert!(report.unexpected >= 1 && report.outcomes.contains_key("connect failed"));

    let bad = [
        (config(&[], 1), Work::Repeat(vec![call.clone()])),
        (config(&[&dead], 0), Work::Repeat(vec![call.clone()])),
        (config(&[&dead], 1), Work::Repeat(vec![])),
        (config(&[&dead], 2), Work::Once(vec![vec![call]])),
    ];
    for (config, work) in bad {
        assert_eq!(run(config, work, judge_ok).await.unwrap_err().code(), "config_invalid");
    }
    assert!(Call::get("no path").is_err());
}
