//! Repeats what a peer may have missed or what was left incomplete: a peer that was away when a member joined, a
//! member that does not know where this node is now, and a change of the membership that no leader completes.

use std::time::Duration;

use openraft::alias::StoredMembershipOf;

use crate::peer::Introduce;
use crate::raft::types::TypeConfig;
use crate::usecase::{Parts, Service};

/// How long a peer may take to receive the list of the members.
const INTRODUCE_WITHIN: Duration = Duration::from_millis(900);

/// Sends again what a peer may have missed. As leader, it also completes a change of the membership that is
/// incomplete. Called once a second.
pub(super) async fn repeat_unfinished(
    service: &Service,
    membership: &StoredMembershipOf<TypeConfig>,
    leads: bool,
) {
    let parts = service.parts();
    introduce(parts);
    service.say_where();
    parts.gossip.announced_addresses.retain(|id| membership.get_node(&id).is_some());
    if leads {
        parts.finish_joint().await;
    }
}

/// Names the members to every connected peer, because a peer that was away may have missed that a member joined.
fn introduce(parts: &Parts) {
    let metrics = parts.metrics_now();
    let membership = &metrics.committed_membership_config;
    let me = parts.config.node_id;
    if membership.get_node(&me).is_none() {
        return;
    }
    let members: Vec<_> = membership.nodes().map(|(id, node)| (*id, node.clone())).collect();
    let message = Introduce { members };
    for (id, _) in message.members.iter().filter(|(id, _)| *id != me && parts.hub.is_connected(*id)) {
        // It is sent again in a second, so no answer is awaited.
        parts.tasks.passing("introduction", parts.hub.call(*id, &message, INTRODUCE_WITHIN));
    }
}
