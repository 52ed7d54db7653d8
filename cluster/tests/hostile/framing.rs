//! Requests whose head or framing is wrong, or could be read in two ways, to each listener: a problem document or a closed
//! connection, never an answer without a body.

use std::net::SocketAddr;
use std::path::Path;

use assent_cluster::node::Node;
use assent_proof::Code;

use super::beside::{Beside, allowing, state};
use crate::cluster_support::raw::{exchange, exchange_half_closed, problem};

/// A listener, and what is sent to it.
struct Listener {
    name: &'static str,
    address: SocketAddr,
    /// A call with a body that answers 400 to `{}`. The health listener has none, and answers 405 without reading one.
    call: &'static str,
    reads_bodies: bool,
    /// A call without a body, and the end of its answer.
    last: (&'static str, &'static str),
}

impl Listener {
    /// Each listener of this node.
    fn all(node: &Node) -> [Self; 3] {
        let (admin, health) = (node.admin_addr().unwrap(), node.health_addr().unwrap());
        [
            Self {
                name: "client",
                address: node.client_addr(),
                call: "/v1/authorize",
                reads_bodies: true,
                last: ("/livez", "ok\n"),
            },
            Self {
                name: "admin",
                address: admin,
                call: "/v1/clock/confirm",
                reads_bodies: true,
                last: ("/v1/cluster/members", "}"),
            },
            Self {
                name: "health",
                address: health,
                call: "/livez",
                reads_bodies: false,
                last: ("/livez", "ok\n"),
            },
        ]
    }

    /// A request with a body, with these headers and what follows them.
    fn asked(&self, version: &str, headers: &str, rest: &str) -> Vec<u8> {
        format!("POST {} HTTP/{version}\r\nhost: node\r\n{headers}\r\n{rest}", self.call).into_bytes()
    }

    /// The status of the answer to a request whose body is wrong.
    fn status_of_a_wrong_body(&self) -> u16 {
        if self.reads_bodies { 400 } else { 405 }
    }

    /// A request without a body, on the connection's end.
    fn last_request(&self) -> String {
        format!("GET {} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n", self.last.0)
    }
}

/// A node with each listener.
async fn with_all_listeners(folder: &Path) -> Node {
    let any_port = || Some("127.0.0.1:0".to_owned());
    allowing(folder, |config| {
        (config.admin_listen, config.health_listen) = (any_port(), any_port());
    })
    .await
}

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

