//! What the tests of the peer transport share: a scripted handler, nodes on loopback, and raw peers that send bytes.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]

use std::future::{pending, ready};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assent_cluster::config::{Config, PeerTlsConfig};
use assent_cluster::env::{Clock, Environment, RealClock};
use assent_cluster::peer::{
    Answer, Append, Behalf, CosignRules, CosignRulesReply, Handler, Hello, Identity, Introduce, Manage,
    ManageError, ManageReply, Message, Moved, MovedReply, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN,
    PeerAddress, PeerError, PeerHub, PeerLimits, PeerTls, ProbeReply, ReadIndexError, ReadIndexReply,
    SnapshotReply, SnapshotStep, StoreProgress, SubmitError, SubmitReply,
};
use assent_cluster::raft::log::LogRecord;
use assent_cluster::raft::network::{PeerNetworkFactory, Transfers};
use assent_cluster::raft::remembered::Remembered;
use assent_cluster::raft::types::{NodeId, Proposal, TypeConfig};
use assent_cluster::tasks::Tasks;
use assent_proof::Millis;
use assent_registry::{GenesisFile, Group};
use assent_store::{Store, StoreOptions};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::alias::LogIdOf;
use openraft::impls::{Entry, EntryPayload, Vote};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
    VoteResponse,
};
use openraft::vote::leader_id_std::{CommittedLeaderId, LeaderId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

pub const CLUSTER: [u8; 32] = [7; 32];
pub const SOON: Duration = Duration::from_secs(5);

/// A handler that does what its fields say.
#[derive(Default)]
pub struct Script {
    /// Votes and probes are never answered.
    pub mute: AtomicBool,
    /// Answers to appends take so long, the first ones longest.
    pub append_delay_ms: Mutex<Vec<u64>>,
    /// Appends conflict from this log index on.
    pub conflict_from: Mutex<Option<u64>>,
    /// The first log index of each append, in the order handed over.
    pub appended: Mutex<Vec<u64>>,
    /// Store ids that are not admitted.
    pub refused_store: Mutex<Option<[u8; 16]>>,
    /// Store ids that turn out to be bound to no one, after they were admitted.
    pub unbound_store: Mutex<Option<[u8; 16]>>,
    /// Hold submissions until told.
    pub held: AtomicBool,
    /// How much longer a submission takes, in milliseconds.
    pub submit_delay_ms: AtomicU64,
    /// How many submissions have come, and how many were carried out to their end.
    pub submissions: Arc<(AtomicU32, AtomicU32)>,
    /// What a node that is not admitted is shown in place of a refusal.
    pub recovery: Mutex<Option<Bytes>>,
    /// Who showed a recovery, by the hello before it.
    pub recovered: Mutex<Vec<NodeId>>,
    /// The term that votes are answered with, in place of the one asked for.
    pub voted: Mutex<Option<u64>>,
    /// How often it was asked up to where a read must have applied.
    pub reads: AtomicU32,
    /// What is said of this node's store in its hellos.
    pub store_progress: Mutex<Option<StoreProgress>>,
}

impl Handler for Script {
    fn store_progress(&self) -> StoreProgress {
        self.store_progress.lock().unwrap().unwrap_or(StoreProgress { started: true, term: 1, log_end: 1 })
    }

    fn admit(&self, hello: &Hello) -> Result<(), String> {
        if *self.refused_store.lock().unwrap() == Some(hello.store_id) {
            return Err("its store is not the one that the membership binds to it".to_owned());
        }
        Ok(())
    }

    fn is_bound(&self, hello: &Hello) -> Result<(), String> {
        if *self.unbound_store.lock().unwrap() == Some(hello.store_id) {
            return Err("it is bound to another store".to_owned());
        }
        Ok(())
    }

    fn recovery(&self, _hello: &Hello) -> Option<Bytes> {
        self.recovery.lock().unwrap().clone()
    }

    fn recovered(&self, hello: &Hello, _envelope: &Bytes) {
        self.recovered.lock().unwrap().push(hello.node_id);
    }

    fn moved(&self, _from: NodeId, _moved: Moved) -> BoxFuture<'static, MovedReply> {
        ready(Err("not here".to_owned())).boxed()
    }

    fn introduce(&self, _from: NodeId, _introduce: Introduce) {}

    fn append(&self, _from: NodeId, append: Append) -> Answer<AppendEntriesResponse<TypeConfig>> {
        let rpc = append.rpc;
        let index = rpc.entries.first().map_or(0, |entry| entry.log_id.index);
        self.appended.lock().unwrap().push(index);
        let delay = self.append_delay_ms.lock().unwrap().pop().unwrap_or(0);
        let conflict = self.conflict_from.lock().unwrap().is_some_and(|from| index >= from);
        async move {
            sleep(Duration::from_millis(delay)).await;
            Ok(if conflict { AppendEntriesResponse::Conflict } else { AppendEntriesResponse::Success })
        }
        .boxed()
    }

    fn vote(&self, _from: NodeId, rpc: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>> {
        if self.mute.load(Ordering::SeqCst) {
            return pending().boxed();
        }
        let voted = self.voted.lock().unwrap().map_or(rpc.vote, |term| Vote::new(term, 1));
        ready(Ok(VoteResponse::new(voted, None, true))).boxed()
    }

    fn pre_vote(&self, _from: NodeId, rpc: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>> {
        ready(Ok(VoteResponse::new(rpc.vote, None, false))).boxed()
    }

    fn transfer_leader(
        &self,
        _from: NodeId,
        _rpc: TransferLeaderRequest<TypeConfig>,
    ) -> Answer<TransferLeaderResponse<TypeConfig>> {
        ready(Ok(Ok(()))).boxed()
    }

    fn snapshot(&self, _from: NodeId, _step: SnapshotStep) -> Answer<SnapshotReply> {
        ready(Err("no snapshots here".to_owned())).boxed()
    }

    fn read_index(&self, _from: NodeId) -> BoxFuture<'static, ReadIndexReply> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        ready(Err(ReadIndexError::NotLeader { leader: Some(9) })).boxed()
    }

    /// Echoes the first envelope as text.
    fn submit(
        &self,
        from: NodeId,
        groups: Vec<Group>,
        _behalf: Vec<Behalf>,
    ) -> BoxFuture<'static, SubmitReply> {
        self.submissions.0.fetch_add(1, Ordering::SeqCst);
        if self.held.load(Ordering::SeqCst) {
            return pending().boxed();
        }
        let text = String::from_utf8_lossy(&groups[0].envelopes[0]).into_owned();
        let wait = u64::from(text.len() as u32 % 5) + self.submit_delay_ms.load(Ordering::SeqCst);
        let submissions = self.submissions.clone();
        async move {
            sleep(Duration::from_millis(wait)).await;
            submissions.1.fetch_add(1, Ordering::SeqCst);
            Err(SubmitError::Unknown(format!("{from}:{text}")))
        }
        .boxed()
    }

    fn cosign_rules(&self, _from: NodeId, _ask: CosignRules) -> BoxFuture<'static, CosignRulesReply> {
        ready(Err("not here".to_owned())).boxed()
    }

    fn manage(
        &self,
        _from: NodeId,
        _manage: Manage,
        _behalf: Option<Behalf>,
    ) -> BoxFuture<'static, ManageReply> {
        ready(Err(ManageError::NotLeader { leader: Some(9) })).boxed()
    }

    fn probe(&self, _from: NodeId) -> BoxFuture<'static, ProbeReply> {
        if self.mute.load(Ordering::SeqCst) {
            return pending().boxed();
        }
        ready(ProbeReply { started: true, store_id: [1; 16], leader: None, key: node_key() }).boxed()
    }
}

