//! The README's snippets run as written: what a new user pastes works.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use assent_jepsen::{Cluster, run_page};

const README: &str = include_str!("../../README.md");

#[tokio::test]
async fn the_readmes_five_minutes_work_as_written() {
    assert!(README.matches("```sh\n").count() >= 9, "the README has lost its snippets");
    let cluster = Cluster::start(3).await.unwrap();
    let printed = run_page(&cluster, README).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(printed.contains("\nhello\n"), "the job did not run on allow:\n{printed}");
    assert!(
        printed.contains("\nthe watched command was stopped, exit code 12\n"),
        "it was not stopped:\n{printed}"
    );
    let denied = printed.matches("denied, exit code 10").count();
    assert_eq!(denied, 2, "the quarantine and the revocation deny:\n{printed}");
}
