//! Heavy batches beside single questions: which call is decided first, which gets a place, and what a shed call costs.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cluster_support::held::Held;
use crate::cluster_support::*;
use assent_api::authorize_batch_body;
use assent_cluster::config::Config;
use assent_cluster::node::Node;
use assent_cluster::usecase::{Answered, Caller, Service, Submitted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Time enough for a barrier, and for what the stores had left to do.
const SETTLED: Duration = Duration::from_millis(100);
const STORES_SETTLED: Duration = Duration::from_millis(1_500);

/// Three nodes that allow [`request`], one round at a time. What the first one hands to its blocking threads can be held.
async fn cluster(folder: &Path, change: impl Fn(&mut Config)) -> (Vec<Node>, Arc<Held>) {
    let held = Arc::new(Held::default());
    let mut nodes = Vec::new();
    for mut config in configs(folder) {
        config.deadlines.authorize_ms = 1_000;
        config.limits.barriers = 1;
        config.limits.registry_flush_ms = 60_000;
        config.limits.disk_reserve_mib = 0;
        change(&mut config);
        let mut env = environment(&config).await;
        if nodes.is_empty() {
            env.blocking = held.clone();
            env.long = held.clone();
        }
        nodes.push(Node::start(config, env).await.unwrap());
    }
    for node in &nodes {
        ready(node).await;
    }
    let answer = nodes[0].service().submit(Caller::local(), authorization().into()).await;
    assert!(matches!(answer, Submitted::Accepted { .. }), "{answer:?}");
    sleep(STORES_SETTLED).await;
    assert_eq!(ask(nodes[0].service().clone(), 1).await[0].status, 200);
    (nodes, held)
}

async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        node.shutdown().await;
    }
}

async fn ask(service: Service, requests: usize) -> Vec<Answered> {
    service.authorize(Caller::local(), vec![request(); requests]).await
}

fn says(answer: &Answered, code: &str) -> bool {
    String::from_utf8_lossy(&answer.body).contains(&format!("\"code\":\"{code}\""))
}

fn is_signed(answer: &Answered) -> bool {
    String::from_utf8_lossy(&answer.body).contains("\"receipt\":{")
}

/// Whether it was allowed, or not looked at for want of time.
fn is_allowed_or_late(answer: &Answered) -> bool {
    answer.status == 200 && is_signed(answer) || answer.status == 503 && says(answer, "deadline_exceeded")
}

async fn post(address: SocketAddr, path: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_question_is_decided_before_the_batches_that_came_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, held) = cluster(folder.path(), |_| ()).await;
    let service = nodes[0].service().clone();
    let signatures = || service.metrics().decision_signatures();
    let before = signatures();
    held.hold();
    // Its slice is held, and with it the only round, so that all others wait for the next one.
    let first = tokio::spawn(ask(service.clone(), 1));
    eventually("the first question is to be decided", || held.count() > 0).await;
    sleep(SETTLED).await;
    let (waiting, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let others = tokio::spawn({
        let (service, waiting, answered) = (service.clone(), waiting.clone(), answered.clone());
        async move {
            let single = async {
                let answers = ask(service.clone(), 1).await;
                answered.store(true, Ordering::SeqCst);
                answers
            };
            // They are polled in this order, and each waits for a round after its first poll.
            tokio::join!(
                ask(service.clone(), 1_000),
                ask(service.clone(), 1_000),
                ask(service.clone(), 1_000),
                single,
                async { waiting.store(true, Ordering::SeqCst) }
            )
        }
    });
    eventually("the others wait", || waiting.load(Ordering::SeqCst)).await;
    held.step_until("two slices are signed", || signatures() >= before + 2).await;
    // The first question's slice was the first one. Whatever was decided next, nothing more is decided now.
    eventually("the single question is answered", || answered.load(Ordering::SeqCst)).await;
    assert_eq!(signatures(), before + 2);
    held.let_go();
    assert_eq!(first.await.unwrap()[0].status, 200);
    let (one, two, three, single, ()) = others.await.unwrap();
    assert_eq!(single[0].status, 200, "{single:?}");
    for batch in [one, two, three] {
        assert_eq!(batch.len(), 1_000);
        assert!(batch.iter().all(is_allowed_or_late), "{:?}", batch.last());
    }
    stop(nodes).await;
}

