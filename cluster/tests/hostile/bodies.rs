//! Hostile JSON and giant bodies to every call that has a body.

use std::net::SocketAddr;

use assent_proof::Code;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::CALLS;
use super::beside::{Beside, allowing, state};
use crate::cluster_support::raw::{SURELY, exchange, post, problem};
use crate::cluster_support::request;

const CLOSE: &str = "connection: close\r\n";

/// JSON that no call takes, whatever fields the call has.
fn hostile_json() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    vec![
        ("nothing", Vec::new()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("an array for an object", b"[]".to_vec()),
        ("trailing data", b"{}{}".to_vec()),
        ("a duplicate key", br#"{"a":1,"a":1}"#.to_vec()),
        ("an escaped duplicate key", br#"{"a":1,"\u0061":1}"#.to_vec()),
        ("a nested duplicate key", br#"{"a":{"b":1,"b":1}}"#.to_vec()),
        ("a 30-digit integer", [&b"{\"a\":"[..], &b"9".repeat(30), b"}"].concat()),
        ("a lone surrogate", br#"{"\ud800":1}"#.to_vec()),
        ("bytes that are no UTF-8", b"{\"\xff\":1}".to_vec()),
        ("a text without an end", b"{\"a".to_vec()),
        ("depth 128", nested(128)),
        ("depth 2000", nested(2_000)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_json_to_every_call_is_malformed_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let node = allowing(folder.path(), |_| {}).await;
    let before = state(&node);
    let beside = Beside::of(&node);
    let mut tried = 0;
    for path in CALLS {
        for (what, body) in hostile_json() {
            let (head, problem) = problem(&exchange(node.client_addr(), &post(path, CLOSE, &body)).await);
            let said = (problem.status, problem.code);
            // Two calls take few bytes.
            let large = body.len() > 200 && said == (413, Code::TooLarge);
            assert!(large || said == (400, Code::Malformed), "{path}: {what}: {head} {}", problem.detail);
            assert!(!problem.detail.is_empty() && !problem.remedy.is_empty(), "{path}: {what}");
            tried += 1;
        }
    }
    assert_eq!(tried, CALLS.len() * hostile_json().len());
    beside.was_answered().await;
    assert_eq!(state(&node), before);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_json_within_a_good_request_is_malformed_and_no_decision() {
    let folder = tempfile::tempdir().unwrap();
    let node = allowing(folder.path(), |_| {}).await;
    let before = state(&node);
    let good = String::from_utf8(request().to_json().to_vec()).unwrap();
    let first = |text: &str| good.replacen('{', &format!("{{{text},"), 1).into_bytes();
    let good_answer = exchange(node.client_addr(), &post("/v1/authorize", CLOSE, good.as_bytes())).await;
    assert!(good_answer.starts_with("HTTP/1.1 200"), "{good_answer}");
    for (what, body) in [
        ("a duplicate key", first(r#""domain":"prod.eu""#)),
        ("an escaped duplicate key", first(r#""dom\u0061in":"prod.eu""#)),
        ("a 30-digit integer", first(&format!("\"minRevision\":{}", "9".repeat(30)))),
        ("a number that is no integer", first(r#""minRevision":1.5"#)),
        ("a lone surrogate", first(r#""nonce":"\udc00""#)),
        ("an array for an object", format!("[{good}]").into_bytes()),
        ("a byte order mark", [b"\xef\xbb\xbf", good.as_bytes()].concat()),
        ("trailing data", [good.as_bytes(), good.as_bytes()].concat()),
        ("a zero byte at the end", [good.as_bytes(), b"\0"].concat()),
    ] {
        let (head, problem) =
            problem(&exchange(node.client_addr(), &post("/v1/authorize", CLOSE, &body)).await);
        assert_eq!((problem.status, problem.code), (400, Code::Malformed), "{what}: {head}");
    }
    assert_eq!(state(&node), before);
    node.shutdown().await;
}

/// A client would send so many bytes.
const TEN_GB: u64 = 10_000_000_000;
/// What a node and the two kernels may take of them before the node ends the connection: the largest body, what is read
/// and dropped after the answer, and the buffers of both sockets.
const TAKEN_MAX: u64 = 32 << 20;

/// Sends `begin` and then `piece` again and again, up to 10 GB, and answers how many bytes the node took and what it said.
async fn flooded(address: SocketAddr, begin: Vec<u8>, piece: Vec<u8>) -> (u64, String) {
    let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
    let sending = tokio::spawn(async move {
        let mut sent = 0;
        if writing.write_all(&begin).await.is_ok() {
            while sent < TEN_GB && writing.write_all(&piece).await.is_ok() {
                sent += piece.len() as u64;
            }
        }
        sent
    });
    let mut answer = Vec::new();
    // With bytes unread, the node's end of the connection is a reset.
    while timeout(SURELY, reading.read_buf(&mut answer)).await.expect("it ends").is_ok_and(|read| read > 0) {}
    drop(reading);
    let sent = timeout(SURELY, sending).await.expect("the node takes no more").unwrap();
    (sent, String::from_utf8(answer).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_10_gb_is_refused_after_its_bound_however_it_is_chunked() {
    let folder = tempfile::tempdir().unwrap();
    let node = allowing(folder.path(), |_| {}).await;
    let before = state(&node);
    let beside = Beside::of(&node);
    for path in CALLS {
        let head = format!("POST {path} HTTP/1.1\r\nhost: node\r\ntransfer-encoding: chunked\r\n\r\n");
        let chunk = [&b"10000\r\n"[..], &b" ".repeat(0x1_0000), b"\r\n"].concat();
        for (what, begin, piece) in [
            ("in chunks of 64 KiB", head.clone().into_bytes(), chunk),
            ("in one chunk", format!("{head}{TEN_GB:x}\r\n").into_bytes(), vec![b' '; 0x1_0000]),
        ] {
            let (sent, answer) = flooded(node.client_addr(), begin, piece).await;
            let (head, problem) = problem(&answer);
            assert_eq!((problem.status, problem.code), (413, Code::TooLarge), "{path} {what}: {head}");
            assert!(head.contains("connection: close"), "{path} {what}: {head}");
            assert!(sent < TAKEN_MAX, "{path} {what}: the node took {sent} bytes");
        }
    }
    beside.was_answered().await;
    assert_eq!(state(&node), before);
    node.shutdown().await;
}