/// A clock that is off by so much.
pub struct SkewedClock(pub i64);

impl Clock for SkewedClock {
    fn now(&self) -> Millis {
        Millis(RealClock.now().0 + self.0)
    }

    fn boot_ms(&self) -> u64 {
        RealClock.boot_ms()
    }
}

pub struct Node {
    pub hub: PeerHub,
    pub script: Arc<Script>,
    pub env: Environment,
    _dir: tempfile::TempDir,
}

/// Network clients as Raft would have them from this node.
pub async fn factory(node: &Node) -> PeerNetworkFactory {
    let env = &node.env;
    let store =
        Store::<LogRecord>::open(env.disk.clone(), env.run_blocking(), [0; 16], StoreOptions::default());
    let remembered = Remembered::load(store.await.unwrap().log).unwrap();
    PeerNetworkFactory::new(node.hub.clone(), env.blocking.clone(), remembered, Transfers::default())
}

/// Limits that make the tests quick.
pub fn quick() -> PeerLimits {
    PeerLimits {
        connect_timeout: Duration::from_millis(300),
        handshake_timeout: Duration::from_millis(400),
        ping_interval: Duration::from_millis(50),
        silence_max: Duration::from_millis(400),
        suspicion_max: Duration::from_millis(150),
        redial_min: Duration::from_millis(5),
        redial_max: Duration::from_millis(40),
        certificates_every: Duration::from_millis(50),
        ..PeerLimits::default()
    }
}

