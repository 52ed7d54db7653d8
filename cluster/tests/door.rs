//! The client port: which clients are let in at the cap of connections, how long a node waits for a client that sends
//! nothing, too little or something unreadable, and the status of an answer that no use case has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cluster_support::http::{ask, get, is_200, status};
use crate::cluster_support::raw::{
    SURELY, connections, exchange, kept, post, problem, still_answers, to_the_end,
};
use crate::cluster_support::*;
use assent_api::{MAX_AUTHORIZE_BYTES, MAX_BATCH_BYTES, MAX_CLOCK_BYTES, MAX_MEMBER_BYTES};
use assent_cluster::env::PROBE_CONNECTIONS;
use assent_proof::{Code, MAX_ENVELOPE_BYTES};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_cap_probes_are_answered_and_every_other_request_is_told_to_come_back() {
    const PLACES: usize = 3;
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| config.limits.connections = PLACES).await;
    let address = node.client_addr();
    let mut held = Vec::new();
    for _ in 0..PLACES {
        held.push(kept(address).await);
    }
    // More than there are places beyond the cap: each gives its place back.
    for round in 0..PROBE_CONNECTIONS * 2 {
        for probe in ["/livez", "/readyz"] {
            // Without `connection: close`: the node closes it.
            let question = format!("GET {probe} HTTP/1.1\r\nhost: node\r\n\r\n");
            let answer = exchange(address, question.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{round}: {answer}");
            assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        }
        let others = [
            b"GET /v1/cluster/status HTTP/1.1\r\nhost: node\r\n\r\n".to_vec(),
            post("/v1/authorize", "", &request().to_json().to_vec()),
            // Nothing of it is read, and the answer arrives all the same.
            post("/v1/envelopes:batch", "", &vec![b' '; 1 << 20]),
        ];
        for other in others {
            let (head, problem) = problem(&exchange(address, &other).await);
            assert_eq!((problem.status, problem.code), (503, Code::Overloaded), "{head}");
            assert!(problem.detail.starts_with("3 client connections are open"), "{}", problem.detail);
            assert!(head.contains("retry-after: 1") && head.contains("connection: close"), "{head}");
        }
    }
    let page = get(address, "/metrics").await.unwrap();
    assert!(page.contains(&format!("assent_connections {PLACES}\n")), "{page}");
    let refused = PROBE_CONNECTIONS * 2 * 3;
    assert!(page.contains(&format!("assent_refused_connections_total {refused}\n")), "{page}");
    // The cap holds for those within it.
    for stream in &mut held {
        assert!(still_answers(stream).await);
    }
    drop(held);
    let room = async {
        while !is_200(address, "/v1/cluster/status").await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SURELY, room).await.expect("the places within the cap are given back");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_beyond_the_cap_that_say_nothing_are_few_and_lose_their_places_soon() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| config.limits.connections = 1).await;
    let address = node.client_addr();
    let held = kept(address).await;
    let from = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..PROBE_CONNECTIONS {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut one_more = TcpStream::connect(address).await.unwrap();
    let closed = timeout(SURELY, one_more.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    assert!(from.elapsed() < Duration::from_secs(2), "it was closed at once");
    for stream in &mut silent {
        assert_eq!(to_the_end(stream).await, "");
    }
    // Elsewhere a head may take 10 s.
    let held_for = from.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(5)).contains(&held_for), "{held_for:?}");
    assert!(is_200(address, "/livez").await);
    drop(held);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_is_idle_for_longer_than_a_head_may_take_and_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| {
        config.deadlines.http_head_ms = 300;
        config.deadlines.http_idle_ms = 2_000;
    })
    .await;
    let mut stream = kept(node.client_addr()).await;
    sleep(Duration::from_millis(900)).await;
    assert!(still_answers(&mut stream).await, "the deadline of heads ended an idle connection");
    let from = Instant::now();
    assert_eq!(to_the_end(&mut stream).await, "", "nothing was asked, and nothing is said");
    assert!(from.elapsed() >= Duration::from_millis(1_500), "{:?}", from.elapsed());
    eventually("its place is given back", || connections(&node) == 0).await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_head_that_stays_incomplete_gets_408_and_an_idle_connection_gets_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| {
        config.deadlines.http_head_ms = 300;
        config.deadlines.http_idle_ms = 60_000;
    })
    .await;
    let address = node.client_addr();
    let mut fresh = TcpStream::connect(address).await.unwrap();
    let mut again = kept(address).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    for stream in [&mut fresh, &mut again] {
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: ").await.unwrap();
        let (head, problem) = problem(&to_the_end(stream).await);
        assert_eq!((problem.status, problem.code), (408, Code::DeadlineExceeded), "{head}");
        assert!(head.contains("connection: close"), "{head}");
        assert_eq!(problem.detail, "the request's head did not arrive within 300 ms");
    }
    assert_eq!(to_the_end(&mut silent).await, "");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_arrive_in_time_is_answered_with_408() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| config.deadlines.http_body_ms = 300).await;
    for path in ["/v1/authorize", "/v1/envelopes", "/v1/envelopes:batch"] {
        let mut question = post(path, "", b"{}");
        question.truncate(question.len() - 1);
        let (head, problem) = problem(&exchange(node.client_addr(), &question).await);
        assert_eq!((problem.status, problem.code), (408, Code::DeadlineExceeded), "{path}: {head}");
        assert!(head.contains("connection: close"), "{path}: {head}");
        assert!(problem.detail.contains("300 ms"), "{}", problem.detail);
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_before_any_route_is_a_problem_document_too() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |_| {}).await;
    let address = node.client_addr();
    let end = "host: node\r\nconnection: close\r\n\r\n";
    let get = |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\n{headers}{end}").into_bytes();
    let many: String = (0..101).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "y".repeat(80 * 1024));
    let mut bad_byte = get("/v1/domains?after=#", "");
    let place = bad_byte.iter().position(|byte| *byte == b'#').unwrap();
    bad_byte[place] = 0x01;
    let body = vec![b' '; 1 << 20];
    let close = "connection: close\r\n";
    let chunked = "POST /v1/envelopes HTTP/1.1\r\nhost: node\r\ntransfer-encoding: gzip, chunked\r\n\r\n\
                   1\r\nx\r\n0\r\n\r\n";
    let chunked = chunked.as_bytes().to_vec();
    for (what, bytes, status, code) in [
        ("a control byte in the target", bad_byte, 400, Code::Malformed),
        ("a blank in the target", get("/v1/a b", ""), 400, Code::Malformed),
        ("a target that is no UTF-8", get("/v1/policies/%ff", ""), 400, Code::Malformed),
        ("no HTTP", b"hello\r\n\r\n".to_vec(), 400, Code::Malformed),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 400, Code::Malformed),
        ("a header without a colon", get("/livez", "colon\r\n"), 400, Code::Malformed),
        ("a length that is none", get("/livez", "content-length: x\r\n"), 400, Code::Malformed),
        ("an unknown framing", get("/livez", "transfer-encoding: gzip\r\n"), 400, Code::Malformed),
        ("too many headers", get("/livez", &many), 431, Code::TooLarge),
        ("a head that is too long", get("/livez", &long), 431, Code::TooLarge),
        ("a target that is too long", get(&format!("/{}", "a".repeat(80 * 1024)), ""), 431, Code::TooLarge),
        ("a path that is not there", get("/v2", ""), 404, Code::TargetUnknown),
        ("another method", post("/v1/domains", close, b"x"), 405, Code::Malformed),
        (
            "a body under gzip",
            post("/v1/envelopes:batch", "content-encoding: gzip\r\n", &body),
            415,
            Code::EncodingUnsupported,
        ),
        ("a body whose chunks are under gzip", chunked, 415, Code::EncodingUnsupported),
        ("a body that is too large", post("/v1/envelopes", close, &body), 413, Code::TooLarge),
        ("a request that is too large", post("/v1/authorize", close, &body), 413, Code::TooLarge),
    ] {
        let answer = exchange(address, &bytes).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
        let (head, problem) = problem(&answer);
        assert_eq!((problem.status, problem.code), (status, code), "{what}: {head} {}", problem.detail);
        assert!(!problem.detail.is_empty() && !problem.remedy.is_empty(), "{what}");
        if status == 405 {
            assert!(head.contains("\r\nallow: get"), "{what}: {head}");
        }
    }
    // An encoding of nothing, and one that changes nothing, are no reason to refuse.
    let answer = exchange(address, &get("/v1/domains", "content-encoding: gzip\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let identity = format!("content-encoding: identity\r\n{close}");
    let answer = exchange(address, &post("/v1/envelopes", &identity, &authorization())).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_will_be_refused_is_not_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |_| {}).await;
    let address = node.client_addr();
    let head = |path: &str, headers: &str, length: usize| {
        let head = format!("POST {path} HTTP/1.1\r\nhost: node\r\n{headers}content-length: {length}\r\n\r\n");
        head.into_bytes()
    };
    let waits = "expect: 100-continue\r\n";
    for (path, most) in [
        ("/v1/envelopes", MAX_ENVELOPE_BYTES),
        ("/v1/envelopes:batch", MAX_BATCH_BYTES),
        ("/v1/authorize", MAX_AUTHORIZE_BYTES),
        ("/v1/authorize:batch", MAX_BATCH_BYTES),
        ("/v1/permits", MAX_AUTHORIZE_BYTES),
        ("/v1/cluster/members", MAX_MEMBER_BYTES),
        ("/v1/cluster/leader", MAX_MEMBER_BYTES),
        ("/v1/clock/confirm", MAX_CLOCK_BYTES),
    ] {
        let gzip = format!("{waits}content-encoding: gzip\r\n");
        for (headers, length, status, code) in [
            (waits, most + 1, 413, Code::TooLarge),
            // A client that sends its body at once, and slowly, hears as soon.
            ("", most + 1, 413, Code::TooLarge),
            (gzip.as_str(), most, 415, Code::EncodingUnsupported),
        ] {
            let from = Instant::now();
            let (head, problem) = problem(&exchange(address, &head(path, headers, length)).await);
            assert_eq!((problem.status, problem.code), (status, code), "{path} {headers}: {head}");
            assert!(head.contains("connection: close"), "{path} {headers}: {head}");
            // The deadline of bodies is 5 s.
            assert!(from.elapsed() < Duration::from_secs(3), "{path} {headers}: {:?}", from.elapsed());
        }
    }
    // Nor is one that nothing is done with.
    for (line, status, code) in [
        ("POST /nowhere", 404, Code::TargetUnknown),
        ("PUT /v1/envelopes", 405, Code::Malformed),
        ("PATCH /v1/cluster/members/x", 400, Code::Malformed),
        ("POST /v1/cluster/members/%ff/promote", 400, Code::Malformed),
        ("GET /v1/events?limit=0", 400, Code::Malformed),
    ] {
        for headers in ["", waits] {
            let from = Instant::now();
            let head = format!("{line} HTTP/1.1\r\nhost: node\r\n{headers}content-length: 2\r\n\r\n");
            let (head, problem) = problem(&exchange(address, head.as_bytes()).await);
            assert_eq!((problem.status, problem.code), (status, code), "{line} {headers}: {head}");
            assert!(head.contains("connection: close"), "{line} {headers}: {head}");
            assert!(from.elapsed() < Duration::from_secs(3), "{line} {headers}: {:?}", from.elapsed());
        }
    }
    // A refusal of a request that is over ends no connection.
    let mut kept = kept(address).await;
    kept.write_all(b"POST /nowhere HTTP/1.1\r\nhost: node\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let read = timeout(SURELY, kept.read_buf(&mut answer)).await.unwrap().unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
    }
    let (answered, _) = problem(&String::from_utf8(answer).unwrap());
    assert!(!answered.contains("connection: close"), "{answered}");
    assert!(still_answers(&mut kept).await);
    // What is worth reading is asked for.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let headers = format!("{waits}connection: close\r\n");
    stream.write_all(&head("/v1/envelopes", &headers, 2)).await.unwrap();
    let mut asked = [0; 25];
    timeout(SURELY, stream.read_exact(&mut asked)).await.unwrap().unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").await.unwrap();
    let (head, problem) = problem(&to_the_end(&mut stream).await);
    assert_eq!((problem.status, problem.code), (400, Code::Malformed), "{head}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_does_not_name_one_host_is_refused_as_malformed() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |_| {}).await;
    let address = node.client_addr();
    let get = |version: &str, hosts: &str| {
        format!("GET /livez HTTP/{version}\r\n{hosts}connection: close\r\n\r\n").into_bytes()
    };
    for hosts in [
        "",
        "host: node\r\nhost: node\r\n",
        "host: a b\r\n",
        "host: somebody@node\r\n",
        "host: node:abc\r\n",
        "host: node:99999\r\n",
        "host: a,b\r\n",
        "host: *\r\n",
    ] {
        let (head, problem) = problem(&exchange(address, &get("1.1", hosts)).await);
        assert_eq!((problem.status, problem.code), (400, Code::Malformed), "{hosts}: {head}");
        assert!(problem.detail.contains("`Host`"), "{hosts}: {}", problem.detail);
    }
    for (version, hosts) in [("1.1", "host: node:7400\r\n"), ("1.1", "host:\r\n"), ("1.0", "")] {
        let answer = exchange(address, &get(version, hosts)).await;
        assert_eq!(status(&answer), 200, "{version} {hosts}: {answer}");
    }
    node.shutdown().await;
}

/// The calls in the tables of the protocol: of each path, with `x` for each part that has a name, the methods.
fn calls() -> BTreeMap<String, BTreeSet<String>> {
    let page = include_str!("../../docs/protocol.md");
    let mut calls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let mut method = None;
        for call in line.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
            let target = match call.split_once(' ') {
                Some((named, target)) => {
                    method = Some(named.to_owned());
                    target
                }
                None => call,
            };
            // Other tables begin with other words.
            let Some(method) = method.clone().filter(|_| target.starts_with('/')) else { continue };
            let path = target.split('?').next().unwrap();
            let parts: Vec<&str> =
                path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
            calls.entry(parts.join("/")).or_default().insert(method);
        }
    }
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_takes_the_methods_of_the_protocol_and_names_them_to_every_other_one() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |_| {}).await;
    let calls = calls();
    assert!(calls.len() >= 22, "{calls:?}");
    for (path, mut taken) in calls {
        if taken.contains("GET") {
            taken.insert("HEAD".to_owned());
        }
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            let what = format!("{method} {path}");
            let answer = ask(node.client_addr(), &what, &[]).await.unwrap();
            if taken.contains(method) {
                assert_ne!(status(&answer), 405, "{what}: {answer}");
                continue;
            }
            assert_eq!(status(&answer), 405, "{what}: {answer}");
            let (head, _) = answer.split_once("\r\n\r\n").unwrap();
            let head = head.to_lowercase();
            let allow = head.lines().find_map(|line| line.strip_prefix("allow: ")).expect("it has `allow`");
            let allow: BTreeSet<String> =
                allow.split(',').map(|method| method.trim().to_uppercase()).collect();
            assert_eq!(allow, taken, "{what}");
        }
    }
    node.shutdown().await;
}

