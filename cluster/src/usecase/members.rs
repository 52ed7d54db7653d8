//! The members of the cluster, and changes of them. Any node takes the call, and the leader decides.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{Instant, sleep};

use assent_api::{MemberAddresses, MemberBody, MemberRole, MembersBody, NewMember, Problem};
use assent_proof::{Code, Refusal};
use assent_registry::{Rows, query};

use super::on_behalf::{SentTo, behalf_of, route_of};
use super::problem::MembershipError;
use super::{Caller, Parts, Service, within};
use crate::audit::AuditClass;
use crate::peer::{BEHALF_SINCE, Manage, ManageError, ManageFor, ManageReply, PeerError};
use crate::raft::types::{NodeId, PeerNode};

/// The pause before the node tries again while there is no leader.
const RETRY_AFTER: Duration = Duration::from_millis(50);

impl Service {
    /// The members as the leader sees them, or as this node does if no leader answers.
    pub async fn members(&self, _caller: &Caller) -> MembersBody {
        let parts = self.parts();
        if let Some(leader) = parts.believed_leader().filter(|leader| *leader != parts.config.node_id) {
            let within = Duration::from_millis(parts.config.deadlines.read_ms);
            if let Ok(Ok(members)) = parts.hub.call(leader, &Manage::List, within).await {
                return members;
            }
        }
        parts.members()
    }

    /// Adds a node as a learner.
    pub async fn add_member(&self, caller: &Caller, new: NewMember) -> Result<MembersBody, Box<Problem>> {
        let Some(store_id) = new.store() else {
            let refusal = Refusal::at(Code::Malformed, "storeId", "must be 32 lower-case hex digits");
            return Err(MembershipError::Refused(refusal).into());
        };
        let (peer_addr, client_addr) = (new.peer.into(), new.client.into());
        let node = PeerNode { peer_addr, client_addr, store_id, key: Some(new.key) };
        Ok(self.manage(caller, Manage::Add { id: new.id, node }).await?)
    }

    /// Makes a learner a voter, once it has caught up.
    pub async fn promote_member(&self, caller: &Caller, id: NodeId) -> Result<MembersBody, Box<Problem>> {
        Ok(self.manage(caller, Manage::Promote(id)).await?)
    }

    /// Changes the addresses of a member.
    pub async fn update_member(
        &self,
        caller: &Caller,
        id: NodeId,
        to: MemberAddresses,
    ) -> Result<MembersBody, Box<Problem>> {
        let (peer_addr, client_addr) = (to.peer.map(String::from), to.client.map(String::from));
        Ok(self.manage(caller, Manage::Update { id, peer_addr, client_addr }).await?)
    }

    /// Takes a member out.
    pub async fn remove_member(&self, caller: &Caller, id: NodeId) -> Result<MembersBody, Box<Problem>> {
        Ok(self.manage(caller, Manage::Remove(id)).await?)
    }

    /// Transfers leadership to a voter. If none is named, the voter with the most of the log gets it.
    pub async fn transfer_leader(
        &self,
        caller: &Caller,
        to: Option<NodeId>,
    ) -> Result<MembersBody, Box<Problem>> {
        Ok(self.manage(caller, Manage::Transfer(to)).await?)
    }

