//! All peers of this node.
//!
//! Owns the listener, two slots per peer, for the connection that this node dialed and for the one that the peer dialed, and
//! one dialing task per peer. This node's requests go on the connection that it dialed itself, and on no other: whoever answers
//! there listens at the peer's address, and whoever dials in can only ask. A new connection replaces the one before it in
//! its own slot and never the other one. Holds no request: a call on a peer without a connection fails at once.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use assent_proof::Millis;

use crate::env::{BoxStream, Clock, Environment, Listener, Moment, Net};
use crate::raft::types::NodeId;
use crate::seldom::Seldom;
use crate::tasks::{Tasks, Why};

use super::addresses::Addresses;
use super::bounds::claim_max;
use super::clock::{ClockReadings, ReadingBook};
use super::connection::{Connection, EndsWith, TASK_ENDED};
use super::error::PeerError;
use super::handler::Handler;
use super::handshake::{self, Opened};
use super::hello::{Hello, Identity};
use super::limits::PeerLimits;
use super::message::{Message, Pong};
use super::serve::{Admission, Server};
use super::sync::lock;
use super::trusted::TrustedOffset;

/// The same trouble with the same peer is logged at most so often,
const REPEAT_LOG_AFTER: Duration = Duration::from_secs(30);
/// and another one at most so often: what a stranger does must not fill the log.
const OTHER_LOG_AFTER: Duration = Duration::from_secs(1);
/// A connection that lived so long was a good one: the next dial is quick again.
const GOOD_AFTER: Duration = Duration::from_millis(200);
/// The pause after the listener failed to accept, as it does without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where a peer listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// Which node.
    pub id: NodeId,
    /// `host:port`.
    pub addr: String,
}

/// How a peer stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which node.
    pub id: NodeId,
    /// Where it is dialed; `None` if it has only ever dialed this node.
    pub addr: Option<String>,
    /// Whether there is a connection now.
    pub connected: bool,
    /// Its store's random id, as it said on the live connection.
    pub store_id: Option<[u8; 16]>,
    /// The last round trip, in milliseconds.
    pub rtt_ms: Option<u64>,
    /// Why there was no connection, or no longer, the last time.
    pub problem: Option<String>,
    /// Whether it refused this node as one that was removed from the cluster, when this node dialed it last.
    pub says_removed: bool,
}

/// The node's side of every peer connection. Clones share one hub.
#[derive(Clone)]
pub struct PeerHub {
    inner: Arc<Inner>,
}

struct Inner {
    net: Arc<dyn Net>,
    clock: Arc<dyn Clock>,
    identity: Identity,
    handler: Arc<dyn Handler>,
    limits: PeerLimits,
    local_addr: SocketAddr,
    peers: Mutex<BTreeMap<NodeId, Arc<Peer>>>,
    readings: Arc<Mutex<ReadingBook>>,
    trusted: Arc<TrustedOffset>,
    tasks: Tasks,
    stopping: CancellationToken,
    /// Trouble with connections that name no admissible peer.
    strangers: Mutex<Problem>,
}

/// One peer, connected or not.
struct Peer {
    id: NodeId,
    /// Ends its dialing.
    gone: CancellationToken,
    addresses: Mutex<Addresses>,
    /// Whether it refused this node as removed, the last time that there was an answer.
    says_removed: AtomicBool,
    slots: Mutex<Slots>,
    /// Told when the peer has dialed this node: it is up, so dialing it need not wait.
    is_up: Notify,
    problem: Mutex<Problem>,
    admission: Arc<Admission>,
}

/// The live connections with one peer.
#[derive(Default)]
struct Slots {
    /// The one that this node dialed.
    dialed: Option<Arc<Connection>>,
    /// The one that the peer dialed.
    accepted: Option<Arc<Connection>>,
}

impl Slots {
    fn slot(&mut self, connection: &Connection) -> &mut Option<Arc<Connection>> {
        if connection.dialed_to().is_some() { &mut self.dialed } else { &mut self.accepted }
    }

    /// Puts a new connection into its slot and answers the one that was there.
    fn put(&mut self, connection: Arc<Connection>) -> Option<Arc<Connection>> {
        self.slot(&connection).replace(connection)
    }

