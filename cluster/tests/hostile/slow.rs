//! Clients that send a byte at a time, half a head or nothing, many of them.

use std::net::SocketAddr;
use std::time::Duration;

use assent_proof::Code;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::beside::{Beside, allowing, state};
use crate::cluster_support::eventually;
use crate::cluster_support::raw::{SURELY, connections, problem};

/// So many clients at once. Their ends and the node's are open files of one process here.
const CLIENTS: usize = 40;
const IDLE_CLIENTS: usize = 300;

/// Sends `begin` at once and `rest` a byte at a time, and answers what the node says.
async fn dribbled(address: SocketAddr, begin: &[u8], rest: &[u8]) -> String {
    let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
    let (begin, rest) = (begin.to_vec(), rest.to_vec());
    let sending = tokio::spawn(async move {
        let mut goes_on = writing.write_all(&begin).await.is_ok();
        for byte in rest {
            sleep(Duration::from_millis(50)).await;
            goes_on = goes_on && writing.write_all(&[byte]).await.is_ok();
        }
    });
    let mut answer = Vec::new();
    // With bytes unread, the node's end of the connection is a reset.
    while timeout(SURELY, reading.read_buf(&mut answer)).await.expect("it ends").is_ok_and(|read| read > 0) {}
    sending.abort();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_send_a_byte_at_a_time_are_answered_with_408_and_delay_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let node = allowing(folder.path(), |config| {
        // One byte in 50 ms is to these deadlines what one a second is to those of the default.
        config.deadlines.http_head_ms = 500;
        config.deadlines.http_body_ms = 250;
    })
    .await;
    let (address, before) = (node.client_addr(), state(&node));
    let beside = Beside::of(&node);
    let from = Instant::now();
    let rest = [b'a'; 400];
    let heads = join_all((0..CLIENTS).map(|_| dribbled(address, b"GET /", &rest)));
    let head = b"POST /v1/envelopes HTTP/1.1\r\nhost: node\r\ncontent-length: 400\r\n\r\n";
    let bodies = join_all((0..CLIENTS).map(|_| dribbled(address, head, &rest)));
    let (heads, bodies) = tokio::join!(heads, bodies);
    for answer in heads.iter().chain(&bodies) {
        let (head, problem) = problem(answer);
        assert_eq!((problem.status, problem.code), (408, Code::DeadlineExceeded), "{head}");
        assert!(head.contains("connection: close") && problem.detail.contains("0 ms"), "{}", problem.detail);
    }
    // All their bytes would take 20 s.
    assert!(from.elapsed() < Duration::from_secs(10), "{:?}", from.elapsed());
    beside.was_answered().await;
    assert_eq!(state(&node), before);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_idle_connections_and_half_heads_delay_no_authorize_and_lose_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let node = allowing(folder.path(), |config| config.deadlines.http_head_ms = 3_000).await;
    let before = state(&node);
    let mut held = Vec::new();
    for number in 0..IDLE_CLIENTS {
        let mut stream = TcpStream::connect(node.client_addr()).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(b"POST /v1/authorize HTTP/1.1\r\nhost: no").await.unwrap();
        }
        held.push(stream);
    }
    eventually("all have a place", || connections(&node) >= IDLE_CLIENTS as u64).await;
    let beside = Beside::of(&node);
    sleep(Duration::from_millis(500)).await;
    beside.was_answered().await;
    eventually("their places are given back", || connections(&node) == 0).await;
    for (number, stream) in held.iter_mut().enumerate() {
        let mut answer = Vec::new();
        timeout(SURELY, stream.read_to_end(&mut answer)).await.expect("it ends").unwrap();
        let answer = String::from_utf8(answer).unwrap();
        if number % 2 == 0 {
            assert_eq!(problem(&answer).1.status, 408, "{answer}");
        } else {
            assert_eq!(answer, "");
        }
    }
    assert_eq!(state(&node), before);
    node.shutdown().await;
}
