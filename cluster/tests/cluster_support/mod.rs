//! A genesis file, configurations and requests for clusters of three nodes in one process.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses its own part of the support"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

pub mod clocks;
pub mod documented;
pub mod edge;
pub mod held;
pub mod http;
pub mod load;
pub mod members;
pub mod raw;
pub mod record;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use assent_cluster::config::{Config, VoterConfig};
use assent_cluster::env::Environment;
use assent_cluster::node::Node;
use assent_cluster::raft::log::LogRecord;
use assent_cluster::usecase::Caller;
use assent_proof::{
    AuthorizeRequest, Claims, DomainName, Envelope, EvidenceKind, LineageName, PolicyBody, PublicKey, Role,
    Seconds, Sha256, SigningKey, Statement, sign_statement,
};
use assent_registry::{GenesisFile, RowError, Table};
use assent_store::{Store, StoreOptions, WriteError};

pub const ORIGIN: &str = "registry.test/cluster";

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

#[expect(clippy::disallowed_methods, reason = "a genesis file is made with the present time")]
pub fn now() -> Seconds {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Seconds(i64::try_from(since.as_secs()).unwrap())
}

pub fn statement(kind: EvidenceKind, domain: DomainName, target: &str, claims: &Claims) -> Statement {
    Statement {
        subject_name: None,
        subject: Sha256::of(target.as_bytes()),
        kind,
        registry: ORIGIN.to_owned(),
        domain,
        lineage: LineageName::governance(),
        issuers: Vec::new(),
        sequence: Some(0),
        parent: None,
        references: Vec::new(),
        issued_at: now(),
        expires_at: None,
        claims: claims.to_json(),
    }
}

pub fn sign(mut statement: Statement, keys: &[&SigningKey]) -> Vec<u8> {
    statement.issuers = keys.iter().map(|key| key.public()).collect();
    sign_statement(&statement, keys)
}

pub fn grant(authority: PublicKey, role: Role, domain: DomainName) -> Statement {
    grant_until(authority, role, domain, Seconds(now().0 + 3600))
}

pub fn grant_until(authority: PublicKey, role: Role, domain: DomainName, not_after: Seconds) -> Statement {
    let claims = Claims::AuthorityGrant {
        authority,
        name: role.to_string(),
        role,
        not_before: Seconds(now().0 - 60),
        not_after,
    };
    statement(EvidenceKind::AuthorityGrant, domain, &authority.to_string(), &claims)
}

/// Root, three node grants, a domain with a policy that requires nothing but an authorization.
pub fn genesis() -> Vec<u8> {
    genesis_until(Seconds(now().0 + 3600))
}

/// The same, with grants until then.
pub fn genesis_until(not_after: Seconds) -> Vec<u8> {
    let (root, checkpoint, governance) = (key(1), key(2), key(3));
    let domain: DomainName = "prod.eu".parse().unwrap();
    let mut envelopes = Vec::new();
    let claims = Claims::Root { keys: vec![root.public()], threshold: 1, registry_key: checkpoint.public() };
    let first = statement(EvidenceKind::Root, DomainName::root(), ORIGIN, &claims);
    envelopes.push(sign(first, &[&root, &checkpoint]));
    let chained = |envelopes: &[Vec<u8>], mut next: Statement, from: usize| {
        let chain = &envelopes[from..];
        next.sequence = Some(chain.len() as u64);
        next.parent = chain.last().map(|bytes| Envelope::parse(bytes).unwrap().id());
        next
    };
    for node in 11..14 {
        let next = grant_until(key(node).public(), Role::Registry, DomainName::root(), not_after);
        envelopes.push(sign(chained(&envelopes, next, 0), &[&root, &key(node)]));
    }
    let claims =
        Claims::Domain { domain: domain.clone(), governance: vec![governance.public()], threshold: 1 };
    let next = statement(EvidenceKind::Domain, DomainName::root(), domain.as_ref(), &claims);
    envelopes.push(sign(chained(&envelopes, next, 0), &[&root, &governance]));
    let body = PolicyBody {
        require: vec![],
        attestation_status: None,
        measurements: None,
        policy_digests: None,
        decision_ttl_seconds: 10,
        permit_always: false,
    };
    let policy = statement(EvidenceKind::Policy, domain.clone(), domain.as_ref(), &Claims::Policy(body));
    envelopes.push(sign(policy, &[&governance]));
    let envelopes: Vec<Envelope> = envelopes.iter().map(|bytes| Envelope::parse(bytes).unwrap()).collect();
    GenesisFile::format(&envelopes).unwrap()
}

/// A port that no process listens on, below those that the system gives to outgoing connections: one of these could be taken by
/// another test's connection before the node binds it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let from = 12_000 + u16::try_from(std::process::id() % 100).unwrap() * 200;
    let mut ports = (0..200).map(|_| from + NEXT.fetch_add(1, Ordering::Relaxed) % 200);
    ports.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

pub fn configs(folder: &Path) -> Vec<Config> {
    std::fs::write(folder.join("genesis.json"), genesis()).unwrap();
    let voters: Vec<VoterConfig> = (1..=3)
        .map(|id| VoterConfig {
            id,
            peer: format!("127.0.0.1:{}", free_port()),
            client: format!("127.0.0.1:{}", free_port()),
        })
        .collect();
    voters
        .iter()
        .map(|voter| {
            let node_key = folder.join(format!("node-{}.pem", voter.id));
            std::fs::write(&node_key, key(10 + u8::try_from(voter.id).unwrap()).to_pem()).unwrap();
            // A node reads no key that everybody may read.
            std::fs::set_permissions(&node_key, Permissions::from_mode(0o600)).unwrap();
            Config::new(
                voter.id,
                folder.join(format!("data-{}", voter.id)),
                folder.join("genesis.json"),
                node_key,
                voters.clone(),
            )
        })
        .collect()
}

