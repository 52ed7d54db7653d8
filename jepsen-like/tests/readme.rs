//! The README's snippets run as written, without TLS and with it: what a new user pastes works.

use assent_jepsen::{Cluster, DevProcess, run_page};

const README: &str = include_str!("../../README.md");

async fn plays(cluster: &impl AsRef<DevProcess>) {
    assert!(README.matches("```sh\n").count() >= 9, "the README has lost its snippets");
    let printed = run_page(cluster, README).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(printed.contains("\nhello\n"), "the job did not run on allow:\n{printed}");
    assert!(
        printed.contains("\nthe watched command was stopped, exit code 12\n"),
        "it was not stopped:\n{printed}"
    );
    let denied = printed.matches("denied, exit code 10").count();
    assert_eq!(denied, 2, "the quarantine and the revocation deny:\n{printed}");
}

#[tokio::test]
async fn the_readmes_five_minutes_work_as_written() {
    plays(&Cluster::start(3).await.unwrap()).await;
}

#[tokio::test]
async fn the_readmes_five_minutes_work_as_written_with_tls() {
    let cluster = DevProcess::with_tls(3).await.unwrap();
    // Otherwise this would be the test above.
    assert!(cluster.log().contains("export ASSENT_ENDPOINT=https://127.0.0.1:"), "{}", cluster.log());
    plays(&cluster).await;
}