    /// Takes an ended connection out, and answers whether it was there.
    fn remove(&mut self, connection: &Arc<Connection>) -> bool {
        let slot = self.slot(connection);
        let there = slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection));
        if there {
            *slot = None;
        }
        there
    }

    /// Both connections, taken out.
    fn take(&mut self) -> impl Iterator<Item = Arc<Connection>> + use<> {
        [self.dialed.take(), self.accepted.take()].into_iter().flatten()
    }
}

/// The last trouble, logged when it changes and then now and again.
#[derive(Default)]
struct Problem {
    text: Option<String>,
    logged: Option<Instant>,
}

impl Problem {
    fn note(&mut self, peer: Option<NodeId>, text: String) {
        let pause = if self.text.as_ref() == Some(&text) { REPEAT_LOG_AFTER } else { OTHER_LOG_AFTER };
        if self.logged.is_none_or(|logged| logged.elapsed() >= pause) {
            tracing::warn!(peer, problem = text, "no peer connection");
            self.logged = Some(Instant::now());
        }
        self.text = Some(text);
    }
}

impl PeerHub {
    /// Listens on `listen_addr` (port 0 takes a free one), accepts peers and dials those of `peers`; this node's own entry is
    /// passed over. Returns once the listener is bound. `tasks` are the hub's own part of its node's.
    pub async fn start(
        env: &Environment,
        identity: Identity,
        listen_addr: String,
        peers: Vec<PeerAddress>,
        handler: Arc<dyn Handler>,
        limits: PeerLimits,
        tasks: Tasks,
    ) -> Result<Self, PeerError> {
        let failed = |error: std::io::Error| PeerError::Listen {
            addr: listen_addr.clone(),
            problem: error.to_string(),
        };
        let listener = env.net.listen(listen_addr.clone()).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let inner = Arc::new(Inner {
            net: env.net.clone(),
            clock: env.clock.clone(),
            identity,
            handler,
            limits,
            local_addr,
            peers: Mutex::default(),
            readings: Arc::default(),
            trusted: Arc::default(),
            tasks,
            stopping: CancellationToken::new(),
            strangers: Mutex::default(),
        });
        let hub = Self { inner };
        for peer in peers {
            hub.ensure_peer(peer.id, &peer.addr);
        }
        hub.inner.tasks.lasting("accept peers", hub.inner.clone().accept_all(listener));
        Ok(hub)
    }

