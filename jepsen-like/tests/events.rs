//! The events feed of three real nodes: a follower gets every event once and in order, whichever node dies meanwhile.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use assent_jepsen::{Cluster, Evidence, binary, id_of};
use assent_proof::EvidenceId;
use serde_json::Value;
use tokio::time::Instant;

const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// A process that is killed when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn assent(cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary().unwrap());
    let endpoints: Vec<String> = cluster.nodes.iter().map(|node| format!("http://{}", node.client)).collect();
    command
        .args(arguments)
        .env("ASSENT_ENDPOINTS", endpoints.join(","))
        .env("ASSENT_ORIGIN", &cluster.origin)
        .env("ASSENT_DOMAIN", &cluster.domain);
    command
}

/// What of an event has to be the same on every node.
fn lines(text: &str) -> Vec<(u64, String)> {
    let read = |line: &str| {
        let event: Value = serde_json::from_str(line).ok()?;
        Some((event["revision"].as_u64()?, event["evidenceId"].as_str()?.to_owned()))
    };
    text.lines().filter_map(read).collect()
}

/// One node's whole feed, page by page.
async fn feed(cluster: &Cluster, id: u64) -> Vec<(u64, String)> {
    let (mut all, mut from) = (Vec::new(), String::new());
    loop {
        let answer = cluster.get(id, &format!("/v1/events?limit=17&confirmed=true{from}")).await;
        assert_eq!(answer.status, Some(200), "{answer:?}");
        let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        all.extend(lines(&text));
        let heartbeat = &last["heartbeat"];
        if heartbeat["ledgerRevision"] == heartbeat["revision"] {
            return all;
        }
        from = format!("&history={}&after={}", heartbeat["history"].as_str().unwrap(), heartbeat["revision"]);
    }
}

async fn attest(
    cluster: &Cluster,
    evidence: &Evidence,
    slots: std::ops::Range<u64>,
    parent: Option<EvidenceId>,
    through: &[u64],
) -> Option<EvidenceId> {
    let key = cluster.key("attestation").unwrap();
    let mut parent = parent;
    for sequence in slots {
        let bytes = evidence.attestation(&key, (sequence, parent), "affirming", "m");
        cluster.accept(through[usize::try_from(sequence).unwrap() % through.len()], &bytes).await.unwrap();
        parent = id_of(&bytes);
    }
    parent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_gets_everything_once_and_in_order_though_nodes_die_and_come_back_by_snapshot() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    for id in 1..=3 {
        cluster.kill(id).unwrap();
        let short = [("snapshot_every_entries", 10), ("keep_entries", 2), ("lag_entries", 15)];
        cluster.configure(id, &short).unwrap();
        cluster.restart(id).unwrap();
    }
    cluster.ready(SETTLES_WITHIN).await.unwrap();
    let path = cluster.dev_directory().join("followed");
    let out = fs::File::create(&path).unwrap();
    let follow = ["events", "--follow", "--output", "json", "--timeout", "60000"];
    let _follower = Process(assent(&cluster, &follow).stdout(out).stderr(Stdio::null()).spawn().unwrap());

    let head = attest(&cluster, &evidence, 0..10, None, &[1, 2, 3]).await;
    let dead = cluster.leader().await.unwrap();
    cluster.kill(dead).unwrap();
    let living: Vec<u64> = (1..=3).filter(|id| *id != dead).collect();
    // So much that the dead one can only come back by a snapshot, once the logs are cut.
    let head = attest(&cluster, &evidence, 10..60, head, &living).await;
    let missing = cluster.get(living[0], "/v1/cluster/status").await.number("lastLog").unwrap() - 20;
    for id in &living {
        for _ in 0..400 {
            let status = cluster.get(*id, "/v1/cluster/status").await;
            if status.body["log"]["first"].as_u64() > Some(missing) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
    cluster.restart(dead).unwrap();
    cluster.node_ready(dead, SETTLES_WITHIN).await.unwrap();
    let log = cluster.dev_directory().join(format!("node-{dead}.log"));
    // A node waits for nobody who takes its log, so what it says is there a moment later.
    let until = Instant::now() + SETTLES_WITHIN;
    while !fs::read_to_string(&log).unwrap().contains("a snapshot was installed") {
        assert!(Instant::now() < until, "it came back without a snapshot");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    cluster.kill(living[0]).unwrap();
    let head = attest(&cluster, &evidence, 60..70, head, &[dead, living[1]]).await;
    cluster.restart(living[0]).unwrap();
    cluster.node_ready(living[0], SETTLES_WITHIN).await.unwrap();
    attest(&cluster, &evidence, 70..75, head, &[1, 2, 3]).await;

    let expected = feed(&cluster, 1).await;
    let revisions: Vec<u64> = expected.iter().map(|(revision, _)| *revision).collect();
    assert_eq!(revisions, (1..=revisions.len() as u64).collect::<Vec<_>>(), "the ledger has no gap");
    for id in 2..=3 {
        assert_eq!(feed(&cluster, id).await, expected, "node {id}");
    }
    let until = Instant::now() + SETTLES_WITHIN;
    loop {
        let followed = lines(&fs::read_to_string(&path).unwrap());
        assert!(expected.starts_with(&followed), "{followed:?}");
        if followed.len() == expected.len() {
            break;
        }
        assert!(Instant::now() < until, "{} of {} events were followed", followed.len(), expected.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_to_the_present_filtered_and_say_where_to_go_on_when_nobody_answers() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let (governance, audit) = (cluster.key("governance").unwrap(), cluster.key("audit").unwrap());
    let revoked = cluster.accept(2, &evidence.revocation(&audit, &governance)).await.unwrap();
    let revision = revoked.number("revision").unwrap();
    let history = revoked.body["history"].as_str().unwrap().to_owned();
    let after = format!("{history}:{}", revision - 1);
    // What was acknowledged by another node is there, at once.
    for filter in [
        &["--after", &after][..],
        &["--kind", "revocation"],
        &["--kind", "revocation", "--domain", &cluster.domain],
    ] {
        let listed = assent(&cluster, &["events"]).args(filter).output().unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.status.success() && text.lines().count() == 1, "{filter:?}: {text}");
        assert!(text.contains(&format!("revoke {}", audit.public())), "{text}");
    }
    let none = assent(&cluster, &["events", "--lineage", "nothing"]).output().unwrap();
    assert!(none.status.success() && none.stdout.is_empty(), "{none:?}");

    for id in 1..=3 {
        cluster.kill(id).unwrap();
    }
    let follow = ["events", "--follow", "--after", &after, "--timeout", "300"];
    let ended = assent(&cluster, &follow).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(11), "{said}");
    assert!(said.contains(&format!("--after {after}")), "{said}");
}
