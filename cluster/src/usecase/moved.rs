//! Members that moved. A node whose addresses differ from the membership's announces its own, and the leader corrects
//! the membership.
//!
//! The node signs its addresses with the key that the membership has for it, and sends this announcement to every
//! member that it reaches. Each of them dials the node there, and passes the announcement on once. So two members
//! that both moved find each other through a third.
//!
//! The leader changes the membership once a node with that id and store has answered it at the announced address. If
//! the leader itself moved, it changes its own entry once another member says that it has found the leader there. If
//! all members have moved, their configurations say where they are (`peers`).

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{Instant, sleep};

use assent_proof::{Code, Millis};
use assent_registry::{RowError, query};

use super::relocate::NewAddresses;
use super::{Parts, Service, within};
use crate::env::blocking;
use crate::peer::{ManageError, Moved, MovedReply, PeerError};
use crate::raft::types::{NodeId, PeerNode};

/// How long a peer may take to answer an announcement. A leader changes the membership first.
const ACCEPT_WITHIN: Duration = Duration::from_millis(900);
/// How long the leader waits for another change of the membership to end, and how often it looks.
const TURN_WITHIN: Duration = Duration::from_millis(600);
const TURN_EVERY: Duration = Duration::from_millis(50);

/// A member's answer, on its way.
type Answering = BoxFuture<'static, Result<MovedReply, PeerError>>;
/// The announcements that are carried out together, by member.
type Moves = BTreeMap<NodeId, Moved>;

/// The announcements that must be carried out together with the first one: that of each member whose address one of
/// them takes, and so on. Empty if the membership has these addresses already. Two members that exchanged their
/// addresses are moved in one change.
fn together(
    members: &BTreeMap<NodeId, PeerNode>,
    first: &Moved,
    word: impl Fn(NodeId, &PeerNode) -> Option<Moved>,
) -> Result<Moves, String> {
    let mut moves = Moves::new();
    let mut after = members.clone();
    let mut next = Some(first.clone());
    while let Some(moved) = next {
        let id = moved.node_id;
        let known = members.get(&id).ok_or_else(|| format!("node {id} is not a member"))?;
        let node = moved.instead_of(known);
        if node == *known && moves.is_empty() {
            return Ok(moves);
        }
        if node.has_one_address_for_both() {
            return Err(format!("the peers and the clients of node {id} cannot reach it at one address"));
        }
        after.insert(id, node);
        moves.insert(id, moved);
        let clash = moves.keys().find_map(|id| {
            let node = after.get(id)?;
            let mut others = after.iter().filter(|(other, _)| *other != id);
            others.find_map(|(other, there)| Some((*id, *other, node.shares_address(there)?)))
        });
        let Some((id, other, what)) = clash else { break };
        let known = members.get(&other).filter(|_| !moves.contains_key(&other));
        next = known.and_then(|known| word(other, known));
        if next.is_none() {
            let code = Code::MemberExists;
            return Err(format!("{code}: node {other} has the same {what} as node {id} has announced"));
        }
    }
    Ok(moves)
}

