//! The worked examples under `docs/examples` run as they stand, each against a cluster without TLS and one with it.

use assent_jepsen::{Cluster, DevProcess, run_page};

/// Plays a page against one cluster, and then against the other.
async fn plays(page: &str, answers: usize) {
    assert!(page.matches("```text\n").count() >= answers, "the page has lost its answers");
    let plain = Cluster::start(3).await.unwrap();
    if let Err(error) = run_page(&plain, page).await {
        panic!("without TLS: {error}");
    }
    drop(plain);
    let with_tls = DevProcess::with_tls(3).await.unwrap();
    // Otherwise the page would be played twice without TLS.
    assert!(with_tls.log().contains("export ASSENT_ENDPOINT=https://127.0.0.1:"), "{}", with_tls.log());
    if let Err(error) = run_page(&with_tls, page).await {
        panic!("with TLS: {error}");
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
