//! Batches of envelopes over HTTP: what each result says of its envelope, and what a batch is told that finds no places.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

mod cluster_support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use assent_api::{BatchMode, MAX_BATCH, MAX_BATCH_BYTES, batch_body};
use assent_cluster::env::Environment;
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use assent_proof::{Code, Envelope};
use bytes::Bytes;
use cluster_support::held::Held;
use cluster_support::http::{ask, status};
use cluster_support::raw::{exchange, post, problem};
use cluster_support::*;
use serde_json::Value;

/// The results of a batch.
async fn results(address: SocketAddr, mode: BatchMode, envelopes: &[Vec<u8>]) -> Vec<Value> {
    let answer = ask(address, "POST /v1/envelopes:batch", &batch_body(mode, envelopes)).await.unwrap();
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
    let mut draft = statement(
        assent_proof::EvidenceKind::RuntimeIntegrity,
        "prod.eu".parse().unwrap(),
        "program",
        &assent_proof::Claims::RuntimeIntegrity { measured: "m".to_owned() },
    );
    draft.lineage = "exec-9".parse().unwrap();
    sign(draft, &[&key(99)])
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
    // One batch fails when its signatures are verified, the other when the registry judges it.
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
    let mut config = configs(folder).swap_remove(0);
    config.voters.truncate(1);
    // Half of it is for batches.
    config.limits.submit_queue = 2 * MAX_BATCH;
    config.limits.registry_flush_ms = 60_000;
    config.deadlines.submit_ms = 60_000;
    let held = Arc::new(Held::default());
    let env = Environment { blocking: held.clone(), ..environment(&config).await };
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
        service.submit_batch(&Caller::Anonymous, BatchMode::Each, garbage).await
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
    let large = batch_body(BatchMode::Each, &vec![authorization(); 100]);
    asks.push(("a large one", true, post(path, "", &large)));
    // Its length is known once it is there, and it is not parsed then.
    let chunk = format!("{:x}\r\n", large.len());
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"
    );
    let chunked = [head.as_bytes(), &large, b"\r\n0\r\n\r\n"].concat();
    asks.push(("one in chunks", false, chunked));
    // It might be urgent, so it is read at once.
    let small = batch_body(BatchMode::Each, &vec!["{}"; MAX_BATCH]);
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
    // Its places are free again.
    let answer = exchange(address, &post(path, "connection: close\r\n", &small)).await;
    assert_eq!(status(&answer), 200, "{answer}");
    node.shutdown().await;
}
