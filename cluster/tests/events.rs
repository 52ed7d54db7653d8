//! The events feed of one node over real sockets: polls that wake, streams that end, and bounds that hold.

use std::net::SocketAddr;
use std::time::Duration;

use crate::cluster_support::*;
use assent_api::BatchMode;
use assent_cluster::node::Node;
use assent_cluster::usecase::{Caller, Submitted};
use assent_proof::{Cursor, History, PolicyVerdict};
use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

/// Far above anything that a feed needs, for machines that are busy.
const SURELY: Duration = Duration::from_secs(20);
/// What the genesis file of these tests makes.
const GENESIS: u64 = 6;

async fn connected(address: SocketAddr, path: &str, headers: &str, socket: TcpSocket) -> TcpStream {
    let mut stream = socket.connect(address).await.unwrap();
    // HTTP/1.0: the body comes as it is and ends with the connection.
    let request = format!("GET {path} HTTP/1.0\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Asks, and answers status and body.
async fn get(node: &Node, path: &str, headers: &str) -> (u16, String) {
    let mut stream = connected(node.client_addr(), path, headers, TcpSocket::new_v4().unwrap()).await;
    let mut text = String::new();
    timeout(SURELY, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The history that the node is in.
fn history(node: &Node) -> History {
    node.service().status(Caller::local()).history
}

/// What follows a revision of the node's history.
fn after(node: &Node, revision: u64) -> String {
    format!("/v1/events?history={}&after={revision}", history(node))
}

/// The revisions of an answer's events, and its last line.
fn lines(body: &str) -> (Vec<u64>, Value) {
    let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, events) = lines.split_last().unwrap();
    (events.iter().map(|event| event["revision"].as_u64().unwrap()).collect(), last.clone())
}

/// Waits until so many feeds are open.
async fn open_feeds(node: &Node, feeds: usize) {
    let open = async {
        while !get(node, "/metrics", "").await.1.contains(&format!("assent_event_feeds {feeds}\n")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SURELY, open).await.expect("the feeds are not open");
}

async fn accept(node: &Node, bytes: Vec<u8>) {
    match node.service().submit(Caller::local(), Bytes::from(bytes)).await {
        Submitted::Accepted { .. } => {}
        other => panic!("{other:?}"),
    }
}

struct Stream {
    lines: Lines<BufReader<TcpStream>>,
}

impl Stream {
    async fn open(node: &Node, path: &str, headers: &str) -> Self {
        Self::open_on(TcpSocket::new_v4().unwrap(), node, path, headers).await
    }

    /// Opened once the answer's head is there.
    async fn open_on(socket: TcpSocket, node: &Node, path: &str, headers: &str) -> Self {
        let headers = format!("accept: text/event-stream\r\n{headers}");
        let stream = connected(node.client_addr(), path, &headers, socket).await;
        let mut lines = BufReader::new(stream).lines();
        let mut head = String::new();
        loop {
            let line = timeout(SURELY, lines.next_line()).await.unwrap().unwrap().unwrap();
            if line.is_empty() {
                break;
            }
            head.push_str(&format!("{line}\n"));
        }
        assert!(head.contains(" 200 ") && head.contains("content-type: text/event-stream"), "{head}");
        Self { lines }
    }

    /// The next event as id, name and data; nothing once the connection has ended.
    async fn next(&mut self) -> Option<(u64, String, Value)> {
        let mut found = Vec::new();
        loop {
            let line = timeout(SURELY, self.lines.next_line()).await.unwrap().unwrap()?;
            if line.is_empty() {
                break;
            }
            found.push(line.split_once(": ").unwrap().1.to_owned());
        }
        let id: Cursor = found[0].parse().unwrap();
        let data: Value = serde_json::from_str(&found[2]).unwrap();
        assert_eq!(data["history"], id.history.to_string());
        Some((id.revision, found[1].clone(), data))
    }

    /// The next event that is no heartbeat.
    async fn next_event(&mut self) -> Option<(u64, String, Value)> {
        let found = async {
            loop {
                let found = self.next().await?;
                if found.1 != "heartbeat" {
                    return Some(found);
                }
            }
        };
        timeout(SURELY, found).await.expect("nothing but heartbeats")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_wakes_with_what_it_waits_for_and_filters_go_on_behind_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |_| {}).await;
    let (status, body) = get(&node, "/v1/events", "").await;
    let (revisions, last) = lines(&body);
    assert_eq!((status, revisions), (200, (1..=GENESIS).collect()), "{body}");
    assert_eq!(last["heartbeat"]["revision"], GENESIS);

    let from = Instant::now();
    assert_eq!(last["heartbeat"]["history"], history(&node).to_string());
    let path = format!("{}&waitMs=15000", after(&node, GENESIS));
    let waiting = get(&node, &path, "");
    let (answer, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        accept(&node, authorization()).await;
    });
    let (revisions, _) = lines(&answer.1);
    assert_eq!(revisions, [GENESIS + 1], "{}", answer.1);
    assert!(from.elapsed() >= Duration::from_millis(300) && from.elapsed() < Duration::from_secs(10));

    for (filter, expected, covered) in [
        ("kind=policy&kind=domain", vec![5, 6], GENESIS + 1),
        ("domain=_root&limit=2", vec![1, 2], 2),
        ("lineage=exec-1", vec![7], GENESIS + 1),
        ("lineage=nothing", vec![], GENESIS + 1),
        ("after=3&domain=prod.eu&confirmed=true", vec![6, 7], GENESIS + 1),
        ("after=7", vec![], GENESIS + 1),
    ] {
        let path = format!("/v1/events?history={}&{filter}", history(&node));
        let (status, body) = get(&node, &path, "").await;
        let (revisions, last) = lines(&body);
        assert_eq!((status, revisions), (200, expected), "{filter}: {body}");
        assert_eq!(last["heartbeat"]["revision"], covered, "{filter}");
        assert_eq!(last["heartbeat"]["ledgerRevision"], GENESIS + 1, "{filter}");
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_parameters_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |_| {}).await;
    let many: String = (0..33).map(|n| format!("&lineage=l-{n}")).collect();
    for (query, field) in [
        ("after=-1", "after"),
        ("after=x", "after"),
        ("after=1&after=2", "after"),
        ("after=1", "history"),
        ("history=blake3:00/e1&after=1", "history"),
        ("kind=nonsense", "kind"),
        ("domain=UPPER", "domain"),
        ("lineage=_other", "lineage"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("waitMs=30001", "waitMs"),
        ("confirmed=1", "confirmed"),
        ("since=1", "since"),
        (&many[1..], "lineage"),
    ] {
        let (status, body) = get(&node, &format!("/v1/events?{query}"), "").await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, problem["field"].as_str()), (400, Some(field)), "{query}: {body}");
    }
    for (query, headers, field) in [
        ("waitMs=5", "", "waitMs"),
        ("limit=5", "", "limit"),
        ("", "last-event-id: x\r\n", "last-event-id"),
        ("", "last-event-id: 4\r\n", "last-event-id"),
    ] {
        let headers = format!("accept: text/html, text/event-stream;q=0.9\r\n{headers}");
        let (status, body) = get(&node, &format!("/v1/events?{query}"), &headers).await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, problem["field"].as_str()), (400, Some(field)), "{query}: {body}");
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_resumes_after_the_last_event_seen_and_ends_when_the_node_stops() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| {
        config.deadlines.events_heartbeat_ms = 100;
        config.deadlines.shutdown_ms = 60_000;
    })
    .await;
    let seen = Cursor { history: history(&node), revision: 4 };
    let mut stream = Stream::open(&node, &after(&node, 1), &format!("last-event-id: {seen}\r\n")).await;
    let (id, name, data) = stream.next().await.unwrap();
    assert_eq!((id, name.as_str(), data["ledgerRevision"].as_u64()), (4, "heartbeat", Some(GENESIS)));
    for revision in 5..=GENESIS {
        assert_eq!(stream.next_event().await.unwrap().0, revision);
    }
    // It beats while there is nothing, and goes on when there is something.
    for _ in 0..3 {
        let (id, name, _) = stream.next().await.unwrap();
        assert_eq!((id, name.as_str()), (GENESIS, "heartbeat"));
    }
    accept(&node, authorization()).await;
    let (id, name, data) = stream.next_event().await.unwrap();
    assert_eq!((id, name.as_str()), (GENESIS + 1, "execution-authorization"));
    assert_eq!((data["lineage"].as_str(), data["sequence"].as_u64()), (Some("exec-1"), Some(0)));
    let (_, page) = get(&node, "/metrics", "").await;
    assert!(page.contains("assent_event_feeds 1\n"), "{page}");
    assert!(page.contains("assent_events_sent_total 3\n"), "{page}");

    // Neither it nor a poll that waits holds the node up, which would give them a minute.
    let address = node.client_addr();
    let mut poll =
        connected(address, &format!("{}&waitMs=30000", after(&node, 7)), "", TcpSocket::new_v4().unwrap())
            .await;
    let end = format!(
        "{{\"end\":{{\"reason\":\"stopping\",\"history\":\"{}\",\"revision\":7}}}}\n",
        history(&node)
    );
    open_feeds(&node, 2).await;
    let from = Instant::now();
    node.shutdown().await;
    assert!(from.elapsed() < Duration::from_secs(20), "{:?}", from.elapsed());
    let (_, name, data) = stream.next_event().await.unwrap();
    assert_eq!((name.as_str(), data["reason"].as_str()), ("end", Some("stopping")));
    assert!(stream.next().await.is_none());
    let mut answer = String::new();
    poll.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with(&end), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_feed_too_many_is_refused_with_the_bound_and_a_left_one_gives_its_place_back() {
    let folder = tempfile::tempdir().unwrap();
    // All of these come from one address, which may have as many as it leaves free.
    let node = alone(folder.path(), |config| config.limits.event_streams = 4).await;
    let stream = Stream::open(&node, "/v1/events", "").await;
    let poll = connected(
        node.client_addr(),
        &format!("{}&waitMs=30000", after(&node, GENESIS)),
        "",
        TcpSocket::new_v4().unwrap(),
    )
    .await;
    open_feeds(&node, 2).await;
    for headers in ["", "accept: text/event-stream\r\n"] {
        let (status, body) = get(&node, "/v1/events", headers).await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, problem["code"].as_str()), (503, Some("overloaded")), "{body}");
        assert!(problem["detail"].as_str().unwrap().contains("4 feeds"), "{body}");
    }
    drop((stream, poll));
    let room = async {
        while get(&node, "/v1/events", "").await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SURELY, room).await.expect("places of those who left are given back");
    node.shutdown().await;
}

