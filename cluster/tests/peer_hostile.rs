//! Peers that are wrong, broken or hostile, as raw bytes.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::time::Duration;

use assent_cluster::peer::{PeerError, PeerLimits, Probe, Vote};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::peer_support::*;

/// What node 2 answers to a first frame.
async fn refusal_of(node: &Node, hello: &[u8]) -> String {
    let mut raw = Raw::connect(node.hub.local_addr()).await;
    raw.frame(1, 0, hello).await;
    let (kind, _, body) = raw.read().await.expect("a refusal is said before hanging up");
    assert_eq!(kind, 2, "kind of {body:?}");
    raw.hung_up().await;
    String::from_utf8(body).unwrap()
}

#[tokio::test]
async fn a_hello_of_another_cluster_target_or_version_or_with_this_nodes_own_id_is_refused() {
    let two = node(2, &[]).await;
    let refused = refusal_of(&two, &hello_bytes([8; 32], 1, 2, SPOKEN)).await;
    assert!(refused.contains("another cluster"), "{refused}");
    let refused = refusal_of(&two, &hello_bytes(CLUSTER, 1, 3, SPOKEN)).await;
    assert_eq!(refused, "this is node `2`, not node `3`");
    let refused = refusal_of(&two, &hello_bytes(CLUSTER, 1, 2, (SPOKEN.1 + 1, 9))).await;
    let newer = format!("protocol versions `{}` to `9`", SPOKEN.1 + 1);
    assert!(refused.contains(&newer), "{refused}");
    let refused = refusal_of(&two, &hello_bytes(CLUSTER, 2, 2, SPOKEN)).await;
    assert_eq!(refused, "this is node `2` itself");
    assert!(!two.hub.is_connected(1) && !two.hub.is_connected(3));
}

#[tokio::test]
async fn a_version_range_that_reaches_ours_is_accepted() {
    let two = node(2, &[]).await;
    let mut raw = Raw::connect(two.hub.local_addr()).await;
    raw.frame(1, 0, &hello_bytes(CLUSTER, 1, 2, (1, 7))).await;
    assert_eq!(raw.read().await.unwrap().0, 1);
    raw.frame(3, 0, &[]).await;
    met(&two, 1).await;
}

#[tokio::test]
async fn a_store_that_the_membership_does_not_bind_is_refused_and_both_sides_say_why() {
    let two = node(2, &[]).await;
    *two.script.refused_store.lock().unwrap() = Some([1; 16]);
    let one = node(1, &[(2, two.hub.local_addr().to_string())]).await;
    eventually("a refusal", || problem(&one, 2).contains("refused by the peer: its store is not the one"))
        .await;

    *two.script.refused_store.lock().unwrap() = None;
    connected(&one, 2).await;

    // The dialer's own refusal, of the acceptor.
    let four = node(4, &[]).await;
    let three = node(3, &[]).await;
    *three.script.refused_store.lock().unwrap() = Some([4; 16]);
    three.hub.ensure_peer(4, &four.hub.local_addr().to_string());
    eventually("a refusal", || problem(&three, 4).contains("refused node `4`: its store is not the one"))
        .await;
    sleep(Duration::from_millis(50)).await;
    assert!(!four.hub.is_connected(3));
}

#[tokio::test]
async fn another_node_behind_the_address_is_told_apart() {
    let three = node(3, &[]).await;
    let one = node(1, &[(2, three.hub.local_addr().to_string())]).await;
    eventually("a refusal", || problem(&one, 2).contains("this is node `3`, not node `2`")).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    one.hub.ensure_peer(4, &listener.local_addr().unwrap().to_string());
    let mut liar = Raw { stream: listener.accept().await.unwrap().0 };
    liar.read().await.unwrap();
    liar.frame(1, 0, &hello_bytes(CLUSTER, 5, 1, SPOKEN)).await;
    let (kind, _, reason) = liar.read().await.unwrap();
    assert_eq!(
        (kind, String::from_utf8(reason).unwrap().as_str()),
        (2, "node `5` answers where node `4` should")
    );
    liar.hung_up().await;
}

