//! The procedures of `docs/operations.md` work as written. With `ASSENT_SHOW` set it prints what they answer.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

use assent_jepsen::{Cluster, Evidence, run_page};

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
    // What never happened is not on the page of metrics.
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let governance = cluster.key("governance").unwrap();
    cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
    cluster.decide(1, &evidence.request()).await;
    let answer = cluster.get(1, "/metrics").await;
    let page = String::from_utf8(answer.bytes.to_vec()).unwrap();
    let metrics: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE assent_")?.split(' ').next()).collect();
    assert!(metrics.len() > 20, "{page}");
    let table = PAGE.split("## What to alert on").nth(1).unwrap().split("\n## ").next().unwrap();
    let named: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next())
        .flat_map(|cell| cell.split('`'))
        .map(|name| name.split('{').next().unwrap().trim_end_matches("_total"))
        // These are there while a snapshot is on its way.
        .filter(|name| *name != "snapshot_rows")
        .filter(|name| name.bytes().next().is_some_and(|first| first.is_ascii_lowercase()))
        .collect();
    let missing: Vec<_> = metrics.difference(&named).collect();
    let invented: Vec<_> = named.difference(&metrics).collect();
    assert!(missing.is_empty() && invented.is_empty(), "missing {missing:?}, invented {invented:?}");
}
