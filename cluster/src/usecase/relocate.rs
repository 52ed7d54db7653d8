//! Changes of members' addresses: which addresses a member may have, and how the leader changes them.
//!
//! Several members are changed together if each takes an address of another. Nothing else about a member changes.

use std::collections::BTreeMap;

use openraft::ChangeMembers;
use tokio::time::{Instant, timeout_at};

use assent_api::MemberAddress;
use assent_proof::Code;

use super::change::{Changed, done, is_its_own, refused, unknown};
use super::{Parts, Service};
use crate::peer::ManageError;
use crate::raft::types::{NodeId, PeerNode};

/// Refuses an address that no member may have: one that no other node can dial, or one in another spelling. An
/// address that the membership has already, in `known`, may stay: it may be from before addresses were checked.
pub(super) fn has_places(id: NodeId, node: &PeerNode, known: Option<&PeerNode>) -> Changed<()> {
    let addresses = [
        (&node.peer_addr, known.map(|known| &known.peer_addr)),
        (&node.client_addr, known.map(|known| &known.client_addr)),
    ];
    for (address, _) in addresses.into_iter().filter(|(address, known)| *known != Some(*address)) {
        if let Err(error) = address.parse::<MemberAddress>() {
            return refused(Code::Malformed, error.to_string());
        }
    }
    if node.has_one_address_for_both() {
        let detail = format!("the peers and the clients of node {id} cannot reach it at one address");
        return refused(Code::Malformed, detail);
    }
    Ok(())
}

/// Refuses addresses of these members that the membership cannot have: those that no member may have, and those that
/// another member has after all of the changes.
fn are_their_own(members: &BTreeMap<NodeId, PeerNode>, changed: &BTreeMap<NodeId, PeerNode>) -> Changed<()> {
    let mut after = members.clone();
    after.extend(changed.iter().map(|(id, node)| (*id, node.clone())));
    for (id, node) in changed {
        has_places(*id, node, members.get(id))?;
        is_its_own(&after, *id, |other| node.shares_address(other))?;
    }
    Ok(())
}

/// A member's new addresses. Where there is none, the old one stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewAddresses {
    pub(super) peer_addr: Option<String>,
    pub(super) client_addr: Option<String>,
}

impl Service {
    /// Writes these members' addresses into the membership, all in one change, if this node leads.
    pub(super) async fn relocate_as_leader(
        &self,
        places: BTreeMap<NodeId, NewAddresses>,
        until: Instant,
    ) -> Changed<()> {
        let parts = self.parts();
        if parts.believed_leader() != Some(parts.config.node_id) {
            return Err(ManageError::NotLeader { leader: parts.believed_leader() });
        }
        let Ok(_turn) = parts.managing.try_lock() else {
            return refused(Code::MembershipBusy, "another change is under way");
        };
        if let Err(error) = parts.barrier(until).await {
            return refused(Code::NoQuorum, format!("nothing was changed: {error}"));
        }
        parts.relocate(places, until).await
    }
}

impl Parts {
    /// Changes the addresses of these members. Nothing else about them changes, so no quorum does.
    pub(super) async fn relocate(
        &self,
        places: BTreeMap<NodeId, NewAddresses>,
        until: Instant,
    ) -> Changed<()> {
        let metrics = self.settled()?;
        let members: BTreeMap<NodeId, PeerNode> =
            metrics.membership_config.nodes().map(|(id, node)| (*id, node.clone())).collect();
        let mut changed = BTreeMap::new();
        for (id, NewAddresses { peer_addr, client_addr }) in places {
            let Some(known) = members.get(&id) else { return unknown(id) };
            let node = PeerNode {
                peer_addr: peer_addr.unwrap_or_else(|| known.peer_addr.clone()),
                client_addr: client_addr.unwrap_or_else(|| known.client_addr.clone()),
                ..known.clone()
            };
            if node != *known {
                changed.insert(id, node);
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        are_their_own(&members, &changed)?;
        for (id, node) in &changed {
            tracing::info!(id, peer = node.peer_addr, client = node.client_addr, "a member moved");
        }
        let change = ChangeMembers::SetNodes(changed);
        done(timeout_at(until, self.raft.change_membership(change, false)).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u8) -> PeerNode {
        PeerNode {
            peer_addr: format!("a:{number}"),
            client_addr: format!("b:{number}"),
            store_id: [number; 16],
            key: None,
        }
    }

    #[test]
    fn members_may_swap_addresses_in_one_change_but_not_take_one_in_use_or_undialable() {
        let members = BTreeMap::from([(1, member(1)), (2, member(2)), (3, member(3))]);
        let at = |id: u8, peer: &str, client: &str| {
            (u64::from(id), PeerNode { peer_addr: peer.into(), client_addr: client.into(), ..member(id) })
        };
        let code = |changed: &[(NodeId, PeerNode)]| match are_their_own(
            &members,
            &changed.iter().cloned().collect(),
        ) {
            Err(ManageError::Refused(refusal)) => Some(refusal.code),
            other => {
                assert_eq!(other, Ok(()));
                None
            }
        };
        assert_eq!(code(&[at(1, "c:1", "c:2")]), None);
        assert_eq!(code(&[at(1, "a:2", "b:2"), at(2, "a:1", "b:1")]), None);
        assert_eq!(code(&[at(1, "a:2", "b:2"), at(2, "a:3", "b:3"), at(3, "a:1", "b:1")]), None);
        assert_eq!(code(&[at(1, "a:2", "b:2")]), Some(Code::MemberExists));
        assert_eq!(code(&[at(1, "a:2", "b:2"), at(2, "a:3", "c:1")]), Some(Code::MemberExists));
        assert_eq!(code(&[at(1, "c:1", "c:1")]), Some(Code::Malformed));
        assert_eq!(code(&[at(1, "0.0.0.0:1", "c:1")]), Some(Code::Malformed));
        assert_eq!(code(&[at(1, "c:1", "[::]:1")]), Some(Code::Malformed));
        // A peer of an earlier build passes on what its own API took.
        for spelled in ["127.1:1", "localhost:1", "[::ffff:127.0.0.1]:1", "c:01", "c:+1", "224.0.0.1:1"] {
            assert_eq!(code(&[at(1, spelled, "c:2")]), Some(Code::Malformed), "{spelled}");
            assert_eq!(code(&[at(1, "c:2", spelled)]), Some(Code::Malformed), "{spelled}");
        }
    }

    #[test]
    fn an_address_stored_before_spellings_were_checked_stays_and_equals_its_canonical_form() {
        let stored = PeerNode { peer_addr: "localhost:80".into(), ..member(1) };
        let members = BTreeMap::from([(1, stored.clone()), (2, member(2))]);
        let moved = PeerNode { client_addr: "c:1".into(), ..stored.clone() };
        assert_eq!(are_their_own(&members, &BTreeMap::from([(1, moved)])), Ok(()));
        let canonical = PeerNode { peer_addr: "127.0.0.1:80".into(), ..stored };
        assert_eq!(are_their_own(&members, &BTreeMap::from([(1, canonical)])), Ok(()));
        let taken = PeerNode { client_addr: "127.0.0.1:80".into(), ..member(2) };
        let refused = are_their_own(&members, &BTreeMap::from([(2, taken)])).unwrap_err();
        assert!(
            matches!(&refused, ManageError::Refused(why) if why.code == Code::MemberExists),
            "{refused:?}"
        );
    }
}
