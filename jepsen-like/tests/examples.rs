//! The worked examples under `docs/examples` run as they stand, each against a cluster of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use assent_jepsen::{Cluster, run_page};

async fn plays(page: &str, answers: usize) {
    assert!(page.matches("```text\n").count() >= answers, "the page has lost its answers");
    let cluster = Cluster::start(3).await.unwrap();
    if let Err(error) = run_page(&cluster, page).await {
        panic!("{error}");
    }
}

#[tokio::test]
async fn a_training_job_runs_only_on_a_freshly_attested_host() {
    plays(include_str!("../../docs/examples/training-job.md"), 4).await;
}

#[tokio::test]
async fn an_agents_tool_runs_once_for_one_use() {
    plays(include_str!("../../docs/examples/agent-tools.md"), 6).await;
}

#[tokio::test]
async fn a_stolen_key_is_undone_by_invalid_since() {
    plays(include_str!("../../docs/examples/key-compromise.md"), 4).await;
}

#[tokio::test]
async fn two_domains_follow_their_own_policies() {
    plays(include_str!("../../docs/examples/two-domains.md"), 5).await;
}

#[tokio::test]
async fn an_incident_is_isolated_and_released() {
    plays(include_str!("../../docs/examples/incident.md"), 5).await;
}
