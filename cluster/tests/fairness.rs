//! The shares of a node that its callers have: requests, places and turns that one caller cannot take from another. Over
//! real sockets.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::cluster_support::held::Held;
use crate::cluster_support::http::get;
use crate::cluster_support::over_tls::{answer_to, connector};
use crate::cluster_support::raw::{connect_from, exchange, exchange_from, post, problem};
use crate::cluster_support::token_callers::{caller, client, serve_tls};
use crate::cluster_support::*;
use assent_api::{BatchMode, MAX_BATCH, authorize_batch_body, batch_body};
use assent_cluster::access::Role;
use assent_cluster::env::Environment;
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use assent_proof::Code;
use tokio::io::AsyncWriteExt;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

/// It fails if a batch is charged as one request, if requests are counted over all addresses, or if a request beyond the
/// rate is evaluated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_beyond_its_rate_is_refused_without_a_signature_and_another_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| {
        (config.limits.caller_rate, config.limits.caller_burst) = (1, MAX_BATCH);
    })
    .await;
    let answer = node.service().submit(Caller::local(), authorization().into()).await;
    assert!(answer.problem().is_none(), "{answer:?}");
    let address = node.client_addr();
    let close = "connection: close\r\n";
    let batch = post("/v1/authorize:batch", close, &authorize_batch_body(&vec![request(); MAX_BATCH]));
    let first = exchange(address, &batch).await;
    assert!(first.starts_with("HTTP/1.1 200"), "{}", &first[..first.len().min(600)]);

    let signatures = node.service().metrics().decision_signatures();
    let (head, refused) = problem(&exchange(address, &batch).await);
    assert_eq!((refused.status, refused.code), (503, Code::Overloaded), "{head}");
    assert!(refused.detail.contains("limits.caller_rate"), "{}", refused.detail);
    assert!(head.contains("retry-after: 1"), "{head}");
    // One of a few is beyond the rate of one a second.
    let single = post("/v1/authorize", close, &request().to_json().to_vec());
    let mut denied = None;
    for _ in 0..50 {
        let answer = exchange(address, &single).await;
        if answer.starts_with("HTTP/1.1 503") {
            denied = Some(answer);
            break;
        }
    }
    let denied = denied.expect("a request is beyond the rate");
    assert!(denied.contains("\"decision\":\"deny\"") && denied.contains("limits.caller_rate"), "{denied}");
    assert!(!denied.contains("\"receipt\":{"), "{denied}");
    let other = exchange_from("127.0.0.2", address, &single).await;
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    assert!(node.service().metrics().decision_signatures() - signatures < 50);
    node.shutdown().await;
}

/// It fails if the requests that a caller has under way are not counted or are counted over all callers, if a refusal does not
/// name the bound, if the metrics do not show it, or if a request that has ended still counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_with_as_many_requests_under_way_as_it_may_have_gets_no_more_and_another_is_served() {
    const UNDER_WAY: usize = 3;
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| {
        config.limits.caller_requests = UNDER_WAY;
        config.deadlines.events_heartbeat_ms = 200;
    })
    .await;
    let answer = node.service().submit(Caller::local(), authorization().into()).await;
    assert!(answer.problem().is_none(), "{answer:?}");
    let (address, status) = (node.client_addr(), node.service().status(Caller::local()));
    let poll = format!(
        "GET /v1/events?history={}&after={}&waitMs=30000 HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n",
        status.history, status.revision
    );
    let mut polls = Vec::new();
    for _ in 0..UNDER_WAY {
        let mut stream = connect_from("127.0.0.2", address).await;
        stream.write_all(poll.as_bytes()).await.unwrap();
        polls.push(stream);
    }
    let shows = async |line: &str| get(address, "/metrics").await.unwrap().lines().any(|shown| shown == line);
    let until = Instant::now() + Duration::from_secs(20);
    while !shows("assent_event_feeds 3").await {
        assert!(Instant::now() < until, "the polls are not under way");
        sleep(Duration::from_millis(20)).await;
    }

    let close = "connection: close\r\n";
    let read = format!("GET /v1/domains HTTP/1.1\r\nhost: node\r\n{close}\r\n").into_bytes();
    let envelope = post("/v1/envelopes", close, &quarantine("exec-1"));
    for (asked, status) in [(&read, 503), (&envelope, 429)] {
        let (head, refused) = problem(&exchange_from("127.0.0.2", address, asked).await);
        assert_eq!((refused.status, refused.code), (status, Code::Overloaded), "{head}");
        let named = "this caller has 3 requests under way";
        assert!(
            refused.detail.contains(named) && refused.detail.contains("`limits.caller_requests`"),
            "{}",
            refused.detail
        );
    }
    let single = post("/v1/authorize", close, &request().to_json().to_vec());
    let denied = exchange_from("127.0.0.2", address, &single).await;
    assert!(denied.starts_with("HTTP/1.1 503") && denied.contains("\"decision\":\"deny\""), "{denied}");
    assert!(denied.contains("limits.caller_requests") && !denied.contains("\"receipt\":{"), "{denied}");
    let probe = format!("GET /livez HTTP/1.1\r\nhost: node\r\n{close}\r\n").into_bytes();
    let probe = exchange_from("127.0.0.2", address, &probe).await;
    assert!(probe.starts_with("HTTP/1.1 200"), "{probe}");
    let other = exchange_from("127.0.0.3", address, &single).await;
    assert!(other.starts_with("HTTP/1.1 200") && other.contains("\"decision\":\"allow\""), "{other}");
    // The read, the envelope and the authorize.
    for line in [
        "assent_refused_callers_total{reason=\"caller_requests\"} 3",
        "assent_limited_total{limit=\"caller_requests\"} 3",
    ] {
        assert!(shows(line).await, "no `{line}`: {:?}", get(address, "/metrics").await);
    }

    drop(polls.pop());
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = exchange_from("127.0.0.2", address, &single).await;
        if answer.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(Instant::now() < until, "the request that has ended still counts: {answer}");
        sleep(Duration::from_millis(50)).await;
    }
    node.shutdown().await;
}

