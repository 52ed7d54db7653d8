//! Clients that cost more than their share: only these clients suffer from it.

use std::time::Duration;

use crate::cluster_support::http::get;
use crate::cluster_support::raw::exchange;
use crate::cluster_support::*;
use assent_api::BatchMode;
use assent_cluster::usecase::{Caller, Submitted};
use assent_proof::{Code, Envelope, EvidenceId, Role, SigningKey};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Asks once, for what is answered within the cap of connections only, and answers the status line.
async fn ask(address: std::net::SocketAddr) -> Option<String> {
    get(address, "/v1/cluster/status").await?.lines().next().map(str::to_owned)
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

/// How often this line begins in what a node answered on one connection.
fn times(answers: &str, line: &str) -> usize {
    answers.matches(line).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_was_begun_together_with_the_request_before_it_has_the_time_of_heads() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = configs(folder.path()).swap_remove(0);
    config.deadlines.http_head_ms = 300;
    config.deadlines.http_idle_ms = 60_000;
    let node = start(&config).await;
    let get = "GET /livez HTTP/1.1\r\nhost: node\r\n\r\n";
    let chunked = "POST /v1/authorize HTTP/1.1\r\nhost: node\r\ntransfer-encoding: chunked\r\n\r\n\
                   1\r\nx\r\n0\r\n\r\n";
    let bare = "GET /livez HTTP/1.1\nhost: node\n\n";
    for before in [get.to_owned(), get.repeat(3), chunked.to_owned(), bare.to_owned()] {
        for begun in ["G", "GET /livez HTTP/1.1\r\nhost: "] {
            let asked = format!("{before}{begun}");
            let answers = exchange(node.client_addr(), asked.as_bytes()).await;
            assert_eq!(times(&answers, "HTTP/1.1 408 "), 1, "{asked:?}: {answers}");
            assert!(answers.contains("the request's head did not arrive within 300 ms"), "{answers}");
            assert_eq!(times(&answers, "HTTP/1.1 "), before.matches("host: node").count() + 1, "{answers}");
        }
    }
    // Nothing behind it: the connection is idle, for longer than a head may take.
    for before in [get.repeat(2), chunked.to_owned(), bare.to_owned()] {
        let mut stream = TcpStream::connect(node.client_addr()).await.unwrap();
        stream.write_all(before.as_bytes()).await.unwrap();
        let mut end = Vec::new();
        let ended = timeout(Duration::from_millis(1_500), stream.read_to_end(&mut end)).await;
        assert!(ended.is_err(), "{before:?}: {}", String::from_utf8_lossy(&end));
    }
    node.shutdown().await;
}

/// Signatures that verify, but only after as many attempts as there may be.
fn costly(sequence: u64) -> Bytes {
    let keys: Vec<SigningKey> = (100..113).map(key).collect();
    let issuers: Vec<&SigningKey> = keys.iter().collect();
    let parent = (sequence > 0).then_some(EvidenceId([1; 32]));
    let signed = grant(keys[0].public(), Role::Audit).slot(sequence, parent).sign(&issuers);
    let mut envelope = Envelope::parse(&signed).unwrap();
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
    let last = match node.service().submit_batch(Caller::local(), BatchMode::Each, batch).await {
        Ok(mut results) => {
            assert_eq!(results.len(), 100);
            results.pop().unwrap()
        }
        // Not even the first of them was looked at in time.
        Err(problem) => Submitted::NotTaken(problem),
    };
    match last {
        Submitted::NotTaken(problem) => {
            assert_eq!(problem.code, Code::DeadlineExceeded, "{problem:?}");
            assert_eq!(problem.status, 503);
        }
        other => panic!("{other:?}"),
    }
    node.shutdown().await;
}
