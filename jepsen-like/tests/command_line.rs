//! The command line against a live cluster, where its answers depend on what the cluster knows.

use std::process::{Command, Output};

use assent_jepsen::{Cluster, Evidence, binary, id_of};

fn assent(cluster: &Cluster, arguments: &[&str]) -> Output {
    Command::new(binary().unwrap())
        .args(arguments)
        .env("ASSENT_ENDPOINTS", format!("http://{}", cluster.nodes[0].client))
        .env("ASSENT_ORIGIN", &cluster.origin)
        .env("ASSENT_DOMAIN", &cluster.domain)
        .env("ASSENT_NODE_KEYS", cluster.dev_directory().join("node-keys.pem"))
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_twice_says_that_it_is_in_force_already() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let audit = cluster.key("audit").unwrap().public().to_string();
    let governance = cluster.key_path("governance").unwrap().to_str().unwrap().to_owned();
    let revoke = ["revoke", "--authority", &audit, "--reason", "superseded", "--key", &governance];
    let first = assent(&cluster, &revoke);
    assert!(first.status.success(), "{first:?}");
    assert!(String::from_utf8_lossy(&first.stdout).starts_with("accepted blake3:"), "{first:?}");
    // Signed anew a second later it is another statement, which adds nothing.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let second = assent(&cluster, &revoke);
    assert!(second.status.success(), "{second:?}");
    assert!(
        String::from_utf8_lossy(&second.stdout).starts_with("in force already, by blake3:"),
        "{second:?}"
    );

    // Who cannot be asked cannot know.
    for id in 1..=3 {
        cluster.kill(id).unwrap();
    }
    let authorize = [
        "authorize",
        "--lineage",
        "exec",
        "--action",
        "run",
        "--subject",
        &format!("sha256:{}", "0".repeat(64)),
    ];
    for arguments in [&revoke[..], &["lineage", "show", "exec"], &authorize] {
        let output = assent(&cluster, arguments);
        assert_eq!(output.status.code(), Some(11), "{arguments:?}: {output:?}");
    }
}

