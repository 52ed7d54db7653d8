//! Log entries beside each other: while the entries of single envelopes and of batches are under way, and more of them wait,
//! what restricts or governs is proposed at once, on the leader and on the way to it.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cluster_support::held::{Held, start_held};
use crate::cluster_support::*;
use assent_api::BatchMode;
use assent_cluster::node::Node;
use assent_cluster::usecase::{Caller, Service, Submitted};
use assent_proof::Role;
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Time enough for what was begun to wait for its turn.
const SETTLED: Duration = Duration::from_millis(300);
/// So many single envelopes, and as many batches.
const OF_EACH: usize = 20;
/// So many of them may be in the ledger before what is urgent: those that were under way, and a few that were proposed
/// while it was. It is far below [`OF_EACH`].
const BEFORE_MAX: usize = 10;

/// Three nodes, each with one entry of each urgency under way, and with one call in an entry.
async fn cluster(folder: &Path) -> (Vec<Node>, Vec<Arc<Held>>) {
    start_held(folder, |config| {
        (config.limits.proposals, config.limits.submit_batch) = (1, 1);
        config.deadlines.submit_ms = 20_000;
        // The leader stays the leader while disks stand still.
        (config.raft.election_min_ms, config.raft.election_max_ms) = (2_000, 4_000);
    })
    .await
}

async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        node.shutdown().await;
    }
}

async fn submit(service: Service, envelope: Vec<u8>) -> Submitted {
    service.submit(Caller::local(), envelope.into()).await
}

/// The revision that an accepted envelope made.
fn revision(answer: &Submitted) -> u64 {
    match answer {
        Submitted::Accepted { receipt, .. } => receipt.revision,
        other => panic!("{other:?}"),
    }
}

/// Hands in single envelopes and batches of two, which are answered with the revision of their first envelope.
fn others(node: &Node) -> Vec<JoinHandle<u64>> {
    let single = |number: usize| {
        let (service, envelope) = (node.service().clone(), authorization_for(&format!("single-{number}")));
        tokio::spawn(async move { revision(&submit(service, envelope).await) })
    };
    let batch = |number: usize| {
        let service = node.service().clone();
        let envelope = |of: &str| Bytes::from(authorization_for(&format!("batch-{number}-{of}")));
        let envelopes = vec![envelope("one"), envelope("two")];
        tokio::spawn(async move {
            let answers = service.submit_batch(Caller::local(), BatchMode::Each, envelopes).await.unwrap();
            revision(&answers[0])
        })
    };
    (0..OF_EACH).flat_map(|number| [single(number), batch(number)]).collect()
}

/// How many of them came into the ledger before this revision.
async fn before(revision: u64, others: Vec<JoinHandle<u64>>) -> usize {
    let mut before = 0;
    for other in others {
        before += usize::from(other.await.unwrap() < revision);
    }
    before
}

/// It fails if what restricts or governs waits on the leader until an entry of other envelopes has been committed: if they
/// share the bound of entries under way, or the queue in front of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_proposes_a_revocation_and_a_grant_while_no_entry_of_other_envelopes_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, held) = cluster(folder.path()).await;
    let at = leader(&nodes);
    let (revoked, new) = (key(100), key(101));
    let grant = granted(&nodes[at], &revoked, Role::Attestation).await;
    revision(&submit(nodes[at].service().clone(), grant).await);
    let grant = granted(&nodes[at], &new, Role::Attestation).await;
    // From now on nothing is committed: the disks of both followers stand still.
    for (number, held) in held.iter().enumerate() {
        if number != at {
            held.hold();
        }
    }
    let entries = || nodes[at].service().status(Caller::local()).last_log.unwrap();
    let at_first = entries();
    let others = others(&nodes[at]);
    eventually("one single envelope and one batch are under way", || entries() >= at_first + 2).await;
    sleep(SETTLED).await;
    let full = entries();
    assert!(full < at_first + OF_EACH as u64, "the others do not wait: {at_first}, {full}");
    let (here, revocation) = (nodes[at].service().clone(), revocation_of(revoked.public()));
    let revocation = tokio::spawn(submit(here, revocation));
    eventually("the revocation is proposed", || entries() > full).await;
    let grant = tokio::spawn(submit(nodes[at].service().clone(), grant));
    eventually("the grant is proposed", || entries() > full + 1).await;
    assert!(!others.iter().any(JoinHandle::is_finished), "an entry of other envelopes is done");
    for held in &held {
        held.let_go();
    }
    let urgent = revision(&revocation.await.unwrap()).max(revision(&grant.await.unwrap()));
    let before = before(urgent, others).await;
    assert!(before <= BEFORE_MAX, "{before} others came before");
    stop(nodes).await;
}

/// It fails if what restricts waits on the node that took it until other envelopes of that node have come back from the
/// leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_forwards_a_revocation_while_its_other_envelopes_wait_for_the_leader() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, held) = cluster(folder.path()).await;
    let at = leader(&nodes);
    let through = (at + 1) % nodes.len();
    let revoked = key(100);
    let grant = granted(&nodes[at], &revoked, Role::Attestation).await;
    revision(&submit(nodes[at].service().clone(), grant).await);
    // The leader does nothing by itself, so what is forwarded stays under way.
    held[at].hold();
    let others = others(&nodes[through]);
    eventually("the leader has something to verify", || held[at].count() > 0).await;
    sleep(SETTLED).await;
    let answered = Arc::new(AtomicBool::new(false));
    let revocation = tokio::spawn({
        let (there, answered) = (nodes[through].service().clone(), answered.clone());
        let revocation = revocation_of(revoked.public());
        async move {
            let answer = submit(there, revocation).await;
            answered.store(true, Ordering::SeqCst);
            answer
        }
    });
    held[at].step_until("it is answered", || answered.load(Ordering::SeqCst)).await;
    let waiting = others.iter().filter(|other| !other.is_finished()).count();
    assert!(waiting > OF_EACH, "it waited for most of the others: {waiting} wait");
    held[at].let_go();
    let revocation = revision(&revocation.await.unwrap());
    let before = before(revocation, others).await;
    assert!(before <= BEFORE_MAX, "{before} others came before");
    stop(nodes).await;
}
