//! What HTTP and the bounds of the peer transport refuse is counted, each refusal under its own reason.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::cluster_support::alone;
use crate::cluster_support::http::get;
use crate::cluster_support::raw::{exchange, post, problem};
use crate::peer_support::{
    CLUSTER, Node, Raw, SOON, SPOKEN, a_vote, append, asked, connected, echo, eventually, frame_bytes,
    hello_bytes, identity, met, node, node_as, quick,
};
use assent_cluster::peer::{PeerError, PeerLimits, Vote};
use openraft::raft::VoteRequest;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

/// The counts of a family by their reasons, on the page of metrics at this address, without those that are 0.
async fn counted(address: SocketAddr, family: &str) -> BTreeMap<String, u64> {
    let page = get(address, "/metrics").await.unwrap();
    let begin = format!("assent_{family}_total{{reason=\"");
    let count = |line: &str| {
        let (reason, count) = line.trim_end().strip_prefix(&begin)?.split_once("\"} ")?;
        Some((reason.to_owned(), count.parse::<u64>().unwrap()))
    };
    let counts: BTreeMap<String, u64> = page.lines().filter_map(count).collect();
    assert!(counts.len() >= 7, "the page lacks reasons of `{family}`: {page}");
    assert!(page.contains(&format!("# HELP assent_{family}_total ")), "{page}");
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// It fails if one of these answers is not counted, is counted twice, or under another reason, on any of the listeners.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_that_http_refuses_is_counted_under_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let any_port = || Some("127.0.0.1:0".to_owned());
    let node = alone(folder.path(), |config| {
        (config.admin_listen, config.health_listen) = (any_port(), any_port());
        (config.deadlines.http_head_ms, config.deadlines.http_body_ms) = (500, 500);
    })
    .await;
    let clients = node.client_addr();
    let (admin, health) = (node.admin_addr().unwrap(), node.health_addr().unwrap());
    let get_with = |headers: &str| format!("GET /livez HTTP/1.1\r\n{headers}\r\n").into_bytes();
    let chunked = "transfer-encoding: chunked\r\n";
    let post_to = |path: &str, headers: &str, body: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: node\r\n{headers}\r\n{body}").into_bytes()
    };
    let long = format!("host: node\r\nx: {}\r\n", "y".repeat(80 * 1024));
    let large = format!("10000\r\n{}", " ".repeat(0x1_0000));
    let gzip = "content-encoding: gzip\r\ncontent-length: 2\r\n";
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for (address, bytes, status, reason) in [
        (clients, b"hello\r\n\r\n".to_vec(), 400, "head_form"),
        (clients, get_with("host: a\r\nhost: b\r\n"), 400, "head_form"),
        (admin, b"hello\r\n\r\n".to_vec(), 400, "head_form"),
        (health, b"hello\r\n\r\n".to_vec(), 400, "head_form"),
        (clients, get_with(&long), 431, "head_size"),
        (health, get_with(&long), 431, "head_size"),
        (clients, b"GET /livez HTTP/1.1\r\nhost: ".to_vec(), 408, "head_time"),
        (admin, b"GET /livez HTTP/1.1\r\nhost: ".to_vec(), 408, "head_time"),
        (clients, post_to("/v1/authorize", chunked, "zz\r\n{}\r\n0\r\n\r\n"), 400, "body_form"),
        (admin, post_to("/v1/clock/confirm", chunked, "zz\r\n{}\r\n0\r\n\r\n"), 400, "body_form"),
        // One says beforehand how much comes, and the other does not.
        (clients, post("/v1/authorize", "", &vec![b' '; 1 << 20]), 413, "body_size"),
        (admin, post_to("/v1/clock/confirm", chunked, &large), 413, "body_size"),
        (clients, post_to("/v1/authorize", "content-length: 5\r\n", "{"), 408, "body_time"),
        (clients, post_to("/v1/authorize", gzip, "{}"), 415, "body_encoding"),
    ] {
        let answer = exchange(address, &bytes).await;
        let (head, problem) = problem(&answer);
        assert_eq!(problem.status, status, "{reason}: {head} {}", problem.detail);
        *expected.entry(reason.to_owned()).or_default() += 1;
        assert_eq!(counted(clients, "refused_requests").await, expected, "{head}");
    }
    assert_eq!(expected.len(), 7, "each reason there is");
    // What is refused for other causes is counted elsewhere.
    exchange(clients, &get_with("host: node\r\nconnection: close\r\n")).await;
    exchange(clients, &post("/v1/authorize", "connection: close\r\n", b"x")).await;
    assert_eq!(counted(clients, "refused_requests").await, expected);
    node.shutdown().await;
}

/// It fails if the page of metrics does not show what the peer transport counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_at_the_peer_port_is_on_the_page_of_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |_| {}).await;
    assert_eq!(counted(node.client_addr(), "refused_peers").await, BTreeMap::new());
    let mut raw = Raw::connect(node.peer_addr()).await;
    raw.bytes(&[0xff; 64]).await;
    raw.hung_up().await;
    let expected = BTreeMap::from([("handshake_size".to_owned(), 1)]);
    // It may be counted a moment after the connection has ended.
    let until = Instant::now() + SOON;
    while counted(node.client_addr(), "refused_peers").await != expected && Instant::now() < until {
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(counted(node.client_addr(), "refused_peers").await, expected);
    node.shutdown().await;
}

/// What a node's transport has counted.
fn of_peers(node: &Node) -> BTreeMap<&'static str, u64> {
    node.hub.refusals().into_iter().filter(|(_, count)| *count > 0).collect()
}

