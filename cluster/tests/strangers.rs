//! Strangers and addresses: what connections without a credential, and many connections of one address, can take from callers
//! at other addresses. Over real sockets.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::cluster_support::over_tls::{answer_to, connector};
use crate::cluster_support::raw::{connect_from, exchange, exchange_from, kept, post, problem};
use crate::cluster_support::token_callers::{caller, client, serve_tls};
use crate::cluster_support::*;
use assent_cluster::access::Role;
use assent_cluster::usecase::Caller;
use assent_proof::Code;
use assent_tls::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

/// It fails if connections are bounded only in total, if the refusal does not name the bound, or if probes are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_take_the_connections_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| config.limits.connections_per_address = 3).await;
    let address = node.client_addr();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(kept(address).await);
    }
    let status = b"GET /v1/cluster/status HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
    let (head, refused) = problem(&exchange(address, status).await);
    assert_eq!((refused.status, refused.code), (503, Code::Overloaded), "{head}");
    assert!(refused.detail.contains("limits.connections_per_address"), "{}", refused.detail);
    assert!(head.contains("retry-after: 1") && head.contains("connection: close"), "{head}");
    let probe = exchange(address, b"GET /livez HTTP/1.1\r\nhost: node\r\n\r\n").await;
    assert!(probe.starts_with("HTTP/1.1 200"), "{probe}");
    // However many more it makes, another address gets in.
    let mut more = Vec::new();
    for _ in 0..50 {
        more.push(TcpStream::connect(address).await.unwrap());
    }
    let other = exchange_from("127.0.0.2", address, status).await;
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    let metrics = b"GET /metrics HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
    let page = exchange_from("127.0.0.2", address, metrics).await;
    let counted = page.lines().find_map(|line| {
        line.strip_prefix("assent_limited_total{limit=\"connections_per_address\"} ")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    assert!(counted.is_some_and(|counted| counted >= 47), "{counted:?}");
    drop((held, more));
    node.shutdown().await;
}

/// It fails if a caller without a credential can have one refusal after the other on one connection, without waiting for
/// any of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_stranger_has_one_answer_on_a_connection_and_a_known_caller_has_all() {
    let folder = tempfile::tempdir().unwrap();
    let (known, token) = caller(folder.path(), "known", &[Role::Auditor], 2);
    let mut ca = None;
    let node = alone(folder.path(), |config| {
        ca = Some(serve_tls(config, folder.path()));
        config.callers = vec![known];
    })
    .await;
    let connector = connector(ca.unwrap().certificate_path(), None);
    let body = request().to_json().to_vec();
    let shown = format!("authorization: Bearer {}\r\n", token.expose());
    for (headers, status, answers) in [("", "401", 1), (shown.as_str(), "200", 3)] {
        let get = |close: &str| format!("GET /v1/domains HTTP/1.1\r\nhost: node\r\n{headers}{close}\r\n");
        let three = [get(""), get(""), get("connection: close\r\n")].concat();
        let answer = answer_to(&connector, node.client_addr(), three.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.matches(&format!("HTTP/1.1 {status}")).count(), answers, "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), answers, "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    let twice = post("/v1/authorize", "", &body).repeat(2);
    let answer = answer_to(&connector, node.client_addr(), &twice).await;
    let answer = String::from_utf8_lossy(&answer);
    assert_eq!(answer.matches("HTTP/1.1 403").count(), 1, "{answer}");
    assert!(answer.contains("\"decision\":\"deny\""), "{answer}");
    node.shutdown().await;
}

/// It fails if the handshakes of all addresses wait in one line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_handshakes_of_one_address_hold_up_no_other_address() {
    let folder = tempfile::tempdir().unwrap();
    let (quiet, token) = caller(folder.path(), "quiet", &[Role::Auditor], 2);
    let mut ca = None;
    let node = alone(folder.path(), |config| {
        ca = Some(serve_tls(config, folder.path()));
        config.callers = vec![quiet];
    })
    .await;
    let ca = ca.unwrap();
    // More than there may be handshakes in all.
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(connect_from("127.0.0.2", node.client_addr()).await);
    }
    sleep(Duration::from_millis(200)).await;
    let from = Instant::now();
    let status = client(&node, &ca, &token).status().await;
    assert!(status.is_ok(), "{status:?}");
    assert!(from.elapsed() < Duration::from_secs(5), "it waited for the silent ones: {:?}", from.elapsed());
    drop(silent);
    node.shutdown().await;
}

/// It fails if a handshake has its turn while it waits for the first byte, or for longer than 2 s after it: each address has
/// as many turns as it may have, and together they have all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_handshakes_of_many_addresses_do_not_keep_a_caller_out() {
    let folder = tempfile::tempdir().unwrap();
    let (quiet, token) = caller(folder.path(), "quiet", &[Role::Auditor], 2);
    let mut ca = None;
    let node = alone(folder.path(), |config| {
        ca = Some(serve_tls(config, folder.path()));
        config.callers = vec![quiet];
    })
    .await;
    let ca = ca.unwrap();
    // Nothing, and the first byte of a handshake.
    for sent in [b"".as_slice(), b"\x16"] {
        let mut silent = Vec::new();
        for address in 2..=10 {
            for _ in 0..32 {
                let mut stream = connect_from(&format!("127.0.0.{address}"), node.client_addr()).await;
                stream.write_all(sent).await.unwrap();
                silent.push(stream);
            }
        }
        sleep(Duration::from_millis(200)).await;
        let from = Instant::now();
        let status = client(&node, &ca, &token).status().await;
        assert!(status.is_ok(), "{sent:?}: {status:?}");
        let waited = from.elapsed();
        assert!(waited < Duration::from_secs(5), "it waited for the silent ones: {sent:?} {waited:?}");
        drop(silent);
    }
    node.shutdown().await;
}