#[tokio::test]
async fn a_connection_without_a_valid_hello_is_closed_without_an_answer() {
    let two = node(2, &[]).await;
    let addr = two.hub.local_addr();
    let mut garbage: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0xff; 64],
        vec![0; 64],
        // A frame larger than any handshake's.
        [&4096u32.to_be_bytes()[..], &[1; 4096]].concat(),
    ];
    let mut request_first = (9u32 + 1).to_be_bytes().to_vec();
    request_first.extend([0x22, 0, 0, 0, 0, 0, 0, 0, 1, 0x90]);
    garbage.push(request_first);
    for bytes in garbage {
        let mut raw = Raw::connect(addr).await;
        raw.bytes(&bytes).await;
        raw.hung_up().await;
    }
    // Says nothing, or stops halfway: the deadline hangs up.
    for bytes in [&b""[..], &[0, 0, 0, 100, 1]] {
        let mut raw = Raw::connect(addr).await;
        raw.bytes(bytes).await;
        let started = Instant::now();
        raw.hung_up().await;
        assert!(started.elapsed() < Duration::from_secs(2));
    }
    let _peer = Raw::opened(addr, 1, 2).await;
    met(&two, 1).await;
}

#[tokio::test]
async fn many_silent_connections_keep_no_peer_out_for_long() {
    let two = node(2, &[]).await;
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(TcpStream::connect(two.hub.local_addr()).await.unwrap());
    }
    let one = node(1, &[(2, two.hub.local_addr().to_string())]).await;
    connected(&one, 2).await;
}

#[tokio::test]
async fn malformed_frames_close_the_connection_and_the_node_goes_on() {
    let two = node(2, &[]).await;
    let addr = two.hub.local_addr();
    let bomb = vec![0x91u8; 200_000];
    let four_gib = [0x91, 0xdd, 0xff, 0xff, 0xff, 0xff];
    let four_gib_bytes = [0x91, 0x91, 0x92, 0xc2, 0x91, 0xc6, 0xff, 0xff, 0xff, 0xff];
    let bodies: Vec<(u8, &[u8])> = vec![
        (0x10, &bomb),
        (0x21, &bomb),
        (0x21, &four_gib),
        (0x21, &four_gib_bytes),
        (0x22, &[0x90, 0x00]),
        (0x22, &[]),
        (0x11, &[0xc1]),
        (0x10, b"not messagepack at all"),
        (0x05, &[0x93]),
    ];
    for (kind, body) in bodies {
        let mut raw = Raw::opened(addr, 1, 2).await;
        raw.frame(kind, 7, body).await;
        raw.hung_up().await;
    }
    for announced in [0u32, 8, (4 << 20) + 1, u32::MAX] {
        let mut raw = Raw::opened(addr, 1, 2).await;
        raw.bytes(&announced.to_be_bytes()).await;
        raw.hung_up().await;
    }
    assert!(two.script.appended.lock().unwrap().is_empty());
    let mut raw = Raw::opened(addr, 1, 2).await;
    raw.frame(0x22, 7, &[0x90]).await;
    loop {
        let (kind, id, _) = raw.read().await.unwrap();
        if kind == 0x22 | 0x80 {
            assert_eq!(id, 7);
            break;
        }
    }
}

#[tokio::test]
async fn an_unknown_request_is_answered_as_unsupported_and_unasked_answers_are_dropped() {
    let two = node(2, &[]).await;
    let mut raw = Raw::opened(two.hub.local_addr(), 1, 2).await;
    raw.frame(0x90, 99, &[0xc0]).await;
    raw.frame(0xff, 98, b"junk").await;
    raw.frame(0x6f, 5, &[]).await;
    loop {
        let (kind, id, body) = raw.read().await.unwrap();
        if kind == 0xff {
            assert_eq!((id, body[0], body[1]), (5, 0x92, 3));
            break;
        }
    }
}

#[tokio::test]
async fn a_second_connection_of_a_peer_replaces_the_first() {
    let two = node(2, &[]).await;
    let first = Raw::opened(two.hub.local_addr(), 1, 2).await;
    met(&two, 1).await;
    let mut second = Raw::opened(two.hub.local_addr(), 1, 2).await;
    first.hung_up().await;
    assert!(two.hub.hello(1).is_some());
    second.ping(7).await;
    while second.read().await.unwrap().0 != 5 {}
}

