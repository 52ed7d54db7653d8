//! Batches of envelopes over HTTP: what each result says of its envelope, and what a batch is answered that gets no
//! places.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster_support::held::Held;
use crate::cluster_support::http::{ask, get, status};
use crate::cluster_support::raw::{SURELY, exchange, post, problem, to_the_end};
use crate::cluster_support::*;
use assent_api::{BatchMode, MAX_BATCH, MAX_BATCH_BYTES, batch_body};
use assent_cluster::config::Config;
use assent_cluster::env::Environment;
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use assent_proof::{Code, Envelope};
use bytes::Bytes;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The results of a batch.
async fn results(address: SocketAddr, mode: BatchMode, envelopes: &[Vec<u8>]) -> Vec<Value> {
    let answer =
        ask(address, "POST /v1/envelopes:batch", &batch_body(mode, envelopes).unwrap()).await.unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    body["results"].as_array().unwrap().clone()
}

/// The same envelope with a signature that does not verify.
fn tampered(envelope: &[u8]) -> Vec<u8> {
    let mut envelope = Envelope::parse(envelope).unwrap();
    let other = Envelope::parse(&authorization_for("elsewhere")).unwrap();
    envelope.signatures = other.signatures;
    envelope.to_vec()
}

/// An authorization that is signed as it should be, by a key that nobody has granted anything.
fn by_nobody() -> Vec<u8> {
    in_prod().draft(&claims::integrity("m")).lineage("exec-9").sign(&[&key(99)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_envelope_of_a_batch_that_is_refused_whole_is_told_that_it_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = configs(folder.path()).swap_remove(0);
    config.voters.truncate(1);
    let node = start(&config).await;
    ready(&node).await;
    let address = node.client_addr();
    let good = authorization_for("exec-1");
    // One batch fails at a signature, the other before any is computed: nobody has granted its issuer anything.
    for (bad, code) in
        [(tampered(&authorization_for("exec-2")), "signature_invalid"), (by_nobody(), "authority_unknown")]
    {
        let batch = [good.clone(), bad, authorization_for("exec-3")];
        let all = results(address, BatchMode::All, &batch).await;
        for (place, result) in all.iter().enumerate() {
            assert_eq!(result["problem"]["code"], code, "{result}");
            assert!(result["receipt"].is_null(), "{result}");
            let field = &result["problem"]["field"];
            match place {
                1 => assert!(result["good"].is_null() && field != "envelopes[1]", "{result}"),
                _ => assert!(result["good"] == true && field == "envelopes[1]", "{result}"),
            }
        }
    }
    // Alone, and in a batch of the other mode, it is accepted: nothing was recorded before.
    let each = results(address, BatchMode::Each, &[good.clone(), by_nobody()]).await;
    assert_eq!((each[0]["status"].as_u64(), &each[0]["good"]), (Some(201), &Value::Null), "{each:?}");
    assert!(each[1]["good"].is_null(), "{each:?}");
    node.shutdown().await;
}

/// A cluster of one, with places for one full batch, and what it hands to its blocking threads.
async fn with_places_for_one(folder: &Path) -> (Node, Arc<Held>) {
    with_places_for_one_and(folder, |_| ()).await
}

/// The same, as `spoil` has configured it.
async fn with_places_for_one_and(folder: &Path, spoil: impl FnOnce(&mut Config)) -> (Node, Arc<Held>) {
    let mut config = configs(folder).swap_remove(0);
    config.voters.truncate(1);
    // Half of it is for batches.
    config.limits.submit_queue = 2 * MAX_BATCH;
    config.limits.registry_flush_ms = 60_000;
    config.limits.disk_reserve_mib = 0;
    config.deadlines.submit_ms = 60_000;
    spoil(&mut config);
    let held = Arc::new(Held::default());
    let env = Environment { blocking: held.clone(), long: held.clone(), ..environment(&config).await };
    let node = Node::start(config, env).await.unwrap();
    ready(&node).await;
    (node, held)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_finds_the_lane_full_is_refused_unread_and_with_one_problem() {
    let folder = tempfile::tempdir().unwrap();
    let (node, held) = with_places_for_one(folder.path()).await;
    let address = node.client_addr();
    held.hold();
    let service = node.service().clone();
    let first = tokio::spawn(async move {
        let garbage = vec![Bytes::from_static(b"{}"); MAX_BATCH];
        service.submit_batch(Caller::local(), BatchMode::Each, garbage).await
    });
    eventually("the first batch is to be looked at", || held.count() > 0).await;
    let begun = held.count();

    let path = "/v1/envelopes:batch";
    let length = MAX_BATCH_BYTES;
    let mut asks = Vec::new();
    // Of the first two nothing is sent but the head; the deadline of bodies is 5 s.
    for headers in ["", "expect: 100-continue\r\n"] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: node\r\n{headers}content-length: {length}\r\n\r\n");
        asks.push(("a head", true, head.into_bytes()));
    }
    let large = batch_body(BatchMode::Each, &vec![authorization(); 100]).unwrap();
    asks.push(("a large one", true, post(path, "", &large)));
    // Its length is known once it is there, and it is not parsed then.
    let chunk = format!("{:x}\r\n", large.len());
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"
    );
    let chunked = [head.as_bytes(), &large, b"\r\n0\r\n\r\n"].concat();
    asks.push(("one in chunks", false, chunked));
    // It might be urgent, so it is read at once.
    let small = batch_body(BatchMode::Each, &vec!["{}"; MAX_BATCH]).unwrap();
    asks.push(("a small one", false, post(path, "connection: close\r\n", &small)));
    for (what, unread, bytes) in asks {
        let answer = exchange(address, &bytes).await;
        let (head, problem) = problem(&answer);
        assert_eq!((problem.status, problem.code), (429, Code::Overloaded), "{what}: {head}");
        assert!(answer.len() < 2_048, "{what}: {} bytes", answer.len());
        assert!(head.contains("retry-after: 1"), "{what}: {head}");
        assert!(!unread || head.contains("connection: close"), "{what}: {head}");
        assert_eq!(held.count(), begun, "{what}: work was begun for it");
    }
    held.let_go();
    let results = first.await.unwrap().expect("it was looked at");
    assert_eq!(results.len(), MAX_BATCH);
    // Each batch counts as the envelopes that it has, or as one for each KiB of its body if nobody has looked into it.
    let unread = 2 * MAX_BATCH + 2 * large.len().div_ceil(1024);
    assert_eq!(submissions(address, "overloaded").await, unread + MAX_BATCH);
    // Its places are free again.
    let answer = exchange(address, &post(path, "connection: close\r\n", &small)).await;
    assert_eq!(status(&answer), 200, "{answer}");
    node.shutdown().await;
}

/// How many envelopes this became of.
async fn submissions(address: SocketAddr, code: &str) -> usize {
    let page = get(address, "/metrics").await.unwrap();
    let name = format!("assent_submissions_total{{code=\"{code}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// A batch of authorizations that is too large to be read, and to be answered, on the spot; and how many they are.
fn large_batch() -> (Vec<u8>, usize) {
    let envelopes: Vec<Vec<u8>> = (0..40).map(|n| authorization_for(&format!("exec-{n}"))).collect();
    let body = batch_body(BatchMode::Each, &envelopes).unwrap();
    assert!(body.len() > 16 * 1024, "{}", body.len());
    (body, envelopes.len())
}

/// Posts it on a task of its own.
fn posted(address: SocketAddr, body: &[u8]) -> tokio::task::JoinHandle<String> {
    let bytes = post("/v1/envelopes:batch", "connection: close\r\n", body);
    tokio::spawn(async move { exchange(address, &bytes).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_batch_gets_its_receipts_while_others_have_every_turn() {
    let folder = tempfile::tempdir().unwrap();
    let one_turn = |config: &mut Config| config.limits.verifications = 1;
    let (node, held) = with_places_for_one_and(folder.path(), one_turn).await;
    let (body, count) = large_batch();
    held.hold();
    let first = posted(node.client_addr(), &body);
    eventually("it is to be read", || held.count() == 1).await;
    // What takes eight turns, one after the other with those of the first one.
    let service = node.service().clone();
    let others = tokio::spawn(async move {
        let garbage = vec![Bytes::from_static(b"{}"); 500];
        service.submit_batch(Caller::local(), BatchMode::Each, garbage).await
    });
    for what in ["it is read", "others have a turn", "its signatures are looked at"] {
        eventually(what, || held.count() == 1).await;
        // Time enough for the one who has no turn to wait for the next.
        sleep(Duration::from_millis(300)).await;
        held.step();
    }
    // Others have the only turn from here on, and keep it. Whatever else is to be done for the first batch is done.
    let keeps_it = others.id();
    let answered = async {
        while !first.is_finished() {
            if !held.step_others(keeps_it) {
                sleep(Duration::from_millis(1)).await;
            }
        }
    };
    timeout(SURELY, answered).await.expect("its answer waits for a turn");
    assert!(held.count_of(keeps_it) == 1 && !others.is_finished());
    let answer = first.await.unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(answer.matches("\"status\":201").count(), count, "{answer}");
    assert_eq!(answer.matches("\"receipt\":").count(), count, "{answer}");
    held.let_go();
    others.await.unwrap().unwrap();
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_has_one_deadline_and_not_one_for_each_step() {
    let folder = tempfile::tempdir().unwrap();
    let soon = |config: &mut Config| config.deadlines.submit_ms = 2_000;
    let (node, held) = with_places_for_one_and(folder.path(), soon).await;
    let address = node.client_addr();
    let (body, count) = large_batch();
    held.hold();
    let first = posted(address, &body);
    eventually("it is to be read", || held.count() == 1).await;
    // Its time is over before it is read. Nothing else keeps it from being accepted.
    sleep(Duration::from_millis(2_200)).await;
    held.let_go();
    let (head, late) = problem(&first.await.unwrap());
    assert_eq!((late.status, late.code), (503, Code::DeadlineExceeded), "{head}");
    assert_eq!(submissions(address, "deadline_exceeded").await, count);
    let answer = posted(address, &body).await.unwrap();
    assert_eq!(answer.matches("\"status\":201").count(), count, "{answer}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_body_finds_no_room_counts_as_the_envelopes_that_it_is_expected_to_have() {
    let folder = tempfile::tempdir().unwrap();
    let mebibyte = |config: &mut Config| config.limits.body_kib = 1_024;
    let (node, _held) = with_places_for_one_and(folder.path(), mebibyte).await;
    let address = node.client_addr();
    // It has said that it sends as much as there is room for, and waits.
    let mut slow = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/envelopes:batch HTTP/1.1\r\nhost: node\r\nexpect: 100-continue\r\nconnection: close\r\n\
         content-length: {MAX_BATCH_BYTES}\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // Once it is asked for its body, it has the room.
    slow.readable().await.unwrap();
    let (body, _) = large_batch();
    let answer = exchange(address, &post("/v1/envelopes:batch", "", &body)).await;
    let (head, full) = problem(&answer);
    assert_eq!((full.status, full.code), (503, Code::Overloaded), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(submissions(address, "overloaded").await, body.len().div_ceil(1024));
    // That its sender is too slow is none of the node's failures.
    let answer = to_the_end(&mut slow).await;
    let (_, answer) = answer.split_once("\r\n\r\n").unwrap();
    let (head, late) = problem(answer);
    assert_eq!((late.status, late.code), (408, Code::DeadlineExceeded), "{head}");
    assert_eq!(submissions(address, "deadline_exceeded").await, 0);
    node.shutdown().await;
}
