//! Configurations of clusters of three nodes in one process, the start of their nodes, and what their clients submit.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    unused_imports,
    reason = "each test file uses its own part of the support"
)]
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

pub mod authority;
pub mod certificates;
pub mod clocks;
pub mod dialer;
pub mod documented;
pub mod edge;
pub mod held;
pub mod http;
pub mod jwt;
pub mod load;
pub mod members;
pub mod over_tls;
pub mod raw;
pub mod record;
mod statements;
pub mod token_callers;

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
use assent_proof::{Role, SigningKey};
use assent_registry::{RowError, Table, query};
use assent_store::{Store, StoreOptions, WriteError};

pub use statements::*;

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
        if node.service().confirm_clock(Caller::local(), now()).is_ok() {
            return node;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{:?}", node.service().confirm_clock(Caller::local(), now()));
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
    panic!("not ready: {:?} {:?}", node.service().ready().await, node.service().status(Caller::local()));
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

/// The place of the node that leads.
pub fn leader(nodes: &[Node]) -> usize {
    let leads = |node: &Node| {
        let status = node.service().status(Caller::local());
        status.leader == Some(status.node_id)
    };
    nodes.iter().position(leads).unwrap()
}

/// A grant in the next slot of `prod.eu`.
pub async fn granted(node: &Node, new: &SigningKey, role: Role) -> Vec<u8> {
    let domain = "prod.eu".parse().unwrap();
    let read = node.service().read(Caller::local(), move |rows, _| query::governance_slot(rows, &domain));
    let (sequence, parent) = read.await.unwrap();
    grant(new.public(), role).slot(sequence, parent).sign(&[&key(3), new])
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
