//! Submissions beside each other: which submission costs a signature, which is verified first, which gets a place, and
//! what a shed one costs.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cluster_support::held::{Held, start_held};
use crate::cluster_support::http::get;
use crate::cluster_support::*;
use assent_api::BatchMode;
use assent_cluster::config::Config;
use assent_cluster::node::Node;
use assent_cluster::usecase::{Caller, Service, Submitted};
use assent_proof::{Code, Role, SigningKey};
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Time enough for what was begun to wait for its turn.
const SETTLED: Duration = Duration::from_millis(100);
/// A key that nobody granted anything.
const STRANGER: u8 = 99;

/// Three nodes, and what each of them hands to its blocking threads.
async fn cluster(folder: &Path, change: impl Fn(&mut Config)) -> (Vec<Node>, Vec<Arc<Held>>) {
    let (nodes, held) = start_held(folder, change).await;
    let answer = submit(&nodes[0], authorization()).await;
    assert!(accepted(&answer), "{answer:?}");
    (nodes, held)
}

async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        node.shutdown().await;
    }
}

async fn submit(node: &Node, envelope: impl Into<Bytes>) -> Submitted {
    node.service().submit(Caller::local(), envelope.into()).await
}

async fn submit_batch(service: Service, mode: BatchMode, envelopes: Vec<Bytes>) -> Vec<Submitted> {
    let count = envelopes.len();
    match service.submit_batch(Caller::local(), mode, envelopes).await {
        Ok(answers) => answers,
        Err(problem) => vec![Submitted::NotTaken(problem); count],
    }
}

fn accepted(answer: &Submitted) -> bool {
    matches!(answer, Submitted::Accepted { .. })
}

/// The code and the status of a refusal.
fn refused(answer: &Submitted) -> (Code, u16) {
    let problem = answer.problem().unwrap();
    (problem.code, problem.status)
}

/// Most signatures that all nodes together have computed of what was handed in.
fn signatures(nodes: &[Node]) -> u64 {
    nodes.iter().map(|node| node.service().metrics().submission_signatures()).sum()
}

/// What a runtime measured of itself, or somebody says so.
fn measured(lineage: &str, signer: &SigningKey) -> Vec<u8> {
    in_prod().draft(&claims::integrity("m")).lineage(lineage).sign(&[signer])
}

/// A revocation that six keys signed which nobody granted.
fn by_six_strangers(number: u8) -> Bytes {
    by_strangers(number, 6)
}

/// A revocation that so many keys signed which nobody granted.
fn by_strangers(number: u8, strangers: u8) -> Bytes {
    let draft = in_prod().draft(&claims::revocation(key(number).public(), None));
    let keys: Vec<SigningKey> = (0..strangers).map(|n| key(STRANGER + n)).collect();
    draft.sign(&keys.iter().collect::<Vec<_>>()).into()
}

/// A batch in governance's name, each envelope with 24 signatures that are somebody else's.
fn forged_batch(name: &str) -> Vec<Bytes> {
    (0..1_000).map(|number| Bytes::from(forged(&format!("{name}-{number}"), 24))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envelopes_by_unknown_issuers_cost_no_node_a_signature_and_get_the_code_of_apply() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, _held) = cluster(folder.path(), |_| ()).await;
    let before = signatures(&nodes);
    for (number, node) in nodes.iter().enumerate() {
        let answer = submit(node, measured(&format!("exec-{number}"), &key(STRANGER))).await;
        assert_eq!(refused(&answer), (Code::AuthorityUnknown, 403));
        // Who delivers into one history only has to hear that it is another one.
        let Submitted::Refused(problem) = answer else { panic!("it was not judged") };
        assert_eq!(problem.history, Some(node.service().status(Caller::local()).history));
        for mode in [BatchMode::Each, BatchMode::All] {
            let batch = (0..16).map(by_six_strangers).collect();
            for answer in submit_batch(node.service().clone(), mode, batch).await {
                assert_eq!(refused(&answer), (Code::AuthorityUnknown, 403));
            }
        }
    }
    assert_eq!(signatures(&nodes), before);
    let page = get(nodes[0].client_addr(), "/metrics").await.unwrap();
    assert!(page.contains("assent_submission_strangers_total 33\n"), "{page}");
    assert!(page.contains("assent_submit_waiting{urgency=\"batch\",of=\"clients\"} 0\n"), "{page}");
    // Whatever a known key has signed is verified.
    assert!(accepted(&submit(&nodes[0], quarantine("exec-1")).await));
    assert!(signatures(&nodes) > before);
    stop(nodes).await;
}

