//! A flood of one caller, on each endpoint in turn, against three real nodes with TLS: another caller is still allowed within
//! the deadline, governance's revocations are still accepted within a second on each node, and no pool holds more than its
//! bound. It is a test of behaviour, and measures no speed: where a time is a bound, the best of a few tries counts.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cluster_support::http::get;
use crate::cluster_support::over_tls::connector;
use crate::cluster_support::raw::post;
use crate::cluster_support::token_callers::{KeptCall, caller, new_ca, serve_tls_by, shows};
use crate::cluster_support::*;
use assent_api::{BatchMode, MAX_BATCH, authorize_batch_body, batch_body};
use assent_cluster::access::{CallerConfig, Role};
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use assent_proof::{AuthorizeRequest, SigningKey};
use assent_tls::ca::Ca;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

/// The connections of the flood, in equal parts to each node.
const CONNECTIONS: usize = 60;
/// How long each endpoint is flooded before the revocations, and after them.
const FLOODED: Duration = Duration::from_millis(1_500);
/// `deadlines.authorize_ms` of these nodes. It is the longest that there may be, because three nodes and the flood's clients
/// are in one process of a machine that runs other tests too.
const DEADLINE: Duration = Duration::from_secs(1);
/// What a call may take beside its deadline: to be written, read and scheduled.
const SLACK: Duration = Duration::from_secs(1);
/// How long a revocation may take until it is acknowledged, at the best of so many tries on each node.
const REVOKED_WITHIN: Duration = Duration::from_secs(1);
const TRIES: usize = 3;
/// What the callers beside the flood may hold of a pool.
const OF_OTHERS: u64 = 8;

/// What the flood asks for.
#[derive(Debug, Clone, Copy)]
enum Flood {
    Authorize,
    AuthorizeBatches,
    Permits,
    ForgedEnvelopes,
    ForgedBatches,
    Reads,
}

impl Flood {
    const ALL: [Self; 6] = [
        Self::Authorize,
        Self::AuthorizeBatches,
        Self::Permits,
        Self::ForgedEnvelopes,
        Self::ForgedBatches,
        Self::Reads,
    ];

    /// Its requests. The connections take them in turn.
    fn requests(self, headers: &str) -> Vec<Vec<u8>> {
        let single = |path: &str, nonce: usize| {
            let asked = AuthorizeRequest { nonce: Some(format!("flood-{nonce}")), ..request() };
            post(path, headers, &asked.to_json().to_vec())
        };
        match self {
            Self::Authorize => (0..CONNECTIONS).map(|number| single("/v1/authorize", number)).collect(),
            Self::AuthorizeBatches => {
                let body = authorize_batch_body(&vec![request(); MAX_BATCH]);
                vec![post("/v1/authorize:batch", headers, &body)]
            }
            Self::Permits => (0..20 * CONNECTIONS).map(|number| single("/v1/permits", number)).collect(),
            Self::ForgedEnvelopes => {
                let envelope = |number: usize| forged(&format!("forged-{number}"), 1);
                (0..CONNECTIONS).map(|number| post("/v1/envelopes", headers, &envelope(number))).collect()
            }
            Self::ForgedBatches => {
                // Somewhat less than 1 MiB, of which each signature has to be looked at.
                let envelopes = |batch: usize| -> Vec<Vec<u8>> {
                    (0..150).map(|number| forged(&format!("forged-{batch}-{number}"), 24)).collect()
                };
                let body = |batch: usize| batch_body(BatchMode::Each, &envelopes(batch)).unwrap();
                (0..4).map(|batch| post("/v1/envelopes:batch", headers, &body(batch))).collect()
            }
            Self::Reads => {
                let page = "/v1/authorities?domain=prod.eu";
                vec![format!("GET {page} HTTP/1.1\r\nhost: node\r\n{headers}\r\n").into_bytes()]
            }
        }
    }

    /// Whether a node may answer so. It may always shed a call, or run out of time.
    fn may_be_answered(self, status: u16) -> bool {
        let taken = match self {
            Self::Authorize | Self::AuthorizeBatches | Self::Permits | Self::Reads => status == 200,
            // None of it is accepted.
            Self::ForgedEnvelopes => status == 400,
            // Each has its own refusal.
            Self::ForgedBatches => status == 200,
        };
        taken || matches!(status, 408 | 429 | 503 | 504)
    }
}

/// A flood that goes on until it is ended.
struct Flooding {
    ended: Arc<AtomicBool>,
    connections: Vec<JoinHandle<usize>>,
}

