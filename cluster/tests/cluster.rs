//! Three nodes in one process, on real sockets and files: they form, accept, decide, and agree.

use crate::cluster_support;
use crate::peer_support;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::cluster_support::members::{ready_says, stop};
use crate::cluster_support::*;
use assent_cluster::usecase::{Caller, Submitted};
use assent_proof::{Code, PublicKey, Seconds, verify_decision};
use bytes::Bytes;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_form_a_cluster_and_answer_alike() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let nodes = start_all(&configs).await;
    let before = nodes[1].service().authorize(Caller::local(), vec![request()]).await;
    assert_eq!(before[0].status, 403);
    let bytes = Bytes::from(authorization());
    for (place, node) in nodes.iter().enumerate() {
        match node.service().submit(Caller::local(), bytes.clone()).await {
            Submitted::Accepted { fresh, .. } => assert_eq!(fresh, place == 0),
            other => panic!("{other:?}"),
        }
    }
    let trusted: Vec<PublicKey> = (11..14).map(|seed| key(seed).public()).collect();
    for node in &nodes {
        let answers = node.service().authorize(Caller::local(), vec![request(), request()]).await;
        for answer in answers {
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            assert!(verify_decision(&answer.body, &trusted).unwrap().allow);
        }
    }
    // All of them stop and start again on the same data: nothing is lost, and nobody needs a command.
    for node in nodes {
        node.shutdown().await;
    }
    let mut nodes = Vec::new();
    for config in &configs {
        nodes.push(start(config).await);
    }
    for node in &nodes {
        ready(node).await;
        let answer = node.service().authorize(Caller::local(), vec![request()]).await;
        assert_eq!(answer[0].status, 200, "{}", String::from_utf8_lossy(&answer[0].body));
    }
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_disk_never_rejoins_as_itself() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut nodes = start_all(&configs).await;
    nodes.remove(2).shutdown().await;
    std::fs::remove_dir_all(&configs[2].data_dir).unwrap();
    let wiped = start(&configs[2]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(wiped.service().ready().await.is_err());
    let status = wiped.service().status(Caller::local());
    assert!(status.voters.is_empty(), "{status:?}");
    ready(&nodes[0]).await;
    let answer = wiped.service().authorize(Caller::local(), vec![request()]).await;
    assert_eq!(answer[0].status, 503);
    wiped.shutdown().await;
    for node in nodes {
        node.shutdown().await;
    }
}

/// Rule R7.
#[tokio::test]
async fn a_node_whose_key_is_not_granted_votes_and_speaks_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    std::fs::write(&configs[0].node_key, key(99).to_pem()).unwrap();
    let mut nodes = Vec::new();
    for config in &configs {
        nodes.push(start(config).await);
    }
    ready(&nodes[1]).await;
    ready(&nodes[2]).await;
    let answer = nodes[0].service().authorize(Caller::local(), vec![request()]).await;
    assert_eq!(answer[0].status, 503);
    let why = ready_says(&nodes[0], Code::AuthorityUnknown).await;
    assert!(why.detail.contains("is not granted") && why.status == 503, "{why:?}");
    let silenced = nodes[0].service().status(Caller::local()).silenced.unwrap();
    assert_eq!((silenced.code, silenced.detail, silenced.remedy), (why.code, why.detail, why.remedy));
    assert_eq!(nodes[1].service().status(Caller::local()).silenced, None);
    // It votes all the same: with it, two of three are a quorum.
    nodes.remove(2).shutdown().await;
    ready(&nodes[1]).await;
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_own_key_was_revoked_or_has_expired_says_so_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let nodes = start_all(&configs).await;
    let revocation = node_revocation(key(13).public());
    let revoked = nodes[0].service().submit(Caller::local(), revocation.into()).await;
    assert!(matches!(revoked, Submitted::Accepted { .. }), "{revoked:?}");
    let why = ready_says(&nodes[2], Code::AuthorityRevoked).await;
    assert_eq!(why.status, 503);
    assert!(why.remedy.contains("`assent member replace`") && why.detail.contains("is revoked"), "{why:?}");
    let silenced = nodes[2].service().status(Caller::local()).silenced.unwrap();
    assert_eq!((silenced.code, silenced.remedy), (why.code, why.remedy));
    // Callers are still told that this node cannot know, so that they ask another one, and that one answers.
    let answer = nodes[2].service().authorize(Caller::local(), vec![request()]).await;
    assert_eq!(answer[0].status, 503);
    let answer = nodes[0].service().authorize(Caller::local(), vec![request()]).await;
    assert_eq!(answer[0].status, 403);
    ready(&nodes[0]).await;
    stop(nodes).await;

    // Every node's grant ends a few seconds after the cluster is founded.
    let folder = tempfile::tempdir().unwrap();
    let configs = cluster_support::configs(folder.path());
    std::fs::write(folder.path().join("genesis.json"), genesis_until(Seconds(now().0 + 4))).unwrap();
    let mut nodes = Vec::new();
    for config in &configs {
        nodes.push(start(config).await);
    }
    for node in &nodes {
        let why = ready_says(node, Code::AuthorityExpired).await;
        assert!(why.detail.contains("has expired") && why.remedy.contains("have root grant"), "{why:?}");
        let silenced = node.service().status(Caller::local()).silenced.unwrap();
        assert_eq!((silenced.code, silenced.remedy), (why.code, why.remedy));
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_key_everybody_may_read_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = configs(folder.path()).swap_remove(0);
    let set_mode = |mode| {
        std::fs::set_permissions(&config.node_key, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(0o644);
    let why = refuses_to_start(&config).await;
    assert!(why.contains("(mode 0644)") && why.contains("chmod 600"), "{why}");
    // A group may, as it has to where secrets are mounted.
    set_mode(0o640);
    start(&config).await.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_node_with_a_new_number_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let nodes = start_all(&configs).await;
    let genesis = assent_registry::GenesisFile::parse(&std::fs::read(&configs[0].genesis).unwrap()).unwrap();
    let term = nodes[0].service().status(Caller::local()).term;
    for id in [4, u64::MAX] {
        let identity = assent_cluster::peer::Identity {
            cluster_id: genesis.cluster_id().0,
            node_id: id,
            store_id: [9; 16],
            rules_version: 1,
        };
        let quick = peer_support::quick();
        let stranger = peer_support::node_as(identity, "127.0.0.1:0", &[], quick, 0).await;
        stranger.hub.ensure_peer(1, &nodes[0].peer_addr().to_string());
        peer_support::eventually("a refusal", || {
            peer_support::problem(&stranger, 1).contains("is not a member of this cluster")
        })
        .await;
        assert!(!stranger.hub.is_connected(1));
        stranger.hub.shutdown().await;
    }
    assert_eq!(nodes[0].service().status(Caller::local()).term, term);
    for node in nodes {
        node.shutdown().await;
    }
}
