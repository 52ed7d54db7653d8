//! Clients that end their side of the connection: a client that waits for the answer gets it, and a client that has
//! left keeps no place.

use std::time::Duration;

use crate::cluster_support::http::get;
use crate::cluster_support::raw::{SURELY, connections, exchange_half_closed, post, problem};
use crate::cluster_support::*;
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

const TRIES: usize = 150;
/// How many clients leave at once.
const LEAVERS: usize = 8;
/// Two heartbeats of 200 ms, and what a busy machine takes besides.
const SOON: Duration = Duration::from_secs(3);

/// A gauge of the node's metrics.
async fn gauge(node: &Node, name: &str) -> u64 {
    let page = get(node.client_addr(), "/metrics").await.unwrap();
    let line = page.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Waits until a gauge says so.
async fn until(node: &Node, name: &str, value: u64) {
    let reached = async {
        while gauge(node, name).await != value {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let reached = timeout(SURELY, reached).await;
    assert!(reached.is_ok(), "`{name}` is {} and not {value}", gauge(node, name).await);
}

/// A long poll for what comes after the genesis file. Its wait is the longest that there is, and no test waits for a place so long.
fn poll(node: &Node) -> Vec<u8> {
    let status = node.service().status(Caller::local());
    let path = format!("/v1/events?history={}&after={}&waitMs=30000", status.history, 6);
    format!("GET {path} HTTP/1.1\r\nhost: node\r\n\r\n").into_bytes()
}

const STREAM: &[u8] = b"GET /v1/events HTTP/1.1\r\nhost: node\r\naccept: text/event-stream\r\n\r\n";

async fn asking(node: &Node, question: &[u8]) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for _ in 0..LEAVERS {
        let mut stream = TcpStream::connect(node.client_addr()).await.unwrap();
        stream.write_all(question).await.unwrap();
        clients.push(stream);
    }
    clients
}

/// Breaks the connections, as a process does that is killed with something unread.
fn reset(clients: Vec<TcpStream>) {
    for stream in clients {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

async fn all_places_are_back(node: &Node) {
    until(node, "assent_event_feeds", 0).await;
    eventually("the places of connections are back", || connections(node) == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_ends_its_side_once_it_has_asked_is_answered_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| config.deadlines.events_heartbeat_ms = 20).await;
    let envelope = authorization();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: node\r\n\r\n").into_bytes();
    for (what, question) in [
        // Before anything comes that it would not have to wait for.
        ("events", poll(&node)),
        ("envelopes", post("/v1/envelopes", "", &envelope)),
        ("authorize", post("/v1/authorize", "", &request().to_json().to_vec())),
        ("lineage", get("/v1/lineages/prod.eu/exec-1")),
        ("status", get("/v1/cluster/status")),
        ("readyz", get("/readyz")),
    ] {
        for round in 1..=TRIES {
            let answer = exchange_half_closed(node.client_addr(), &question).await;
            let answered = answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 201");
            assert!(answered, "{what}, {round} of {TRIES}: {answer:?}");
        }
    }
    all_places_are_back(&node).await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_ends_too_early_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| config.deadlines.http_body_ms = 60_000).await;
    let mut question = post("/v1/envelopes", "", &authorization());
    question.truncate(question.len() - 1);
    let from = Instant::now();
    let (head, problem) = problem(&exchange_half_closed(node.client_addr(), &question).await);
    assert_eq!(problem.status, 400, "{head}");
    assert!(from.elapsed() < SURELY);
    all_places_are_back(&node).await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_place_of_a_client_that_breaks_its_connection_is_free_at_once() {
    let folder = tempfile::tempdir().unwrap();
    // No heartbeat tells: the connection itself does.
    let node = alone(folder.path(), |config| config.deadlines.events_heartbeat_ms = 60_000).await;
    let (polls, streams) = (asking(&node, &poll(&node)).await, asking(&node, STREAM).await);
    until(&node, "assent_event_feeds", 2 * LEAVERS as u64).await;
    reset(polls);
    reset(streams);
    all_places_are_back(&node).await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_place_of_a_client_that_leaves_is_free_within_two_heartbeats() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| config.deadlines.events_heartbeat_ms = 200).await;
    let (polls, mut streams) = (asking(&node, &poll(&node)).await, asking(&node, STREAM).await);
    until(&node, "assent_event_feeds", 2 * LEAVERS as u64).await;
    // Nothing came that they did not read, so these are no breaks.
    let from = Instant::now();
    drop(polls);
    until(&node, "assent_event_feeds", LEAVERS as u64).await;
    assert!(from.elapsed() < SOON, "the places of polls are free after {:?}", from.elapsed());
    // A stream goes on for a client that has only ended its side.
    for stream in &mut streams {
        stream.shutdown().await.unwrap();
    }
    sleep(Duration::from_millis(1_000)).await;
    for stream in &mut streams {
        let mut text = Vec::new();
        // More than came before, and in the time since.
        while text.windows(9).filter(|word| *word == b"heartbeat").count() < 20 {
            let read = timeout(SURELY, stream.read_buf(&mut text)).await.unwrap().unwrap();
            assert!(read > 0, "it ended: {}", String::from_utf8_lossy(&text));
        }
    }
    assert_eq!(gauge(&node, "assent_event_feeds").await, LEAVERS as u64);
    let from = Instant::now();
    drop(streams);
    all_places_are_back(&node).await;
    assert!(from.elapsed() < SOON, "the places of streams are free after {:?}", from.elapsed());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_whose_callers_break_their_connections_while_they_wait_are_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    // Longer than any wait of this test: no read ends by its own deadline.
    configs[0].deadlines.read_ms = 60_000;
    let mut nodes = start_all(&configs).await;
    let node = nodes.remove(0);
    // Two of three voters are gone: whatever needs a quorum waits.
    for other in nodes {
        other.shutdown().await;
    }
    let mut questions = asking(&node, b"GET /v1/domains HTTP/1.1\r\nhost: node\r\n\r\n").await;
    for stream in &mut questions {
        let answer = timeout(Duration::from_millis(100), stream.read(&mut [0; 16])).await;
        assert!(answer.is_err(), "it is answered, and does not wait: {answer:?}");
    }
    assert_eq!(connections(&node), LEAVERS as u64);
    reset(questions);
    eventually("the places of connections are back", || connections(&node) == 0).await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_place_of_a_client_that_takes_nothing_is_free_once_it_has_taken_nothing_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| config.deadlines.http_write_ms = 300).await;
    // Asked for more than what lies between them can hold, and as still as a machine that has lost power.
    let questions = b"GET /metrics HTTP/1.1\r\nhost: node\r\n\r\n".repeat(1_000);
    let mut deaf = Vec::new();
    for _ in 0..LEAVERS {
        let mut stream = TcpStream::connect(node.client_addr()).await.unwrap();
        while let Ok(Ok(())) = timeout(Duration::from_millis(100), stream.write_all(&questions)).await {}
        deaf.push(stream);
    }
    eventually("the places of the deaf are back", || connections(&node) == 0).await;
    drop(deaf);
    node.shutdown().await;
}