impl Flooding {
    fn begin(flood: Flood, headers: &str, connector: &TlsConnector, nodes: &[Node]) -> Self {
        let (ended, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(flood.requests(headers)));
        let connections = (0..CONNECTIONS)
            .map(|number| {
                let (connector, address) = (connector.clone(), nodes[number % nodes.len()].client_addr());
                let (ended, requests) = (ended.clone(), requests.clone());
                tokio::spawn(async move {
                    let (mut answers, mut next, mut open) = (0, number, None);
                    while !ended.load(Ordering::SeqCst) {
                        let mut call = match open.take() {
                            Some(call) => call,
                            None => match KeptCall::open(&connector, address).await {
                                Some(call) => call,
                                None => continue,
                            },
                        };
                        // A node may close a connection on which it sheds a large body.
                        if let Some((status, _)) = call.ask(&requests[next % requests.len()]).await {
                            assert!(flood.may_be_answered(status), "{flood:?}: {status}");
                            (answers, open) = (answers + 1, Some(call));
                        }
                        next += CONNECTIONS;
                    }
                    answers
                })
            })
            .collect();
        Self { ended, connections }
    }

    /// Ends it. Returns how many of its calls were answered.
    async fn end(self) -> usize {
        self.ended.store(true, Ordering::SeqCst);
        let mut answers = 0;
        for connection in self.connections {
            answers += connection.await.unwrap();
        }
        answers
    }
}

/// A caller that asks on one connection whether something may run. Each answer must be an allow, in time.
struct Quiet {
    ended: Arc<AtomicBool>,
    asking: JoinHandle<(usize, Duration)>,
}

impl Quiet {
    fn begin(flood: Flood, mut call: KeptCall, asked: Vec<u8>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let stop = ended.clone();
        let asking = tokio::spawn(async move {
            let (mut answers, mut slowest) = (0, Duration::ZERO);
            while answers == 0 || !stop.load(Ordering::SeqCst) {
                let from = Instant::now();
                let answer = timeout(DEADLINE + SLACK, call.ask(&asked)).await;
                let answer = answer.unwrap_or_else(|_| panic!("{flood:?}: no answer within {DEADLINE:?}"));
                let (status, body) = answer.expect("its connection is kept");
                let body = String::from_utf8_lossy(&body);
                let allowed = status == 200 && body.contains("\"decision\":\"allow\"");
                assert!(allowed, "{flood:?}: {status} {body}");
                (answers, slowest) = (answers + 1, slowest.max(from.elapsed()));
                sleep(Duration::from_millis(10)).await;
            }
            (answers, slowest)
        });
        Self { ended, asking }
    }

    /// Fails if one answer was late or no allow. Returns how many there were, and how long the slowest took.
    async fn end(self) -> (usize, Duration) {
        self.ended.store(true, Ordering::SeqCst);
        self.asking.await.unwrap()
    }
}

/// Three nodes with certificates of one CA, which these callers may call. What a caller may ask for in a second is not what is
/// tried here.
async fn cluster(folder: &Path, callers: &[CallerConfig]) -> (Vec<Node>, Ca) {
    let (mut ca, mut configs) = (new_ca(folder), configs(folder));
    for config in &mut configs {
        serve_tls_by(&mut ca, config, folder);
        config.callers = callers.to_vec();
        config.deadlines.authorize_ms = u64::try_from(DEADLINE.as_millis()).unwrap();
        config.deadlines.submit_ms = 5_000;
        config.limits.disk_reserve_mib = 0;
        (config.limits.caller_rate, config.limits.caller_burst) = (1 << 24, 1 << 24);
        config.health_listen = Some("127.0.0.1:0".to_owned());
        config.health_metrics = true;
    }
    (start_all(&configs).await, ca)
}

/// The gauges of this name and their values, by their labels.
fn gauges(page: &str, name: &str) -> Vec<(String, u64)> {
    let begin = format!("assent_{name}{{");
    let of = |line: &str| {
        let (labels, value) = line.strip_prefix(&begin)?.split_once("} ")?;
        Some((labels.to_owned(), value.parse().ok()?))
    };
    page.lines().filter_map(of).collect()
}

/// How many places of each pool are taken, and how many there are.
async fn pools(health: SocketAddr) -> Vec<(String, u64, u64)> {
    let page = get(health, "/metrics").await.unwrap();
    let mut pools = Vec::new();
    for name in ["authorize_waiting", "submit_waiting"] {
        let most = gauges(&page, &format!("{name}_max"));
        for (labels, taken) in gauges(&page, name) {
            let (_, most) = most.iter().find(|(of, _)| *of == labels).unwrap();
            pools.push((format!("{name} {labels}"), taken, *most));
        }
    }
    assert_eq!(pools.len(), 2 + 2 * 4, "{pools:?}");
    pools
}

