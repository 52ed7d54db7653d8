//! Three Raft cores on real stores over real peer connections: replication, failover, transfer of leadership,
//! snapshots.

use crate::peer_support;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use assent_cluster::env::Environment;
use assent_cluster::peer::{
    Answer, Append, Behalf, CosignRules, CosignRulesReply, Handler, Hello, Introduce, Manage, ManageError,
    ManageReply, Moved, MovedReply, PeerError, PeerHub, PeerLimits, ProbeReply, ReadIndexError,
    ReadIndexReply, SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotReply, SnapshotStep, StoreProgress,
    SubmitError, SubmitReply,
};
use assent_cluster::raft::log::{LogRecord, RaftLog};
use assent_cluster::raft::machine::Machine;
use assent_cluster::raft::network::{Direction, PeerNetworkFactory, RaftService, Transfers};
use assent_cluster::raft::remembered::Remembered;
use assent_cluster::raft::types::{NodeId, PeerNode, Proposal, TypeConfig};
use assent_cluster::raft::verifier::{Verifier, VerifierLimits};
use assent_cluster::tasks::Tasks;
use assent_registry::{Group, Rows, RowsMut, RulesVersion, Table};
use assent_store::{Store, StoreOptions};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::{
    AppendEntriesResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{Config, Raft, SnapshotPolicy};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::peer_support::{CLUSTER, SOON, eventually, identity};

struct Delegate(RaftService);

impl Handler for Delegate {
    fn store_progress(&self) -> StoreProgress {
        StoreProgress { started: true, term: 1, log_end: 1 }
    }
    fn admit(&self, _hello: &Hello) -> Result<(), String> {
        Ok(())
    }
    fn is_bound(&self, _hello: &Hello) -> Result<(), String> {
        Ok(())
    }
    fn recovery(&self, _hello: &Hello) -> Option<Bytes> {
        None
    }
    fn recovered(&self, _hello: &Hello, _envelope: &Bytes) {}
    fn moved(&self, _from: NodeId, _moved: Moved) -> BoxFuture<'static, MovedReply> {
        std::future::ready(Err("not here".to_owned())).boxed()
    }
    fn introduce(&self, _from: NodeId, _introduce: Introduce) {}
    fn append(&self, from: NodeId, append: Append) -> Answer<AppendEntriesResponse<TypeConfig>> {
        self.0.append(from, append.rpc)
    }
    fn cosign_rules(&self, _from: NodeId, _ask: CosignRules) -> BoxFuture<'static, CosignRulesReply> {
        std::future::ready(Err("not here".to_owned())).boxed()
    }
    fn manage(
        &self,
        _from: NodeId,
        _manage: Manage,
        _behalf: Option<Behalf>,
    ) -> BoxFuture<'static, ManageReply> {
        std::future::ready(Err(ManageError::NotLeader { leader: None })).boxed()
    }
    fn vote(&self, from: NodeId, rpc: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>> {
        self.0.vote(from, rpc)
    }
    fn pre_vote(&self, from: NodeId, rpc: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>> {
        self.0.pre_vote(from, rpc)
    }
    fn transfer_leader(
        &self,
        from: NodeId,
        rpc: TransferLeaderRequest<TypeConfig>,
    ) -> Answer<TransferLeaderResponse<TypeConfig>> {
        self.0.transfer_leader(from, rpc)
    }
    fn snapshot(&self, from: NodeId, step: SnapshotStep) -> Answer<SnapshotReply> {
        self.0.snapshot(from, step)
    }
    fn read_index(&self, _from: NodeId) -> BoxFuture<'static, ReadIndexReply> {
        std::future::ready(Err(ReadIndexError::Overloaded)).boxed()
    }
    fn submit(
        &self,
        _from: NodeId,
        _groups: Vec<Group>,
        _behalf: Vec<Behalf>,
    ) -> BoxFuture<'static, SubmitReply> {
        std::future::ready(Err(SubmitError::Overloaded)).boxed()
    }
    fn probe(&self, _from: NodeId) -> BoxFuture<'static, ProbeReply> {
        std::future::ready(ProbeReply {
            started: true,
            store_id: [0; 16],
            leader: None,
            key: peer_support::node_key(),
        })
        .boxed()
    }
}

/// A proposal of the commands' version that is no command: it changes nothing, and stops nobody.
fn garbage(payload: &[u8]) -> Proposal {
    Proposal([&[1][..], payload].concat().into())
}

struct RaftNode {
    id: NodeId,
    hub: PeerHub,
    raft: Raft<TypeConfig, Machine>,
    store: Store<LogRecord>,
    transfers: Transfers,
    _dir: TempDir,
}

impl RaftNode {
    async fn start(id: NodeId) -> Self {
        Self::start_in(id, tempfile::tempdir().unwrap()).await
    }