/// What a stranger does with a connection.
#[derive(Debug, Clone, Copy)]
enum Stranger {
    /// It sends nothing.
    Silent,
    /// It sends the first byte of a handshake.
    FirstByte,
    /// It sends a part of a client's hello.
    HalfHello,
    /// It sends a part of a request's head.
    HalfHead,
    /// It sends a head, and a part of the body.
    HalfBody,
    /// It sends many requests without a credential, and waits for no answer.
    Pipelined,
}

impl Stranger {
    const ALL: [Self; 6] =
        [Self::Silent, Self::FirstByte, Self::HalfHello, Self::HalfHead, Self::HalfBody, Self::Pipelined];

    /// What it sends, and whether it does so within TLS.
    fn says(self) -> (Vec<u8>, bool) {
        let pipelined = || {
            let get = b"GET /v1/domains HTTP/1.1\r\nhost: node\r\n\r\n".to_vec();
            [get, post("/v1/authorize", "", &request().to_json().to_vec())].concat().repeat(20)
        };
        match self {
            Self::Silent => (Vec::new(), false),
            Self::FirstByte => (b"\x16".to_vec(), false),
            // A record of 512 bytes with a hello in it, of which little comes.
            Self::HalfHello => (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), false),
            Self::HalfHead => (b"GET /v1/domains HTTP/1.1\r\nhost: no".to_vec(), true),
            Self::HalfBody => {
                let head = "POST /v1/authorize HTTP/1.1\r\nhost: node\r\ncontent-length: 500\r\n\r\n{\"";
                (head.as_bytes().to_vec(), true)
            }
            Self::Pipelined => (pipelined(), true),
        }
    }

    /// One connection from this address, which is held for that long. Returns whether the node took what was said.
    async fn comes(self, connector: &TlsConnector, from: &str, to: SocketAddr, held: Duration) -> bool {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let Ok(mut stream) = socket.connect(to).await else { return false };
        let (bytes, within_tls) = self.says();
        if !within_tls {
            let taken = stream.write_all(&bytes).await.is_ok();
            sleep(held).await;
            return taken;
        }
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connecting = timeout(Duration::from_secs(5), connector.connect(name, stream));
        let Ok(Ok(mut stream)) = connecting.await else { return false };
        let taken = stream.write_all(&bytes).await.is_ok();
        sleep(held).await;
        taken
    }
}

/// Numbers that look drawn and are the same in every run (xorshift64).
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    fn stranger(&mut self) -> usize {
        usize::try_from(self.below(Stranger::ALL.len() as u64)).unwrap()
    }
}

/// It fails if connections of strangers at several addresses hold what a caller at another address needs: places for
/// connections, turns at handshakes, or the node's threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_at_many_addresses_that_say_half_or_too_much_delay_no_caller_at_another() {
    const ADDRESSES: u64 = 6;
    /// More than the node takes of one address.
    const OF_EACH: u64 = 10;
    const CALLS: usize = 30;
    /// Far above what a call takes, for machines that are busy.
    const DEADLINE: Duration = Duration::from_secs(5);
    let folder = tempfile::tempdir().unwrap();
    let (quiet, token) = caller(folder.path(), "quiet", &[Role::Gateway, Role::Submitter], 2);
    let mut ca = None;
    let node = alone(folder.path(), |config| {
        ca = Some(serve_tls(config, folder.path()));
        config.callers = vec![quiet];
        config.limits.connections_per_address = 8;
        config.limits.handshakes_per_address = 4;
    })
    .await;
    let answer = node.service().submit(Caller::local(), authorization().into()).await;
    assert!(answer.problem().is_none(), "{answer:?}");
    let (connector, address) = (connector(ca.unwrap().certificate_path(), None), node.client_addr());
    let ended = Arc::new(AtomicBool::new(false));
    let came: Arc<[AtomicU64; 6]> = Arc::default();
    let strangers: Vec<_> = (0..ADDRESSES * OF_EACH)
        .map(|number| {
            let (connector, ended, came) = (connector.clone(), ended.clone(), came.clone());
            let mut drawn = Drawn(0x9e37_79b9_7f4a_7c15 ^ (number + 1));
            tokio::spawn(async move {
                let from = format!("127.0.0.{}", 2 + number % ADDRESSES);
                while !ended.load(Ordering::SeqCst) {
                    let (which, held) = (drawn.stranger(), Duration::from_millis(200 + drawn.below(800)));
                    if Stranger::ALL[which].comes(&connector, &from, address, held).await {
                        came[which].fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    sleep(Duration::from_millis(500)).await;

    let headers = format!("authorization: Bearer {}\r\nconnection: close\r\n", token.expose());
    let single = post("/v1/authorize", &headers, &request().to_json().to_vec());
    let mut slowest = Duration::ZERO;
    for call in 0..CALLS {
        let from = Instant::now();
        let answer = timeout(DEADLINE, answer_to(&connector, address, &single)).await;
        let answer = answer.unwrap_or_else(|_| panic!("call {call} has no answer within {DEADLINE:?}"));
        slowest = slowest.max(from.elapsed());
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("\"decision\":\"allow\""),
            "{call}: {answer}"
        );
        sleep(Duration::from_millis(100)).await;
    }
    ended.store(true, Ordering::SeqCst);
    for stranger in strangers {
        stranger.await.unwrap();
    }
    for (stranger, came) in Stranger::ALL.iter().zip(came.iter()) {
        assert!(
            came.load(Ordering::SeqCst) > 0,
            "{stranger:?} never came; the slowest call took {slowest:?}"
        );
    }
    node.shutdown().await;
}
