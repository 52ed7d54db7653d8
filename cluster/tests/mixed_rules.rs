//! Builds that know different versions of the rules in one cluster, under load: which version of commands and of
//! leaves is on their disks before and after the raise, and that a build does not start if it does not know the rules
//! in force.
//!
//! All nodes here run the same code; an older build is one whose `rules_known` is lower. Commands and leaves have a
//! second version under the rules of version 2, which are in no release.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assent_cluster::config::Config;
use assent_cluster::node::Node;
use assent_cluster::usecase::{Caller, Submitted};
use assent_proof::{Envelope, EvidenceKind, Statement};
use assent_registry::{Command, Rows, RulesVersion, Table};
use assent_store::LogEntry;
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::cluster_support::load::Load;
use crate::cluster_support::record::{closed, records, store_of};
use crate::cluster_support::*;

/// What the reason says for which an older build does not start.
const NEWER: &str = "start this node with a newer build";
/// So long load goes on once something has happened.
const A_WHILE: Duration = Duration::from_millis(1_000);
/// Leaders look every second whether they can raise the rules.
const SEVERAL_LOOKS: Duration = Duration::from_millis(3_000);

/// What a stopped node has on its disk.
struct OnDisk {
    /// The commands in its log, each behind its log index.
    commands: Vec<(u64, Vec<u8>)>,
    /// The versions of the ledger's leaves, in order.
    leaves: Vec<u8>,
    /// The envelopes of the ledger, in order.
    bodies: Vec<Vec<u8>>,
}

async fn on_disk(config: &Config) -> OnDisk {
    let store = store_of(config).await;
    let mut commands = Vec::new();
    for record in records(&store).await {
        if let Some(command) = record.command() {
            commands.push((record.index(), command.to_vec()));
        }
    }
    let registry = store.registry.clone();
    let reading = move || {
        let view = registry.view().unwrap();
        let leaves = view.scan(Table::Leaves, b"", None, usize::MAX).unwrap();
        let bodies = view.scan(Table::Bodies, b"", None, usize::MAX).unwrap();
        (leaves, bodies)
    };
    let (leaves, bodies) = tokio::task::spawn_blocking(reading).await.unwrap();
    closed(store).await;
    OnDisk {
        commands,
        leaves: leaves.iter().map(|(_, leaf)| leaf[0]).collect(),
        bodies: bodies.into_iter().map(|(_, body)| body).collect(),
    }
}

/// Whether an envelope raises the rules.
fn raises(envelope: &[u8]) -> bool {
    let envelope = Envelope::parse(envelope).unwrap();
    Statement::parse(&envelope.payload).unwrap().kind == EvidenceKind::Rules
}

/// Whether a command brings an envelope that raises the rules.
fn brings_raise(command: &[u8]) -> bool {
    let command = Command::decode(command).unwrap();
    command.groups.iter().flat_map(|group| &group.envelopes).any(|envelope| raises(envelope))
}

impl OnDisk {
    /// Commands and leaves are of version 1 up to the raise. After it leaves are of version 2, and so is every command behind
    /// `settled`, a log index by which every node had applied the raise and no command was under way from before.
    fn is_raised_at_one_place(&self, settled: u64) {
        let raise = self.commands.iter().position(|(_, command)| brings_raise(command)).unwrap();
        assert!(raise > 0);
        for (index, command) in &self.commands[..=raise] {
            assert_eq!(command[0], 1, "the command at log index {index}, before the raise");
        }
        let after: Vec<_> = self.commands.iter().filter(|(index, _)| *index > settled).collect();
        assert!(!after.is_empty(), "there is no command after the raise");
        for (index, command) in after {
            assert_eq!(command[0], 2, "the command at log index {index}, after the raise");
        }
        assert_eq!(self.leaves.len(), self.bodies.len());
        let raise = self.bodies.iter().position(|body| raises(body)).unwrap();
        let (before, after) = (&self.leaves[..raise], &self.leaves[raise + 1..]);
        assert!(!before.is_empty() && before.iter().all(|version| *version == 1), "{before:?}");
        assert!(!after.is_empty() && after.iter().all(|version| *version == 2), "{after:?}");
    }
}

/// Tries to reach a node at its two addresses, all the time, and counts how often that succeeds.
struct ReachProbe {
    ended: Arc<AtomicBool>,
    reached: JoinHandle<usize>,
}