/// It fails if a listener gives hyper's own answers, which have no body, or takes any of this for a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_head_of_http_get_a_problem_and_a_closed_connection_on_each_listener() {
    let folder = tempfile::tempdir().unwrap();
    let node = with_all_listeners(folder.path()).await;
    let before = state(&node);
    let beside = Beside::of(&node);
    let end = "HTTP/1.1\r\nhost: node\r\n\r\n";
    let long = "y".repeat(80 * 1024);
    let many: String = (0..101).map(|number| format!("x-{number}: y\r\n")).collect();
    for listener in Listener::all(&node) {
        for (what, bytes, status) in [
            ("a method that is no token", format!("G(T /livez {end}").into_bytes(), 400),
            ("a zero byte in the method", format!("G\0T /livez {end}").into_bytes(), 400),
            ("a zero byte in the target", format!("GET /li\0vez {end}").into_bytes(), 400),
            ("zero bytes", vec![0; 64], 400),
            ("bytes that are no text", vec![0xff; 64], 400),
            ("a beginning of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400),
            ("words", b"hello\r\n\r\n".to_vec(), 400),
            ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 400),
            ("HTTP/0.9", b"GET /livez\r\n\r\n".to_vec(), 400),
            ("HTTP/3.0", b"GET /livez HTTP/3.0\r\nhost: node\r\n\r\n".to_vec(), 400),
            ("no host", b"GET /livez HTTP/1.1\r\n\r\n".to_vec(), 400),
            ("a long header", listener.asked("1.1", &format!("x: {long}\r\n"), ""), 431),
            ("a long target", format!("GET /{long} {end}").into_bytes(), 431),
            ("many headers", listener.asked("1.1", &many, ""), 431),
        ] {
            let answer = exchange(listener.address, &bytes).await;
            let (head, problem) = problem(&answer);
            let code = if status == 431 { Code::TooLarge } else { Code::Malformed };
            let name = listener.name;
            assert_eq!((problem.status, problem.code), (status, code), "{name}: {what}: {head}");
            assert!(head.contains("connection: close"), "{name}: {what}: {head}");
            assert!(!problem.detail.is_empty() && !problem.remedy.is_empty(), "{name}: {what}");
        }
    }
    beside.was_answered().await;
    assert_eq!(state(&node), before);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_a_wrong_framing_gets_a_problem_and_a_closed_connection() {
    let folder = tempfile::tempdir().unwrap();
    let node = with_all_listeners(folder.path()).await;
    let before = state(&node);
    let beside = Beside::of(&node);
    for listener in Listener::all(&node) {
        let name = listener.name;
        let asked = |version: &str, headers: &str, rest: &str| listener.asked(version, headers, rest);
        let of_body = listener.status_of_a_wrong_body();
        for (what, bytes, status) in [
            ("a chunk size that is no number", asked("1.1", CHUNKED, "zz\r\n{}\r\n0\r\n\r\n"), of_body),
            (
                "a chunk size beyond 64 bits",
                asked("1.1", CHUNKED, "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
                of_body,
            ),
            ("a chunk size below zero", asked("1.1", CHUNKED, "-2\r\n{}\r\n0\r\n\r\n"), of_body),
            (
                "a chunk that is longer than its size",
                asked("1.1", CHUNKED, "2\r\n{}{}\r\n0\r\n\r\n"),
                of_body,
            ),
            ("chunks in HTTP/1.0", asked("1.0", CHUNKED, "2\r\n{}\r\n0\r\n\r\n"), 400),
            ("two lengths", asked("1.1", "content-length: 2\r\ncontent-length: 3\r\n", "{} "), 400),
            ("two lengths in one line", asked("1.1", "content-length: 2, 2\r\n", "{}"), 400),
            ("a length below zero", asked("1.1", "content-length: -1\r\n", "{}"), 400),
            ("a length with a sign", asked("1.1", "content-length: +2\r\n", "{}"), 400),
            ("a length beyond 64 bits", asked("1.1", "content-length: 99999999999999999999\r\n", "{}"), 400),
            ("a blank before a colon", asked("1.1", "content-length : 2\r\n", "{}"), 400),
            ("a folded header", asked("1.1", "x: a\r\n b\r\n", ""), 400),
            ("a bare carriage return in a header", asked("1.1", "x: a\rb\r\n", ""), 400),
            ("a zero byte in a header", asked("1.1", "x: a\0b\r\n", ""), 400),
        ] {
            let answer = exchange(listener.address, &bytes).await;
            let (head, problem) = problem(&answer);
            assert_eq!(
                (problem.status, problem.code),
                (status, Code::Malformed),
                "{name}: {what}: {head} {}",
                problem.detail
            );
            assert!(head.contains("connection: close"), "{name}: {what}: {head}");
            assert!(!problem.detail.is_empty() && !problem.remedy.is_empty(), "{name}: {what}");
        }
        for (what, bytes, status) in [
            ("half a head", format!("POST {} HTTP/1.1\r\nhost: no", listener.call).into_bytes(), 400),
            ("half a chunk", asked("1.1", CHUNKED, "5\r\n{}"), of_body),
            ("half a body", asked("1.1", "content-length: 5\r\n", "{}"), of_body),
        ] {
            // From a client that says no more. If the node answers, the answer explains itself.
            let answer = exchange_half_closed(listener.address, &bytes).await;
            if !answer.is_empty() {
                let (head, problem) = problem(&answer);
                assert_eq!(
                    (problem.status, problem.code),
                    (status, Code::Malformed),
                    "{name}: {what}: {head}"
                );
            }
        }
    }
    beside.was_answered().await;
    assert_eq!(state(&node), before);
    node.shutdown().await;
}

/// A body of two bytes, in chunks.
const BODY: &str = "2\r\n{}\r\n0\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_follows_a_body_of_two_possible_lengths_is_taken_for_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let node = with_all_listeners(folder.path()).await;
    for listener in Listener::all(&node) {
        let length = "content-length: 60\r\n";
        let earlier =
            format!("POST {} HTTP/1.1\r\nhost: node\r\ncontent-length: 2\r\n\r\n{{}}", listener.call);
        let follows = format!("{BODY}{}", listener.last_request());
        let plain = String::from_utf8(listener.asked("1.1", CHUNKED, &follows)).unwrap();
        let beside_length = |headers: String| listener.asked("1.1", &headers, &follows);
        for (what, bytes, answers) in [
            ("the length first", beside_length(format!("{length}{CHUNKED}")), 1),
            ("the length last", beside_length(format!("{CHUNKED}{length}")), 1),
            ("the length in capitals", beside_length(format!("{CHUNKED}Content-LENGTH:60\r\n")), 1),
            ("a length in the request before", format!("{earlier}{plain}").into_bytes(), 2),
            // Here every reader sees the same end, and the connection goes on.
            ("no length", plain.clone().into_bytes(), 2),
        ] {
            let name = listener.name;
            // The health listener reads no body, so its first answer is its last one.
            let answers = if listener.reads_bodies { answers } else { 1 };
            let said = exchange(listener.address, &bytes).await;
            assert_eq!(said.matches("HTTP/1.1 ").count(), answers, "{name}: {what}: {said}");
            let goes_on = listener.reads_bodies && what == "no length";
            let last_is_answered = said.contains("HTTP/1.1 200 ") && said.ends_with(listener.last.1);
            assert_eq!(last_is_answered, goes_on, "{name}: {what}: {said}");
            assert!(said.to_lowercase().contains("connection: close"), "{name}: {what}: {said}");
            let begin = format!("HTTP/1.1 {} ", listener.status_of_a_wrong_body());
            assert!(said.starts_with(&begin), "{name}: {what}: {said}");
        }
    }
    node.shutdown().await;
}
