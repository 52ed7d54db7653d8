//! The last resort: a quorum is lost for good, and root recovers the cluster with the node that is left.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use assent_jepsen::{Cluster, Evidence, binary, id_of};

const SETTLES_WITHIN: Duration = Duration::from_secs(60);

fn assent(arguments: &[&str]) -> Output {
    Command::new(binary().unwrap()).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Root's statement that recovers the cluster by this node, signed by `key`.
fn signed(config: &str, key: &Path, to: &Path) {
    let draft = assent(&["recover", "--config", config, "--draft"]);
    assert!(draft.status.success(), "{}", said(&draft));
    std::fs::write(to, &draft.stdout).unwrap();
    let sign = assent(&["sign", to.to_str().unwrap(), "--key", key.to_str().unwrap(), "--in-place"]);
    assert!(sign.status.success(), "{}", said(&sign));
}

#[tokio::test]
async fn a_lost_quorum_is_recovered_by_the_surviving_node_and_the_old_nodes_end() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let (governance, attestation) = (cluster.key("governance").unwrap(), cluster.key("attestation").unwrap());
    cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
    let attested = evidence.attestation(&attestation, (0, None), "affirming", "m");
    cluster.accept(1, &attested).await.unwrap();
    cluster.node_ready(2, SETTLES_WITHIN).await.unwrap();
    let config = cluster.config_path(1);
    let config = config.to_str().unwrap();
    let running = assent(&["recover", "--config", config]);
    assert!(
        !running.status.success() && said(&running).contains("stop the node first"),
        "{}",
        said(&running)
    );

    // A statement for what the node held once: another one took its slot since.
    let folder = cluster.dev_directory();
    let stale = folder.join("stale.json");
    cluster.stop(1).unwrap();
    signed(config, cluster.key_path("root").unwrap(), &stale);
    cluster.restart(1).unwrap();
    cluster.node_ready(1, SETTLES_WITHIN).await.unwrap();
    cluster.grant_newcomer(9).await.unwrap();
    // A quorum has it; node 1, once it passes a barrier again.
    cluster.node_ready(1, SETTLES_WITHIN).await.unwrap();

    let status = cluster.get(1, "/v1/cluster/status").await;
    let history = status.body["history"].as_str().unwrap().to_owned();
    let seen = format!("{history}:{}", status.number("revision").unwrap());

    // An outbox that has delivered, and in which nothing is pending.
    let (outbox, delivered) = (folder.join("outbox"), folder.join("delivered.json"));
    std::fs::write(&delivered, &attested[..]).unwrap();
    let endpoint = format!("http://{}", cluster.node(1).unwrap().client);
    let submit = |more: &[&str]| {
        let mut all = vec!["submit", "--endpoint", &endpoint, "--outbox", outbox.to_str().unwrap()];
        all.extend(more);
        assent(&all)
    };
    for more in [&[delivered.to_str().unwrap()][..], &[]] {
        let submitted = submit(more);
        assert!(submitted.status.success(), "{}", said(&submitted));
    }

    // Nodes 2 and 3 are gone, as far as anyone knows; node 1 alone can do nothing.
    for id in [2, 3, 1] {
        cluster.kill(id).unwrap();
    }
    let statement = folder.join("recovery.json");
    signed(config, cluster.key_path("root").unwrap(), &statement);
    let carry_out =
        |file: &Path| assent(&["recover", "--config", config, "--statement", file.to_str().unwrap()]);

    // Neither another's signature nor another node's name will do, and nothing is written then.
    let before = said(&assent(&["recover", "--config", config]));
    let forged = folder.join("forged.json");
    let text = std::fs::read_to_string(&statement).unwrap();
    let mut envelope: serde_json::Value = serde_json::from_str(&text).unwrap();
    envelope["signatures"] = serde_json::json!([]);
    std::fs::write(&forged, envelope.to_string()).unwrap();
    let refused = carry_out(&forged);
    assert!(!refused.status.success() && said(&refused).contains("unsigned_evidence"), "{}", said(&refused));
    let other = folder.join("other.json");
    let config_2 = cluster.config_path(2);
    signed(config_2.to_str().unwrap(), cluster.key_path("root").unwrap(), &other);
    let refused = carry_out(&other);
    assert!(said(&refused).contains("must be this node's key alone"), "{}", said(&refused));
    let refused = carry_out(&stale);
    assert!(!refused.status.success() && said(&refused).contains("head_moved"), "{}", said(&refused));
    assert_eq!(said(&assent(&["recover", "--config", config])), before, "a refusal changed something");

    // If the result cannot be printed, the node is recovered nevertheless, and the error says so.
    let is_full = cfg!(target_os = "linux");
    let mut command = Command::new("sh");
    command.args(["-c", if is_full { r#"exec "$0" "$@" > /dev/full"# } else { r#"exec "$0" "$@""# }]);
    command.arg(binary().unwrap()).args(["recover", "--config", config, "--statement"]).arg(&statement);
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(i32::from(is_full)), "{}", said(&done));
    if is_full {
        assert!(said(&done).contains("it is done: node 1 is recovered, in epoch 2"), "{}", said(&done));
        assert!(said(&done).contains("remedy: do not run the command again"), "{}", said(&done));
    }
    let again = carry_out(&statement);
    assert!(!again.status.success() && said(&again).contains("in epoch 2 already"), "{}", said(&again));
    cluster.restart(1).unwrap();
    cluster.node_ready(1, SETTLES_WITHIN).await.unwrap();
    let asked = cluster.decide(1, &evidence.request()).await;
    assert!(asked.is_allow(), "{asked:?}");
    let stored = cluster.get(1, &format!("/v1/envelopes/{}", id_of(&attested).unwrap())).await;
    assert_eq!(&stored.bytes[..], &attested[..]);
    // A follower of the time before is told, and goes on where it is told.
    let follow = |after: &str| assent(&["events", "--endpoint", &endpoint, "--after", after]);
    let (told, on) = (follow(&seen), seen.replace("/e1:", "/e2:"));
    assert_eq!(told.status.code(), Some(14), "{}", said(&told));
    assert!(told.stdout.is_empty() && said(&told).contains(&format!("--after {on}")), "{}", said(&told));
    let listed = follow(&on);
    let lines = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.status.success() && lines.lines().count() == 1, "{}", said(&listed));
    assert!(lines.contains("  recovery  "), "{lines}");
    let beyond = follow(&format!("{}:100000", on.rsplit_once(':').unwrap().0));
    assert!(said(&beyond).contains("cursor_beyond_ledger"), "{}", said(&beyond));
    assert_eq!(beyond.status.code(), Some(14), "{}", said(&beyond));
    // So is an outbox, although nothing is pending in it; and no name is noted that the registry does not confirm.
    let in_force = history.replace("/e1", "/e2");
    let told = submit(&[]);
    assert_eq!(told.status.code(), Some(14), "{}", said(&told));
    assert!(said(&told).contains("history_mismatch") && said(&told).contains(&in_force), "{}", said(&told));
    let typo = submit(&["--resend-in", &history.replace("/e1", "/e22")]);
    assert_eq!(typo.status.code(), Some(14), "{}", said(&typo));
    assert!(said(&typo).contains("nothing was changed"), "{}", said(&typo));
    let resent = submit(&["--resend-in", &in_force]);
    assert!(resent.status.success() && said(&resent).contains("accepted before"), "{}", said(&resent));
    let again = submit(&[]);
    assert!(again.status.success(), "{}", said(&again));
    // It shows in the ledger.
    let root = cluster.get(1, "/v1/lineages/_root/_governance?limit=1000").await;
    let last = root.body["entries"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["kind"], "recovery", "{last}");

    // New members make it a cluster of three again; the old ones are used up.
    for id in [4, 5] {
        cluster.start_newcomer(id).unwrap();
        cluster.grant_newcomer(id).await.unwrap();
        let added = cluster.add_learner(1, id).await.unwrap();
        assert_eq!(added.status, Some(200), "{added:?}");
        let promoted = cluster.promote(1, id).await.unwrap();
        assert_eq!(promoted.status, Some(200), "{promoted:?}");
    }

    // The lost nodes turn up after all: together they would be a majority of the past, and root's word ends them.
    for id in [2, 3] {
        cluster.restart(id).unwrap();
    }
    for id in [2, 3] {
        cluster.ended(id).unwrap();
        let log = cluster.node_log(id);
        assert!(log.contains("root has recovered the cluster without this node, in epoch 2"), "{log}");
    }
    cluster.kill(1).unwrap();
    assert!(cluster.decide(5, &evidence.request()).await.is_allow());
    // Nobody is there to tell them again, and they remember.
    for id in [2, 3] {
        cluster.restart(id).unwrap();
    }
    for id in [2, 3] {
        cluster.ended(id).unwrap();
        let log = cluster.node_log(id);
        assert!(log.lines().last().is_some_and(|last| last.starts_with("remedy: ")), "{log}");
        assert!(!log.lines().rev().take(3).any(|line| line.starts_with("ready: ")), "{log}");
    }
}
