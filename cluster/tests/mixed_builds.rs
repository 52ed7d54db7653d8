//! Builds of different versions in one cluster, under load: data that the newer build writes stops the older one
//! before it answers anything, and nodes of one build continue where they are a quorum.
//!
//! All nodes here run the same code. A newer build is one whose messages are rewritten on the way to its peers
//! (`cluster_support/edge.rs`), or whose data are rewritten on its disk. So these tests show what this build does with
//! the data of another build, and nothing about what another build does. `mixed_rules.rs` tests builds that differ in
//! the rules that they know.

use std::path::Path;
use std::time::Duration;

use assent_api::StatusBody;
use assent_cluster::config::Config;
use assent_cluster::node::Node;
use assent_cluster::peer::{PROTOCOL_VERSION, PROTOCOL_VERSION_MIN};
use assent_cluster::usecase::{Caller, Submitted};
use assent_registry::Table;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::cluster_support::edge::*;
use crate::cluster_support::load::{Load, Said};
use crate::cluster_support::record::{closed, store_of};
use crate::cluster_support::*;

/// What the reason says for which an older build stops.
const NEWER: &str = "start this node with a newer build";
/// Far above anything that a cluster needs, for machines that are busy.
const SURELY: Duration = Duration::from_secs(30);
/// So long load goes on once something has happened.
const A_WHILE: Duration = Duration::from_millis(1_000);

/// Three nodes behind their edges.
struct Cluster {
    _folder: TempDir,
    configs: Vec<Config>,
    edges: Vec<Edge>,
    nodes: Vec<Option<Node>>,
}

