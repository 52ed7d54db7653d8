//! The procedures of `docs/operations.md` work as written. With `ASSENT_SHOW` set it prints what they answer.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use assent_jepsen::{Cluster, run_page};

const PAGE: &str = include_str!("../../docs/operations.md");

#[tokio::test]
async fn the_procedures_of_the_operations_page_work_as_written() {
    let show = std::env::var_os("ASSENT_SHOW").is_some();
    assert!(show || PAGE.matches("```text\n").count() >= 9, "the page has lost its answers");
    let cluster = Cluster::start(3).await.unwrap();
    let printed = run_page(&cluster, PAGE).await.unwrap_or_else(|error| panic!("{error}"));
    if show {
        println!("{printed}");
    }
}