    /// Sends `message` to node `to` and waits at most `deadline` for the answer. The request is queued when this is
    /// called, not when the future is first polled, so one caller's requests keep their order.
    pub fn call<M: Message>(
        &self,
        to: NodeId,
        message: &M,
        deadline: Duration,
    ) -> impl Future<Output = Result<M::Reply, PeerError>> + Send + 'static + use<M> {
        self.call_patient(to, message, deadline, deadline)
    }

    /// Like [`call`](Self::call), for work that may take long: after `patience` only the connection has to prove
    /// that it is alive, and the call goes on waiting until `deadline`.
    pub fn call_patient<M: Message>(
        &self,
        to: NodeId,
        message: &M,
        patience: Duration,
        deadline: Duration,
    ) -> impl Future<Output = Result<M::Reply, PeerError>> + Send + 'static + use<M> {
        let queued = self.connection(to).ok_or(PeerError::Unreachable(to)).and_then(|c| c.request(message));
        async move { queued?.reply::<M>(patience, deadline).await }
    }

    /// Like [`call`](Self::call), only if this node has dialed the peer at one of these addresses, and the peer has said that its
    /// store is `store_id`.
    pub fn call_dialed<M: Message>(
        &self,
        to: NodeId,
        addrs: &[String],
        store_id: [u8; 16],
        message: &M,
        deadline: Duration,
    ) -> impl Future<Output = Result<M::Reply, PeerError>> + Send + 'static + use<M> {
        let peer = lock(&self.inner.peers).get(&to).cloned();
        let dialed = peer.and_then(|peer| lock(&peer.slots).dialed.clone());
        let dialed = dialed.filter(|there| is_among(there, addrs) && there.hello().store_id == store_id);
        let queued = dialed.ok_or(PeerError::NotDialed(to)).and_then(|c| c.request(message));
        async move { queued?.reply::<M>(deadline, deadline).await }
    }

    /// Whether node `id`, with this store, answers at `addr`, or why that is not known. Where this node has dialed it there already, its
    /// hello is taken; otherwise it is asked anew, and no connection changes.
    pub(crate) async fn answers_at(&self, id: NodeId, addr: &str, store_id: [u8; 16]) -> Result<(), String> {
        let there = self.connection(id).filter(|connection| connection.dialed_to() == Some(addr));
        let hello = match there {
            Some(connection) => connection.hello().clone(),
            None => self.inner.look_at(id, addr).await?,
        };
        match hello.store_id == store_id {
            true => Ok(()),
            false => Err(format!("at `{addr}` node {id} answers with another store than its own")),
        }
    }

    /// Makes sure that node `id` is known and reached at `addr`. If it was dialed elsewhere, that connection ends.
    pub fn ensure_peer(&self, id: NodeId, addr: &str) {
        self.ensure_peer_at(id, vec![addr.to_owned()]);
    }

    /// Makes sure that node `id` is known and reached at one of these addresses, which are tried in turn, the first one first. If
    /// it was dialed elsewhere, that connection ends. Who answers there is told by its hello, never by the address.
    pub fn ensure_peer_at(&self, id: NodeId, addrs: Vec<String>) {
        if id == self.inner.identity.node_id || addrs.is_empty() {
            return;
        }
        let peer = self.inner.peer(id);
        let elsewhere = lock(&peer.slots).dialed.clone().filter(|connection| !is_among(connection, &addrs));
        let first = lock(&peer.addresses).set(addrs);
        if let Some(connection) = elsewhere {
            connection.close("the peer is known at another address now");
        }
        if first && !self.inner.stopping.is_cancelled() {
            self.inner.tasks.finite("dial a peer", self.inner.clone().dial_forever(peer));
        }
    }

    /// Makes sure that node `id` is known; `addr` counts only if no address of it is known yet. The configuration's
    /// addresses were there first, so a cluster may move.
    pub fn ensure_known(&self, id: NodeId, addr: &str) {
        let known =
            lock(&self.inner.peers).get(&id).is_some_and(|peer| lock(&peer.addresses).present().is_some());
        if !known {
            self.ensure_peer(id, addr);
        }
    }

    /// Ends the connections with node `id` and dials it no more. It may dial this node, which decides anew.
    pub fn forget(&self, id: NodeId, reason: &str) {
        let Some(peer) = lock(&self.inner.peers).remove(&id) else { return };
        peer.gone.cancel();
        let connections = lock(&peer.slots).take();
        for connection in connections {
            connection.close(reason);
        }
    }

    /// Every node that this one knows of, by id.
    pub fn known(&self) -> Vec<NodeId> {
        lock(&self.inner.peers).keys().copied().collect()
    }

    /// Whether there is a connection to node `id` now, on which this node can ask.
    pub fn is_connected(&self, id: NodeId) -> bool {
        self.connection(id).is_some()
    }

    /// What node `id` said when the live connection was opened: the one that this node dialed, if there is one.
    pub fn hello(&self, id: NodeId) -> Option<Hello> {
        let peer = lock(&self.inner.peers).get(&id).cloned()?;
        let slots = lock(&peer.slots);
        let connection = slots.dialed.as_ref().or(slots.accepted.as_ref())?;
        Some(connection.hello().clone())
    }

    /// The peers' clocks against this node's, now.
    pub fn clock(&self) -> ClockReadings {
        lock(&self.inner.readings).at(Instant::now(), Moment::of(&*self.inner.clock))
    }

    /// How far this node's wall clock is trusted to be ahead of its boot time. Each pong tells whether it is there.
    pub fn trusted(&self) -> &TrustedOffset {
        &self.inner.trusted
    }

    /// How every known peer stands, by node id.
    pub fn status(&self) -> Vec<PeerStatus> {
        let peers: Vec<Arc<Peer>> = lock(&self.inner.peers).values().cloned().collect();
        peers.iter().map(|peer| self.inner.status_of(peer)).collect()
    }

    /// This node's own id.
    pub fn node_id(&self) -> NodeId {
        self.inner.identity.node_id
    }

    /// Where this node listens for peers.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr
    }

    /// The bounds it was started with.
    pub fn limits(&self) -> &PeerLimits {
        &self.inner.limits
    }

    /// Ends every connection and waits until nothing of the hub runs any more.
    pub async fn shutdown(&self) {
        self.inner.tasks.begin_stop();
        self.inner.stopping.cancel();
        let peers: Vec<Arc<Peer>> = lock(&self.inner.peers).values().cloned().collect();
        for peer in peers {
            let connections = lock(&peer.slots).take();
            for connection in connections {
                connection.close("this node is stopping");
            }
        }
        self.inner.tasks.all_ended().await;
    }

    fn connection(&self, to: NodeId) -> Option<Arc<Connection>> {
        let peer = lock(&self.inner.peers).get(&to).cloned()?;
        let slots = lock(&peer.slots);
        slots.dialed.clone()
    }
}