pub fn identity(id: NodeId) -> Identity {
    Identity { cluster_id: CLUSTER, node_id: id, store_id: [id as u8; 16], rules_version: 1 }
}

pub fn node_key() -> assent_proof::PublicKey {
    assent_proof::SigningKey::from_seed([5; 32]).public()
}

pub async fn node_as(
    identity: Identity,
    listen: &str,
    peers: &[(NodeId, String)],
    limits: PeerLimits,
    skew: i64,
) -> Node {
    node_with(identity, listen, peers, limits, skew, None).await
}

/// The same, with TLS by these files.
pub async fn node_with(
    identity: Identity,
    listen: &str,
    peers: &[(NodeId, String)],
    limits: PeerLimits,
    skew: i64,
    tls: Option<PeerTlsConfig>,
) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let mut env = Environment::real(dir.path()).unwrap();
    env.clock = Arc::new(SkewedClock(skew));
    let script = Arc::new(Script::default());
    let peers = peers.iter().map(|(id, addr)| PeerAddress { id: *id, addr: addr.clone() }).collect();
    let load =
        |files| PeerTls::load(files, identity.cluster_id, identity.node_id, env.clock.clone()).unwrap();
    let (tls, listen, handler) = (tls.map(load), listen.to_owned(), script.clone());
    let hub = PeerHub::start(&env, identity, listen, peers, handler, limits, tls, Tasks::new());
    let hub = hub.await.unwrap();
    Node { hub, script, env, _dir: dir }
}

pub async fn node(id: NodeId, peers: &[(NodeId, String)]) -> Node {
    node_as(identity(id), "127.0.0.1:0", peers, quick(), 0).await
}

/// The id of the cluster that these configurations are of.
pub fn cluster_id(configs: &[Config]) -> [u8; 32] {
    GenesisFile::parse(&std::fs::read(&configs[0].genesis).unwrap()).unwrap().cluster_id().0
}

/// A peer that says that it is this node of the cluster, with this store and all that it ever acknowledged. It dials nobody.
pub async fn node_of(configs: &[Config], node_id: NodeId, store_id: [u8; 16]) -> Node {
    let identity = Identity { cluster_id: cluster_id(configs), node_id, store_id, rules_version: 1 };
    let peer = node_as(identity, "127.0.0.1:0", &[], quick(), 0).await;
    *peer.script.store_progress.lock().unwrap() =
        Some(StoreProgress { started: true, term: 1 << 30, log_end: 1 << 30 });
    peer
}

/// The same, once it has dialed these.
pub async fn member_of(configs: &[Config], node_id: NodeId, store_id: [u8; 16], to: &[NodeId]) -> Node {
    let peer = node_of(configs, node_id, store_id).await;
    for to in to {
        peer.hub.ensure_peer(*to, &configs[*to as usize - 1].peer_listen);
    }
    for to in to {
        connected(&peer, *to).await;
    }
    peer
}

/// Nodes 1 and 2, connected.
pub async fn pair() -> (Node, Node) {
    let two = node(2, &[]).await;
    let one = node(1, &[(2, two.hub.local_addr().to_string())]).await;
    two.hub.ensure_peer(1, &one.hub.local_addr().to_string());
    connected(&one, 2).await;
    connected(&two, 1).await;
    (one, two)
}

/// Waits until the node has a connection with `peer`, whoever dialed.
pub async fn met(node: &Node, peer: NodeId) {
    eventually("a hello", || node.hub.hello(peer).is_some()).await;
}

/// Waits until the node has dialed `to`, so that it can ask.
pub async fn connected(node: &Node, to: NodeId) {
    eventually("a connection", || node.hub.is_connected(to)).await;
}

/// What node `to` answers, once there is a connection that the message can be sent on.
pub async fn asked<M: Message>(node: &Node, to: NodeId, message: &M) -> Result<M::Reply, PeerError> {
    let until = Instant::now() + SOON;
    loop {
        match node.hub.call(to, message, SOON).await {
            Err(PeerError::Unreachable(_)) if Instant::now() < until => sleep(Duration::from_millis(5)).await,
            other => return other,
        }
    }
}

/// Waits until `done`, or fails.
pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < until, "no {what} within {SOON:?}");
        sleep(Duration::from_millis(2)).await;
    }
}

pub fn problem(node: &Node, peer: NodeId) -> String {
    let status = node.hub.status();
    status
        .iter()
        .find(|status| status.id == peer)
        .and_then(|status| status.problem.clone())
        .unwrap_or_default()
}