/// Rule R4.
#[tokio::test]
async fn who_dials_in_is_asked_nothing_and_its_clock_is_not_believed() {
    let two = node(2, &[]).await;
    let mut raw = Raw::opened(two.hub.local_addr(), 1, 2).await;
    met(&two, 1).await;
    assert!(!two.hub.is_connected(1));
    assert_eq!(two.hub.call(1, &Probe {}, SOON).await, Err(PeerError::Unreachable(1)));
    // It is pinged, so that it is known to be alive, and says that it is 1970.
    for _ in 0..3 {
        let id = loop {
            let (kind, id, _) = raw.read().await.unwrap();
            assert!(kind < 0x10, "asked by a request of kind {kind:#04x}");
            if kind == 4 {
                break id;
            }
        };
        raw.frame(5, id, &[0x92, 0x00, 0x00]).await;
    }
    raw.ping(7).await;
    while raw.read().await.unwrap().0 != 5 {}
    assert!(two.hub.clock().newest().is_empty());
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_an_error_and_ends_the_connection() {
    for (kind, body) in [(0x22 | 0x80, &b"\xc1"[..]), (0x11 | 0x80, &[0x90]), (0xff, &[0x00])] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let one = node(1, &[(2, listener.local_addr().unwrap().to_string())]).await;
        let mut raw = Raw::accepted(&listener, 2, 1).await;
        connected(&one, 2).await;
        let call = tokio::spawn(one.hub.call(2, &Probe {}, SOON));
        let id = loop {
            let (kind, id, _) = raw.read().await.unwrap();
            if kind == 0x22 {
                break id;
            }
        };
        raw.frame(kind, id, body).await;
        assert!(matches!(call.await.unwrap(), Err(PeerError::Malformed(_))));
        raw.hung_up().await;
    }
}

/// Limits under which silence is borne long, so that only suspicion ends a connection.
fn patient() -> PeerLimits {
    PeerLimits { silence_max: Duration::from_secs(10), ..quick() }
}