/// Fails if one caller holds more than half of a pool of clients: it may hold as many places as are then left free.
async fn pools_are_shared(flood: Flood, nodes: &[Node]) {
    for node in nodes {
        for (pool, taken, most) in pools(node.health_addr().unwrap()).await {
            let bound = if pool.contains("of=\"peers\"") { most } else { most / 2 + OF_OTHERS };
            assert!(taken <= bound, "{flood:?}: {taken} of {most} places of {pool} are taken");
        }
    }
}

async fn pools_are_empty(flood: Flood, nodes: &[Node]) {
    let until = Instant::now() + Duration::from_secs(20);
    for node in nodes {
        loop {
            let pools = pools(node.health_addr().unwrap()).await;
            if pools.iter().all(|(_, taken, _)| *taken == 0) {
                break;
            }
            assert!(Instant::now() < until, "{flood:?}: places are not given back: {pools:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Grants keys, which can be revoked.
async fn keys(node: &Node, count: usize) -> Vec<SigningKey> {
    let mut keys = Vec::new();
    for number in 0..count {
        let new = key(100 + u8::try_from(number).unwrap());
        let grant = granted(node, &new, assent_proof::Role::Attestation).await;
        let answer = node.service().submit(Caller::local(), grant.into()).await;
        assert!(answer.problem().is_none(), "{answer:?}");
        keys.push(new);
    }
    keys
}

/// Revokes a key through this connection, and another one if that took too long. Each revocation must be accepted.
async fn revokes(flood: Flood, governs: &mut KeptCall, headers: &str, keys: &mut Vec<SigningKey>) {
    let mut took = Vec::new();
    for _ in 0..TRIES {
        let revocation = revocation_of(keys.pop().expect("there are keys for every try").public());
        let from = Instant::now();
        let answer = governs.ask(&post("/v1/envelopes", headers, &revocation)).await;
        let (status, body) = answer.expect("its connection is kept");
        took.push(from.elapsed());
        assert_eq!(status, 201, "{flood:?}: {}", String::from_utf8_lossy(&body));
        if took.last().is_some_and(|took| *took < REVOKED_WITHIN) {
            return;
        }
    }
    panic!("{flood:?}: no revocation was acknowledged within {REVOKED_WITHIN:?}: {took:?}");
}

/// It fails if a flood takes another caller's allow: if calls are served in the order of their arrival, or if one caller may
/// take every place, every turn or every connection. It fails too if a revocation waits behind the flood on any node, if a
/// forged envelope is accepted, or if places are not given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_one_caller_floods_each_endpoint_of_three_nodes_another_is_allowed_and_keys_are_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let (flooding, flood_token) = caller(folder.path(), "flood", &[Role::Scheduler, Role::Submitter], 1);
    let (quiet, quiet_token) = caller(folder.path(), "quiet", &[Role::Gateway], 2);
    let (governing, governs_token) = caller(folder.path(), "governs", &[Role::Submitter], 3);
    let (nodes, ca) = cluster(folder.path(), &[flooding, quiet, governing]).await;
    let connector = connector(ca.certificate_path(), None);
    let answer = nodes[0].service().submit(Caller::local(), authorization().into()).await;
    assert!(answer.problem().is_none(), "{answer:?}");
    let mut keys = keys(&nodes[0], Flood::ALL.len() * nodes.len() * TRIES).await;

    let asked = post("/v1/authorize", &shows(&quiet_token), &request().to_json().to_vec());
    for flood in Flood::ALL {
        let mut governs = Vec::new();
        for node in &nodes {
            governs.push(KeptCall::open(&connector, node.client_addr()).await.unwrap());
        }
        let call = KeptCall::open(&connector, nodes[0].client_addr()).await.unwrap();
        let began = Flooding::begin(flood, &shows(&flood_token), &connector, &nodes);
        let quiet = Quiet::begin(flood, call, asked.clone());
        sleep(FLOODED).await;
        pools_are_shared(flood, &nodes).await;
        for governs in &mut governs {
            revokes(flood, governs, &shows(&governs_token), &mut keys).await;
            pools_are_shared(flood, &nodes).await;
        }
        sleep(FLOODED).await;
        pools_are_shared(flood, &nodes).await;
        let (allowed, slowest) = quiet.end().await;
        let answers = began.end().await;
        println!("{flood:?}: {answers} answers; {allowed} allows of another, the slowest in {slowest:?}");
        assert!(answers > 0, "{flood:?}: no call of the flood was answered");
        pools_are_empty(flood, &nodes).await;
    }
    for node in nodes {
        node.shutdown().await;
    }
}