impl ReachProbe {
    fn at(config: &Config) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let addresses = [config.client_listen.clone(), config.peer_listen.clone()];
        let until = ended.clone();
        let reached = tokio::spawn(async move {
            let mut reached = 0;
            while !until.load(Ordering::SeqCst) {
                for address in &addresses {
                    reached += usize::from(TcpStream::connect(address).await.is_ok());
                }
                sleep(Duration::from_millis(2)).await;
            }
            reached
        });
        Self { ended, reached }
    }

    async fn end(self) -> usize {
        self.ended.store(true, Ordering::SeqCst);
        self.reached.await.unwrap()
    }
}

fn all_follow(nodes: &[Node], rules: u32) -> bool {
    nodes.iter().all(|node| node.service().status(Caller::local()).rules == rules)
}

/// With no load on them, all nodes come to hold the same.
async fn are_equal(nodes: &[Node]) {
    for node in nodes {
        ready(node).await;
    }
    let applied = |node: &Node| node.service().status(Caller::local()).applied;
    let first = || applied(&nodes[0]);
    eventually("all have applied the same", || nodes.iter().all(|node| applied(node) == first())).await;
    let mut digests = Vec::new();
    for node in nodes {
        digests.push(node.service().digest(Caller::local()).await.unwrap().digest);
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

/// Ends the load, under which every node allowed and accepted after `at`.
async fn served_after(at: Instant, loads: Vec<Load>) {
    for (number, load) in loads.into_iter().enumerate() {
        let said = load.end().await;
        assert!(said.allowed_after(at) > 0 && said.accepted_after(at) > 0, "load {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_and_leaves_change_version_with_the_raise_under_load_and_an_older_build_stays_out() {
    let folder = tempfile::tempdir().unwrap();
    let old = configs(folder.path());
    let next = RulesVersion::TEST.0;
    let new: Vec<Config> = old.iter().cloned().map(|config| Config { rules_known: next, ..config }).collect();
    let mut nodes = vec![start(&new[0]).await, start(&new[1]).await, start(&old[2]).await];
    for node in &nodes {
        ready(node).await;
    }
    let answer = nodes[0].service().submit(Caller::local(), Bytes::from(authorization())).await;
    assert!(matches!(answer, Submitted::Accepted { .. }), "{answer:?}");

    // Two of three builds know the next rules.
    let began = Instant::now();
    let mut loads: Vec<Load> = (0..3).map(|place| Load::on(&nodes[place], &format!("one-{place}"))).collect();
    sleep(SEVERAL_LOOKS).await;
    assert!(all_follow(&nodes, next - 1), "raised although the build of one voter does not know them");
    served_after(began, loads.split_off(2)).await;
    nodes.remove(2).shutdown().await;
    let disk = on_disk(&old[2]).await;
    assert!(!disk.commands.is_empty());
    assert!(disk.commands.iter().all(|(_, command)| command[0] == 1 && !brings_raise(command)));
    assert!(disk.leaves.iter().all(|version| *version == 1), "{:?}", disk.leaves);

    // The third build is upgraded.
    nodes.push(start(&new[2]).await);
    ready(&nodes[2]).await;
    loads.push(Load::on(&nodes[2], "two-2"));
    eventually("all follow the new rules", || all_follow(&nodes, next)).await;
    let raised = Instant::now();
    sleep(A_WHILE).await;
    let last = |node: &Node| node.service().status(Caller::local()).log.last;
    let settled = nodes.iter().filter_map(last).max().unwrap();
    sleep(A_WHILE).await;
    served_after(raised, loads).await;
    are_equal(&nodes).await;

    // The third build is put back.
    let loads: Vec<Load> = (0..2).map(|place| Load::on(&nodes[place], &format!("three-{place}"))).collect();
    nodes.remove(2).shutdown().await;
    // Its last task has ended once its directory is free.
    drop(environment(&old[2]).await);
    let reach_probe = ReachProbe::at(&old[2]);
    for _ in 0..2 {
        let why = refuses_to_start(&old[2]).await;
        assert!(why.contains(NEWER), "{why}");
    }
    let refused = Instant::now();
    sleep(A_WHILE).await;
    assert_eq!(reach_probe.end().await, 0, "it took a connection");
    served_after(refused, loads).await;

    nodes.push(start(&new[2]).await);
    are_equal(&nodes).await;
    for node in nodes {
        node.shutdown().await;
    }
    for config in &new {
        on_disk(config).await.is_raised_at_one_place(settled);
    }
}