    /// Asks the leader for a change, whichever node leads. Asking again is harmless: if the membership is already as
    /// asked for, it stays so.
    async fn manage(&self, caller: &Caller, manage: Manage) -> Result<MembersBody, MembershipError> {
        let parts = self.parts();
        let until = within(parts.config.deadlines.membership_ms);
        let message = ManageFor { manage: manage.clone(), behalf: behalf_of(caller) };
        let mut last = "no leader is known".to_owned();
        let mut maybe_done = false;
        let mut sent = SentTo::default();
        while Instant::now() < until {
            let attempt = match parts.believed_leader() {
                None => Err(ManageError::NotLeader { leader: None }),
                Some(leader) if leader == parts.config.node_id => {
                    self.manage_as_leader(manage.clone(), until).await
                }
                Some(leader) => {
                    let left = until.saturating_duration_since(Instant::now());
                    match parts.ask_to_manage(leader, &message, left, &mut sent).await {
                        Ok(answer) => answer,
                        Err(error) if error.is_unsent() => {
                            last = error.to_string();
                            Err(ManageError::NotLeader { leader: None })
                        }
                        Err(PeerError::Refused(why)) => Err(ManageError::Unknown(why)),
                        Err(error) => Err(ManageError::Unknown(format!("node {leader}: {error}"))),
                    }
                }
            };
            match attempt {
                Ok(members) => return Ok(members),
                // An earlier attempt may be what is under way, or may have removed the member. And a leader that
                // finds no quorum cannot tell whether something was changed.
                Err(ManageError::Refused(refusal))
                    if maybe_done && matches!(refusal.code, Code::MembershipBusy | Code::NoQuorum) =>
                {
                    last = refusal.detail;
                }
                Err(ManageError::Refused(refusal))
                    if maybe_done
                        && refusal.code == Code::MemberUnknown
                        && matches!(manage, Manage::Remove(_)) =>
                {
                    return Ok(self.members(Caller::local()).await);
                }
                Err(ManageError::Refused(refusal)) => return Err(MembershipError::Refused(refusal)),
                Err(ManageError::NotLeader { .. }) => {}
                Err(ManageError::Unknown(detail)) => {
                    maybe_done = true;
                    last = detail;
                }
            }
            sleep(RETRY_AFTER).await;
        }
        Err(if maybe_done { MembershipError::Unknown(last) } else { MembershipError::NotDone(last) })
    }
}

impl Parts {
    /// Asks the leader for a change, in the form that it knows. The audit trail says which nodes were asked.
    async fn ask_to_manage(
        &self,
        leader: NodeId,
        message: &ManageFor,
        within: Duration,
        sent: &mut SentTo,
    ) -> Result<ManageReply, PeerError> {
        let Some(version) = self.hub.version(leader) else { return Err(PeerError::Unreachable(leader)) };
        let (route, behalf) = (route_of(&message.manage), std::slice::from_ref(&message.behalf));
        let sending = self.sending(leader, AuditClass::Admin, route, behalf, sent);
        let answer = if version < BEHALF_SINCE {
            self.hub.call(leader, &message.manage, within).await
        } else {
            self.hub.call(leader, message, within).await
        };
        sending.ended(sent, &answer);
        answer
    }

    /// The members as this node sees them.
    pub(super) fn members(&self) -> MembersBody {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let membership = &metrics.membership_config;
        let peers = self.hub.status();
        let now = self.env.clock.now();
        let view = self.storage.registry.view().ok();
        let voters: Vec<NodeId> = membership.voter_ids().collect();
        let me = self.config.node_id;
        let leads = metrics.current_leader == Some(me);
        let members = membership
            .nodes()
            .map(|(id, node)| {
                let peer = peers.iter().find(|peer| peer.id == *id);
                let granted = |rows: &dyn Rows| {
                    node.key.is_some_and(|key| query::node_key_granted(rows, &key, now).unwrap_or(false))
                };
                let matched = metrics.replication.as_ref().filter(|_| leads).and_then(|replication| {
                    replication.get(id).and_then(|at| at.as_ref().map(|at| at.index))
                });
                let behind = match (matched, metrics.last_log_index) {
                    (Some(matched), Some(last)) => Some(last.saturating_sub(matched)),
                    _ => None,
                };
                MemberBody {
                    id: *id,
                    role: if voters.contains(id) { MemberRole::Voter } else { MemberRole::Learner },
                    peer: node.peer_addr.clone(),
                    client: node.client_addr.clone(),
                    store_id: hex::encode(node.store_id),
                    key: node.key,
                    key_granted: view.as_ref().is_some_and(|view| granted(view)),
                    connected: *id == me || peer.is_some_and(|peer| peer.connected),
                    matched,
                    behind,
                    rules_known: match *id == me {
                        true => Some(self.rules_known()),
                        false => self.hub.hello(*id).map(|hello| hello.rules_version),
                    },
                    problem: peer.filter(|peer| !peer.connected).and_then(|peer| peer.problem.clone()),
                }
            })
            .collect();
        MembersBody {
            node_id: me,
            leader: metrics.current_leader,
            changing: metrics.membership_config != metrics.committed_membership_config
                || membership.membership().get_joint_config().len() > 1,
            next_id: self.highest_id().saturating_add(1),
            members,
        }
    }

    /// The largest id that was ever a member, as far as this node knows.
    pub(crate) fn highest_id(&self) -> NodeId {
        let applied = self.storage.applied.borrow().highest_id;
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.nodes().map(|(id, _)| *id).fold(applied, NodeId::max)
    }
}
