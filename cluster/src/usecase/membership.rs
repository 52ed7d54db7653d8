//! Changes of the membership, as leader: one change at a time, each new voter first a learner, and no change that
//! could lose the quorum.
//!
//! This module owns what is checked before Raft is asked. Raft itself (dissertation §4) makes sure that two disjoint
//! majorities never exist: every change of voters goes through a joint configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::{ChangeMembers, Instant as _};
use tokio::time::{Instant, sleep, timeout_at};

use assent_api::MembersBody;
use assent_proof::{Code, PublicKey};
use assent_registry::query;

use super::change::{Changed, done, is_its_own, refused, unknown};
use super::parts::CoreMetrics;
use super::relocate::{NewAddresses, has_places};
use super::{Parts, Service};
use crate::peer::{Manage, ManageError, ManageReply};
use crate::raft::types::{MEMBERS_MAX, NodeId, NodeIdError, PeerNode, VOTERS_MAX, check_new_id};

/// A voter counts as present if it answered within this many times the longest election timeout.
const THERE_WITHIN_ELECTIONS: u32 = 3;
/// How long a learner may take to reach what the log held when its promotion was requested.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(5);
/// How long a successor may take to lead, as a multiple of the longest election timeout.
const TAKES_WITHIN_ELECTIONS: u32 = 4;
/// How often the leader checks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Whether a new member may have this id.
fn is_free(id: NodeId, next: NodeId) -> Changed<()> {
    match check_new_id(id, next) {
        Ok(_) => Ok(()),
        Err(error @ NodeIdError::Used { .. }) => refused(Code::MemberExists, error.to_string()),
        Err(
            error @ (NodeIdError::OutOfRange { .. }
            | NodeIdError::FarFounder { .. }
            | NodeIdError::FarAhead { .. }),
        ) => refused(Code::Malformed, error.to_string()),
    }
}

impl Service {
    /// Carries a change out, if this node leads.
    pub(crate) async fn manage_as_leader(&self, manage: Manage, until: Instant) -> ManageReply {
        let parts = self.parts();
        if parts.believed_leader() != Some(parts.config.node_id) {
            return Err(ManageError::NotLeader { leader: parts.believed_leader() });
        }
        if manage == Manage::List {
            return Ok(parts.members());
        }
        // One change at a time. A further call is told so, and does not wait for another caller's change.
        let Ok(_turn) = parts.managing.try_lock() else {
            return refused(Code::MembershipBusy, "another change is under way");
        };
        // The decision must rest on what a quorum has: the members, and which keys are granted.
        if let Err(error) = parts.barrier(until).await {
            return refused(Code::NoQuorum, format!("nothing was changed: {error}"));
        }
        match manage {
            Manage::List => {}
            Manage::Add { id, node } => parts.add(id, node, until).await?,
            Manage::Promote(id) => parts.promote(id, until).await?,
            Manage::Update { id, peer_addr, client_addr } => {
                parts
                    .relocate(BTreeMap::from([(id, NewAddresses { peer_addr, client_addr })]), until)
                    .await?;
            }
            Manage::Remove(id) if id == parts.config.node_id => {
                parts.removable(id)?;
                // A leader does not remove itself. It hands leadership over, and the next leader removes it.
                self.hand_over_to(None, until).await?;
                return Err(ManageError::NotLeader { leader: parts.believed_leader() });
            }
            Manage::Remove(id) => parts.remove(id, until).await?,
            Manage::Transfer(to) => self.transfer(to, until).await?,
        }
        Ok::<MembersBody, _>(parts.members())
    }

    async fn transfer(&self, to: Option<NodeId>, until: Instant) -> Changed<()> {
        let parts = self.parts();
        if to == Some(parts.config.node_id) {
            return Ok(());
        }
        if let Some(to) = to {
            if !parts.voters().contains(&to) {
                return refused(Code::MemberUnknown, format!("node {to} is not a voter"));
            }
            if !parts.is_there(&parts.metrics_now(), to) {
                return refused(Code::MemberBehind, format!("node {to} does not answer"));
            }
        }
        self.hand_over_to(to, until).await
    }

