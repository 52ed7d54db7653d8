//! Members that moved: a node that is elsewhere than the membership says proves it, and has it corrected.
//!
//! The node signs where it is, with the key that the membership has for it, and says so to every member that it reaches. Each
//! believes it for dialing, and passes it on once, so that two members that both moved find each other by way of a third. The
//! leader has the membership changed. Where all have moved, their configurations say where to look (`peers`).

use std::time::Duration;

use futures_util::future::BoxFuture;
use openraft::async_runtime::watch::WatchReceiver;

use assent_registry::query;

use super::{Parts, Service, within};
use crate::peer::{Manage, ManageError, Moved, MovedReply, PeerError};
use crate::raft::types::{NodeId, PeerNode};

/// How long a peer may take to hear where a member is. As leader it changes the membership first.
const HEEDED_WITHIN: Duration = Duration::from_millis(900);

/// A member's answer, on its way.
type Answering = BoxFuture<'static, Result<MovedReply, PeerError>>;

impl Parts {
    /// What the membership says of this node, if it is a member with this store.
    fn own_entry(&self) -> Option<PeerNode> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let node = metrics.membership_config.get_node(&self.config.node_id)?;
        (node.store_id == self.store_id).then(|| node.clone())
    }

    /// Where a member may be found, the best address first: where it has proved that it is, where this node's configuration says
    /// that it is now, where the membership has it, and where it was founded. Who answers is told by its hello: its id, and the store
    /// that the membership binds to it.
    pub(super) fn peer_addresses(&self, id: NodeId, node: &PeerNode) -> Vec<String> {
        let config = &self.config;
        let hint = config.peers.iter().find(|peer| peer.id == id).map(|peer| peer.peer.clone());
        let founded = config.voters.iter().find(|voter| voter.id == id).map(|voter| voter.peer.clone());
        let all = [self.whereabouts.of(id, node), hint, Some(node.peer_addr.clone()), founded];
        let mut addresses: Vec<String> = Vec::new();
        for address in all.into_iter().flatten() {
            if !address.is_empty() && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// This node's own word on where it is, if the membership says something else.
    fn own_word(&self) -> Option<Moved> {
        let known = self.own_entry()?;
        let (peer_addr, client_addr) = self.config.addresses();
        if known.peer_addr == peer_addr && known.client_addr == client_addr {
            self.whereabouts.settle();
            return None;
        }
        if self.whereabouts.is_settled() {
            return None;
        }
        let own = PeerNode { peer_addr, client_addr, ..known };
        let now = self.env.clock.now();
        Some(Moved::signed(&self.cluster_id.0, self.config.node_id, &own, now, &self.key))
    }

    /// Whether this is the word of a member whose key stands granted. Answers what the membership says of it.
    fn check_moved(&self, moved: &Moved) -> Result<PeerNode, String> {
        let id = moved.node_id;
        let known = self.metrics_now().membership_config.get_node(&id).cloned();
        let known = known.ok_or_else(|| format!("node {id} is not a member"))?;
        let now = self.env.clock.now();
        let key = moved.is_by(&self.cluster_id.0, &known, now)?;
        let view = self.registry.view().map_err(|error| error.to_string())?;
        match query::node_key_granted(&view, &key, now) {
            Ok(true) => Ok(known),
            Ok(false) => Err(format!("the key {key} of node {id} is not granted, or no longer")),
            Err(error) => Err(self.unread(&error)),
        }
    }

    /// Says it to every member that is connected, but to the one that it is about: whom, and the answer.
    fn pass_on(&self, moved: &Moved) -> Vec<(NodeId, Answering)> {
        let metrics = self.metrics_now();
        let others = metrics.membership_config.nodes().map(|(id, _)| *id);
        let connected = others.filter(|id| *id != moved.node_id && self.hub.is_connected(*id));
        connected
            .map(|id| {
                let call: Answering = Box::pin(self.hub.call(id, moved, HEEDED_WITHIN));
                (id, call)
            })
            .collect()
    }
}

impl Service {
    /// Says where this node is, if the membership has it elsewhere, to every member that it reaches. Called once a second.
    pub(super) fn say_where(&self) {
        let parts = self.parts();
        let Some(moved) = parts.own_word() else { return };
        for (id, call) in parts.pass_on(&moved) {
            let service = self.clone();
            parts.tasks.passing("say where this node is", async move {
                // No answer is none: it is said again in a second.
                if let Ok(Err(why)) = call.await {
                    service.say_unheeded(Some(id), why);
                }
            });
        }
        if parts.believed_leader() == Some(parts.config.node_id) {
            let service = self.clone();
            parts.tasks.passing("correct the membership", async move {
                if let Err(why) = service.correct(&moved).await {
                    service.say_unheeded(None, why);
                }
            });
        }
    }

    /// The membership still has this node elsewhere: says why, once.
    fn say_unheeded(&self, by: Option<NodeId>, why: String) {
        if self.parts().whereabouts.is_news(&why) {
            tracing::warn!(
                by,
                why,
                "the membership has this node at other addresses than it has, and is not corrected"
            );
        }
    }

    /// A member says where it is, or another one passes that on.
    pub(crate) async fn heed_moved(&self, from: NodeId, moved: Moved) -> MovedReply {
        let parts = self.parts();
        if moved.node_id == parts.config.node_id {
            return Err("it is about this node itself".to_owned());
        }
        // Whoever is not heeded is told why, and writes that to its own log.
        let known = parts.check_moved(&moved)?;
        if !parts.whereabouts.heed(&moved, &known) {
            return Ok(());
        }
        parts.hub.ensure_peer_at(moved.node_id, parts.peer_addresses(moved.node_id, &known));
        if from == moved.node_id {
            for (_, call) in parts.pass_on(&moved) {
                parts.tasks.passing("pass on where a member is", call);
            }
        }
        if parts.believed_leader() == Some(parts.config.node_id) {
            self.correct(&moved).await
        } else {
            Ok(())
        }
    }

    /// As leader: has the membership say it.
    async fn correct(&self, moved: &Moved) -> MovedReply {
        let update = Manage::Update {
            id: moved.node_id,
            peer_addr: Some(moved.peer_addr.clone()),
            client_addr: Some(moved.client_addr.clone()),
        };
        let until = within(self.parts().config.deadlines.membership_ms);
        match self.manage_as_leader(update, until).await {
            Ok(_) => Ok(()),
            Err(ManageError::Refused(refusal)) => Err(format!("{}: {}", refusal.code, refusal.detail)),
            Err(ManageError::NotLeader { .. }) => Err("this node leads no more".to_owned()),
            Err(ManageError::Unknown(why)) => Err(why),
        }
    }
}
