//! When keys end, as a node's metrics page shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use assent_jepsen::{Cluster, run_page};
use assent_proof::Seconds;
use serde_json::Value;
use tokio::time::Instant;

use super::page::{Form, metrics, read};

/// Longest wait for a page: the registry is read for it every 5 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// By role, when the next key ends, as the API lists the authorities.
async fn listed(cluster: &Cluster) -> BTreeMap<String, f64> {
    let mut soonest: BTreeMap<String, f64> = BTreeMap::new();
    let all = cluster.get(1, "/v1/domains?limit=1000").await;
    let domains = all.body.get("domains").and_then(Value::as_array).cloned();
    let domains = domains.unwrap_or_else(|| panic!("{all:?}"));
    for domain in domains.iter().filter_map(|entry| entry.get("domain")?.as_str()) {
        let answer = cluster.get(1, &format!("/v1/authorities?domain={domain}&limit=1000")).await;
        let authorities = answer.body.get("authorities").and_then(Value::as_array).cloned();
        for entry in authorities.unwrap_or_else(|| panic!("{answer:?}")) {
            let text = |field: &str| entry.get(field).and_then(Value::as_str);
            let standing = (text("notAfter"), text("status"));
            let (Some(end), Some("active" | "pending")) = standing else { continue };
            let Seconds(end) = end.parse().unwrap();
            let end = end as f64;
            soonest
                .entry(text("role").unwrap().to_owned())
                .and_modify(|known| *known = known.min(end))
                .or_insert(end);
        }
    }
    soonest
}

/// By role, what a node's page says.
async fn shown(cluster: &Cluster, id: u64) -> BTreeMap<String, f64> {
    let page = metrics(&cluster.node(id).unwrap().client, None).await.1;
    let families = read(&page, Form::Text);
    let samples = families.get("assent_key_end_timestamp_seconds").map(|family| family.samples.iter());
    let role = |key: &str| key.split('"').nth(1).unwrap().to_owned();
    samples.into_iter().flatten().map(|(key, value)| (role(key), *value)).collect()
}

async fn agree(cluster: &Cluster, what: &str) -> BTreeMap<String, f64> {
    let listed = listed(cluster).await;
    for node in &cluster.nodes {
        let until = Instant::now() + PATIENCE;
        loop {
            let shown = shown(cluster, node.id).await;
            if shown == listed {
                break;
            }
            assert!(Instant::now() < until, "{what}: node {} shows {shown:?} instead of {listed:?}", node.id);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    listed
}

#[tokio::test]
async fn a_page_shows_when_the_nodes_key_and_the_next_key_of_each_role_end() {
    let cluster = Cluster::start(3).await.unwrap();
    let before = agree(&cluster, "at the beginning").await;
    for role in ["registry", "attestation"] {
        assert!(before.contains_key(role), "{before:?}");
    }
    // The genesis file grants the nodes' keys alike.
    for node in &cluster.nodes {
        let page = metrics(&node.client, None).await.1;
        let own = "assent_node_key_end_timestamp_seconds";
        assert_eq!(read(&page, Form::Text)[own].samples[own], before["registry"]);
    }
    let granted = "```sh\n\
        assent key generate --out soon.pem\n\
        assent statement new authority-grant --claim authority=\"$(assent key show soon.pem --id)\" --claim name=soon \
          --claim role=attestation --claim notBefore=2026-01-01T00:00:00Z --claim notAfter=2035-01-01T00:00:00Z \
          --key \"$ASSENT_KEY_GOVERNANCE\" --key soon.pem --submit\n\
        echo \"id $(assent key show soon.pem --id)\"\n\
        ```\n";
    let printed = run_page(&cluster, granted).await.unwrap_or_else(|error| panic!("{error}"));
    let with_it = agree(&cluster, "with a grant that ends sooner").await;
    assert_eq!(with_it["attestation"], 2_051_222_400.0, "2035-01-01T00:00:00Z; before: {before:?}");
    let id = printed.lines().find_map(|line| line.strip_prefix("id ")).unwrap();
    let revoked = format!(
        "```sh\nassent revoke --authority {id} --reason superseded --key \"$ASSENT_KEY_GOVERNANCE\"\n```\n"
    );
    run_page(&cluster, &revoked).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(agree(&cluster, "once it is revoked").await, before);
}