    /// Transfers leadership, and waits until another node leads.
    async fn hand_over_to(&self, to: Option<NodeId>, until: Instant) -> Changed<()> {
        let parts = self.parts();
        let me = parts.config.node_id;
        let patience = Duration::from_millis(parts.config.raft.election_max_ms) * TAKES_WITHIN_ELECTIONS;
        match to {
            None => self.leave_leadership(patience).await,
            Some(to) => {
                tracing::info!(to, "handing leadership over");
                if parts.raft.trigger().transfer_leader(to).await.is_ok() {
                    parts.wait_for_new_leader(to, until.min(Instant::now() + patience)).await;
                }
            }
        }
        match parts.believed_leader() {
            Some(leader) if leader != me => Ok(()),
            // openraft keeps a transfer for ever, and a leader that transfers sends no heartbeats, so the voters
            // elect. The caller asks again, of the node that then leads.
            _ => Err(ManageError::Unknown("no other node took leadership in time".to_owned())),
        }
    }
}

impl Parts {
    /// Whether a member has answered recently.
    fn is_there(&self, metrics: &CoreMetrics, id: NodeId) -> bool {
        if id == self.config.node_id {
            return true;
        }
        let lately = Duration::from_millis(self.config.raft.election_max_ms) * THERE_WITHIN_ELECTIONS;
        let heard = metrics.heartbeat.as_ref().and_then(|all| all.get(&id).and_then(Option::as_ref));
        self.hub.is_connected(id) && heard.is_some_and(|at| at.elapsed() <= lately)
    }

    /// Refuses a set of voters if no quorum of it is present.
    fn quorum_of(&self, voters: &BTreeSet<NodeId>) -> Changed<()> {
        let metrics = self.metrics_now();
        let there = voters.iter().filter(|id| self.is_there(&metrics, **id)).count();
        let quorum = voters.len() / 2 + 1;
        if !voters.is_empty() && there >= quorum {
            return Ok(());
        }
        let absent: Vec<String> =
            voters.iter().filter(|id| !self.is_there(&metrics, **id)).map(ToString::to_string).collect();
        let detail = match absent.is_empty() {
            true => "it is the last voter: a cluster has at least one".to_owned(),
            false => format!(
                "of the {} voters afterwards {quorum} have to answer, and {there} do; silent: {}",
                voters.len(),
                absent.join(", ")
            ),
        };
        refused(Code::QuorumAtRisk, detail)
    }

    /// Refuses the key if it is not granted, as of the barrier.
    fn granted(&self, key: &PublicKey) -> Changed<()> {
        let now = self.judged().or_else(|unsure| {
            refused(Code::ClockUncertain, format!("the leader does not trust its clock: {}", unsure.told()))
        })?;
        let granted = self
            .storage
            .registry
            .view()
            .map_err(|error| error.to_string())
            .and_then(|view| query::node_key_granted(&view, key, now).map_err(|error| error.to_string()));
        match granted {
            Ok(true) => Ok(()),
            Ok(false) => {
                let detail =
                    format!("the key {key} is not granted the role `registry` in `_root`, or no longer");
                refused(Code::AuthorityUnknown, detail)
            }
            Err(error) => refused(Code::EvidenceMutated, error),
        }
    }

    /// The membership, if it is committed and not changing.
    pub(super) fn settled(&self) -> Changed<CoreMetrics> {
        let metrics = self.metrics_now();
        let joint = metrics.membership_config.membership().get_joint_config().len() > 1;
        if joint || metrics.membership_config != metrics.committed_membership_config {
            return refused(Code::MembershipBusy, "an earlier change is not complete yet");
        }
        Ok(metrics)
    }

    async fn add(&self, id: NodeId, node: PeerNode, until: Instant) -> Changed<()> {
        let metrics = self.settled()?;
        let members: BTreeMap<NodeId, PeerNode> =
            metrics.membership_config.nodes().map(|(id, node)| (*id, node.clone())).collect();
        if members.get(&id) == Some(&node) {
            return Ok(());
        }
        is_free(id, self.highest_id().saturating_add(1))?;
        has_places(id, &node, None)?;
        is_its_own(&members, id, |known| node.shares(known))?;
        if members.len() >= MEMBERS_MAX {
            return refused(Code::QuorumAtRisk, format!("a cluster has at most {MEMBERS_MAX} members"));
        }
        match &node.key {
            Some(key) => self.granted(key)?,
            None => return refused(Code::AuthorityUnknown, "the new member names no key"),
        }
        tracing::info!(id, addr = node.peer_addr, "adding a learner");
        done(timeout_at(until, self.raft.add_learner(id, node, false)).await)
    }