/// Rule R70.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_grant_was_just_acknowledged_is_known_to_every_node() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, _held) = cluster(folder.path(), |_| ()).await;
    let at = leader(&nodes);
    for round in 0..20u8 {
        let new = key(100 + round);
        let grant = granted(&nodes[at], &new, Role::Attestation).await;
        assert!(accepted(&submit(&nodes[at], grant).await));
        for number in 0..nodes.len() {
            // The followers first, which may not have applied the grant.
            let node = &nodes[(at + 1 + number) % nodes.len()];
            let answer = submit(node, measured(&format!("of-{round}-{number}"), &new)).await;
            assert!(accepted(&answer), "{answer:?}");
        }
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_may_grant_a_key_and_then_use_it_but_not_in_the_opposite_order() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, _held) = cluster(folder.path(), |_| ()).await;
    for (number, node) in nodes.iter().enumerate() {
        for mode in [BatchMode::Each, BatchMode::All] {
            let new = key(100 + 10 * u8::try_from(number).unwrap() + u8::from(mode == BatchMode::All));
            let lineage = format!("batch-{number}-{}", mode == BatchMode::All);
            let grant = Bytes::from(granted(node, &new, Role::Attestation).await);
            let evidence = Bytes::from(measured(&lineage, &new));
            // All or nothing, so that the grant is not accepted either.
            let turned = vec![evidence.clone(), grant.clone()];
            let turned = submit_batch(node.service().clone(), BatchMode::All, turned).await;
            assert_eq!(refused(&turned[0]), (Code::AuthorityUnknown, 403), "{turned:?}");
            let all = submit_batch(node.service().clone(), mode, vec![grant, evidence]).await;
            assert!(all.iter().all(accepted), "{all:?}");
        }
    }
    stop(nodes).await;
}

/// Rule R70.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_tell_whether_others_know_a_key_does_not_refuse_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nodes, _held) = cluster(folder.path(), |config| config.deadlines.submit_ms = 500).await;
    stop(nodes.split_off(1)).await;
    let answer = submit(&nodes[0], measured("exec-2", &key(STRANGER))).await;
    assert_eq!(refused(&answer), (Code::NoQuorum, 503));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_by_unknown_keys_hold_no_place_of_restrictions_while_they_wait_for_a_barrier() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nodes, _held) = cluster(folder.path(), |config| {
        // An eighth of it is for restrictions.
        config.limits.submit_queue = 2_000;
        config.deadlines.submit_ms = 5_000;
    })
    .await;
    // No barrier is passed any more, so that they wait to the end.
    stop(nodes.split_off(1)).await;
    let service = nodes[0].service().clone();
    let strangers: Vec<JoinHandle<Submitted>> = (0..255u8)
        .map(|number| {
            let (service, envelope) = (service.clone(), by_strangers(number, 1));
            tokio::spawn(async move { service.submit(Caller::local(), envelope).await })
        })
        .collect();
    // As many wait as there are places for restrictions. The others are shed.
    let shed = || strangers.iter().filter(|stranger| stranger.is_finished()).count();
    eventually("five are shed", || shed() == 5).await;
    let none_taken = "assent_submit_waiting{urgency=\"restriction\",of=\"clients\"} 0\n";
    while !get(nodes[0].client_addr(), "/metrics").await.unwrap().contains(none_taken) {
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(shed(), 5, "they took their places with them to the end");
    // A restriction by a known key has its place, and only lacks a quorum.
    let known = submit(&nodes[0], quarantine("exec-1")).await;
    assert_ne!(refused(&known).0, Code::Overloaded, "{known:?}");
    let mut answers = Vec::new();
    for stranger in strangers {
        answers.push(refused(&stranger.await.unwrap()));
    }
    let of = |answer: (Code, u16)| answers.iter().filter(|found| **found == answer).count();
    assert_eq!((of((Code::Overloaded, 429)), of((Code::NoQuorum, 503))), (5, 250), "{answers:?}");
    stop(nodes).await;
}

/// Fills a node's places for batches with garbage that it has to verify, which takes it seconds of work, and holds that work.
async fn filled(node: &Node, held: &Held) -> Vec<JoinHandle<Vec<Submitted>>> {
    let service = node.service().clone();
    let garbage: Vec<Vec<Bytes>> = (0..4).map(|n| forged_batch(&format!("garbage-{n}"))).collect();
    held.hold();
    let batches = garbage
        .into_iter()
        .map(|batch| tokio::spawn(submit_batch(service.clone(), BatchMode::Each, batch)))
        .collect();
    eventually("a batch is to be verified", || held.count() > 0).await;
    sleep(SETTLED).await;
    batches
}