/// As many statements as fill what lies between a node and a client that does not read.
fn many(batch: usize) -> Vec<Bytes> {
    let draft = in_prod().draft(&claims::validation("p", PolicyVerdict::Pass));
    let lineage = |n: usize| format!("{}{batch}-{n}", "l".repeat(110));
    (0..1000).map(|n| Bytes::from(draft.clone().lineage(&lineage(n)).sign(&[&key(3)]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_gets_the_end_and_what_came_before_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| {
        config.deadlines.events_slow_ms = 300;
        config.deadlines.http_write_ms = 60_000;
        config.deadlines.submit_ms = 20_000;
        config.limits.event_streams = 1;
    })
    .await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = Stream::open_on(socket, &node, "/v1/events", "").await;
    let mut batch = 0;
    // Its place comes free when it is ended, though it is still connected.
    while get(&node, "/v1/events", "").await.0 != 200 {
        assert!(batch < 15, "nobody ended the deaf client");
        let accepted = node.service().submit_batch(Caller::local(), BatchMode::Each, many(batch)).await;
        let accepted = accepted.unwrap();
        assert!(accepted.iter().all(|one| matches!(one, Submitted::Accepted { .. })));
        batch += 1;
    }
    let mut last = 0;
    loop {
        let (id, name, data) = stream.next_event().await.expect("it ends with its end");
        if name == "end" {
            assert_eq!((data["reason"].as_str(), data["revision"].as_u64()), (Some("too_slow"), Some(last)));
            break;
        }
        assert_eq!(id, last + 1);
        last = id;
    }
    assert!(last > GENESIS && stream.next().await.is_none());
    node.shutdown().await;
}
