//! Clients that cost more than their share: they end up alone with their problem.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod cluster_support;

use std::time::Duration;

use assent_api::BatchMode;
use assent_cluster::usecase::{Caller, Submitted};
use assent_proof::{Code, Envelope, EvidenceId, Role, SigningKey};
use bytes::Bytes;
use cluster_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Asks once, for what is answered within the cap of connections only, and answers the status line.
async fn ask(address: std::net::SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream
        .write_all(b"GET /v1/cluster/status HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n")
        .await
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    answer.lines().next().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_ask_and_never_read_lose_their_places() {
    const PLACES: usize = 4;
    let folder = tempfile::tempdir().unwrap();
    let mut config = configs(folder.path()).swap_remove(0);
    config.limits.connections = PLACES;
    config.deadlines.http_write_ms = 200;
    let node = start(&config).await;
    let address = node.client_addr();
    let question = b"GET /metrics HTTP/1.1\r\nhost: node\r\n\r\n".repeat(1000);
    let mut deaf = Vec::new();
    for _ in 0..PLACES {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Ask until the node takes no more, which is when its answers have filled what lies between.
        while let Ok(Ok(())) = timeout(Duration::from_millis(100), stream.write_all(&question)).await {}
        deaf.push(stream);
    }
    let answered = async {
        while ask(address).await.as_deref() != Some("HTTP/1.1 200 OK") {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), answered).await.expect("the deaf keep their places");
    drop(deaf);
    node.shutdown().await;
}

/// Signatures that verify, but only after as many attempts as there may be.
fn costly(sequence: u64) -> Bytes {
    let keys: Vec<SigningKey> = (100..113).map(key).collect();
    let issuers: Vec<&SigningKey> = keys.iter().collect();
    let mut draft = grant(keys[0].public(), Role::Audit, "prod.eu".parse().unwrap());
    draft.sequence = Some(sequence);
    draft.parent = (sequence > 0).then_some(EvidenceId([1; 32]));
    let mut envelope = Envelope::parse(&sign(draft, &issuers)).unwrap();
    envelope.signatures.reverse();
    for signature in &mut envelope.signatures {
        signature.keyid = None;
    }
    Bytes::from(envelope.to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envelopes_that_are_costly_to_verify_are_left_once_nobody_waits_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = configs(folder.path()).swap_remove(0);
    config.deadlines.submit_ms = 20;
    let node = start(&config).await;
    let batch: Vec<Bytes> = (0..100).map(costly).collect();
    let results = node.service().submit_batch(&Caller::Anonymous, BatchMode::Each, batch).await;
    assert_eq!(results.len(), 100);
    match results.last() {
        Some(Submitted::Problem(problem)) => {
            assert_eq!(problem.code, Code::DeadlineExceeded, "{problem:?}");
            assert_eq!(problem.status, 503);
        }
        other => panic!("{other:?}"),
    }
    node.shutdown().await;
}