/// One piece at a time, and no batch is done by its deadline.
fn slow(config: &mut Config) {
    config.limits.verifications = 1;
    config.deadlines.submit_ms = 8_000;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_envelopes_and_quarantines_are_accepted_while_garbage_batches_fill_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, held) = cluster(folder.path(), slow).await;
    let at = leader(&nodes);
    let batches = filled(&nodes[at], &held[at]).await;
    let done = Arc::new(AtomicBool::new(false));
    let singles = tokio::spawn({
        let (service, done) = (nodes[at].service().clone(), done.clone());
        async move {
            let (quarantined, authorized) = tokio::join!(
                service.submit(Caller::local(), quarantine("exec-1").into()),
                service.submit(Caller::local(), authorization_for("exec-2").into()),
            );
            done.store(true, Ordering::SeqCst);
            (quarantined, authorized)
        }
    });
    held[at].step_until("the singles are answered", || done.load(Ordering::SeqCst)).await;
    assert!(!batches.iter().any(JoinHandle::is_finished), "they waited for a batch");
    held[at].let_go();
    let (quarantined, authorized) = singles.await.unwrap();
    assert!(accepted(&quarantined) && accepted(&authorized), "{quarantined:?} {authorized:?}");
    for batch in batches {
        let answers = batch.await.unwrap();
        let code = |answer: &Submitted| refused(answer).0;
        // Those that were looked at have bad signatures; the time did not suffice for all.
        assert!(answers.iter().map(code).all(|code| {
            matches!(code, Code::SignatureInvalid | Code::DeadlineExceeded | Code::Overloaded)
        }));
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarded_quarantine_is_accepted_while_garbage_batches_fill_the_leaders_queue() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, held) = cluster(folder.path(), slow).await;
    let at = leader(&nodes);
    let batches = filled(&nodes[at], &held[at]).await;
    let done = Arc::new(AtomicBool::new(false));
    let single = tokio::spawn({
        let (service, done) = (nodes[(at + 1) % 3].service().clone(), done.clone());
        async move {
            let answer = service.submit(Caller::local(), quarantine("exec-1").into()).await;
            done.store(true, Ordering::SeqCst);
            answer
        }
    });
    held[at].step_until("it is answered", || done.load(Ordering::SeqCst)).await;
    assert!(!batches.iter().any(JoinHandle::is_finished), "it waited for a batch");
    held[at].let_go();
    let answer = single.await.unwrap();
    assert!(accepted(&answer), "{answer:?}");
    for batch in batches {
        batch.await.unwrap();
    }
    stop(nodes).await;
}

/// Fails if a governance statement or a restriction shares its places or its turns with single envelopes, here or on
/// the leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_and_quarantines_are_accepted_here_and_forwarded_while_single_envelopes_fill_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, held) = cluster(folder.path(), |config| {
        slow(config);
        // A quarter of it is for single envelopes.
        config.limits.submit_queue = 2_000;
    })
    .await;
    let at = leader(&nodes);
    let grant = granted(&nodes[at], &key(100), Role::Attestation).await;
    held[at].hold();
    let service = nodes[at].service().clone();
    let singles: Vec<JoinHandle<Submitted>> = (0..501)
        .map(|number| {
            let (service, envelope) = (service.clone(), authorization_for(&format!("single-{number}")));
            tokio::spawn(async move { service.submit(Caller::local(), envelope.into()).await })
        })
        .collect();
    eventually("the places for single envelopes are taken", || {
        singles.iter().any(JoinHandle::is_finished) && held[at].count() > 0
    })
    .await;
    sleep(SETTLED).await;
    let done = Arc::new(AtomicBool::new(false));
    let urgent = tokio::spawn({
        let (here, there, done) = (service.clone(), nodes[(at + 1) % 3].service().clone(), done.clone());
        async move {
            let answers = tokio::join!(
                here.submit(Caller::local(), grant.into()),
                there.submit(Caller::local(), quarantine("exec-1").into()),
            );
            done.store(true, Ordering::SeqCst);
            answers
        }
    });
    held[at].step_until("both are answered", || done.load(Ordering::SeqCst)).await;
    let waiting = singles.iter().filter(|single| !single.is_finished()).count();
    assert!(waiting > 0, "they waited for every single envelope");
    held[at].let_go();
    let (granted, quarantined) = urgent.await.unwrap();
    assert!(accepted(&granted) && accepted(&quarantined), "{granted:?} {quarantined:?}");
    for single in singles {
        let answer = single.await.unwrap();
        assert!(accepted(&answer) || refused(&answer).0 != Code::InternalError, "{answer:?}");
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_without_places_is_shed_at_once_and_costs_no_signature() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, held) = cluster(folder.path(), slow).await;
    let at = leader(&nodes);
    let batches = filled(&nodes[at], &held[at]).await;
    let before = signatures(&nodes);
    // Nothing that blocks runs by itself now: it is answered without.
    let (service, batch) = (nodes[at].service(), forged_batch("shed"));
    let from = Instant::now();
    let shed = service.submit_batch(Caller::local(), BatchMode::Each, batch).await;
    // The deadline is 8 s.
    assert!(from.elapsed() < Duration::from_secs(2), "it waited: {:?}", from.elapsed());
    let problem = shed.expect_err("it has one problem, and not one an envelope");
    assert_eq!((problem.code, problem.status), (Code::Overloaded, 429));
    assert_eq!(signatures(&nodes), before);
    held[at].let_go();
    for batch in batches {
        batch.await.unwrap();
    }
    stop(nodes).await;
}