/// Whether this node has dialed the connection at one of these addresses.
fn is_among(connection: &Connection, addrs: &[String]) -> bool {
    connection.dialed_to().is_some_and(|dialed| addrs.iter().any(|addr| addr == dialed))
}

impl Inner {
    /// The peer's entry, made if there is none yet.
    fn peer(&self, id: NodeId) -> Arc<Peer> {
        lock(&self.peers).entry(id).or_insert_with(|| self.new_peer(id)).clone()
    }

    fn new_peer(&self, id: NodeId) -> Arc<Peer> {
        Arc::new(Peer {
            id,
            gone: self.stopping.child_token(),
            addresses: Mutex::default(),
            says_removed: AtomicBool::new(false),
            slots: Mutex::default(),
            is_up: Notify::new(),
            problem: Mutex::default(),
            admission: Arc::new(Admission::new(&self.limits)),
        })
    }

    /// Whether there is room for the connection of a node that dialed this one.
    fn room_for(&self, id: NodeId) -> Result<(), String> {
        self.room_among(&mut lock(&self.peers), id)
    }

    /// The entry of a node that dialed this one and was let in, made if there is none yet and there is room for it.
    fn accepted_peer(&self, id: NodeId) -> Result<Arc<Peer>, String> {
        let mut peers = lock(&self.peers);
        self.room_among(&mut peers, id)?;
        Ok(peers.entry(id).or_insert_with(|| self.new_peer(id)).clone())
    }

    /// Whether another node fits among these. Those that are neither dialed nor connected are forgotten first: nothing but the
    /// entry itself holds them.
    fn room_among(&self, peers: &mut BTreeMap<NodeId, Arc<Peer>>, id: NodeId) -> Result<(), String> {
        let max = self.limits.peers_max;
        if peers.contains_key(&id) || peers.len() < max {
            return Ok(());
        }
        peers.retain(|_, peer| Arc::strong_count(peer) > 1 || lock(&peer.addresses).present().is_some());
        if peers.len() < max {
            return Ok(());
        }
        Err(format!(
            "this node knows {max} other nodes already, and takes connections from no more until one of them is gone"
        ))
    }