pub async fn start(config: &Config) -> Node {
    Node::start(config.clone(), environment(config).await).await.unwrap()
}

/// Starts a node on data of long ago, and says that its clock is right all the same.
pub async fn start_confirmed(config: &Config) -> Node {
    let node = start(config).await;
    for _ in 0..400 {
        if node.service().confirm_clock(&Caller::Anonymous, now()).is_ok() {
            return node;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{:?}", node.service().confirm_clock(&Caller::Anonymous, now()));
}

/// A cluster of one, as `spoil` has configured it, once it is ready. Its deadlines are long, for machines that are busy.
pub async fn alone(folder: &Path, spoil: impl FnOnce(&mut Config)) -> Node {
    let mut config = configs(folder).swap_remove(0);
    config.voters.truncate(1);
    config.deadlines.authorize_ms = 1_000;
    config.deadlines.read_ms = 10_000;
    config.deadlines.submit_ms = 10_000;
    spoil(&mut config);
    let node = start(&config).await;
    ready(&node).await;
    node
}

/// All of them, once each is ready.
pub async fn start_all(configs: &[Config]) -> Vec<Node> {
    let mut nodes = Vec::new();
    for config in configs {
        nodes.push(start(config).await);
    }
    for node in &nodes {
        ready(node).await;
    }
    nodes
}

/// Why a node does not start. It is tried on threads of their own: a node that does not start leaves it to the end of its process
/// to stop what has begun.
pub async fn refuses_to_start(config: &Config) -> String {
    let (config, env) = (config.clone(), environment(config).await);
    let trying = move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(Node::start(config, env)).err().unwrap().to_string()
    };
    let waiting = tokio::task::spawn_blocking(move || std::thread::spawn(trying).join().unwrap());
    waiting.await.unwrap()
}

pub async fn environment(config: &Config) -> Environment {
    // A node that was stopped in this process lets go of its directory when its last task has ended.
    for _ in 0..200 {
        if let Ok(env) = Environment::real(&config.data_dir) {
            return env;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("`{}` is still in use", config.data_dir.display());
}

pub async fn ready(node: &Node) {
    for _ in 0..1200 {
        if node.service().ready().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not ready: {:?} {:?}", node.service().ready().await, node.service().status(&Caller::Anonymous));
}

pub fn authorization() -> Vec<u8> {
    authorization_for("exec-1")
}

pub fn authorization_for(lineage: &str) -> Vec<u8> {
    authorization_until(lineage, Seconds(now().0 + 600), None)
}

/// An authorization that holds until then, and for so many permits if that is counted.
pub fn authorization_until(lineage: &str, not_after: Seconds, uses: Option<u32>) -> Vec<u8> {
    let claims = Claims::ExecutionAuthorization {
        actions: vec!["run".to_owned()],
        audience: None,
        environment: None,
        not_before: Seconds(now().0 - 60),
        not_after,
        uses,
        runtimes: None,
    };
    let mut draft =
        statement(EvidenceKind::ExecutionAuthorization, "prod.eu".parse().unwrap(), "program", &claims);
    draft.lineage = lineage.parse().unwrap();
    sign(draft, &[&key(3)])
}

pub fn request() -> AuthorizeRequest {
    AuthorizeRequest {
        domain: "prod.eu".parse().unwrap(),
        lineage: Some("exec-1".parse().unwrap()),
        runtime: None,
        action: "run".to_owned(),
        subject: Sha256::of(b"program"),
        audience: None,
        environment: None,
        nonce: None,
        expected_head: None,
        min_revision: None,
        history: None,
    }
}

/// A policy validation in a lineage of its own, which no policy here asks for.
pub fn validation() -> Vec<u8> {
    let claims = Claims::PolicyValidation {
        policy_digest: "p".to_owned(),
        verdict: assent_proof::PolicyVerdict::Pass,
    };
    let domain = "prod.eu".parse().unwrap();
    let mut draft = statement(EvidenceKind::PolicyValidation, domain, "program", &claims);
    draft.lineage = "later".parse().unwrap();
    sign(draft, &[&key(3)])
}

pub async fn eventually(what: &str, done: impl Fn() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}

/// Makes every row of a table whose key holds `part` one of a version so many later, in a stopped node's registry.
pub async fn raise_rows(config: &Config, table: Table, part: &'static str, by: u8) {
    let env = environment(config).await;
    let opened =
        Store::<LogRecord>::open(env.disk.clone(), env.run_blocking(), [0; 16], StoreOptions::default());
    let store = opened.await.unwrap();
    let registry = store.registry.clone();
    let raised = tokio::task::spawn_blocking(move || {
        let written: Result<(), WriteError<RowError>> = registry.write(None, |rows| {
            for (key, mut value) in rows.scan(table, b"", None, usize::MAX)? {
                if !String::from_utf8_lossy(&key).contains(part) {
                    continue;
                }
                value[0] += by;
                rows.put(table, &key, &value)?;
            }
            Ok(())
        });
        written.unwrap();
        registry.close().unwrap();
    });
    raised.await.unwrap();
    store.log.close().await.unwrap();
}
