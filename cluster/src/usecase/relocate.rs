//! Members that are elsewhere from now on: what addresses a member may have, and changing them, as leader.
//!
//! Several members are moved in one change if each takes an address of another. Nothing else about a member changes.

use std::collections::BTreeMap;

use openraft::ChangeMembers;
use tokio::time::{Instant, timeout_at};

use assent_api::is_unspecified;
use assent_proof::Code;

use super::membership::{Changed, done, is_its_own, refused, unknown};
use super::{Parts, Service};
use crate::peer::ManageError;
use crate::raft::types::{NodeId, PeerNode};

/// Refuses an address that no other node can dial.
pub(super) fn is_dialable(node: &PeerNode) -> Changed<()> {
    match [&node.peer_addr, &node.client_addr].into_iter().find(|address| is_unspecified(address)) {
        None => Ok(()),
        Some(address) => {
            let detail = format!(
                "`{address}` stands for every address of a machine, and no other node can dial it: give the one at which others \
                 reach the node, in its configuration with `peer_advertise` and `client_advertise`"
            );
            refused(Code::Malformed, detail)
        }
    }
}

/// Refuses addresses of these members with which the membership could not go on: ones that nobody can dial, and ones that another
/// member has once all of them are where they are to be.
fn are_their_own(members: &BTreeMap<NodeId, PeerNode>, changed: &BTreeMap<NodeId, PeerNode>) -> Changed<()> {
    let mut after = members.clone();
    after.extend(changed.iter().map(|(id, node)| (*id, node.clone())));
    for (id, node) in changed {
        is_dialable(node)?;
        if node.peer_addr == node.client_addr {
            let detail = format!("the peers and the clients of node {id} cannot reach it at one address");
            return refused(Code::Malformed, detail);
        }
        is_its_own(&after, *id, |other| node.shares_address(other))?;
    }
    Ok(())
}

/// Where a member is from now on; what is none stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) peer_addr: Option<String>,
    pub(super) client_addr: Option<String>,
}

impl Service {
    /// Has the membership say where these members are, all in one change, if this node leads.
    pub(super) async fn relocate_as_leader(
        &self,
        places: BTreeMap<NodeId, Place>,
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
    /// These members are elsewhere from now on. Nothing else about them changes, so no quorum does.
    pub(super) async fn relocate(&self, places: BTreeMap<NodeId, Place>, until: Instant) -> Changed<()> {
        let metrics = self.settled()?;
        let members: BTreeMap<NodeId, PeerNode> =
            metrics.membership_config.nodes().map(|(id, node)| (*id, node.clone())).collect();
        let mut changed = BTreeMap::new();
        for (id, Place { peer_addr, client_addr }) in places {
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
    fn members_take_each_others_addresses_in_one_change_and_none_that_another_keeps_or_nobody_can_dial() {
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
    }
}