#[test]
fn an_answer_that_the_protocols_page_does_not_list_is_noticed() {
    let problem = |code: &str| json!({ "code": code });
    let denied = |code: &str| json!({ "decision": "deny", "reasons": [problem(code)] });
    let result = |status: u16, code: &str| {
        let result = json!({ "status": status, "problem": problem(code) });
        json!({ "results": [result] })
    };
    let nothing = || json!({});
    for (method, target, status, body) in [
        ("GET", "/v1/lineages/prod.eu/job-1?limit=1", 200, nothing()),
        ("GET", "/v1/lineages/prod.eu/job-1", 404, problem("lineage_unknown")),
        ("HEAD", "/v1/lineages/prod.eu/job-1", 404, nothing()),
        ("GET", "/readyz", 503, problem("member_exists")),
        ("PUT", "/readyz", 405, problem("malformed")),
        ("GET", "/v2", 404, problem("target_unknown")),
        ("GET", "/v2", 503, problem("overloaded")),
        ("POST", "/v1/authorize", 403, denied("policy_missing")),
        ("POST", "/v1/authorize", 503, denied("policy_missing")),
        ("POST", "/v1/envelopes:batch", 200, result(409, "head_moved")),
        ("POST", "/v1/authorize:batch", 200, json!({ "decisions": [denied("no_quorum")] })),
    ] {
        assert_eq!(documented::undocumented(method, target, status, &body), None);
    }
    for (method, target, status, body, what) in [
        ("GET", "/v1/domains", 204, nothing(), "`GET /v1/domains` with 204 without a code"),
        ("GET", "/readyz", 503, problem("head_moved"), "`GET /readyz` with 503 head_moved"),
        ("GET", "/readyz", 409, problem("member_exists"), "`GET /readyz` with 409 member_exists"),
        ("GET", "/readyz", 405, problem("malformed"), "`GET /readyz` with 405 malformed"),
        ("GET", "/v1/domains", 404, problem("lineage_unknown"), "`GET /v1/domains` with 404 lineage_unknown"),
        ("GET", "/v2", 200, nothing(), "`GET /v2` with 200 without a code"),
        ("POST", "/v1/authorize", 403, denied("no_quorum"), "`POST /v1/authorize` with 403 no_quorum"),
        (
            "POST",
            "/v1/envelopes:batch",
            200,
            result(409, "too_large"),
            "`POST /v1/envelopes` with 409 too_large",
        ),
        (
            "POST",
            "/v1/authorize:batch",
            200,
            json!({ "decisions": [denied("head_moved")] }),
            "`POST /v1/authorize` with 503 head_moved",
        ),
    ] {
        assert_eq!(documented::undocumented(method, target, status, &body).as_deref(), Some(what));
    }
    let answer = "HTTP/1.1 418 I'm a teapot\r\ncontent-length: 2\r\n\r\n{}";
    let noticed = std::panic::catch_unwind(|| documented::check(b"GET /livez HTTP/1.1\r\n\r\n", answer));
    assert!(noticed.is_err(), "the helper lets it pass");
}