/// The evidence id in `accepted blake3:… …`.
#[track_caller]
fn accepted(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let id = stdout.strip_prefix("accepted ").and_then(|rest| rest.split_whitespace().next());
    id.unwrap_or_else(|| panic!("no receipt in `{stdout}`")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_contained_released_and_reconciled_from_the_command_line() {
    let cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "job").await.unwrap();
    let attestation = cluster.key("attestation").unwrap();
    let path = |role: &str| cluster.key_path(role).unwrap().to_str().unwrap().to_owned();
    let (governance, audit) = (path("governance"), path("audit"));
    let artifact = evidence.authorization(&cluster.key("governance").unwrap(), (0, None));
    cluster.accept(1, &artifact).await.unwrap();
    let good = evidence.attestation(&attestation, (0, None), "affirming", "m");
    cluster.accept(1, &good).await.unwrap();
    let everywhere = async |codes: &[&str]| {
        for id in 1..=3 {
            let answer = cluster.decide(id, &evidence.request()).await;
            assert_eq!(answer.codes(), codes, "node {id}: {answer:?}");
            assert_eq!(answer.is_allow(), codes.is_empty());
        }
    };
    everywhere(&[]).await;

    let held = accepted(&assent(&cluster, &["contain", "quarantine", "job", "--key", &audit]));
    everywhere(&["lineage_quarantined"]).await;
    let shown = assent(&cluster, &["lineage", "show", "job"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains(&format!("quarantined by {held}")), "{shown:?}");
    accepted(&assent(&cluster, &["release", &held, "--key", &governance]));
    everywhere(&[]).await;

    let held = accepted(&assent(&cluster, &["contain", "isolate", "--key", &audit]));
    everywhere(&["domain_isolated"]).await;
    let more = evidence.attestation(&attestation, (1, id_of(&good)), "affirming", "m");
    let refused = cluster.submit(2, &more).await.unwrap();
    assert_eq!(refused.text("code"), Some("domain_isolated"), "{refused:?}");
    let listed = assent(&cluster, &["domain", "list"]);
    let listed = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.contains(&format!("isolated by {held}")), "{listed}");
    assert!(listed.contains("\n  policy blake3:"), "{listed}");
    assert!(listed.contains("\n  not checked: any measurement is accepted\n"), "{listed}");
    accepted(&assent(&cluster, &["release", &held, "--key", &governance]));
    everywhere(&[]).await;
    let again = assent(&cluster, &["release", &held, "--key", &governance]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("released already"), "{again:?}");

    let other = evidence.attestation(&attestation, (0, None), "affirming", "another");
    assert_eq!(cluster.submit(3, &other).await.unwrap().status, Some(409));
    everywhere(&["authority_inconsistent", "evidence_missing", "lineage_quarantined"]).await;
    let (good, other) = (id_of(&good).unwrap().to_string(), id_of(&other).unwrap().to_string());
    let reconcile =
        ["reconcile", "--canonical", &good, "--rejected", &other, "--key", &governance, "--output", "json"];
    let reconciled = assent(&cluster, &reconcile);
    assert!(reconciled.status.success(), "{reconciled:?}");
    everywhere(&[]).await;

    accepted(&assent(&cluster, &["contain", "invalidate", &good, "--key", &governance]));
    everywhere(&["evidence_invalidated"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_shows_how_each_node_stands_and_confirms_no_other_time_than_the_present() {
    let cluster = Cluster::start(3).await.unwrap();
    cluster.ready(std::time::Duration::from_secs(60)).await.unwrap();
    let endpoints: Vec<String> = cluster.nodes.iter().map(|node| format!("http://{}", node.client)).collect();
    let endpoints = endpoints.join(",");
    let shown = assent(&cluster, &["clock", "--endpoint", &endpoints, "--output", "json"]);
    assert!(shown.status.success(), "{shown:?}");
    let json: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let nodes = json["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3, "{json}");
    for node in nodes {
        assert_eq!(node["clock"]["standing"], "sure", "{json}");
        assert_eq!(node["clock"]["anchored"], true, "{json}");
    }
    let text = assent(&cluster, &["clock"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("clock          sure"), "{text:?}");

    let wrong = assent(&cluster, &["clock", "confirm", "--time", "2037-07-01T12:00:00Z"]);
    assert!(!wrong.status.success(), "{wrong:?}");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("times_invalid"), "{wrong:?}");
    // The node's own clock, as it says it.
    let wall = assent_proof::Millis(nodes[0]["clock"]["wall"].as_i64().unwrap()).to_seconds().to_string();
    let confirmed = assent(&cluster, &["clock", "confirm", "--time", &wall, "--output", "json"]);
    assert!(confirmed.status.success(), "{confirmed:?}");
    let json: serde_json::Value = serde_json::from_slice(&confirmed.stdout).unwrap();
    // It was trusted already, so that there was nothing to take a word for.
    assert_eq!(json["standing"], "sure", "{json}");
    assert!(json["confirmed"].is_null(), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_compares_what_the_nodes_hold_by_digest() {
    let cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let governance = cluster.key("governance").unwrap();
    cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
    // Whoever has passed a barrier has applied it.
    cluster.ready(std::time::Duration::from_secs(60)).await.unwrap();
    let endpoints: Vec<String> = cluster.nodes.iter().map(|node| format!("http://{}", node.client)).collect();
    let endpoints = endpoints.join(",");
    let status = |more: &[&str]| {
        let arguments = [&["status", "--endpoint", &endpoints], more].concat();
        let output = assent(&cluster, &arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&status(&["--digest", "--output", "json"])).unwrap();
    let digests: Vec<&serde_json::Value> =
        json["nodes"].as_array().unwrap().iter().map(|node| &node["digest"]).collect();
    for digest in &digests {
        assert_eq!(digest["applied"], digests[0]["applied"], "{json}");
        assert_eq!(digest["digest"], digests[0]["digest"], "{json}");
        assert!(digest["digest"].as_str().unwrap().starts_with("blake3:"), "{json}");
    }
    let text = status(&["--digest"]);
    assert_eq!(text.matches(digests[0]["digest"].as_str().unwrap()).count(), 3, "{text}");
    assert!(!status(&[]).contains("rows"), "it reads every row, so it is made only when asked for");
}
