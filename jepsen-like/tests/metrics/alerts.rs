//! The alerts of `docs/alerts.yml`: the metrics that they use exist, and Prometheus itself fires them.

use std::collections::BTreeSet;
use std::time::Duration;

use assent_jepsen::Cluster;

use super::page::{Form, OPENMETRICS, metrics, read};
use super::prometheus::{Prometheus, here, is_installed, promtool, rules};

/// Longest that a node may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(60);

const ALERTS: &str = include_str!("../../../docs/alerts.yml");
const OPERATIONS: &str = include_str!("../../../docs/operations.md");
const UNIT: &str = include_str!("alerts_unit.yml");

/// The alerts of the rules file.
fn names() -> Vec<&'static str> {
    ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

/// The words of a text that begin like this.
fn words<'a>(text: &'a str, begin: &'a str) -> BTreeSet<&'a str> {
    let word = |found: char| found.is_ascii_alphanumeric() || found == '_';
    text.split(move |found: char| !word(found)).filter(|word| word.starts_with(begin)).collect()
}

#[test]
fn the_operations_page_names_every_alert_and_nothing_else_and_each_alert_says_what_to_do() {
    let alerts: BTreeSet<&str> = names().into_iter().collect();
    assert!(alerts.len() > 30 && alerts.len() == names().len(), "{alerts:?}");
    let section = OPERATIONS.split("## What to alert on").nth(1).unwrap().split("\n## ").next().unwrap();
    assert_eq!(words(section, "Assent"), alerts);
    for alert in ALERTS.split("- alert: ").skip(1) {
        for part in ["expr: ", "labels: {severity: ", "summary: \"", "action: \""] {
            assert!(alert.contains(part), "`{part}` is missing in {alert}");
        }
    }
}

#[test]
fn each_alert_is_tried_by_the_unit_tests() {
    for name in names() {
        assert!(UNIT.contains(&format!("{{alertname=\"{name}\"}}")), "{name} is not tried");
    }
}

#[tokio::test]
async fn what_the_alerts_rest_on_is_on_a_real_nodes_page() {
    let cluster = Cluster::start(3).await.unwrap();
    let mut missing = BTreeSet::new();
    // The end of the node's key is there once the registry was read for it.
    for _ in 0..20 {
        let page = metrics(&cluster.nodes[0].client, None).await.1;
        let families = read(&page, Form::Text);
        missing = words(ALERTS, "assent_").into_iter().chain(words(ALERTS, "process_")).collect();
        // There only with TLS (`cluster/tests/tls_cluster.rs`, `cluster/tests/client_tls.rs`).
        missing.retain(|name| *name != "assent_certificate_end_timestamp_seconds");
        missing.retain(|name| *name != "assent_revocation_list_end_timestamp_seconds");
        // There only if a domain is bounded (`cluster/tests/growth.rs`).
        missing.retain(|name| !name.starts_with("assent_domain_year"));
        // These are there while a snapshot is on its way.
        missing.retain(|name| !name.starts_with("assent_snapshot_rows"));
        missing.retain(|name| !families.contains_key(name.strip_suffix("_bucket").unwrap_or(name)));
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn promtool_finds_the_rules_right_and_each_alert_fires_and_is_silent_when_it_has_to() {
    if !is_installed() {
        return;
    }
    let rules = rules();
    let unit = here("tests/metrics/alerts_unit.yml");
    for (does, file) in [("check", &rules), ("test", &unit)] {
        let arguments = [does, "rules", file.to_str().unwrap()];
        let output = promtool(&arguments, "");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "promtool {arguments:?}: {said}");
        assert!(said.contains("SUCCESS"), "promtool {arguments:?}: {said}");
    }
}

#[tokio::test]
async fn promtool_finds_nothing_to_mend_on_a_real_nodes_page() {
    if !is_installed() {
        return;
    }
    let cluster = Cluster::start(3).await.unwrap();
    let page = metrics(&cluster.nodes[0].client, None).await.1;
    let output = promtool(&["check", "metrics"], &page);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{page}");
    // It has faults to find where there are some.
    let faulty = format!("{page}# TYPE assent_faulty_ms counter\nassent_faulty_ms 1\n");
    assert!(!promtool(&["check", "metrics"], &faulty).status.success());
    // What Prometheus gets is the other form.
    let (typed, _) = metrics(&cluster.nodes[0].client, Some(OPENMETRICS)).await;
    assert!(typed.starts_with("application/openmetrics-text"), "{typed}");
}

#[tokio::test]
async fn prometheus_scrapes_real_nodes_and_fires_for_one_that_was_killed_until_it_is_back() {
    if !is_installed() {
        return;
    }
    let mut cluster = Cluster::start(3).await.unwrap();
    let nodes: Vec<String> = cluster.nodes.iter().map(|node| node.client.clone()).collect();
    let [first, second, third] = nodes.as_slice() else { panic!("{nodes:?}") };
    let prometheus = Prometheus::start(&nodes).await;
    prometheus.all_up(&nodes).await;
    assert_eq!(prometheus.all_evaluated().await, names().len());
    let down = async || -> Vec<(String, String)> {
        let mut firing = prometheus.firing().await;
        firing.retain(|(name, _)| name == "AssentNodeDown" || name == "AssentPeerLost");
        firing.sort();
        firing
    };
    assert!(down().await.is_empty(), "all nodes are there: {:?}", down().await);
    cluster.kill(3).unwrap();
    let alert = |name: &str, node: &str| (name.to_owned(), node.to_owned());
    let mut wanted =
        vec![alert("AssentNodeDown", third), alert("AssentPeerLost", first), alert("AssentPeerLost", second)];
    wanted.sort();
    prometheus.until("the node that was killed is missed", async || down().await == wanted).await;
    cluster.restart(3).unwrap();
    cluster.node_ready(3, BACK_WITHIN).await.unwrap();
    prometheus.all_up(&nodes).await;
    prometheus.until("nothing is missed any more", async || down().await.is_empty()).await;
}
