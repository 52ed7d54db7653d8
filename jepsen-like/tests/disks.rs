//! Lost disks, and disks that were put back to an older copy: a node with such a disk never rejoins under its number.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use assent_jepsen::{Cluster, Evidence, binary, id_of};
use assent_proof::EvidenceId;

const SETTLES_WITHIN: Duration = Duration::from_secs(60);

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Some more evidence in slots from `first` on.
async fn write(
    cluster: &Cluster,
    evidence: &Evidence,
    first: u64,
    parent: Option<EvidenceId>,
) -> Option<EvidenceId> {
    let runtime = cluster.key("runtime").unwrap();
    let mut parent = parent;
    for sequence in first..first + 10 {
        let bytes = evidence.integrity(&runtime, (sequence, parent), "m");
        cluster.accept(1 + sequence % 2, &bytes).await.unwrap();
        parent = id_of(&bytes);
    }
    parent
}

/// Waits until the log of a node has this text.
async fn says(cluster: &Cluster, id: u64, text: &str) {
    for _ in 0..400 {
        if cluster.node_log(id).contains(text) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("node {id} never said `{text}`:\n{}", cluster.node_log(id));
}

#[tokio::test]
async fn a_voter_whose_disk_was_put_back_to_an_older_copy_takes_no_part_and_is_replaced() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let governance = cluster.key("governance").unwrap();
    let attestation = cluster.key("attestation").unwrap();
    cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
    cluster.accept(1, &evidence.attestation(&attestation, (0, None), "affirming", "m")).await.unwrap();
    let parent = write(&cluster, &evidence, 0, None).await;

    // An older copy of node 3, and then more that it acknowledges.
    cluster.stop(3).unwrap();
    let data = cluster.node(3).unwrap().data.clone();
    let backup = cluster.dev_directory().join("backup-3");
    copy(&data, &backup);
    cluster.restart(3).unwrap();
    cluster.node_ready(3, SETTLES_WITHIN).await.unwrap();
    write(&cluster, &evidence, 10, parent).await;
    // What the others are told of it reaches their disks within a second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let before = cluster.get(3, "/v1/cluster/status").await.number("applied").unwrap();

    // Both others go through a restart, so that what they remember comes from their disks.
    cluster.stop(3).unwrap();
    for id in [1, 2] {
        cluster.kill(id).unwrap();
        cluster.restart(id).unwrap();
    }
    cluster.node_ready(1, SETTLES_WITHIN).await.unwrap();
    fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    cluster.restart(3).unwrap();
    says(&cluster, 3, "put back to an older copy").await;

    // With node 2 gone it would take node 3 to make a quorum, and it is none.
    cluster.stop(2).unwrap();
    for _ in 0..15 {
        for id in [1, 3] {
            let asked = cluster.authorize(id, &evidence.request()).await;
            assert!(!asked.is_allow(), "node {id} of a quorum with a disk of the past: {asked:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let now = cluster.get(3, "/v1/cluster/status").await;
    assert!(now.number("applied") < Some(before), "{now:?}");
    cluster.restart(2).unwrap();
    cluster.node_ready(1, SETTLES_WITHIN).await.unwrap();
    assert!(cluster.decide(1, &evidence.request()).await.is_allow());

    // The operator replaces it: a new number, a new disk, a new key.
    cluster.stop(3).unwrap();
    cluster.start_newcomer(4).unwrap();
    cluster.introduced(4).await.unwrap();
    let endpoint = |id: u64| format!("http://{}", cluster.node(id).unwrap().client);
    let replace = || {
        let mut command = Command::new(binary().unwrap());
        command.args(["member", "replace", "3", "--node", &endpoint(4), "--origin", &cluster.origin]);
        command.args(["--endpoint", &format!("{},{}", endpoint(1), endpoint(2))]);
        command
    };
    // A voter is no replacement for another one.
    let mut wrong = Command::new(binary().unwrap());
    wrong.args(["member", "replace", "3", "--node", &endpoint(1), "--endpoint", &endpoint(1)]);
    let told = wrong.output().unwrap();
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(!told.status.success() && said.contains("a voter of this cluster already"), "{said}");
    // Without root's keys it says what root has to sign, and changes nothing.
    let told = replace().output().unwrap();
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(!told.status.success() && said.contains("assent revoke --authority ed25519:"), "{said}");
    let members = cluster.get(1, "/v1/cluster/members").await;
    assert_eq!(members.number("nextId"), Some(4), "{members:?}");
    let mut command = replace();
    command.arg("--root-key").arg(cluster.key_path("root").unwrap());
    command.arg("--node-key").arg(cluster.newcomer_key_path(4));
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}\n{}", cluster.node_log(4));
    for step in ["1. the old key", "2. the new key", "3. node 3 is removed", "4. node 4", "5. done"] {
        assert!(said.contains(step), "{step}: {said}");
    }
    cluster.node_ready(4, SETTLES_WITHIN).await.unwrap();
    assert!(cluster.decide(4, &evidence.request()).await.is_allow());
    // Asked for again, it finds everything done.
    let again = command.output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    // The new member carries its weight.
    cluster.kill(2).unwrap();
    assert!(cluster.decide(4, &evidence.request()).await.is_allow());
}

#[tokio::test]
async fn a_voter_with_an_empty_disk_is_refused_under_its_old_number() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    cluster.accept(1, &evidence.authorization(&cluster.key("governance").unwrap(), (0, None))).await.unwrap();
    cluster.kill(3).unwrap();
    fs::remove_dir_all(&cluster.node(3).unwrap().data).unwrap();
    cluster.restart(3).unwrap();
    says(&cluster, 3, "a lost or replaced disk never rejoins under its old node id").await;
    assert_ne!(cluster.get(3, "/readyz").await.status, Some(200));
    // It is no help in an election either.
    cluster.kill(2).unwrap();
    for _ in 0..10 {
        let asked = cluster.authorize(1, &evidence.request()).await;
        assert_eq!(asked.status, Some(503), "{asked:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn databases_of_two_stores_are_not_opened_together() {
    let mut cluster = Cluster::start(3).await.unwrap();
    cluster.stop(2).unwrap();
    cluster.stop(3).unwrap();
    let (two, three) = (cluster.node(2).unwrap().data.clone(), cluster.node(3).unwrap().data.clone());
    fs::copy(two.join("log.redb"), three.join("log.redb")).unwrap();
    cluster.restart(3).unwrap();
    cluster.ended(3).unwrap();
    assert!(cluster.node_log(3).contains("belongs to store"), "{}", cluster.node_log(3));
}

#[tokio::test]
async fn a_learner_that_was_put_back_to_an_older_copy_is_refused_and_harms_nobody() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    cluster.start_newcomer(4).unwrap();
    cluster.grant_newcomer(4).await.unwrap();
    assert_eq!(cluster.add_learner(1, 4).await.unwrap().status, Some(200));
    let parent = write(&cluster, &evidence, 0, None).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.stop(4).unwrap();
    let data = cluster.node(4).unwrap().data.clone();
    let backup = cluster.dev_directory().join("backup-4");
    copy(&data, &backup);
    cluster.restart(4).unwrap();
    write(&cluster, &evidence, 10, parent).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.stop(4).unwrap();
    fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    let leader = cluster.leader().await.unwrap();
    cluster.restart(4).unwrap();
    says(&cluster, 4, "put back to an older copy").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(cluster.leader().await.unwrap(), leader, "the leader fell over a learner");
    let promoted = cluster.post(1, "/v1/cluster/members/4/promote", "").await;
    assert_eq!(promoted.text("code"), Some("member_behind"), "{promoted:?}");
}

#[tokio::test]
async fn a_registry_older_than_its_log_reaches_back_is_refused_with_the_remedy() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    cluster.stop(3).unwrap();
    let data = cluster.node(3).unwrap().data.clone();
    let backup = cluster.dev_directory().join("backup-3");
    copy(&data, &backup);
    let short = [("snapshot_every_entries", 10), ("keep_entries", 2), ("lag_entries", 1_000)];
    cluster.configure(3, &short).unwrap();
    cluster.restart(3).unwrap();
    cluster.node_ready(3, SETTLES_WITHIN).await.unwrap();
    let parent = write(&cluster, &evidence, 0, None).await;
    write(&cluster, &evidence, 10, parent).await;
    for _ in 0..400 {
        if cluster.get(3, "/v1/cluster/status").await.body["log"]["first"].as_u64() > Some(8) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    cluster.stop(3).unwrap();
    for file in fs::read_dir(&backup).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_string_lossy().starts_with("registry-") {
            fs::copy(file.path(), data.join(file.file_name())).unwrap();
        }
    }
    cluster.restart(3).unwrap();
    cluster.ended(3).unwrap();
    let log = cluster.node_log(3);
    assert!(log.contains("files of different times") && log.contains("replace the member"), "{log}");
}
