//! The table of peers: which ones there are, what is known of each, and how many there may be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::peer::addresses::Addresses;
use crate::peer::connection::Connection;
use crate::peer::serve::Admission;
use crate::peer::sync::lock;
use crate::raft::types::NodeId;

use super::{Inner, PeerStatus};

/// The same trouble with the same peer is logged at most so often,
const REPEAT_LOG_AFTER: Duration = Duration::from_secs(30);
/// and another one at most so often: what a stranger does must not fill the log.
const OTHER_LOG_AFTER: Duration = Duration::from_secs(1);

/// One peer, connected or not.
pub(super) struct Peer {
    pub(super) id: NodeId,
    /// Ends its dialing.
    pub(super) gone: CancellationToken,
    pub(super) addresses: Mutex<Addresses>,
    /// Whether it refused this node as removed, the last time that there was an answer.
    pub(super) says_removed: AtomicBool,
    pub(super) slots: Mutex<Slots>,
    /// Told when the peer has dialed this node: it is up, so dialing it need not wait.
    pub(super) is_up: Notify,
    pub(super) problem: Mutex<Problem>,
    pub(super) admission: Arc<Admission>,
}

/// The live connections with one peer.
#[derive(Default)]
pub(super) struct Slots {
    /// The one that this node dialed.
    pub(super) dialed: Option<Arc<Connection>>,
    /// The one that the peer dialed.
    pub(super) accepted: Option<Arc<Connection>>,
}

impl Slots {
    fn slot(&mut self, connection: &Connection) -> &mut Option<Arc<Connection>> {
        if connection.dialed_to().is_some() { &mut self.dialed } else { &mut self.accepted }
    }

    /// Puts a new connection into its slot and answers the one that was there.
    pub(super) fn put(&mut self, connection: Arc<Connection>) -> Option<Arc<Connection>> {
        self.slot(&connection).replace(connection)
    }

    /// Takes an ended connection out, and answers whether it was there.
    pub(super) fn remove(&mut self, connection: &Arc<Connection>) -> bool {
        let slot = self.slot(connection);
        let there = slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection));
        if there {
            *slot = None;
        }
        there
    }

    /// Both connections, taken out.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Arc<Connection>> + use<> {
        [self.dialed.take(), self.accepted.take()].into_iter().flatten()
    }
}

/// The last trouble, logged when it changes and then now and again.
#[derive(Default)]
pub(super) struct Problem {
    pub(super) text: Option<String>,
    logged: Option<Instant>,
}

impl Problem {
    pub(super) fn note(&mut self, peer: Option<NodeId>, text: String) {
        let pause = if self.text.as_ref() == Some(&text) { REPEAT_LOG_AFTER } else { OTHER_LOG_AFTER };
        if self.logged.is_none_or(|logged| logged.elapsed() >= pause) {
            tracing::warn!(peer, problem = text, "no peer connection");
            self.logged = Some(Instant::now());
        }
        self.text = Some(text);
    }
}

impl Inner {
    /// The peer's entry, made if there is none yet.
    pub(super) fn peer(&self, id: NodeId) -> Arc<Peer> {
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
    pub(super) fn room_for(&self, id: NodeId) -> Result<(), String> {
        self.room_among(&mut lock(&self.peers), id)
    }

    /// The entry of a node that dialed this one and was let in, made if there is none yet and there is room for it.
    pub(super) fn accepted_peer(&self, id: NodeId) -> Result<Arc<Peer>, String> {
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

    pub(super) fn status_of(&self, peer: &Peer) -> PeerStatus {
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
}