/// Rules R9, R54.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_leave_places_for_single_questions_and_what_is_shed_costs_no_signature() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, _held) = cluster(folder.path(), |config| config.limits.authorize_queue = 2_000).await;
    let service = nodes[0].service().clone();
    let before = service.metrics().decision_signatures();
    // They are polled in this order, and each takes its places at its first poll.
    let (first, second, single) =
        tokio::join!(ask(service.clone(), 1_000), ask(service.clone(), 1_000), ask(service.clone(), 1));
    let signed = service.metrics().decision_signatures() - before;
    assert!(single[0].status == 200 && is_signed(&single[0]), "{single:?}");
    assert!(first.iter().all(is_allowed_or_late), "{:?}", first.last());
    assert_eq!(second.len(), 1_000);
    for answer in &second {
        assert!(answer.status == 503 && says(answer, "overloaded") && !is_signed(answer), "{answer:?}");
    }
    // One for the single question, and one for each slice of the batch that had places. What was signed too late was not told.
    let decided = first.iter().filter(|answer| is_signed(answer)).count();
    let slices = |questions: usize| questions.div_ceil(64) as u64;
    assert!((1 + slices(decided)..=1 + slices(1_000)).contains(&signed), "{signed} for {decided}");
    stop(nodes).await;
}

/// Rules R8, R54, R55.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_whose_time_is_over_before_it_is_evaluated_costs_no_signature() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, held) = cluster(folder.path(), |_| ()).await;
    let service = nodes[0].service().clone();
    let before = service.metrics().decision_signatures();
    held.hold();
    // The first one waits for a thread, and the second one for a round, until their time is over.
    let first = tokio::spawn(ask(service.clone(), 1));
    eventually("the first question is to be decided", || held.count() > 0).await;
    sleep(SETTLED).await;
    let (first, second) = tokio::join!(first, ask(service.clone(), 1));
    for answer in [&first.unwrap()[0], &second[0]] {
        let late = answer.status == 503 && says(answer, "deadline_exceeded");
        assert!(late && !is_signed(answer), "{answer:?}");
    }
    held.let_go();
    assert_eq!(ask(service.clone(), 1).await[0].status, 200);
    assert_eq!(service.metrics().decision_signatures(), before + 1);
    stop(nodes).await;
}

/// Rule R9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_batch_without_a_place_is_refused_before_its_body_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    // Room for one full batch.
    let (nodes, held) = cluster(folder.path(), |config| config.limits.authorize_queue = 2_000).await;
    let address = nodes[0].client_addr();
    let malformed = vec![b'x'; 20_000];
    held.hold();
    let good = authorize_batch_body(&vec![request(); 1_000]);
    let first = tokio::spawn(async move { post(address, "/v1/authorize:batch", &good).await });
    eventually("the first batch has its place", || held.count() > 0).await;
    sleep(SETTLED).await;
    let (status, answer) = post(address, "/v1/authorize:batch", &malformed).await;
    assert!(status == 503 && answer.contains("\"code\":\"overloaded\""), "{answer}");
    held.let_go();
    let (status, answer) = first.await.unwrap();
    // On a busy machine its second may be over.
    let is_late = status == 503 && answer.contains("\"code\":\"deadline_exceeded\"");
    assert!(is_late || status == 200 && answer.contains("\"decision\":\"allow\""), "{answer}");
    let (status, answer) = post(address, "/v1/authorize:batch", &malformed).await;
    assert!(status == 400 && answer.contains("\"code\":\"malformed\""), "{answer}");
    stop(nodes).await;
}
