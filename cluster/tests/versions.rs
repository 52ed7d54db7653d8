//! A node that meets a row, or a memory of another node, of a version that its build does not know, while the other
//! nodes continue.

use std::time::Duration;

use crate::cluster_support::record::{closed, store_of};
use crate::cluster_support::*;
use assent_cluster::usecase::{Caller, Submitted};
use assent_proof::AuthorizeRequest;
use assent_registry::Table;
use bytes::Bytes;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_decides_on_a_row_of_the_next_version_denies_and_stops_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut nodes = start_all(&configs).await;
    let caller = Caller::local();
    let first = nodes[0].service().submit(caller, Bytes::from(authorization())).await;
    assert!(matches!(first, Submitted::Accepted { .. }), "{first:?}");
    assert_eq!(nodes[0].service().authorize(caller, vec![request()]).await[0].status, 200);

    nodes.remove(0).shutdown().await;
    raise_rows(&configs[0], Table::Policies, "", 1).await;
    nodes.insert(0, start(&configs[0]).await);
    ready(&nodes[0]).await;
    assert_ne!(nodes[0].service().authorize(caller, vec![request()]).await[0].status, 200);
    let cause = tokio::time::timeout(Duration::from_secs(20), nodes[0].failed()).await.unwrap();
    assert_eq!(
        cause,
        "the store has stopped: a row of table `policies` has version 2, and this build reads version 1: start this node \
         with a newer build"
    );
    for _ in 0..5 {
        assert_ne!(nodes[0].service().authorize(caller, vec![request()]).await[0].status, 200);
    }
    for node in &nodes[1..] {
        ready(node).await;
        assert_eq!(node.service().authorize(caller, vec![request()]).await[0].status, 200);
    }
}

/// Rules R12, R52.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_allow_is_signed_beside_or_after_a_question_that_met_a_row_of_the_next_version() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut nodes = start_all(&configs).await;
    let caller = Caller::local();
    for envelope in [authorization(), authorization_for("unread")] {
        let accepted = nodes[0].service().submit(caller, Bytes::from(envelope)).await;
        assert!(matches!(accepted, Submitted::Accepted { .. }), "{accepted:?}");
    }
    nodes.remove(0).shutdown().await;
    raise_rows(&configs[0], Table::Lineages, "unread", 1).await;
    nodes.insert(0, start(&configs[0]).await);
    ready(&nodes[0]).await;
    assert_eq!(nodes[0].service().authorize(caller, vec![request()]).await[0].status, 200);
    // A long batch, of several slices: the one that cannot be read lies in the middle of the first.
    let unread = AuthorizeRequest { lineage: Some("unread".parse().unwrap()), ..request() };
    let mut batch = vec![request(); 200];
    batch[30] = unread;
    let answers = nodes[0].service().authorize(caller, batch).await;
    let allowed = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(allowed, 0, "of {}", answers.len());
    let cause = tokio::time::timeout(Duration::from_secs(20), nodes[0].failed()).await.unwrap();
    assert!(cause.ends_with("start this node with a newer build"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_start_on_a_memory_of_the_next_version_and_leaves_it_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = configs(folder.path()).swap_remove(0);
    // Nobody else is there: all that it does is make its store.
    start(&config).await.shutdown().await;
    // Nothing that follows an unknown version is looked at, so that it cannot be called damaged.
    let next = Bytes::from_static(&[3]);
    let store = store_of(&config).await;
    store.log.save_remembered_now(next.clone()).await.unwrap();
    closed(store).await;
    for _ in 0..2 {
        let why = refuses_to_start(&config).await;
        assert!(
            why.ends_with(
                "what the log remembers of the voters has version 3, and this build reads versions 1 to 2: start this node \
                 with a newer build"
            ),
            "{why}"
        );
    }
    let store = store_of(&config).await;
    assert_eq!(store.log.remembered(), Some(next));
    closed(store).await;
}