    fn status_of(&self, peer: &Peer) -> PeerStatus {
        let connection = lock(&peer.slots).dialed.clone();
        let rtt = lock(&self.readings).rtt(peer.id);
        PeerStatus {
            id: peer.id,
            addr: lock(&peer.addresses).present(),
            connected: connection.is_some(),
            store_id: connection.map(|connection| connection.hello().store_id),
            rtt_ms: rtt.map(|rtt| u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX)),
            problem: lock(&peer.problem).text.clone(),
            says_removed: peer.says_removed.load(Ordering::Relaxed),
        }
    }

    /// Accepts until the hub stops.
    async fn accept_all(self: Arc<Self>, mut listener: Box<dyn Listener>) -> Why {
        let mut trouble = Seldom::default();
        let handshakes = Arc::new(Semaphore::new(self.limits.handshakes_max));
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return "the node stops",
                accepted = listener.accept() => accepted,
            };
            match accepted {
                // Too many strangers at once: this one is hung up on, and a peer dials again.
                Ok((stream, remote)) => {
                    if let Ok(permit) = handshakes.clone().try_acquire_owned() {
                        let inner = self.clone();
                        self.tasks.passing("connection from a peer", async move {
                            let opened = inner.accept_one(stream, &remote).await;
                            drop(permit);
                            let Some(opened) = opened else { return };
                            match inner.accepted_peer(opened.hello.node_id) {
                                Ok(peer) => inner.run(&peer, opened, None).await,
                                // Others came in while this one shook hands.
                                Err(problem) => lock(&inner.strangers).note(None, problem),
                            }
                        });
                    }
                }
                Err(error) => {
                    if let Some(more) = trouble.tell() {
                        tracing::warn!(%error, more, "cannot accept a peer's connection");
                    }
                    self.pause(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Shakes hands with whoever dialed.
    async fn accept_one(&self, stream: BoxStream, remote: &str) -> Option<Opened> {
        let most = claim_max(self.clock.now());
        let room = |id: NodeId| self.room_for(id);
        let shaking = handshake::accept(stream, &self.identity, most, &*self.handler, &room);
        let opened = tokio::select! {
            biased;
            () = self.stopping.cancelled() => return None,
            opened = timeout(self.limits.handshake_timeout, shaking) => opened,
        };
        let problem = match opened {
            Ok(Ok(opened)) => return Some(opened),
            Ok(Err(error)) if error.only_looked() => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no handshake within the deadline".to_owned(),
        };
        // Only the host: every dial comes from another port, and the same trouble is to be logged once.
        let host = remote.rsplit_once(':').map_or(remote, |(host, _)| host);
        lock(&self.strangers).note(None, format!("{problem} (from `{host}`)"));
        None
    }

    /// Dials, runs the connection, and dials again, until the hub stops.
    async fn dial_forever(self: Arc<Self>, peer: Arc<Peer>) {
        let mut pause = self.limits.redial_min;
        while !peer.gone.is_cancelled() {
            let started = Instant::now();
            // A task of its own: what panics on one connection must not keep the next one from being made.
            let (inner, dialed) = (self.clone(), peer.clone());
            let one = self.tasks.passing("connection to a peer", async move {
                let (opened, addr) = inner.dial_once(&dialed).await?;
                inner.run(&dialed, opened, Some(addr)).await;
                Ok::<(), String>(())
            });
            match one.await {
                Ok(Ok(())) => {
                    if started.elapsed() >= GOOD_AFTER {
                        pause = self.limits.redial_min;
                    }
                }
                Ok(Err(problem)) => lock(&peer.problem).note(Some(peer.id), problem),
                Err(error) => {
                    lock(&peer.problem)
                        .note(Some(peer.id), format!("a task of the connection failed: {error}"));
                }
            }
            tokio::select! {
                biased;
                () = peer.gone.cancelled() => return,
                () = sleep(pause) => {}
                () = async {
                    peer.is_up.notified().await;
                    sleep(self.limits.redial_min).await;
                } => {}
            }
            pause = (pause * 2).min(self.limits.redial_max);
        }
    }

    /// Dials, and answers where. After a failure another address comes next, if there is one.
    async fn dial_once(&self, peer: &Peer) -> Result<(Opened, String), String> {
        let addr = lock(&peer.addresses).present().ok_or("its address is not known")?;
        match self.dial_at(peer, &addr).await {
            Ok(opened) => Ok((opened, addr)),
            Err(problem) => {
                lock(&peer.addresses).failed(&addr);
                Err(problem)
            }
        }
    }

    async fn connect(&self, addr: &str) -> Result<BoxStream, String> {
        let connect = timeout(self.limits.connect_timeout, self.net.connect(addr.to_owned()));
        let stream = tokio::select! {
            biased;
            () = self.stopping.cancelled() => return Err("this node is stopping".to_owned()),
            stream = connect => stream,
        };
        match stream {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(format!("cannot connect to `{addr}`: {error}")),
            Err(_) => Err(format!("cannot connect to `{addr}`: no answer")),
        }
    }

    /// Who answers as node `id` at this address. Nothing else changes by it.
    async fn look_at(&self, id: NodeId, addr: &str) -> Result<Hello, String> {
        let stream = self.connect(addr).await?;
        let most = claim_max(self.clock.now());
        let looking = handshake::look(stream, &self.identity, id, most, &*self.handler);
        let looked = tokio::select! {
            biased;
            () = self.stopping.cancelled() => return Err("this node is stopping".to_owned()),
            looked = timeout(self.limits.handshake_timeout, looking) => looked,
        };
        match looked {
            Ok(Ok(hello)) => Ok(hello),
            Ok(Err(error)) => Err(format!("at `{addr}`: {error}")),
            Err(_) => Err(format!("no handshake with `{addr}` within the deadline")),
        }
    }

    async fn dial_at(&self, peer: &Peer, addr: &str) -> Result<Opened, String> {
        let stream = self.connect(addr).await?;
        let most = claim_max(self.clock.now());
        let shaking = handshake::dial(stream, &self.identity, peer.id, most, &*self.handler);
        let opened = tokio::select! {
            biased;
            () = self.stopping.cancelled() => return Err("this node is stopping".to_owned()),
            opened = timeout(self.limits.handshake_timeout, shaking) => opened,
        };
        match opened {
            Ok(Ok(opened)) => {
                peer.says_removed.store(false, Ordering::Relaxed);
                Ok(opened)
            }
            Ok(Err(error)) => {
                peer.says_removed.store(error.says_removed(), Ordering::Relaxed);
                Err(error.to_string())
            }
            Err(_) => Err(format!("no handshake with `{addr}` within the deadline")),
        }
    }

    /// Puts a connection into its peer's slot and runs it until it ends.
    async fn run(self: &Arc<Self>, peer: &Arc<Peer>, opened: Opened, dialed_to: Option<String>) {
        let Opened { hello, reader, writer } = opened;
        let clock = self.clock.clone();
        let connection = Arc::new(Connection::new(peer.id, hello, dialed_to, self.limits.clone(), clock));
        let former = lock(&peer.slots).put(connection.clone());
        // However this ends, the connection has ended then.
        let _slot = Slot { peer: peer.clone(), connection: connection.clone() };
        if let Some(former) = former {
            former.close("the peer connected anew");
        }
        if self.stopping.is_cancelled() {
            connection.close("this node is stopping");
        }
        lock(&peer.problem).text = None;
        let dialed = connection.dialed_to().is_some();
        if !dialed {
            peer.is_up.notify_one();
        }
        tracing::info!(peer = peer.id, dialed, "peer connection opens");
        let server = Server {
            connection: connection.clone(),
            handler: self.handler.clone(),
            clock: self.clock.clone(),
            trusted: self.trusted.clone(),
            admission: peer.admission.clone(),
            tasks: self.tasks.clone(),
            on_pong: if dialed { self.pong_recorder(peer.id) } else { Box::new(|_, _, _| {}) },
        };
        // One task each, so that a large body being decoded holds up neither pings nor writing.
        let read = EndsWith(connection.clone());
        let reading = self.tasks.passing("read from a peer", async move {
            let _read = read;
            server.read(reader).await;
        });
        let (kept, keeper) = (EndsWith(connection.clone()), connection.clone());
        let keeping = self.tasks.passing("keep a connection to a peer alive", async move {
            let _kept = kept;
            keeper.keep_alive().await;
        });
        connection.write(writer).await;
        for task in [reading, keeping] {
            // It has said itself what it failed of.
            let _ = task.await;
        }
    }

    /// Where pongs of that peer are recorded. Only of a connection that this node dialed: on another one, whoever dialed in could tell
    /// any time.
    fn pong_recorder(&self, peer: NodeId) -> Box<dyn Fn(Instant, Instant, Pong) + Send + Sync> {
        let readings = self.readings.clone();
        Box::new(move |sent, received, Pong { now_ms, anchored }| {
            lock(&readings).record(peer, sent, received, Millis(now_ms), anchored);
        })
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => {}
            () = sleep(pause) => {}
        }
    }
}

/// A connection in its peer's slot. Dropped, the connection has ended and is out of it.
struct Slot {
    peer: Arc<Peer>,
    connection: Arc<Connection>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connection.close(TASK_ENDED);
        let mut slots = lock(&self.peer.slots);
        if slots.remove(&self.connection) {
            lock(&self.peer.problem).text = self.connection.ended();
        }
    }
}