/// It fails if the callers of a port with plain HTTP are one caller, so that one address takes every place of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_plain_http_one_address_leaves_places_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = configs(folder.path()).swap_remove(0);
    config.voters.truncate(1);
    // Half of it is for batches.
    config.limits.submit_queue = 2 * MAX_BATCH;
    config.limits.registry_flush_ms = 60_000;
    config.limits.disk_reserve_mib = 0;
    config.deadlines.submit_ms = 60_000;
    let held = Arc::new(Held::default());
    let env = Environment { blocking: held.clone(), long: held.clone(), ..environment(&config).await };
    let node = Node::start(config, env).await.unwrap();
    ready(&node).await;
    let body = batch_body(BatchMode::Each, &vec!["{}"; 400]).unwrap();
    let batch = post("/v1/envelopes:batch", "connection: close\r\n", &body);
    let address = node.client_addr();
    let send = |from: &'static str| {
        let batch = batch.clone();
        tokio::spawn(async move { exchange_from(from, address, &batch).await })
    };
    held.hold();
    let first = send("127.0.0.2");
    eventually("the first batch has its places", || held.count() == 1).await;
    let (head, refused) = problem(&exchange_from("127.0.0.2", address, &batch).await);
    assert_eq!((refused.status, refused.code), (429, Code::Overloaded), "{head}");
    assert!(refused.detail.contains("this caller holds 400"), "{}", refused.detail);
    assert_eq!(held.count(), 1, "work was begun for it");
    let other = send("127.0.0.3");
    eventually("another address has places", || held.count() == 2).await;
    held.let_go();
    for answer in [first, other] {
        let answer = timeout(Duration::from_secs(20), answer).await.expect("it is answered").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    node.shutdown().await;
}