    /// Starts on what a folder holds.
    async fn start_in(id: NodeId, dir: TempDir) -> Self {
        let env = Environment::real(dir.path()).unwrap();
        let run = env.run_blocking();
        let store =
            Store::<LogRecord>::open(env.disk.clone(), run.clone(), [id as u8; 16], StoreOptions::default())
                .await
                .unwrap();
        let transfers = Transfers::default();
        let service = RaftService::new(store.registry.clone(), env.blocking.clone(), transfers.clone());
        let limits = PeerLimits { redial_max: Duration::from_millis(100), ..PeerLimits::default() };
        let handler = Arc::new(Delegate(service.clone()));
        let hub = PeerHub::start(
            &env,
            identity(id),
            "127.0.0.1:0".into(),
            vec![],
            handler,
            limits,
            None,
            Tasks::new(),
        );
        let hub = hub.await.unwrap();
        let verifier = Verifier::new("test".into(), run.clone(), VerifierLimits::default());
        let guard = Arc::new(|_: &dyn Rows| Ok(()));
        let machine =
            Machine::new(store.registry.clone(), verifier.clone(), run, guard, RulesVersion::NEWEST).unwrap();
        let config = Config {
            heartbeat_interval: 50,
            election_timeout_min: 150,
            election_timeout_max: 300,
            enable_pre_vote: Some(true),
            enable_leader_restore: Some(false),
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: 0,
            replication_lag_threshold: 1,
            ..Config::default()
        };
        let raft = Raft::new(
            id,
            Arc::new(config.validate().unwrap()),
            PeerNetworkFactory::new(
                hub.clone(),
                env.blocking.clone(),
                Remembered::load(store.log.clone()).unwrap(),
                transfers.clone(),
            ),
            RaftLog::new(store.log.clone(), verifier, RulesVersion::NEWEST, id),
            machine,
        )
        .await
        .unwrap();
        service.attach(raft.clone());
        Self { id, hub, raft, store, transfers, _dir: dir }
    }

    fn peer_node(&self) -> PeerNode {
        PeerNode {
            peer_addr: self.hub.local_addr().to_string(),
            client_addr: String::new(),
            store_id: [self.id as u8; 16],
            key: None,
        }
    }

    fn applied(&self) -> u64 {
        self.raft.metrics().borrow_watched().last_applied.map_or(0, |id| id.index)
    }

    fn leader(&self) -> Option<NodeId> {
        self.raft.metrics().borrow_watched().current_leader
    }