/// A peer at the other end of `listener` that shakes hands, reads everything and says nothing more, again and again.
fn deaf_mute(listener: TcpListener, id: u64, dialer: u64) -> std::sync::Arc<std::sync::atomic::AtomicU32> {
    let dialed = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = dialed.clone();
    tokio::spawn(async move {
        loop {
            let mut raw = Raw::accepted(&listener, id, dialer).await;
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                let mut sink = vec![0; 4096];
                while raw.stream.read(&mut sink).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    dialed
}

#[tokio::test]
async fn a_peer_that_accepts_and_never_answers_is_dropped_and_dialed_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let dialed = deaf_mute(listener, 2, 1);
    let one = node_as(identity(1), "127.0.0.1:0", &[(2, addr)], patient(), 0).await;
    connected(&one, 2).await;
    let started = Instant::now();
    let call =
        one.hub.call_patient(2, &Vote(vote_request()), Duration::from_millis(30), Duration::from_secs(60));
    let lost = call.await.unwrap_err();
    assert!(matches!(lost, PeerError::Lost(_)), "{lost:?}");
    // Suspicion found out, not silence.
    assert!(started.elapsed() < patient().silence_max / 2, "{:?}", started.elapsed());
    eventually("a redial", || dialed.load(std::sync::atomic::Ordering::SeqCst) >= 2).await;
}

#[tokio::test]
async fn a_peer_that_only_ever_asks_and_never_answers_is_dropped_once_a_call_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let mut raw = Raw::accepted(&listener, 2, 1).await;
            // As if the other direction were cut: its own pings arrive, nothing is ever heard.
            for id in 0u64.. {
                raw.ping(id).await;
                sleep(Duration::from_millis(20)).await;
                if raw.stream.write_all(&[]).await.is_err() || id > 200 {
                    break;
                }
            }
        }
    });
    let one = node_as(identity(1), "127.0.0.1:0", &[(2, addr)], patient(), 0).await;
    connected(&one, 2).await;
    // As long as nobody waits for anything, it may live.
    sleep(Duration::from_millis(500)).await;
    assert!(one.hub.is_connected(2));
    let started = Instant::now();
    let late = one.hub.call(2, &Vote(vote_request()), Duration::from_millis(40)).await;
    assert_eq!(late, Err(PeerError::Deadline));
    eventually("a drop", || problem(&one, 2).contains("no sign") || !one.hub.is_connected(2)).await;
    assert!(started.elapsed() < patient().silence_max / 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_peer_that_stops_reading_fills_a_bounded_queue_and_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let one = node(1, &[(2, listener.local_addr().unwrap().to_string())]).await;
    let stuck = Raw::accepted(&listener, 2, 1).await;
    connected(&one, 2).await;
    let message = append(1, 1 << 20);
    let calls: Vec<_> = (0..100).map(|_| one.hub.call(2, &message, SOON)).collect();
    let mut full = 0;
    for call in calls {
        match call.await {
            Err(PeerError::Full) => full += 1,
            Err(PeerError::Lost(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(full >= 60, "{full}");
    drop(stuck);
}

#[tokio::test]
async fn a_peer_that_asks_without_reading_the_answers_is_dropped() {
    let two = node(2, &[]).await;
    let mut raw = Raw::opened(two.hub.local_addr(), 1, 2).await;
    met(&two, 1).await;
    let mut burst = Vec::new();
    for id in 0..20_000u64 {
        burst.extend(11u32.to_be_bytes());
        burst.push(4);
        burst.extend(id.to_be_bytes());
        burst.extend([0x91, 0x00]);
    }
    eventually_dropped(&two, &mut raw, &burst).await;
}

async fn eventually_dropped(node: &Node, raw: &mut Raw, burst: &[u8]) {
    let until = Instant::now() + SOON;
    while node.hub.hello(1).is_some() {
        assert!(Instant::now() < until, "the peer was not dropped");
        let _ = tokio::time::timeout(Duration::from_millis(100), raw.stream.write_all(burst)).await;
    }
}

#[tokio::test]
async fn a_peer_behind_a_slow_link_is_kept_as_long_as_more_reaches_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let one = node_as(identity(1), "127.0.0.1:0", &[(2, addr)], patient(), 0).await;
    let mut raw = Raw::accepted(&listener, 2, 1).await;
    connected(&one, 2).await;
    let message = append(1, 3 << 20);
    let call = one.hub.call_patient(2, &message, Duration::from_millis(30), Duration::from_secs(60));
    let call = tokio::spawn(call);
    // Reads one large append over two seconds and answers nothing meanwhile, but says how much has come.
    let (mut received, mut sink) = (0usize, vec![0; 64 * 1024]);
    while received < 3 << 20 {
        received += raw.stream.read(&mut sink).await.unwrap();
        let mut body = vec![0x91, 0xcf];
        body.extend((received as u64).to_be_bytes());
        raw.frame(4, 0, &body).await;
        sleep(Duration::from_millis(40)).await;
    }
    assert!(one.hub.is_connected(2), "{}", problem(&one, 2));
    // From here on nothing more reaches it, and it goes on pinging.
    eventually("a drop", || !one.hub.is_connected(2)).await;
    assert!(matches!(call.await.unwrap(), Err(PeerError::Lost(_))));
}

#[tokio::test]
async fn a_store_that_turns_out_to_be_bound_to_no_one_is_cut_off_at_its_next_frame() {
    let two = node(2, &[]).await;
    let mut raw = Raw::opened(two.hub.local_addr(), 1, 2).await;
    met(&two, 1).await;
    raw.ping(1).await;
    while raw.read().await.unwrap().0 != 5 {}
    *two.script.unbound_store.lock().unwrap() = Some([1; 16]);
    raw.ping(2).await;
    raw.hung_up().await;
    eventually("the reason", || problem(&two, 1).contains("it is bound to another store")).await;
}

#[tokio::test]
async fn a_recovery_that_is_shown_before_any_hello_is_not_heeded() {
    let two = node(2, &[]).await;
    let mut stranger = Raw::connect(two.hub.local_addr()).await;
    stranger.frame(6, 0, b"root says so").await;
    stranger.hung_up().await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let one = node(1, &[(2, listener.local_addr().unwrap().to_string())]).await;
    let mut answering = Raw { stream: listener.accept().await.unwrap().0 };
    assert_eq!(answering.read().await.unwrap().0, 1, "a hello arrives");
    answering.frame(6, 0, b"root says so").await;
    answering.hung_up().await;
    assert!(two.script.recovered.lock().unwrap().is_empty());
    assert!(one.script.recovered.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_recovery_is_heeded_of_the_peer_that_said_hello_before_it() {
    let two = node(2, &[]).await;
    let mut dialing = Raw::connect(two.hub.local_addr()).await;
    dialing.frame(1, 0, &hello_bytes(CLUSTER, 1, 2, SPOKEN)).await;
    assert_eq!(dialing.read().await.unwrap().0, 1, "a hello comes back");
    dialing.frame(6, 0, b"root says so").await;
    dialing.hung_up().await;
    assert_eq!(*two.script.recovered.lock().unwrap(), [1]);

    // A node that is not admitted any more is told so by the one that it dials, and by the one that dials it.
    *two.script.refused_store.lock().unwrap() = Some([1; 16]);
    *two.script.recovery.lock().unwrap() = Some(bytes::Bytes::from_static(b"root says so"));
    let one = node(1, &[(2, two.hub.local_addr().to_string())]).await;
    eventually("a statement", || one.script.recovered.lock().unwrap().contains(&2)).await;
    eventually("the reason", || problem(&one, 2).contains("was recovered without this node")).await;
    let four = node(4, &[]).await;
    *two.script.refused_store.lock().unwrap() = Some([4; 16]);
    two.hub.ensure_peer(4, &four.hub.local_addr().to_string());
    eventually("a statement", || four.script.recovered.lock().unwrap().contains(&2)).await;
}

#[tokio::test]
async fn a_hello_request_or_answer_with_a_term_over_the_bound_ends_the_connection() {
    let two = node(2, &[]).await;
    let mut hello = hello_bytes(CLUSTER, 1, 2, SPOKEN);
    let at = hello.len() - 16;
    hello[at..at + 8].copy_from_slice(&u64::MAX.to_be_bytes());
    let refused = refusal_of(&two, &hello).await;
    assert!(refused.contains("the largest that this node's clock allows"), "{refused}");

    let one = node(1, &[(2, two.hub.local_addr().to_string())]).await;
    let last = openraft::Vote::new(u64::MAX, 1);
    let vote = Vote(openraft::raft::VoteRequest::new(last, None));
    let lost = asked(&one, 2, &vote).await;
    assert!(matches!(lost, Err(PeerError::Lost(_))), "{lost:?}");
    let mut remembered = append(1, 10);
    remembered.acknowledged = vec![assent_cluster::peer::Acknowledged { node: 1, term: 1, index: u64::MAX }];
    let lost = asked(&one, 2, &remembered).await;
    assert!(matches!(lost, Err(PeerError::Lost(_))), "{lost:?}");
    assert!(two.script.appended.lock().unwrap().is_empty());

    // An answer is held against the same bound.
    *two.script.voted.lock().unwrap() = Some(u64::MAX);
    let answered = asked(&one, 2, &Vote(vote_request())).await;
    assert!(matches!(answered, Err(PeerError::Malformed(_))), "{answered:?}");
}

#[tokio::test]
async fn a_node_accepts_no_more_peers_of_its_cluster_than_it_has_open_files_for() {
    let two = node_as(identity(2), "127.0.0.1:0", &[], patient(), 0).await;
    let addr = two.hub.local_addr();
    let most = two.hub.limits().peers_max as u64;
    let mut open = Vec::new();
    for id in 100..100 + most {
        open.push(Raw::opened(addr, id, 2).await);
        met(&two, id).await;
    }
    let refused = refusal_of(&two, &hello_bytes(CLUSTER, 90, 2, SPOKEN)).await;
    assert_eq!(
        refused,
        "this node knows 32 other nodes already, and takes connections from no more until one of them is gone"
    );
    assert_eq!(two.hub.known().len() as u64, most);
    // One that it knows may connect anew.
    open.push(Raw::opened(addr, 101, 2).await);
    // Once one is gone there is room for another.
    drop(open.remove(0));
    eventually("an end", || two.hub.hello(100).is_none()).await;
    let until = Instant::now() + SOON;
    loop {
        let mut raw = Raw::connect(addr).await;
        raw.frame(1, 0, &hello_bytes(CLUSTER, 90, 2, SPOKEN)).await;
        if raw.read().await.unwrap().0 == 1 {
            break;
        }
        assert!(Instant::now() < until, "there is never room again");
        sleep(Duration::from_millis(5)).await;
    }
    two.hub.shutdown().await;
}