/// Waits until the node has counted this reason, and no other one.
async fn only(node: &Node, reason: &str) {
    eventually(reason, || of_peers(node).contains_key(reason)).await;
    let counted = of_peers(node);
    assert_eq!(counted.keys().copied().collect::<Vec<_>>(), [reason], "{counted:?}");
}

/// Node 2 with these limits, on which silence ends no connection.
async fn second(limits: PeerLimits) -> Node {
    let limits = PeerLimits { silence_max: Duration::from_secs(60), ..limits };
    node_as(identity(2), "127.0.0.1:0", &[], limits, 0).await
}

/// It fails if a bound on handshakes refuses without counting, or counts under another reason.
#[tokio::test]
async fn each_handshake_that_a_bound_refuses_is_counted_under_that_bound() {
    let patient = Duration::from_secs(30);
    let two = second(PeerLimits { handshakes_max: 1, handshake_timeout: patient, ..quick() }).await;
    let silent = Raw::connect(two.hub.local_addr()).await;
    Raw::connect(two.hub.local_addr()).await.hung_up().await;
    only(&two, "handshakes").await;
    drop(silent);

    let two = second(quick()).await;
    Raw::connect(two.hub.local_addr()).await.hung_up().await;
    only(&two, "handshake_time").await;

    let two = second(quick()).await;
    let mut raw = Raw::connect(two.hub.local_addr()).await;
    // More than a hello may have, and much less than a frame after it.
    raw.bytes(&(17 * 1024_u32).to_be_bytes()).await;
    raw.hung_up().await;
    only(&two, "handshake_size").await;

    let two = second(PeerLimits { peers_max: 1, ..quick() }).await;
    let _first = Raw::opened(two.hub.local_addr(), 100, 2).await;
    met(&two, 100).await;
    let mut raw = Raw::connect(two.hub.local_addr()).await;
    raw.frame(1, 0, &hello_bytes(CLUSTER, 90, 2, SPOKEN)).await;
    raw.hung_up().await;
    only(&two, "peers").await;

    let two = second(quick()).await;
    let mut hello = hello_bytes(CLUSTER, 1, 2, SPOKEN);
    let at = hello.len() - 16;
    hello[at..at + 8].copy_from_slice(&u64::MAX.to_be_bytes());
    let mut raw = Raw::connect(two.hub.local_addr()).await;
    raw.frame(1, 0, &hello).await;
    raw.hung_up().await;
    only(&two, "claims").await;
}

/// It fails if a bound on frames, on requests or on answers refuses without counting, or counts under another reason.
#[tokio::test]
async fn each_frame_that_a_bound_refuses_is_counted_under_that_bound() {
    let two = second(quick()).await;
    let mut raw = Raw::opened(two.hub.local_addr(), 1, 2).await;
    raw.bytes(&u32::MAX.to_be_bytes()).await;
    raw.hung_up().await;
    only(&two, "frame_size").await;

    // A request and an answer: each is counted by the node that refuses it.
    let two = second(quick()).await;
    let one = node(1, &[(2, two.hub.local_addr().to_string())]).await;
    let late = Vote(VoteRequest::new(openraft::Vote::new(u64::MAX, 1), None));
    assert!(matches!(asked(&one, 2, &late).await, Err(PeerError::Lost(_))));
    only(&two, "claims").await;
    assert!(of_peers(&one).is_empty());
    *two.script.voted.lock().unwrap() = Some(u64::MAX);
    let usual = Vote(VoteRequest::new(a_vote(), None));
    assert!(matches!(asked(&one, 2, &usual).await, Err(PeerError::Malformed(_))));
    only(&one, "claims").await;

    // More pings in a row than there are places for pongs.
    let two = second(PeerLimits { queue_frames_max: 2, ..quick() }).await;
    let mut raw = Raw::opened(two.hub.local_addr(), 1, 2).await;
    met(&two, 1).await;
    let pings = frame_bytes(4, &[0x91, 0x00]).repeat(1_000);
    let _ = raw.stream.write_all(&pings).await;
    only(&two, "answers").await;
}

/// It fails if a bound on the work of one peer refuses without counting, or counts under another reason.
#[tokio::test]
async fn each_request_beyond_what_one_peer_may_have_under_way_is_counted_under_its_bound() {
    let bounds = PeerLimits {
        append_lane_max: 1,
        control_requests_max: 1,
        submissions_max: 1,
        suspicion_max: Duration::from_secs(60),
        ..quick()
    };
    let two = second(bounds.clone()).await;
    let one = node(1, &[(2, two.hub.local_addr().to_string())]).await;
    connected(&one, 2).await;
    *two.script.append_delay_ms.lock().unwrap() = vec![60_000; 10];
    let appends: Vec<_> = (0..10).map(|_| one.hub.call(2, &append(1, 10), SOON)).collect();
    only(&two, "appends").await;
    drop(appends);

    let two = second(bounds.clone()).await;
    let one = node(1, &[(2, two.hub.local_addr().to_string())]).await;
    connected(&one, 2).await;
    two.script.mute.store(true, Ordering::SeqCst);
    let vote = Vote(VoteRequest::new(a_vote(), None));
    let first = one.hub.call(2, &vote, SOON);
    assert_eq!(one.hub.call(2, &vote, SOON).await, Err(PeerError::Overloaded));
    only(&two, "requests").await;
    drop(first);

    let two = second(bounds).await;
    let one = node(1, &[(2, two.hub.local_addr().to_string())]).await;
    connected(&one, 2).await;
    two.script.held.store(true, Ordering::SeqCst);
    let first = one.hub.call(2, &echo("held"), SOON);
    assert_eq!(one.hub.call(2, &echo("one more"), SOON).await, Err(PeerError::Overloaded));
    only(&two, "submissions").await;
    drop(first);
}