    async fn promote(&self, id: NodeId, until: Instant) -> Changed<()> {
        let metrics = self.settled()?;
        let mut voters: BTreeSet<NodeId> = metrics.membership_config.voter_ids().collect();
        let Some(node) = metrics.membership_config.get_node(&id) else { return unknown(id) };
        if voters.contains(&id) {
            return Ok(());
        }
        if let Some(key) = &node.key {
            self.granted(key)?;
        }
        self.knows_rules(id)?;
        self.caught_up(id, until).await?;
        // The rules may have been raised by an entry that was under way when this began. From here on they cannot be:
        // raising needs the same lock, and this node is the leader or changes nothing.
        self.knows_rules(id)?;
        if voters.len() >= VOTERS_MAX {
            return refused(Code::QuorumAtRisk, format!("a cluster has at most {VOTERS_MAX} voters"));
        }
        voters.insert(id);
        self.quorum_of(&voters)?;
        tracing::info!(id, "promoting a learner");
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
        done(timeout_at(until, self.raft.change_membership(change, false)).await)
    }

    /// Refuses a member that is not connected, or whose build does not know the rules in force.
    fn knows_rules(&self, id: NodeId) -> Changed<()> {
        let rules = self.rules().map_err(|error| ManageError::Unknown(error.to_string()))?;
        match self.hub.hello(id) {
            None => refused(Code::MemberBehind, format!("node {id} is not connected")),
            Some(hello) if hello.rules_version < rules => {
                let known = hello.rules_version;
                let detail = format!("node {id} knows rules {known}, and the registry follows rules {rules}");
                refused(Code::MemberBehind, detail)
            }
            Some(_) => Ok(()),
        }
    }

    /// Waits until the learner has everything that the log held when this was called, and this node has applied it.
    async fn caught_up(&self, id: NodeId, until: Instant) -> Changed<()> {
        let until = until.min(Instant::now() + CATCHES_UP_WITHIN);
        let target = self.metrics_now().last_log_index;
        loop {
            let replication = self.metrics_now().replication.unwrap_or_default();
            let matched = replication.get(&id).and_then(|at| at.as_ref().map(|at| at.index));
            let applied = self.storage.applied.borrow().log_index >= target;
            if matched >= target && applied {
                return Ok(());
            }
            if Instant::now() >= until && !applied {
                return refused(Code::MembershipBusy, "what was proposed before this is not applied yet");
            }
            if Instant::now() >= until {
                let behind = target.unwrap_or(0).saturating_sub(matched.unwrap_or(0));
                let detail = format!(
                    "node {id} still lacks {behind} of the log entries that there were when the promotion was requested"
                );
                return refused(Code::MemberBehind, detail);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Whether the cluster could continue without this member.
    fn removable(&self, id: NodeId) -> Changed<()> {
        let metrics = self.settled()?;
        if metrics.membership_config.get_node(&id).is_none() {
            return unknown(id);
        }
        let mut voters: BTreeSet<NodeId> = metrics.membership_config.voter_ids().collect();
        if voters.remove(&id) { self.quorum_of(&voters) } else { Ok(()) }
    }

    async fn remove(&self, id: NodeId, until: Instant) -> Changed<()> {
        self.removable(id)?;
        tracing::info!(id, "removing a member");
        let ids = BTreeSet::from([id]);
        let change = match self.voters().contains(&id) {
            true => ChangeMembers::RemoveVoters(ids),
            false => ChangeMembers::RemoveNodes(ids),
        };
        done(timeout_at(until, self.raft.change_membership(change, false)).await)
    }

    /// Ends a joint configuration that an earlier leader left behind. Nothing else can change until then.
    pub(crate) async fn finish_joint(&self) {
        let Ok(_turn) = self.managing.try_lock() else { return };
        let metrics = self.metrics_now();
        let joint = metrics.membership_config.membership().get_joint_config();
        let (true, Some(last)) = (joint.len() > 1, joint.last()) else { return };
        if metrics.membership_config != metrics.committed_membership_config {
            return;
        }
        tracing::info!(voters = ?last, "completing a change of the membership");
        let until = super::within(self.config.deadlines.membership_ms);
        let change = ChangeMembers::ReplaceAllVoters(last.clone());
        if let Err(error) = done(timeout_at(until, self.raft.change_membership(change, false)).await) {
            tracing::warn!(?error, "the change is not complete yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_was_used_and_one_that_none_may_have_are_refused_each_with_its_code() {
        let code = |id, next| match is_free(id, next) {
            Err(ManageError::Refused(refusal)) => Some(refusal.code),
            other => {
                assert_eq!(other, Ok(()));
                None
            }
        };
        assert_eq!(code(4, 4), None);
        assert_eq!(code(3, 4), Some(Code::MemberExists));
        for far in [5 + (1 << 20), (1 << 32) + 1, (1 << 63) - 1, u64::MAX] {
            assert_eq!(code(far, 4), Some(Code::Malformed), "{far}");
        }
    }
}
