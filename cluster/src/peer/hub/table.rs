//! The table of peers: which ones there are, and how many there may be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::locked::lock;
use crate::peer::bounds::claim_max;
use crate::peer::handshake::ClaimBound;
use crate::peer::refusals::PeerBound;
use crate::peer::serve::Admission;
use crate::raft::types::NodeId;

use super::entry::Peer;
use super::{Inner, PeerStatus};

impl Inner {
    /// The peer's entry. It is made if there is none yet.
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
            redial: Notify::new(),
            problem: Mutex::default(),
            admission: Arc::new(Admission::new(&self.limits)),
        })
    }

    /// Whether there is room for the connection of a node that dialed this one.
    pub(super) fn room_for(&self, id: NodeId) -> Result<(), String> {
        self.room_among(&mut lock(&self.peers), id)
    }

    /// The entry of an admitted node that dialed this one. It is made if there is none yet and there is room for it.
    pub(super) fn accepted_peer(&self, id: NodeId) -> Result<Arc<Peer>, String> {
        let mut peers = lock(&self.peers);
        self.room_among(&mut peers, id)?;
        Ok(peers.entry(id).or_insert_with(|| self.new_peer(id)).clone())
    }

    /// Checks that another node fits among these. Nodes that are neither dialed nor connected are forgotten first:
    /// only their entry is lost.
    fn room_among(&self, peers: &mut BTreeMap<NodeId, Arc<Peer>>, id: NodeId) -> Result<(), String> {
        let max = self.limits.peers_max;
        if peers.contains_key(&id) || peers.len() < max {
            return Ok(());
        }
        peers.retain(|_, peer| Arc::strong_count(peer) > 1 || lock(&peer.addresses).present().is_some());
        if peers.len() < max {
            return Ok(());
        }
        self.refusals.count(PeerBound::Peers);
        Err(format!(
            "this node knows {max} other nodes already, and takes connections from no more until one of them is gone"
        ))
    }

    /// What a peer may claim in its hello now.
    pub(super) fn claims(&self) -> ClaimBound<'_> {
        ClaimBound { most: claim_max(self.clock.now()), refusals: &self.refusals }
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