pub fn log_id(index: u64) -> LogIdOf<TypeConfig> {
    openraft::LogId::new(CommittedLeaderId::new(1), index)
}

pub fn a_vote() -> Vote<LeaderId<u64, u64>> {
    Vote::new_committed(1, 1)
}

pub fn vote_request() -> VoteRequest<TypeConfig> {
    VoteRequest::new(a_vote(), None)
}

/// An append of one entry of `size` bytes at `index`.
pub fn append(index: u64, size: usize) -> Append {
    let payload = EntryPayload::Normal(Proposal(Bytes::from(vec![0x5a; size])));
    let rpc = AppendEntriesRequest {
        vote: a_vote(),
        prev_log_id: Some(log_id(index - 1)),
        entries: vec![Entry { log_id: log_id(index), payload }],
        leader_commit: None,
    };
    Append { rpc, acknowledged: Vec::new() }
}

pub fn echo(text: &str) -> assent_cluster::peer::Submit {
    let envelopes = vec![Bytes::copy_from_slice(text.as_bytes())];
    assent_cluster::peer::Submit { groups: vec![Group { atomic: false, envelopes }] }
}

/// A peer made of bytes, written down here independently of the code under test.
pub struct Raw {
    pub stream: TcpStream,
}

/// The versions of the protocol that this build speaks.
pub const SPOKEN: (u16, u16) = (PROTOCOL_VERSION_MIN, PROTOCOL_VERSION);

pub fn hello_bytes(cluster: [u8; 32], node: u64, target: u64, versions: (u16, u16)) -> Vec<u8> {
    let mut bytes = b"assentp\n".to_vec();
    bytes.extend(versions.0.to_be_bytes());
    bytes.extend(versions.1.to_be_bytes());
    bytes.extend(1u32.to_be_bytes());
    bytes.extend(cluster);
    bytes.extend(node.to_be_bytes());
    bytes.extend([node as u8; 16]);
    bytes.extend(target.to_be_bytes());
    bytes.push(1);
    bytes.extend(1u64.to_be_bytes());
    bytes.extend(1u64.to_be_bytes());
    bytes
}

/// A frame of this kind, without a request id.
pub fn frame_bytes(kind: u8, body: &[u8]) -> Vec<u8> {
    request_bytes(kind, 0, body)
}

fn request_bytes(kind: u8, id: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32 + 9).to_be_bytes().to_vec();
    bytes.push(kind);
    bytes.extend(id.to_be_bytes());
    bytes.extend(body);
    bytes
}

impl Raw {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(addr).await.unwrap() }
    }

    /// Connects and shakes hands as node `id` with node `target`.
    pub async fn opened(addr: SocketAddr, id: u64, target: u64) -> Self {
        let mut raw = Self::connect(addr).await;
        raw.frame(1, 0, &hello_bytes(CLUSTER, id, target, SPOKEN)).await;
        assert_eq!(raw.read().await.unwrap().0, 1, "a hello comes back");
        raw.frame(3, 0, &[]).await;
        raw
    }

    /// Accepts one connection and shakes hands as node `id`.
    pub async fn accepted(listener: &TcpListener, id: u64, dialer: u64) -> Self {
        let mut raw = Self { stream: listener.accept().await.unwrap().0 };
        assert_eq!(raw.read().await.unwrap().0, 1, "a hello arrives");
        raw.frame(1, 0, &hello_bytes(CLUSTER, id, dialer, SPOKEN)).await;
        assert_eq!(raw.read().await.unwrap().0, 3, "ready arrives");
        raw
    }

    pub async fn frame(&mut self, kind: u8, id: u64, body: &[u8]) {
        self.bytes(&request_bytes(kind, id, body)).await;
    }

    pub async fn bytes(&mut self, bytes: &[u8]) {
        // The node may have hung up already; then the read that follows says so.
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn ping(&mut self, id: u64) {
        self.frame(4, id, &[0x91, 0x00]).await;
    }

    /// The next frame, `None` once the node has hung up.
    pub async fn read(&mut self) -> Option<(u8, u64, Vec<u8>)> {
        let reading = async {
            let length = self.stream.read_u32().await.ok()? as usize;
            let mut rest = vec![0; length];
            self.stream.read_exact(&mut rest).await.ok()?;
            let id = u64::from_be_bytes(rest[1..9].try_into().unwrap());
            Some((rest[0], id, rest[9..].to_vec()))
        };
        timeout(SOON, reading).await.expect("the node says something or hangs up")
    }

    /// Reads until the node hangs up.
    pub async fn hung_up(mut self) {
        while self.read().await.is_some() {}
    }
}