impl Parts {
    /// The membership's entry for this node, if the node is a member with this store.
    fn own_entry(&self) -> Option<PeerNode> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let node = metrics.membership_config.get_node(&self.config.node_id)?;
        (node.store_id == self.identity.store_id).then(|| node.clone())
    }

    /// The addresses at which a member may be found, the best first: the one that it announced and proved, the one in
    /// this node's configuration, the one in the membership, and the one at which it was founded. A node proves who
    /// it is by its hello: its id, and the store that the membership binds to that id.
    pub(crate) fn peer_addresses(&self, id: NodeId, node: &PeerNode) -> Vec<String> {
        let config = &self.config;
        let hint = config.peers.iter().find(|peer| peer.id == id).map(|peer| peer.peer.clone());
        let founded = config.voters.iter().find(|voter| voter.id == id).map(|voter| voter.peer.clone());
        let all = [self.gossip.announced_addresses.of(id, node), hint, Some(node.peer_addr.clone()), founded];
        let mut addresses: Vec<String> = Vec::new();
        for address in all.into_iter().flatten() {
            if !address.is_empty() && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// This node's own announcement, if its addresses differ from the membership's. It does not contain an address
    /// that others cannot dial. For such an address it keeps the membership's.
    fn own_announcement(&self) -> Option<Moved> {
        let known = self.own_entry()?;
        let (peer_addr, client_addr) = self.config.dialable();
        let own = PeerNode {
            peer_addr: peer_addr.unwrap_or_else(|| known.peer_addr.clone()),
            client_addr: client_addr.unwrap_or_else(|| known.client_addr.clone()),
            ..known.clone()
        };
        if own == known {
            self.gossip.announced_addresses.settle();
            return None;
        }
        if self.gossip.announced_addresses.is_settled() {
            return None;
        }
        let now = self.env.clock.now();
        Some(Moved::signed(&self.identity.cluster_id.0, self.config.node_id, &own, now, &self.identity.key))
    }

    /// The members, as this node's newest membership has them.
    fn members_known(&self) -> BTreeMap<NodeId, PeerNode> {
        let metrics = self.metrics_now();
        metrics.membership_config.nodes().map(|(id, node)| (*id, node.clone())).collect()
    }

    /// Checks that this is the announcement of a member whose key is granted, and that its time is about `now`.
    /// Returns the membership's entry for the member.
    async fn check_moved(&self, moved: &Moved, now: Millis) -> Result<PeerNode, String> {
        let id = moved.node_id;
        let known = self.metrics_now().membership_config.get_node(&id).cloned();
        let known = known.ok_or_else(|| format!("node {id} is not a member"))?;
        let (registry, cluster_id) = (self.storage.registry.clone(), self.identity.cluster_id.0);
        let (word, node) = (moved.clone(), known.clone());
        let checked = blocking(&*self.env.blocking, move || -> Result<Result<(), String>, RowError> {
            let key = match word.is_by(&cluster_id, &node, now) {
                Ok(key) => key,
                Err(why) => return Ok(Err(why)),
            };
            let view = registry.view()?;
            let granted = query::node_key_granted(&view, &key, now)?;
            Ok(match granted {
                true => Ok(()),
                false => Err(format!("the key {key} of node {id} is not granted, or no longer")),
            })
        });
        match checked.await {
            Ok(Ok(Ok(()))) => Ok(known),
            Ok(Ok(Err(why))) => Err(why),
            Ok(Err(error)) => Err(self.unread(&error)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether the member answers this node at the announced address.
    async fn is_found(&self, moved: &Moved) -> MovedReply {
        let found = self.hub.answers_at(moved.node_id, &moved.peer_addr, moved.store_id).await;
        found.map_err(|why| {
            format!("node {} is not found at the address that it announced: {why}", moved.node_id)
        })
    }

    /// The announcements that must be carried out with this one.
    fn moves_with(&self, moved: &Moved) -> Result<Moves, String> {
        let me = self.config.node_id;
        together(&self.members_known(), moved, |id, known| {
            // This node's own announcement is carried out once another member has found this node there. It then
            // brings those that it needs.
            if id == me { None } else { self.gossip.announced_addresses.announcement(id, known) }
        })
    }

    /// Sends an announcement to every connected member except the one that it is about. Returns each receiver and its
    /// answer.
    fn pass_on(&self, moved: &Moved) -> Vec<(NodeId, Answering)> {
        let metrics = self.metrics_now();
        let others = metrics.membership_config.nodes().map(|(id, _)| *id);
        let connected = others.filter(|id| *id != moved.node_id && self.hub.is_connected(*id));
        connected
            .map(|id| {
                let call: Answering = Box::pin(self.hub.call(id, moved, ACCEPT_WITHIN));
                (id, call)
            })
            .collect()
    }
}

impl Service {
    /// Announces this node's addresses, if the membership has others, to every member that this node reaches. Called
    /// once a second.
    pub(crate) fn say_where(&self) {
        let parts = self.parts();
        if !parts.gossip.announced_addresses.may_announce(Instant::now()) {
            return;
        }
        let Some(moved) = parts.own_announcement() else { return };
        let (service, calls) = (self.clone(), parts.pass_on(&moved));
        parts.tasks.passing("say where this node is", async move {
            let refusals = service.say_to(&moved, calls).await;
            let announced_addresses = &service.parts().gossip.announced_addresses;
            announced_addresses.has_announced(!refusals.is_empty(), Instant::now());
            if !refusals.is_empty() && announced_addresses.is_news(&refusals) {
                tracing::warn!(
                    why = refusals,
                    "the membership has other addresses for this node than it has, and was not corrected"
                );
            }
        });
    }

    /// Waits for the members' answers to this node's announcement, and then, as leader, writes it into the
    /// membership. Returns which members refused it and why, or an empty text if none did.
    async fn say_to(&self, moved: &Moved, calls: Vec<(NodeId, Answering)>) -> String {
        let parts = self.parts();
        let answers = join_all(calls.into_iter().map(|(id, call)| async move { (id, call.await) })).await;
        let mut refusals: Vec<String> = Vec::new();
        let mut found = false;
        for (id, answer) in answers {
            match answer {
                Ok(Ok(())) => found = true,
                Ok(Err(why)) => refusals.push(format!("node {id}: {why}")),
                // No answer is not a refusal. The node announces its addresses again.
                Err(_) => {}
            }
        }
        // No leader can dial itself. In a cluster of one there is no other member that could or must confirm the
        // address.
        let leads = parts.believed_leader() == Some(parts.config.node_id);
        if leads && (found || parts.members_known().len() == 1) {
            refusals.extend(self.correct(moved).await.err());
        }
        refusals.join("; ")
    }

    /// Receives a member's announcement, from that member or from another one that passes it on.
    pub(crate) async fn accept_moved(&self, from: NodeId, moved: Moved) -> MovedReply {
        let parts = self.parts();
        let (id, me) = (moved.node_id, parts.config.node_id);
        if id == me {
            return Err("it is about this node itself".to_owned());
        }
        // A node that has lost its quorum because members moved is not sure of its clock, and it finds them again
        // only by their announcements. Until it is sure, it uses its clock as it is. Only the addresses that it dials
        // depend on that, and a node proves who it is by its hello. Before the membership is changed, the clock must
        // be sure.
        let now = parts.sure_now().unwrap_or_else(|| parts.env.clock.now());
        // A refused member gets the reason, and writes it to its own log.
        let known = parts.check_moved(&moved, now).await?;
        let news = parts.gossip.announced_addresses.accept(&moved, &known, now)?;
        if news {
            parts.hub.ensure_peer_at(id, parts.peer_addresses(id, &known));
            if from == id {
                for (_, call) in parts.pass_on(&moved) {
                    parts.tasks.passing("pass on where a member is", call);
                }
            }
        }
        match (parts.believed_leader() == Some(me), news) {
            (true, true) => {
                let corrected = self.correct(&moved).await;
                if let Err(why) = &corrected {
                    parts.gossip.announced_addresses.refuse(&moved, why);
                }
                corrected
            }
            // Another member passed it on before.
            (true, false) => parts.gossip.announced_addresses.outcome(id),
            // The member itself is told whether this node has found it. If it leads, it goes by that answer.
            (false, _) if from == id => parts.is_found(&moved).await,
            (false, _) => Ok(()),
        }
    }

    /// As leader: writes the announcement into the membership. What can be refused without other nodes is refused
    /// before anything is awaited.
    async fn correct(&self, moved: &Moved) -> MovedReply {
        let parts = self.parts();
        if parts.moves_with(moved)?.is_empty() {
            return Ok(());
        }
        let Some(_in_work) = parts.gossip.announced_addresses.begin(moved.node_id) else {
            return Err(format!("an earlier announcement of node {} is being carried out", moved.node_id));
        };
        let now = parts.judged().map_err(|unsure| {
            format!("{}: the leader does not trust its clock: {}", Code::ClockUncertain, unsure.told())
        })?;
        let moves = parts.moves_with(moved)?;
        for word in moves.values() {
            parts.check_moved(word, now).await?;
            // Another member has confirmed the announcement of this node itself.
            if word.node_id != parts.config.node_id {
                parts.is_found(word).await?;
            }
        }
        let places: BTreeMap<NodeId, NewAddresses> = moves
            .into_iter()
            .map(|(id, word)| {
                let Moved { peer_addr, client_addr, .. } = word;
                (id, NewAddresses { peer_addr: Some(peer_addr), client_addr: Some(client_addr) })
            })
            .collect();
        let patience = Instant::now() + TURN_WITHIN;
        let until = within(parts.config.deadlines.membership_ms);
        loop {
            match self.relocate_as_leader(places.clone(), until).await {
                Ok(()) => return Ok(()),
                Err(ManageError::Refused(refusal))
                    if refusal.code == Code::MembershipBusy && Instant::now() < patience =>
                {
                    sleep(TURN_EVERY).await;
                }
                Err(ManageError::Refused(refusal)) => {
                    return Err(format!("{}: {}", refusal.code, refusal.detail));
                }
                Err(ManageError::NotLeader { .. }) => return Err("this node leads no more".to_owned()),
                Err(ManageError::Unknown(why)) => return Err(why),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn member(number: u8) -> (NodeId, PeerNode) {
        let node = PeerNode {
            peer_addr: format!("a:{number}"),
            client_addr: format!("b:{number}"),
            store_id: [number; 16],
            key: None,
        };
        (u64::from(number), node)
    }

    fn says(number: u8, peer_addr: &str, client_addr: &str) -> Moved {
        Moved {
            node_id: u64::from(number),
            store_id: [number; 16],
            peer_addr: peer_addr.to_owned(),
            client_addr: client_addr.to_owned(),
            at_ms: 1,
            signature: Bytes::new(),
        }
    }

    #[test]
    fn members_that_took_each_others_addresses_are_moved_together_once_each_has_said_so() {
        let members = BTreeMap::from([member(1), member(2), member(3)]);
        let among = |first: &Moved, words: &[Moved]| {
            let word = |id, _: &PeerNode| words.iter().find(|word| word.node_id == id).cloned();
            together(&members, first, word).map(|moves| moves.into_keys().collect::<Vec<_>>())
        };
        assert_eq!(among(&says(1, "a:1", "b:1"), &[]), Ok(vec![]));
        assert_eq!(among(&says(1, "c:1", "b:1"), &[says(2, "c:2", "b:2")]), Ok(vec![1]));
        let (one, two) = (says(1, "a:2", "b:2"), says(2, "a:1", "b:1"));
        assert_eq!(among(&one, std::slice::from_ref(&two)), Ok(vec![1, 2]));
        assert_eq!(among(&two, std::slice::from_ref(&one)), Ok(vec![1, 2]));
        let (two, three) = (says(2, "a:3", "b:3"), says(3, "a:1", "b:1"));
        assert_eq!(among(&one, &[two.clone(), three]), Ok(vec![1, 2, 3]));
        for words in [vec![], vec![two]] {
            let refused = among(&one, &words).unwrap_err();
            assert!(refused.starts_with("member_exists: node "), "{refused}");
        }
        // Both want the same one.
        let refused = among(&one, &[says(2, "a:2", "c:1")]).unwrap_err();
        assert!(refused.contains("node 2 has the same peer address"), "{refused}");
        assert!(among(&says(1, "c:1", "c:1"), &[]).is_err());
        assert!(among(&says(9, "c:1", "c:2"), &[]).is_err());
    }
}
