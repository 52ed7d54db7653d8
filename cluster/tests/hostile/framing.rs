//! Requests whose framing is wrong, or could be read in two ways: a problem document or a closed connection, never an
//! answer without a body.

use assent_proof::Code;

use super::beside::{Beside, allowing, state};
use crate::cluster_support::raw::{exchange, exchange_half_closed, problem};

/// A request to decide, with these headers and what follows them.
fn asked(version: &str, headers: &str, rest: &str) -> Vec<u8> {
    format!("POST /v1/authorize HTTP/{version}\r\nhost: node\r\n{headers}\r\n{rest}").into_bytes()
}

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_a_wrong_framing_gets_a_problem_and_a_closed_connection() {
    let folder = tempfile::tempdir().unwrap();
    let node = allowing(folder.path(), |_| {}).await;
    let before = state(&node);
    let beside = Beside::of(&node);
    for (what, bytes) in [
        ("a chunk size that is no number", asked("1.1", CHUNKED, "zz\r\n{}\r\n0\r\n\r\n")),
        ("a chunk size beyond 64 bits", asked("1.1", CHUNKED, "fffffffffffffffff\r\n{}\r\n0\r\n\r\n")),
        ("a chunk size below zero", asked("1.1", CHUNKED, "-2\r\n{}\r\n0\r\n\r\n")),
        ("a chunk that is longer than its size", asked("1.1", CHUNKED, "2\r\n{}{}\r\n0\r\n\r\n")),
        ("chunks in HTTP/1.0", asked("1.0", CHUNKED, "2\r\n{}\r\n0\r\n\r\n")),
        ("two lengths", asked("1.1", "content-length: 2\r\ncontent-length: 3\r\n", "{} ")),
        ("two lengths in one line", asked("1.1", "content-length: 2, 2\r\n", "{}")),
        ("a length below zero", asked("1.1", "content-length: -1\r\n", "{}")),
        ("a length with a sign", asked("1.1", "content-length: +2\r\n", "{}")),
        ("a length beyond 64 bits", asked("1.1", "content-length: 99999999999999999999\r\n", "{}")),
        ("a blank before a colon", asked("1.1", "content-length : 2\r\n", "{}")),
        ("a folded header", asked("1.1", "x: a\r\n b\r\n", "")),
        ("a bare carriage return in a header", asked("1.1", "x: a\rb\r\n", "")),
        ("a zero byte in a header", asked("1.1", "x: a\0b\r\n", "")),
    ] {
        let answer = exchange(node.client_addr(), &bytes).await;
        let (head, problem) = problem(&answer);
        assert_eq!(
            (problem.status, problem.code),
            (400, Code::Malformed),
            "{what}: {head} {}",
            problem.detail
        );
        assert!(head.contains("connection: close"), "{what}: {head}");
        assert!(!problem.detail.is_empty() && !problem.remedy.is_empty(), "{what}");
    }
    for (what, bytes) in [
        ("half a head", b"POST /v1/authorize HTTP/1.1\r\nhost: no".to_vec()),
        ("half a chunk", asked("1.1", CHUNKED, "5\r\n{}")),
        ("half a body", asked("1.1", "content-length: 5\r\n", "{}")),
    ] {
        // From a client that says no more. If the node answers, the answer explains itself.
        let answer = exchange_half_closed(node.client_addr(), &bytes).await;
        if !answer.is_empty() {
            let (head, problem) = problem(&answer);
            assert_eq!((problem.status, problem.code), (400, Code::Malformed), "{what}: {head}");
        }
    }
    beside.was_answered().await;
    assert_eq!(state(&node), before);
    node.shutdown().await;
}

/// A request without a body, on the connection's end.
const LAST: &str = "GET /livez HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
/// A body of two bytes, in chunks.
const BODY: &str = "2\r\n{}\r\n0\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_follows_a_body_of_two_possible_lengths_is_taken_for_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let node = allowing(folder.path(), |_| {}).await;
    let length = "content-length: 60\r\n";
    let earlier = "POST /v1/authorize HTTP/1.1\r\nhost: node\r\ncontent-length: 2\r\n\r\n{}".to_owned();
    let follows = format!("{BODY}{LAST}");
    let plain = String::from_utf8(asked("1.1", CHUNKED, &follows)).unwrap();
    for (what, bytes, answers) in [
        ("the length first", asked("1.1", &format!("{length}{CHUNKED}"), &follows), 1),
        ("the length last", asked("1.1", &format!("{CHUNKED}{length}"), &follows), 1),
        ("the length in capitals", asked("1.1", &format!("{CHUNKED}Content-LENGTH:60\r\n"), &follows), 1),
        ("a length in the request before", format!("{earlier}{plain}").into_bytes(), 2),
        // Here every reader sees the same end, and the connection goes on.
        ("no length", plain.clone().into_bytes(), 2),
    ] {
        let said = exchange(node.client_addr(), &bytes).await;
        assert_eq!(said.matches("HTTP/1.1 ").count(), answers, "{what}: {said}");
        assert_eq!(said.ends_with("ok\n"), what == "no length", "{what}: {said}");
        assert!(said.to_lowercase().contains("connection: close"), "{what}: {said}");
        assert!(said.starts_with("HTTP/1.1 400 "), "{what}: {said}");
    }
    node.shutdown().await;
}
