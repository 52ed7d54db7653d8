//! The procedures of `docs/operations.md` work as written. If `ASSENT_SHOW` is set, the test prints their answers.

use std::collections::BTreeSet;
use std::time::Duration;

use assent_jepsen::{Cluster, run_page};
use tokio::time::Instant;

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

#[tokio::test]
async fn the_operations_page_names_every_metric_and_nothing_else() {
    let cluster = Cluster::start(3).await.unwrap();
    let started = Instant::now();
    // What is read of the registry may come a page later.
    let mut page = String::new();
    while !page.contains("assent_node_key_end_timestamp_seconds") {
        let answer = cluster.get(1, "/metrics").await;
        assert!(answer.returned < started + Duration::from_secs(60), "{page}");
        page = String::from_utf8(answer.bytes.to_vec()).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let metrics: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .map(|name| name.strip_prefix("assent_").unwrap_or(name))
        .collect();
    assert!(metrics.len() > 20, "{page}");
    let table = PAGE.split("## What to alert on").nth(1).unwrap().split("\n## ").next().unwrap();
    let named: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next())
        .flat_map(|cell| cell.split('`'))
        .map(|name| name.split('{').next().unwrap())
        // These are there while a snapshot is on its way, with TLS, or with a bound on what a domain may add.
        .filter(|name| !["snapshot_rows", "domain_year_"].iter().any(|part| name.starts_with(part)))
        .filter(|name| !name.ends_with("_end_timestamp_seconds") || name.contains("key_end"))
        .filter(|name| name.bytes().next().is_some_and(|first| first.is_ascii_lowercase()))
        .collect();
    let missing: Vec<_> = metrics.difference(&named).collect();
    let invented: Vec<_> = named.difference(&metrics).collect();
    assert!(missing.is_empty() && invented.is_empty(), "missing {missing:?}, invented {invented:?}");
}