/// It fails if long calls are served in the order of their arrival, or if one caller may hold every place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_caller_floods_another_is_allowed_and_a_revocation_is_accepted() {
    const FLOODING: usize = 24;
    let folder = tempfile::tempdir().unwrap();
    let (flood, flood_token) = caller(folder.path(), "flood", &[Role::Scheduler], 1);
    let (quiet, quiet_token) = caller(folder.path(), "quiet", &[Role::Gateway], 2);
    let (governs, governs_token) = caller(folder.path(), "governs", &[Role::Submitter], 3);
    let mut ca = None;
    let node = alone(folder.path(), |config| {
        ca = Some(serve_tls(config, folder.path()));
        config.callers = vec![flood, quiet, governs];
    })
    .await;
    let ca = ca.unwrap();
    let governs = client(&node, &ca, &governs_token);
    governs.submit(authorization()).await.unwrap();
    let quiet = client(&node, &ca, &quiet_token);
    assert!(quiet.authorize(&request()).await.unwrap().is_allow());

    let (ended, batches) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let connector = connector(ca.certificate_path(), None);
    let flooding: Vec<_> = (0..FLOODING)
        .map(|_| {
            let headers = format!("authorization: Bearer {}\r\nconnection: close\r\n", flood_token.expose());
            let body = authorize_batch_body(&vec![request(); MAX_BATCH]);
            let bytes = post("/v1/authorize:batch", &headers, &body);
            let (connector, address) = (connector.clone(), node.client_addr());
            let (ended, batches) = (ended.clone(), batches.clone());
            tokio::spawn(async move {
                while !ended.load(Ordering::SeqCst) {
                    // It is decided or shed, which is the same to the others.
                    if !answer_to(&connector, address, &bytes).await.is_empty() {
                        batches.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    sleep(Duration::from_millis(500)).await;

    // Without a client that would ask again until it is allowed.
    let headers = format!("authorization: Bearer {}\r\nconnection: close\r\n", quiet_token.expose());
    let single = post("/v1/authorize", &headers, &request().to_json().to_vec());
    let pair = post("/v1/authorize:batch", &headers, &authorize_batch_body(&[request(), request()]));
    for round in 0..40 {
        let asked = if round % 8 == 7 { &pair } else { &single };
        let answer = answer_to(&connector, node.client_addr(), asked).await;
        let answer = String::from_utf8_lossy(&answer);
        let allowed = answer.contains("\"decision\":\"allow\"") && !answer.contains("\"decision\":\"deny\"");
        assert!(answer.starts_with("HTTP/1.1 200") && allowed, "{round}: {answer}");
    }
    let from = Instant::now();
    let held = governs.submit(quarantine("exec-1")).await;
    assert!(held.is_ok(), "{held:?}");
    // Far above the second that it is to take, for machines that are busy.
    assert!(from.elapsed() < Duration::from_secs(5), "{:?}", from.elapsed());
    let decision = quiet.authorize(&request()).await.unwrap();
    assert!(!decision.is_allow(), "{decision:?}");

    ended.store(true, Ordering::SeqCst);
    for task in flooding {
        task.await.unwrap();
    }
    assert!(batches.load(Ordering::SeqCst) > 0);
    node.shutdown().await;
}

/// It fails if a caller has more calls in work beside another than it may, if what waits is never refused, if a refusal does
/// not name the bound, or if a restriction waits behind its caller's other calls. `caller_work` is 1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_another_caller_each_has_a_bounded_number_of_calls_in_work_and_restrictions_do_not_wait() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = configs(folder.path()).swap_remove(0);
    config.voters.truncate(1);
    config.limits.caller_work = 1;
    config.limits.disk_reserve_mib = 0;
    config.limits.registry_flush_ms = 60_000;
    config.deadlines.authorize_ms = 1_000;
    config.deadlines.read_ms = 60_000;
    config.deadlines.submit_ms = 60_000;
    let held = Arc::new(Held::default());
    let env = Environment { blocking: held.clone(), long: held.clone(), ..environment(&config).await };
    let node = Node::start(config, env).await.unwrap();
    ready(&node).await;
    let answer = node.service().submit(Caller::local(), authorization_for("exec-1").into()).await;
    assert!(answer.problem().is_none(), "{answer:?}");
    let address = node.client_addr();
    let read = b"GET /v1/domains HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n".to_vec();
    let batch = authorize_batch_body(&vec![request(); 2]);
    let batch = post("/v1/authorize:batch", "connection: close\r\n", &batch);
    let send = |from: &'static str, call: &[u8]| {
        let call = call.to_vec();
        tokio::spawn(async move { exchange_from(from, address, &call).await })
    };
    // The node is short of processors.
    let hogs: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(async {
                loop {
                    std::thread::sleep(Duration::from_millis(5));
                    yield_now().await;
                }
            })
        })
        .collect();
    let seen = async {
        for _ in 0..20 {
            let answer = exchange_from("127.0.0.3", address, &read).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    };
    timeout(Duration::from_secs(60), seen).await.expect("it is answered");
    hogs.iter().for_each(tokio::task::JoinHandle::abort);
    held.hold();
    // What the node does every second is held by then.
    sleep(Duration::from_millis(2_500)).await;
    let own = held.count();
    // Another caller is at work as long as its read is held.
    let other = send("127.0.0.3", &read);
    eventually("the other caller is at work", || held.count() == own + 1).await;
    let first = send("127.0.0.2", &read);
    eventually("a first read is in work", || held.count() == own + 2).await;
    let second = send("127.0.0.2", &read);
    let restriction =
        send("127.0.0.2", &post("/v1/envelopes", "connection: close\r\n", &quarantine("exec-1")));
    eventually("the restriction is in work", || held.count() == own + 3).await;
    // A first batch takes the place of batches, and a second one gives up.
    let in_work = send("127.0.0.2", &batch);
    eventually("a batch is in work", || held.count() == own + 4).await;
    let (head, refused) = problem(&exchange_from("127.0.0.2", address, &batch).await);
    assert_eq!((refused.status, refused.code), (503, Code::Overloaded), "{head}");
    assert!(refused.detail.contains("`limits.caller_work`"), "{}", refused.detail);
    assert_eq!(held.count(), own + 4, "the second read or the second batch is in work");
    held.let_go();
    for (answer, status) in [(other, "200"), (first, "200"), (second, "200"), (restriction, "201")] {
        let answer = timeout(Duration::from_secs(20), answer).await.expect("it is answered").unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    let _ = timeout(Duration::from_secs(20), in_work).await.expect("it is answered");
    let page = get(address, "/metrics").await.unwrap();
    for line in [
        "assent_refused_callers_total{reason=\"caller_work\"} 1",
        "assent_limited_total{limit=\"caller_work\"} 2",
    ] {
        assert!(page.lines().any(|shown| shown == line), "no `{line}`");
    }
    node.shutdown().await;
}