impl Cluster {
    /// All of the same build, ready, and `exec-1` may run.
    async fn new(change: fn(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut configs = configs(folder.path());
        configs.iter_mut().for_each(change);
        let edges: Vec<Edge> = configs.iter().map(|_| Edge::default()).collect();
        let mut nodes = Vec::new();
        for (config, edge) in configs.iter().zip(&edges) {
            nodes.push(Some(start_behind(config, edge).await));
        }
        let cluster = Self { _folder: folder, configs, edges, nodes };
        for place in 0..3 {
            ready(cluster.node(place)).await;
        }
        let answer = cluster.node(0).service().submit(Caller::local(), Bytes::from(authorization())).await;
        assert!(matches!(answer, Submitted::Accepted { .. }), "{answer:?}");
        cluster
    }

    fn node(&self, place: usize) -> &Node {
        self.nodes[place].as_ref().unwrap()
    }

    fn status(&self, place: usize) -> StatusBody {
        self.node(place).service().status(Caller::local())
    }

    async fn stop(&mut self, place: usize) {
        self.nodes[place].take().unwrap().shutdown().await;
    }

    async fn start(&mut self, place: usize) {
        self.nodes[place] = Some(start_behind(&self.configs[place], &self.edges[place]).await);
    }

    /// The place of the node that leads.
    async fn leader(&self) -> usize {
        let until = Instant::now() + SURELY;
        loop {
            let leads = |place: &usize| {
                self.nodes[*place].is_some() && {
                    let status = self.status(*place);
                    status.leader == Some(status.node_id)
                }
            };
            if let Some(place) = (0..3).find(leads) {
                return place;
            }
            assert!(Instant::now() < until, "no node leads");
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// From now on all but the nodes that `pick` names, given the leader's place, are newer builds, and write commands of a later
    /// version. Newer builds read each other's words, so what they say to one another goes as it is. Returns the old ones, once the first
    /// such command was sent to one of them.
    async fn newer_but_for(&self, pick: fn(usize) -> Vec<usize>) -> Vec<usize> {
        for _ in 0..10 {
            let old = pick(self.leader().await);
            for place in (0..3).filter(|place| !old.contains(place)) {
                let addresses: Vec<String> =
                    old.iter().map(|place| self.configs[*place].peer_listen.clone()).collect();
                self.edges[place].write_ahead(move |to, frame| {
                    let reads_no_more = addresses.iter().any(|address| address == to);
                    if reads_no_more { commands_ahead(frame) } else { None }
                });
            }
            let until = Instant::now() + Duration::from_secs(3);
            while Instant::now() < until {
                if self.edges.iter().any(|edge| !edge.sent().is_empty()) {
                    return old;
                }
                sleep(Duration::from_millis(5)).await;
            }
            // Another node leads by now.
            self.stop_rewriting();
        }
        panic!("no command of a later version was sent");
    }

    fn stop_rewriting(&self) {
        for edge in &self.edges {
            edge.stop_rewriting();
        }
    }

    /// Why a node stopped.
    async fn stopped(&self, place: usize) -> String {
        timeout(SURELY, self.node(place).failed()).await.expect("a node that stops")
    }

    /// Whether a node is still there.
    async fn is_running(&self, place: usize) -> bool {
        timeout(Duration::from_millis(300), self.node(place).failed()).await.is_err()
    }

    /// Load on every node.
    fn load(&self) -> Vec<Load> {
        (0..3).map(|place| Load::on(self.node(place), &format!("load-{place}"))).collect()
    }

    /// Hands in authorizations until neither of the others could send this node its log any more, which stands at `last`.
    async fn leave_behind(&self, place: usize, last: u64) {
        let others: Vec<usize> = (0..3).filter(|other| *other != place).collect();
        let until = Instant::now() + SURELY * 2;
        for number in 0_u32.. {
            let envelope = authorization_for(&format!("behind-{number}"));
            // An envelope that is not accepted, since another node leads now, makes no difference.
            let _ = self.node(others[0]).service().submit(Caller::local(), envelope.into()).await;
            if others.iter().all(|other| self.status(*other).log.first > Some(last + 1)) {
                return;
            }
            assert!(Instant::now() < until, "nothing was cut off the log");
        }
    }

    /// Asked in peace, every node allows, and all hold the same.
    async fn is_whole(&self) {
        for place in 0..3 {
            ready(self.node(place)).await;
            let node = self.node(place);
            let mut answer = node.service().authorize(Caller::local(), vec![request()]).await.remove(0);
            for _ in 0..50 {
                if answer.status == 200 {
                    break;
                }
                sleep(Duration::from_millis(50)).await;
                answer = node.service().authorize(Caller::local(), vec![request()]).await.remove(0);
            }
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        }
        eventually("all have applied the same", || {
            (1..3).all(|place| self.status(place).applied == self.status(0).applied)
        })
        .await;
        let mut digests = Vec::new();
        for place in 0..3 {
            digests.push(self.node(place).service().digest(Caller::local()).await.unwrap().digest);
        }
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    }
}

fn as_it_is(_config: &mut Config) {}

/// A node that misses some entries needs a snapshot.
fn short_log(config: &mut Config) {
    (config.raft.snapshot_every_entries, config.raft.keep_entries, config.raft.lag_entries) = (5, 2, 5);
}

async fn ended(loads: Vec<Load>) -> Vec<Said> {
    let mut said = Vec::new();
    for load in loads {
        said.push(load.end().await);
    }
    said
}

/// The log index that a node stopped at.
fn stopped_at(why: &str) -> u64 {
    let (_, after) =
        why.split_once("the command at log index ").unwrap_or_else(|| panic!("no log index: {why}"));
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_old_builds_stop_at_a_newer_command_without_acknowledging_it_or_answering_after_it() {
    let mut cluster = Cluster::new(as_it_is).await;
    let loads = cluster.load();
    sleep(A_WHILE).await;
    let old = cluster.newer_but_for(|leader| (0..3).filter(|place| *place != leader).collect()).await;
    let newer = (0..3).find(|place| !old.contains(place)).unwrap();
    let mut stopped = Vec::new();
    for place in &old {
        let why = cluster.stopped(*place).await;
        assert!(why.contains(NEWER), "{why}");
        stopped.push(stopped_at(&why));
    }
    sleep(A_WHILE).await;
    let said = ended(loads).await;

    // When both had been sent what they cannot read. A barrier that begins later needs the answer of one of the two to
    // something that comes behind it on the same connection.
    let sent = cluster.edges[newer].sent();
    let first = |place: &usize| {
        sent.iter().find(|sent| sent.to == cluster.configs[*place].peer_listen).map(|sent| sent.at).unwrap()
    };
    let by_then = old.iter().map(first).max().unwrap();
    for (place, said) in said.iter().enumerate() {
        assert!(said.allowed() > 0, "node {} never allowed, so there was nothing to lose", place + 1);
        assert_eq!(said.allowed_after(by_then), 0, "node {}", place + 1);
        assert_eq!(said.accepted_after(by_then), 0, "node {}", place + 1);
    }
    for (place, index) in old.iter().zip(&stopped) {
        let last = cluster.status(*place).log.last;
        assert!(last < Some(*index), "node {} keeps entry {index}: {last:?}", place + 1);
    }
    let committed = cluster.status(newer).applied;
    assert!(committed < stopped.iter().max().copied(), "{committed:?} was committed with {stopped:?}");

    // What they can read they take, once started again.
    cluster.stop_rewriting();
    for place in old {
        cluster.stop(place).await;
        cluster.start(place).await;
    }
    cluster.is_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_old_build_stops_at_a_newer_leaders_command_and_the_two_that_read_it_go_on() {
    let mut cluster = Cluster::new(as_it_is).await;
    let loads = cluster.load();
    sleep(A_WHILE).await;
    let old = cluster.newer_but_for(|leader| vec![(leader + 1) % 3]).await[0];
    let why = cluster.stopped(old).await;
    let by_then = Instant::now();
    assert!(why.contains(NEWER), "{why}");
    let last = cluster.status(old).log.last;
    assert!(last < Some(stopped_at(&why)), "{last:?}: {why}");
    sleep(A_WHILE * 2).await;
    for (place, said) in ended(loads).await.iter().enumerate() {
        assert!(said.allowed() > 0, "node {}", place + 1);
        assert_eq!(said.allowed_after(by_then) > 0, place != old, "node {}", place + 1);
        // What is handed in at the old one until its process is gone may reach the leader, which answers for it.
        assert!(said.accepted_after(by_then) > 0 || place == old, "node {}", place + 1);
    }
    cluster.stop_rewriting();
    cluster.stop(old).await;
    cluster.start(old).await;
    cluster.is_whole().await;
}

/// Changes the version of the last record in a stopped node's log.
async fn change_last_record(config: &Config, change: fn(u8) -> u8) {
    let store = store_of(config).await;
    let (_, last) = store.log.range().unwrap();
    let mut record = store.log.read(last, last + 1, usize::MAX).await.unwrap().remove(0);
    record.0[0] = change(record.0[0]);
    store.log.truncate_after(last.checked_sub(1)).await.unwrap();
    let (tell, told) = tokio::sync::oneshot::channel();
    store.log.append(vec![record], Box::new(move |durable| tell.send(durable).unwrap())).await.unwrap();
    told.await.unwrap().unwrap();
    closed(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_build_does_not_start_on_a_newer_ones_log_record_and_the_others_go_on() {
    let mut cluster = Cluster::new(as_it_is).await;
    let old = (cluster.leader().await + 1) % 3;
    cluster.stop(old).await;
    change_last_record(&cluster.configs[old], |version| version + AHEAD).await;
    let others: Vec<usize> = (0..3).filter(|place| *place != old).collect();
    let load = |place: &usize| Load::on(cluster.node(*place), &format!("load-{place}"));
    let loads: Vec<Load> = others.iter().map(load).collect();
    for _ in 0..2 {
        let why = refuses_to_start(&cluster.configs[old]).await;
        assert!(why.contains(NEWER), "{why}");
    }
    let by_then = Instant::now();
    sleep(A_WHILE).await;
    for said in ended(loads).await {
        assert!(said.allowed_after(by_then) > 0 && said.accepted_after(by_then) > 0);
    }
    // The build that wrote it reads it.
    change_last_record(&cluster.configs[old], |version| version - AHEAD).await;
    cluster.start(old).await;
    cluster.is_whole().await;
}

/// The registry's files in a data folder.
fn generations(folder: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("registry-")).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_build_stops_at_a_newer_leaders_snapshot_and_has_installed_nothing() {
    let mut cluster = Cluster::new(short_log).await;
    let old = (cluster.leader().await + 1) % 3;
    cluster.stop(old).await;
    let before = generations(&cluster.configs[old].data_dir);
    let others: Vec<usize> = (0..3).filter(|place| *place != old).collect();
    // Where the old one stands; the others have at least that.
    let last = cluster.status(others[0]).log.last.unwrap();
    cluster.leave_behind(old, last).await;
    let ahead = cluster.status(others[0]).revision;
    for place in &others {
        cluster.edges[*place].write_ahead(|_, frame| header_ahead(frame));
    }
    cluster.start(old).await;
    let loads = cluster.load();
    let why = cluster.stopped(old).await;
    let by_then = Instant::now();
    assert!(why.contains("a snapshot's header has version") && why.contains(NEWER), "{why}");
    sleep(A_WHILE).await;
    let revision = cluster.status(old).revision;
    for (place, said) in ended(loads).await.iter().enumerate() {
        if place == old {
            assert_eq!(said.allowed(), 0);
        } else {
            assert!(
                said.allowed_after(by_then) > 0 && said.accepted_after(by_then) > 0,
                "node {}",
                place + 1
            );
        }
    }
    assert!(revision < ahead, "it has installed something: {revision} of {ahead}");
    cluster.stop(old).await;
    assert_eq!(generations(&cluster.configs[old].data_dir), before);

    cluster.stop_rewriting();
    cluster.start(old).await;
    cluster.is_whole().await;
    assert_ne!(generations(&cluster.configs[old].data_dir), before, "it took no snapshot");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_build_never_decides_on_a_newer_builds_row_that_came_in_a_snapshot() {
    let mut cluster = Cluster::new(short_log).await;
    let old = (cluster.leader().await + 1) % 3;
    cluster.stop(old).await;
    let others: Vec<usize> = (0..3).filter(|place| *place != old).collect();
    let last = cluster.status(others[0]).log.last.unwrap();
    cluster.leave_behind(old, last).await;
    // The load asks these two nodes for no decision: their code would not read the rows either. Submissions do not need them.
    for place in &others {
        cluster.stop(*place).await;
    }
    for place in &others {
        raise_rows(&cluster.configs[*place], Table::Policies, "", AHEAD).await;
        cluster.start(*place).await;
    }
    for place in &others {
        ready(cluster.node(*place)).await;
    }
    let before = generations(&cluster.configs[old].data_dir);
    cluster.start(old).await;
    let mut loads = vec![Load::asks(cluster.node(old))];
    for place in &others {
        loads.push(Load::submits(cluster.node(*place), &format!("load-{place}")));
    }
    let why = cluster.stopped(old).await;
    let by_then = Instant::now();
    assert!(why.contains("table `policies`") && why.contains(NEWER), "{why}");
    assert_ne!(generations(&cluster.configs[old].data_dir), before, "it took no snapshot");
    sleep(A_WHILE).await;
    let said = ended(loads).await;
    assert_eq!(said[0].allowed(), 0);
    for said in &said[1..] {
        assert!(said.accepted_after(by_then) > 0);
    }
    for place in others {
        assert!(cluster.is_running(place).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_speaks_other_protocol_versions_is_told_both_ranges_and_the_others_go_on() {
    let mut cluster = Cluster::new(as_it_is).await;
    let newer = (cluster.leader().await + 1) % 3;
    cluster.stop(newer).await;
    cluster.edges[newer].write_ahead(|_, frame| hello_ahead(frame));
    cluster.start(newer).await;
    let by_then = Instant::now();
    let loads = cluster.load();
    let ranges = format!(
        "protocol versions `{}` to `{}` do not meet `{PROTOCOL_VERSION_MIN}` to `{PROTOCOL_VERSION}`",
        PROTOCOL_VERSION + 1,
        PROTOCOL_VERSION + 2
    );
    // What one node says of its connection to another one.
    let says = |place: usize, of: usize, what: &str| {
        let peer = cluster.status(place).peers.into_iter().find(|peer| peer.id == of as u64 + 1).unwrap();
        !peer.connected
            && peer.problem.is_some_and(|problem| problem.contains(&ranges) && problem.contains(what))
    };
    for old in (0..3).filter(|place| *place != newer) {
        eventually("a refusal", || says(old, newer, "refused node")).await;
        eventually("a refusal", || says(newer, old, "refused by the peer")).await;
    }
    sleep(A_WHILE).await;
    for (place, said) in ended(loads).await.iter().enumerate() {
        assert_eq!(said.allowed_after(by_then) > 0, place != newer, "node {}", place + 1);
        assert_eq!(said.accepted_after(by_then) > 0, place != newer, "node {}", place + 1);
    }
    for place in 0..3 {
        assert!(cluster.is_running(place).await, "node {}", place + 1);
    }
    cluster.stop_rewriting();
    cluster.is_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_only_newer_builds_know_is_answered_as_unsupported_and_nothing_else_changes() {
    let cluster = Cluster::new(as_it_is).await;
    for edge in &cluster.edges {
        edge.write_ahead(|_, frame| with_an_unknown_request(frame));
    }
    let by_then = Instant::now();
    let loads = cluster.load();
    sleep(A_WHILE * 2).await;
    for (place, said) in ended(loads).await.iter().enumerate() {
        assert!(said.allowed_after(by_then) > 0 && said.accepted_after(by_then) > 0, "node {}", place + 1);
    }
    for (place, edge) in cluster.edges.iter().enumerate() {
        assert!(cluster.is_running(place).await, "node {}", place + 1);
        eventually("an answer", || edge.unsupported() > 0).await;
    }
    cluster.stop_rewriting();
    cluster.is_whole().await;
}
