//! What one caller, or one address, can take from another: connections, requests, places and turns. Over real sockets.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::cluster_support::held::Held;
use crate::cluster_support::over_tls::{answer_over, answer_to, connector};
use crate::cluster_support::raw::{exchange, kept, post, problem, to_the_end};
use crate::cluster_support::signer::{ISSUER, Signer, issuer_of};
use crate::cluster_support::*;
use assent_api::{BatchMode, MAX_BATCH, authorize_batch_body, batch_body};
use assent_client::{BearerToken, Client, ClientConfig, ClientTls, TokenSource, Trust};
use assent_cluster::access::{CallerConfig, JwtIdentity, Role, Token};
use assent_cluster::config::{ClientTlsConfig, Config};
use assent_cluster::env::Environment;
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use assent_proof::Code;
use assent_tls::ca::{Ca, CertificateRequest};
use assent_tls::{NodeName, ServerName, TrustDomain};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A connection from another address of this machine.
async fn connect_from(source: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

/// The answer to these bytes from another address of this machine.
async fn exchange_from(source: &str, to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect_from(source, to).await;
    let _ = stream.write_all(bytes).await;
    to_the_end(&mut stream).await
}

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
    let env = Environment { blocking: held.clone(), ..environment(&config).await };
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

/// A caller of the table, and the token that it shows.
fn caller(folder: &Path, name: &str, roles: &[Role], seed: u8) -> (CallerConfig, Token) {
    let token = Token::generate(|bytes| bytes.fill(seed));
    let file = folder.join(format!("{name}.tokens"));
    fs::write(&file, format!("{}\n", token.digest())).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let entry = CallerConfig {
        name: name.to_owned(),
        certificate: None,
        tokens: Some(file),
        roles: roles.to_vec(),
        domains: None,
        jwt: None,
        rate: None,
        burst: None,
    };
    (entry, token)
}

/// Serves TLS with a certificate of a CA of its own, which is returned.
fn serve_tls(config: &mut Config, folder: &Path) -> Ca {
    let trust_domain = TrustDomain::parse("example.org").unwrap();
    let now_ms = now().0 * 1_000;
    let mut ca = Ca::create(&folder.join("ca"), &trust_domain, now_ms - 2 * DAY_MS, [99; 16]).unwrap();
    let name = NodeName { trust_domain, cluster_id: [7; 32], node_id: 1 };
    let wanted = CertificateRequest::node(&name, &["127.0.0.1".to_owned()]).unwrap();
    let own = ca.issue(&wanted, now_ms - DAY_MS, [1; 16]).unwrap();
    let (cert, key) = (folder.join("own.pem"), folder.join("own.key"));
    fs::write(&cert, &own.certificate_pem).unwrap();
    fs::write(&key, own.key_pem.as_bytes()).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    config.plain_http = false;
    config.client_tls = Some(ClientTlsConfig { cert, key, ca: None, crl: None });
    ca
}

fn client(node: &Node, ca: &Ca, token: &Token) -> Client {
    let keys = Trust::keys([key(11).public()]).unwrap();
    let mut config = ClientConfig::new([format!("https://{}", node.client_addr())], keys);
    config.tls = Some(ClientTls {
        ca: Some(ca.certificate_path().to_owned()),
        certificate: None,
        token: Some(TokenSource::Value(BearerToken::new(token.expose()).unwrap())),
    });
    config.hedge_after = Some(config.deadline);
    // A handshake may wait while others have their turns, for 2 s each.
    config.connect_timeout = Duration::from_secs(5);
    config.attempt_timeout = config.deadline;
    Client::new(config).unwrap()
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

/// A node that accepts the tokens of an issuer.
struct Door {
    node: Node,
    connector: TlsConnector,
    /// The issuer's file of keys.
    jwks: PathBuf,
}

impl Door {
    /// It is ready and sure of its clock, and has accepted this token.
    async fn open(folder: &Path, issuer: &Signer, known: &str) -> Self {
        let jwks = folder.join("jwks.json");
        fs::write(&jwks, &issuer.jwks).unwrap();
        let (entry, _) = caller(folder, "reads", &[Role::Auditor], 1);
        let identity = JwtIdentity { issuer: ISSUER.to_owned(), subject: "reader".to_owned() };
        let reads = CallerConfig { tokens: None, jwt: Some(identity), ..entry };
        let mut ca = None;
        let node = alone(folder, |config| {
            ca = Some(serve_tls(config, folder));
            config.callers = vec![reads];
            config.jwt_issuers = vec![issuer_of(&jwks)];
        })
        .await;
        let door = Self { node, connector: connector(ca.unwrap().certificate_path(), None), jwks };
        // A node accepts no such token until it is sure of its clock.
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let first = door.status("127.0.0.1", known).await;
            if first.starts_with("HTTP/1.1 200") {
                return door;
            }
            assert!(Instant::now() < until && first.contains("not sure of its clock"), "{first}");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The answer about the cluster's status, from an address of this machine and with a token.
    async fn status(&self, source: &str, token: &str) -> String {
        let request = format!(
            "GET /v1/cluster/status HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        let stream = connect_from(source, self.node.client_addr()).await;
        String::from_utf8(answer_over(&self.connector, stream, request.as_bytes()).await).unwrap()
    }
}

/// It fails if a token that can be refused without its signature, or whose signature was found wrong before, uses up what
/// a good token of the same address needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_that_is_shown_again_and_again_keeps_no_good_token_of_its_address_out() {
    let folder = tempfile::tempdir().unwrap();
    let (issuer, stranger) = (Signer::new(), Signer::new());
    let door = Door::open(folder.path(), &issuer, &issuer.token(0)).await;
    let expired = issuer.token_with(1, "reader", now().0 - 3_600);
    let unlisted = issuer.token_with(2, "writer", now().0 + 3_600);
    let bad = [
        ("has expired", expired),
        ("the subject `writer` of the issuer `https://issuer.example`, which is not verified", unlisted),
        ("signature of the JSON web token does not verify", stranger.token(3)),
    ];
    for (number, (said, token)) in bad.iter().enumerate() {
        for time in 0..500 {
            let answer = door.status("127.0.0.1", token).await;
            assert!(answer.starts_with("HTTP/1.1 401") && answer.contains(said), "{said}, {time}: {answer}");
        }
        let new = door.status("127.0.0.1", &issuer.token(10 + number)).await;
        assert!(new.starts_with("HTTP/1.1 200"), "{said}: {new}");
    }
    let counted = door.node.service().status(Caller::local()).refused_callers;
    for reason in ["jwt_expired", "jwt_signature_invalid", "jwt_subject_not_listed"] {
        assert_eq!(counted[reason], 500, "{counted:?}");
    }
    door.node.shutdown().await;
}

/// It fails if each token of a stranger costs the node a verification, if a flood of them keeps out a caller of another
/// address or one whose token is known, or if a token outlives the keys that have verified it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_of_one_address_cost_few_verifications_and_keep_no_good_token_out() {
    let folder = tempfile::tempdir().unwrap();
    let (issuer, stranger) = (Signer::new(), Signer::new());
    let known = issuer.token(0);
    let door = Door::open(folder.path(), &issuer, &known).await;
    let status = async |source: &str, token: &str| door.status(source, token).await;

    let from = Instant::now();
    let (mut refused, mut shed) = (0_u64, 0_u64);
    let mut beyond = None;
    for number in 0..2_000 {
        let answer = status("127.0.0.1", &stranger.token(number)).await;
        if answer.starts_with("HTTP/1.1 401") {
            refused += 1;
            continue;
        }
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        shed += 1;
        // A good token that the node does not know yet is told to come back.
        let new = status("127.0.0.1", &issuer.token(10_000 + number)).await;
        if new.starts_with("HTTP/1.1 503") {
            beyond = Some(new);
            break;
        }
    }
    let (head, beyond) = problem(&beyond.expect("the address uses up its verifications"));
    assert_eq!(beyond.code, Code::Overloaded, "{head}");
    assert!(beyond.detail.contains("JSON web tokens") && head.contains("retry-after"), "{}", beyond.detail);
    // 100 at once and 10 a second, and one for the time that the last one took.
    assert!(refused <= 101 + 10 * (from.elapsed().as_secs() + 1), "{refused} in {:?}", from.elapsed());
    let counted = door.node.service().status(Caller::local()).refused_callers;
    assert_eq!(counted["jwt_signature_invalid"], refused, "{counted:?}");
    assert_eq!(counted["jwt_unverified"], shed + 1, "{counted:?}");

    let again = status("127.0.0.1", &known).await;
    assert!(again.starts_with("HTTP/1.1 200"), "a known token needs no verification: {again}");
    let other = status("127.0.0.2", &issuer.token(1)).await;
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    // The answer of a request for a decision is a deny.
    let mut denied = None;
    for number in 20_000..20_050 {
        let headers = format!("authorization: Bearer {}\r\nconnection: close\r\n", stranger.token(number));
        let asked = post("/v1/authorize", &headers, &request().to_json().to_vec());
        let answer =
            String::from_utf8(answer_to(&door.connector, door.node.client_addr(), &asked).await).unwrap();
        if answer.starts_with("HTTP/1.1 503") {
            denied = Some(answer);
            break;
        }
    }
    let denied = denied.expect("a request is beyond the verifications");
    assert!(denied.contains("\"decision\":\"deny\"") && denied.contains("\"overloaded\""), "{denied}");
    assert!(!denied.contains("\"receipt\":{"), "{denied}");

    // Once the issuer has other keys, what the old ones have verified is void.
    fs::write(&door.jwks, &stranger.jwks).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = status("127.0.0.3", &known).await;
        if answer.starts_with("HTTP/1.1 401") {
            break;
        }
        assert!(Instant::now() < until, "it outlives its key: {answer}");
        sleep(Duration::from_millis(200)).await;
    }
    door.node.shutdown().await;
}
