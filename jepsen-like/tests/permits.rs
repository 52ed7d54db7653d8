//! Permits over three real nodes: n uses give at most n permits, whichever callers ask whichever nodes, however often.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use assent_jepsen::{Answer, Cluster, Evidence};
use assent_proof::EvidenceKind;
use futures_util::future::join_all;
use serde_json::{Value, json};

/// An artifact for `run` with so many uses, and an attestation.
async fn grounds(cluster: &Cluster, lineage: &str, uses: u32) -> Evidence {
    let evidence = Evidence::new(cluster, lineage).await.unwrap();
    let claims = json!({"actions": ["run"], "notBefore": "2020-01-01T00:00:00Z", "notAfter": "2090-01-01T00:00:00Z",
        "uses": uses});
    let governance = cluster.key("governance").unwrap();
    let artifact = evidence.execution(EvidenceKind::ExecutionAuthorization, &claims, &governance, (0, None));
    cluster.accept(1, &artifact).await.unwrap();
    let attestation = cluster.key("attestation").unwrap();
    cluster.accept(1, &evidence.attestation(&attestation, (0, None), "affirming", "m")).await.unwrap();
    evidence
}

fn asking(evidence: &Evidence, nonce: &str) -> Value {
    let mut request = evidence.request();
    request["nonce"] = json!(nonce);
    request
}

async fn permit(cluster: &Cluster, node: u64, request: &Value) -> Answer {
    cluster.post(node, "/v1/permits", request.to_string()).await
}

fn id(answer: &Answer) -> String {
    answer.body["permit"]["evidenceId"].as_str().unwrap_or_else(|| panic!("no permit: {answer:?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_use_is_one_permit_on_every_node() {
    let cluster = Cluster::start(3).await.unwrap();
    let evidence = grounds(&cluster, "tool-call", 1).await;
    let read = cluster.decide(1, &evidence.request()).await;
    assert_eq!(read.codes(), ["permit_required"]);
    let first = permit(&cluster, 1, &asking(&evidence, "n-1")).await;
    assert!(first.is_allow(), "{first:?}");
    for node in 1..=3 {
        let again = permit(&cluster, node, &asking(&evidence, "n-1")).await;
        assert!(again.is_allow(), "node {node}: {again:?}");
        assert_eq!(again.body["permit"], first.body["permit"], "a retry returns the first permit");
        let other = permit(&cluster, node, &asking(&evidence, "n-2")).await;
        assert_eq!(other.codes(), ["authorization_consumed"], "node {node}: {other:?}");
    }
    // A retry could not find it without its lineage; a nonce is for one request.
    let mut anywhere = asking(&evidence, "n-1");
    anywhere.as_object_mut().unwrap().remove("lineage");
    let nowhere = permit(&cluster, 2, &anywhere).await;
    assert_eq!((nowhere.status, nowhere.text("field")), (Some(400), Some("lineage")), "{nowhere:?}");
    let mut other = asking(&evidence, "n-1");
    other["audience"] = json!("edge");
    let reused = permit(&cluster, 3, &other).await;
    assert_eq!(reused.codes(), ["authorization_consumed", "nonce_reused"]);
    // It is evidence like any other, and nobody but a node's own path may hand one in.
    let stored = cluster.get(2, &format!("/v1/envelopes/{}", id(&first))).await;
    assert_eq!(stored.status, Some(200));
    let replayed = cluster.submit(3, &stored.bytes).await.unwrap();
    assert_eq!((replayed.status, replayed.text("code")), (Some(403), Some("caller_not_permitted")));
    // What is denied, and what is recorded already, never goes through the log.
    let leader = cluster.leader().await.unwrap();
    let last_log = async || cluster.get(leader, "/v1/cluster/status").await.number("lastLog");
    let before = last_log().await;
    for n in 0..20 {
        let denied = permit(&cluster, 1 + n % 3, &asking(&evidence, &format!("flood-{n}"))).await;
        assert_eq!(denied.codes(), ["authorization_consumed"], "{denied:?}");
        assert!(permit(&cluster, 1 + n % 3, &asking(&evidence, "n-1")).await.is_allow());
    }
    assert_eq!(last_log().await, before);
    let without = permit(&cluster, 1, &evidence.request()).await;
    assert_eq!((without.status, without.text("field")), (Some(400), Some("nonce")), "{without:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_are_never_exceeded_though_everybody_races_retries_and_the_leader_dies() {
    const USES: u32 = 5;
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = grounds(&cluster, "raced", USES).await;
    let leader = cluster.leader().await.unwrap();
    let mut given: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut take = |nonce: String, answer: &Answer| {
        if answer.is_allow() {
            given.entry(nonce).or_default().insert(id(answer));
        }
    };
    for round in 0..6 {
        if round == 2 {
            cluster.kill(leader).unwrap();
        }
        if round == 4 {
            cluster.restart(leader).unwrap();
        }
        let cluster = &cluster;
        let evidence = &evidence;
        let asks = (0..24_u64).map(|n| async move {
            let nonce = format!("n-{}", n % 8);
            let answer = permit(cluster, 1 + n % 3, &asking(evidence, &nonce)).await;
            (nonce, answer)
        });
        for (nonce, answer) in join_all(asks).await {
            take(nonce, &answer);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    cluster.ready(Duration::from_secs(60)).await.unwrap();
    for (nonce, permits) in &given {
        assert_eq!(permits.len(), 1, "nonce `{nonce}` got several permits");
    }
    assert_eq!(given.len(), USES as usize, "every use was given, and none twice: {given:?}");
    let lineage = cluster.get(1, &format!("/v1/lineages/{}/raced", cluster.domain)).await;
    let entries = lineage.body["entries"].as_array().unwrap();
    let recorded = entries.iter().filter(|entry| entry["kind"] == "permit").count();
    assert_eq!(recorded, USES as usize);
}