    /// Writes, also through the moments in which the leader is not yet sure of its quorum.
    async fn write(&self, payload: &[u8]) {
        let until = Instant::now() + SOON;
        while let Err(error) = self.raft.client_write(garbage(payload)).await {
            assert!(Instant::now() < until, "{error}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) {
        self.raft.shutdown().await.unwrap();
        self.hub.shutdown().await;
    }

    /// Stops it and closes its store, so that it can be started again on the same folder.
    async fn put_down(self) -> TempDir {
        let (store, dir) = (self.store, self._dir);
        self.raft.shutdown().await.unwrap();
        self.hub.shutdown().await;
        store.log.close().await.unwrap();
        store.registry.close().unwrap();
        dir
    }
}

fn members(nodes: &[RaftNode]) -> BTreeMap<NodeId, PeerNode> {
    nodes.iter().map(|node| (node.id, node.peer_node())).collect()
}

async fn three() -> Vec<RaftNode> {
    assert_eq!(CLUSTER.len(), 32);
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(RaftNode::start(id).await);
    }
    // As every node does that starts from a genesis file: it knows the others' addresses from the beginning.
    for node in &nodes {
        for other in &nodes {
            node.hub.ensure_peer(other.id, &other.hub.local_addr().to_string());
        }
    }
    nodes[0].raft.initialize(members(&nodes)).await.unwrap();
    nodes
}

/// The index, in `nodes`, of the leader that all of them follow.
async fn leader_of(nodes: &[RaftNode]) -> usize {
    let until = Instant::now() + SOON;
    loop {
        let leader = nodes[0].leader();
        let at = nodes.iter().position(|node| Some(node.id) == leader);
        if let Some(at) = at
            && nodes.iter().all(|node| node.leader() == leader)
        {
            return at;
        }
        assert!(Instant::now() < until, "no leader within {SOON:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_reach_every_node_and_a_dead_leader_is_replaced_within_a_second_or_so() {
    let mut nodes = three().await;
    let at = leader_of(&nodes).await;
    nodes[at].write(b"first").await;
    let writes = (0..500u32).map(|n| {
        let raft = nodes[at].raft.clone();
        async move { raft.client_write(garbage(&n.to_be_bytes())).await.unwrap() }
    });
    let written = futures_util::future::join_all(writes).await;
    let last = written.iter().map(|write| write.log_id.index).max().unwrap();
    assert!(last >= 500);
    eventually("convergence", || nodes.iter().all(|node| node.applied() >= last)).await;

    nodes.remove(at).stop().await;
    let started = Instant::now();
    let at = leader_of(&nodes).await;
    nodes[at].write(b"after").await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

/// On one thread nothing of Raft's has run when it is there: what it shows is not its state yet. See docs/openraft.md; when
/// the first assertion fails, the wait in `node/raft.rs` can go.
#[tokio::test]
async fn right_after_its_start_raft_shows_no_members_until_it_was_asked_something() {
    let node = RaftNode::start(1).await;
    node.raft.initialize(members(std::slice::from_ref(&node))).await.unwrap();
    eventually("a leader", || node.leader() == Some(1)).await;
    node.write(b"something").await;
    let node = RaftNode::start_in(1, node.put_down().await).await;
    let members = || node.raft.metrics().borrow_watched().membership_config.nodes().count();
    assert_eq!(members(), 0, "it shows its members from the beginning");
    node.raft.with_raft_state(|_| ()).await.unwrap();
    assert_eq!(members(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over_when_asked() {
    let nodes = three().await;
    let at = leader_of(&nodes).await;
    nodes[at].write(b"before").await;
    let to = nodes[(at + 1) % 3].id;
    let last = nodes[at].applied();
    eventually("convergence", || nodes.iter().all(|node| node.applied() >= last)).await;
    nodes[at].raft.trigger().transfer_leader(to).await.unwrap();
    eventually("the new leader", || nodes.iter().all(|node| node.leader() == Some(to))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_far_behind_gets_a_snapshot_in_chunks() {
    let nodes = three().await;
    let leader = &nodes[leader_of(&nodes).await];
    let body = fill_and_purge(leader, 64).await;
    let learner = add_learner(&nodes, leader).await;
    has_rows(&learner, 64, &body);
    leader.write(b"after").await;
    let last = leader.applied();
    eventually("following", || learner.applied() >= last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_goes_on_after_its_connection_broke() {
    let nodes = three().await;
    let leader = &nodes[leader_of(&nodes).await];
    let rows = 400;
    let body = fill_and_purge(leader, rows).await;
    let learner = RaftNode::start(4).await;
    let addr = learner.hub.local_addr().to_string();
    leader.hub.ensure_peer(4, &addr);
    eventually("a connection", || leader.hub.is_connected(4)).await;
    leader.raft.add_learner(4, learner.peer_node(), false).await.unwrap();
    let receiving = || {
        let all = learner.transfers.all();
        all.into_iter().find(|(direction, ..)| *direction == Direction::Receiving).map(|(.., at)| at)
    };
    // Cut every few chunks until it went on three times (a cut between two steps breaks none off); what was written
    // is never sent again.
    let (mut cuts, mut resumed, mut cut_at) = (0, 0, 0);
    let last = leader.applied();
    let until = Instant::now() + SOON * 4;
    while learner.applied() < last {
        assert!(Instant::now() < until, "cut {cuts} times, resumed {resumed}: {:?}", receiving());
        if let Some(progress) = receiving() {
            assert!(progress.chunks >= cut_at, "it began anew");
            resumed = resumed.max(progress.resumed);
            if resumed < 3 && progress.chunks >= cut_at + 5 {
                cut_at = progress.chunks;
                cuts += 1;
                leader.hub.forget(4, "a test cuts it");
                leader.hub.ensure_peer(4, &addr);
            }
        }
        sleep(Duration::from_millis(1)).await;
    }
    assert!(resumed >= 3, "cut {cuts} times, resumed {resumed}");
    has_rows(&learner, rows, &body);
}

/// A learner that every node knows, once it has caught up.
async fn add_learner(nodes: &[RaftNode], leader: &RaftNode) -> RaftNode {
    let learner = RaftNode::start(4).await;
    for node in nodes {
        learner.hub.ensure_peer(node.id, &node.hub.local_addr().to_string());
    }
    leader.raft.add_learner(4, learner.peer_node(), false).await.unwrap();
    let last = leader.applied();
    eventually("catching up", || learner.applied() >= last).await;
    learner
}

fn has_rows(node: &RaftNode, rows: u64, body: &Vec<u8>) {
    let view = node.store.registry.view().unwrap();
    for row in 0..rows {
        assert_eq!(view.get(Table::Bodies, &row.to_be_bytes()).unwrap().as_ref(), Some(body), "row {row}");
    }
}

/// Fills the registry with rows of 100 kB and cuts the log, so that whoever joins needs a snapshot of it.
async fn fill_and_purge(leader: &RaftNode, rows: u64) -> Vec<u8> {
    for n in 0..20u32 {
        leader.write(&n.to_be_bytes()).await;
    }
    // Rows enough for many chunks, put there behind Raft's back; the snapshot has to bring them.
    let body: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    let registry = leader.store.registry.clone();
    let value = body.clone();
    tokio::task::spawn_blocking(move || {
        let fill = |to: &mut dyn RowsMut| {
            (0..rows).try_for_each(|row| to.put(Table::Bodies, &row.to_be_bytes(), &value))
        };
        registry.write(None, fill).unwrap();
    })
    .await
    .unwrap();
    leader.raft.trigger().snapshot().await.unwrap();
    eventually("a snapshot", || leader.raft.metrics().borrow_watched().snapshot.is_some()).await;
    leader.raft.trigger().purge_log(leader.applied()).await.unwrap();
    eventually("a purge", || leader.raft.metrics().borrow_watched().purged.is_some()).await;
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_in_another_nodes_name_changes_no_term() {
    let nodes = three().await;
    let at = leader_of(&nodes).await;
    nodes[at].write(b"before").await;
    let (liar, victim) = (&nodes[(at + 1) % 3], &nodes[(at + 2) % 3]);
    let term = victim.raft.metrics().borrow_watched().current_term;
    for named in [victim.id, nodes[at].id, 9] {
        let forged = VoteRequest::new(openraft::Vote::new(1 << 40, named), None);
        let refused = liar.hub.call(victim.id, &assent_cluster::peer::Vote(forged), SOON).await;
        assert!(matches!(refused, Err(PeerError::Refused(_))), "{refused:?}");
    }
    assert_eq!(victim.raft.metrics().borrow_watched().current_term, term);
    nodes[at].write(b"after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_the_next_version_stops_the_receiver_with_its_reason() {
    let nodes = three().await;
    let at = leader_of(&nodes).await;
    nodes[at].write(b"before").await;
    let (sender, receiver) = (&nodes[at], &nodes[(at + 1) % 3]);
    let vote = sender.raft.metrics().borrow_watched().vote;
    let registry = sender.store.registry.clone();
    let source = tokio::task::spawn_blocking(move || registry.snapshot().unwrap()).await.unwrap();
    let mut header = source.header().encode();
    header[0] += 1;
    let begin = SnapshotBegin { transfer: 78, vote, meta: Default::default(), header: header.into() };
    let refused = sender.hub.call(receiver.id, &begin, SOON).await;
    assert!(matches!(refused, Err(PeerError::Refused(_))), "{refused:?}");
    let reason = "a snapshot's header has version 2, and this build reads version 1: start this node with a newer build";
    assert_eq!(receiver.store.health().poisoned().as_deref(), Some(reason));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_steps_out_of_turn_or_damaged_are_given_up_on_and_change_nothing() {
    let nodes = three().await;
    let at = leader_of(&nodes).await;
    nodes[at].write(b"before").await;
    let (sender, receiver) = (&nodes[at], &nodes[(at + 1) % 3]);
    let aborted = |reply: Result<SnapshotReply, PeerError>| matches!(reply, Ok(SnapshotReply::Aborted(_)));
    // Of the parts' version: one of another version would stop the receiver.
    let junk = Bytes::from_static(b"\x02junk");
    let chunk = SnapshotChunk { transfer: 77, chunk: junk.clone() };
    assert!(aborted(sender.hub.call(receiver.id, &chunk, SOON).await));
    let end = SnapshotEnd { transfer: 77, summary: junk.clone() };
    assert!(aborted(sender.hub.call(receiver.id, &end, SOON).await));

    let vote = sender.raft.metrics().borrow_watched().vote;
    let registry = sender.store.registry.clone();
    let source = tokio::task::spawn_blocking(move || registry.snapshot().unwrap()).await.unwrap();
    let header = source.header().encode();
    let begin = SnapshotBegin { transfer: 77, vote, meta: Default::default(), header: header.into() };
    assert_eq!(sender.hub.call(receiver.id, &begin, SOON).await, Ok(SnapshotReply::Continue { next: 0 }));
    // Asked again, as after a broken connection, it stands where it stood.
    assert_eq!(sender.hub.call(receiver.id, &begin, SOON).await, Ok(SnapshotReply::Continue { next: 0 }));
    assert!(aborted(sender.hub.call(receiver.id, &chunk, SOON).await));
    // The damaged chunk ended the transfer.
    assert!(aborted(sender.hub.call(receiver.id, &end, SOON).await));

    // A leader of the past is told of the present.
    let past = openraft::Vote::new_committed(0, sender.id);
    let begin = SnapshotBegin { vote: past, ..begin };
    let told = sender.hub.call(receiver.id, &begin, SOON).await.unwrap();
    assert!(matches!(told, SnapshotReply::Done(now) if now > past), "{told:?}");
    nodes[at].write(b"after").await;
}
