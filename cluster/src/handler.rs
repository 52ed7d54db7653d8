//! How this node answers its peers' requests: Raft's requests go to the Raft core, the others to the use cases.
//!
//! This module owns the decision which peers may talk to this node. A member may, if its store is the one that the
//! membership binds to its id, and if that store still has everything that the member acknowledged. A newer node may,
//! if a known member has named it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::EntryPayload;
use openraft::alias::{EntryOf, StoredMembershipOf};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::{
    AppendEntriesResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tokio::sync::watch;

use assent_proof::PublicKey;
use assent_registry::Group;
use assent_store::LogStore;

use crate::introductions::Introductions;
use crate::peer::{
    Answer, Append, Behalf, CosignRules, CosignRulesReply, Handler, Hello, Introduce, Manage, ManageError,
    ManageReply, Moved, MovedReply, ProbeReply, REMOVED, ReadIndexError, ReadIndexReply, SnapshotReply,
    SnapshotStep, StoreProgress, SubmitError, SubmitReply,
};
use crate::raft::codec;
use crate::raft::log::LogRecord;
use crate::raft::machine::AppliedAt;
use crate::raft::network::RaftService;
use crate::raft::remembered::Remembered;
use crate::raft::types::{NodeId, TypeConfig, check_new_id};
use crate::usecase::{Service, WeakService, within};

/// Answers the peers' requests for this node.
pub(crate) struct PeerHandler {
    pub(crate) raft: RaftService,
    pub(crate) service: OnceLock<WeakService>,
    pub(crate) log: LogStore<LogRecord>,
    pub(crate) applied: watch::Receiver<AppliedAt>,
    pub(crate) remembered: Arc<Remembered>,
    pub(crate) introductions: Introductions,
    pub(crate) node_id: NodeId,
    pub(crate) store_id: [u8; 16],
    pub(crate) key: PublicKey,
    /// The genesis voters, if this node is one of them.
    pub(crate) founders: Option<Vec<NodeId>>,
}

impl PeerHandler {
    fn service(&self) -> Option<Service> {
        self.service.get().and_then(WeakService::upgrade)
    }

    /// The largest id that was ever a member, as far as this node knows.
    fn highest_id(&self, membership: &StoredMembershipOf<TypeConfig>) -> NodeId {
        membership.nodes().map(|(id, _)| *id).fold(self.applied.borrow().highest_id, NodeId::max)
    }

    /// The same, by this node's newest membership; 0 before there is a membership.
    fn highest_known(&self) -> NodeId {
        let Some(raft) = self.raft.raft() else { return self.applied.borrow().highest_id };
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        self.highest_id(&metrics.membership_config)
    }

    /// Whether this node's store has ever started.
    pub(crate) fn started(&self) -> bool {
        self.store_progress().started
    }
}

/// Whether the membership binds this node id to this store, or to no store.
fn bound(membership: &StoredMembershipOf<TypeConfig>, id: NodeId, store_id: &[u8; 16]) -> Result<(), String> {
    match membership.get_node(&id) {
        Some(node) if node.store_id != *store_id => Err(format!(
            "node {id} is bound to another store: a lost or replaced disk never rejoins under its old node id"
        )),
        _ => Ok(()),
    }
}

/// Ends the node for this cause, and returns the cause.
fn end(service: Option<&Service>, cause: String) -> String {
    if let Some(service) = service {
        // Only the first cause is kept.
        let _ = service.parts().lifecycle.ends.set(cause.clone());
    }
    cause
}

/// Finds an entry of this node's log that has the same term and index as one of the leader's entries, but other
/// contents. A leader proposes one entry for each term and index, so in that case another node has sent entries in
/// its name. Raft itself compares only the term and the index.
fn contradiction(held: &[LogRecord], said: &[EntryOf<TypeConfig>]) -> Option<String> {
    let from = said.first()?.log_id.index;
    let differs = |held: &&LogRecord| {
        let at = held.0.log_id.index.checked_sub(from).and_then(|at| usize::try_from(at).ok());
        let said = at.and_then(|at| said.get(at));
        said.is_some_and(|said| said.log_id == held.0.log_id && said.payload != held.0.payload)
    };
    let LogRecord(other) = held.iter().find(differs)?;
    Some(format!(
        "the log has another entry {} than the leader sends: another node has sent entries in a leader's name; compare what the \
         nodes hold (`assent status --digest`) and replace the one that differs",
        other.log_id
    ))
}

/// Finds an entry that would use up the ids for later members: it makes a member of a node whose id is further above
/// all earlier ids than a new member's may be. No leader proposes such an entry. A node that accepted one could never
/// go below that id again.
fn too_far_ahead(said: &[EntryOf<TypeConfig>], mut highest: NodeId) -> Option<String> {
    for entry in said {
        let EntryPayload::Membership(membership) = &entry.payload else { continue };
        let ids: Vec<NodeId> = membership.nodes().map(|(id, _)| *id).collect();
        let next = highest.saturating_add(1);
        let far = ids.iter().filter(|id| **id > highest).find_map(|id| check_new_id(*id, next).err());
        if let Some(error) = far {
            return Some(format!("a membership in which {error}"));
        }
        highest = ids.into_iter().fold(highest, NodeId::max);
    }
    None
}

/// The indices of these entries, as `from..until`.
fn span(entries: &[EntryOf<TypeConfig>]) -> (u64, u64) {
    let index = |entry: Option<&EntryOf<TypeConfig>>| entry.map(|entry| entry.log_id.index);
    (index(entries.first()).unwrap_or(0), index(entries.last()).map_or(0, |last| last.saturating_add(1)))
}

impl Handler for PeerHandler {
    fn store_progress(&self) -> StoreProgress {
        let range = self.log.range();
        let vote = self.log.vote();
        // After a snapshot the log may be empty. The applied position then says how far this node has come.
        let applied = self.applied.borrow().log_index;
        let last = range.map(|(_, last)| last).max(applied);
        StoreProgress {
            started: vote.is_some() || range.is_some() || self.log.purged().is_some(),
            term: vote
                .and_then(|bytes| codec::decode_vote(&bytes).ok())
                .map_or(0, |vote| vote.leader_id().term),
            log_end: last.map_or(0, |last| last.saturating_add(1)),
        }
    }

    /// Decides whether a peer may talk to this node.
    ///
    /// Before there is a membership, a founder talks only to the other founders, and a node that waits to be added
    /// talks to every node of its cluster.
    ///
    /// Once there is a membership, a member may talk, if its store is its own and has everything that the member
    /// acknowledged. A node whose id is larger than that of any earlier member may talk in two cases: if a known
    /// member has named it, or if this node is not a member itself, so far as it knows. Ids only grow, so entries that
    /// this node lacks may have added such a node.
    fn admit(&self, hello: &Hello) -> Result<(), String> {
        let unknown_member = || Err(format!("node {} is not a member of this cluster", hello.node_id));
        let Some(raft) = self.raft.raft() else {
            return Err("this node is starting".to_owned());
        };
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = &metrics.membership_config;
        if membership.nodes().next().is_none() {
            return match &self.founders {
                Some(founders) if !founders.contains(&hello.node_id) => unknown_member(),
                _ => Ok(()),
            };
        }
        let highest = self.highest_id(membership);
        match membership.get_node(&hello.node_id) {
            None if hello.node_id > highest
                && (membership.get_node(&self.node_id).is_none()
                    || self.introductions.name(hello.node_id, &hello.store_id)) =>
            {
                Ok(())
            }
            // Ids only grow. A node that has an earlier id and is not a member was a member.
            None if hello.node_id <= highest => {
                Err(format!("{REMOVED}: node {} is not a member of this cluster any more", hello.node_id))
            }
            None => unknown_member(),
            Some(_) => {
                bound(membership, hello.node_id, &hello.store_id)?;
                self.remembered.check(hello, &metrics)
            }
        }
    }

    fn is_bound(&self, hello: &Hello) -> Result<(), String> {
        let Some(raft) = self.raft.raft() else {
            return Err("this node is starting".to_owned());
        };
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = &metrics.membership_config;
        bound(membership, hello.node_id, &hello.store_id)?;
        bound(membership, self.node_id, &self.store_id)
    }

    fn recovery(&self, hello: &Hello) -> Option<Bytes> {
        let envelope = self.service()?.parts().lifecycle.recovery.borrow().clone()?;
        let metrics = self.raft.raft()?.metrics();
        let metrics = metrics.borrow_watched();
        let membership = &metrics.membership_config;
        // A node with a larger id was never a member before. It may be about to become one.
        let former =
            hello.node_id <= self.highest_id(membership) && membership.get_node(&hello.node_id).is_none();
        former.then_some(envelope)
    }

    /// Accepts a recovery only from a member whose store the membership binds to its id, and only from the voter that
    /// the statement names.
    fn recovered(&self, hello: &Hello, envelope: &Bytes) {
        if let Some(service) = self.service() {
            let (from, store_id, envelope) = (hello.node_id, hello.store_id, envelope.clone());
            let tasks = service.parts().tasks.clone();
            tasks.passing("recovery", async move {
                service.parts().accept_recovery(from, &store_id, &envelope).await;
            });
        }
    }

    /// Remembers what an append says of the members only once Raft has accepted it, so that it comes from the leader
    /// of this term. Remembers it only up to the entries that this node has seen committed, because what is
    /// remembered here can keep members out.
    fn append(&self, from: NodeId, append: Append) -> Answer<AppendEntriesResponse<TypeConfig>> {
        let Append { rpc, acknowledged } = append;
        let (term, commit) = (rpc.vote.leader_id().term, rpc.leader_commit);
        let said = rpc.entries.clone();
        let (from_index, until) = span(&said);
        // Only an append that Raft would accept is compared: one in its sender's own name and of no earlier term.
        // Nothing is awaited here, so that appends stay in their order. Entries that are only on disk are compared
        // once Raft has answered.
        let heeded = rpc.vote.leader_id().voted_for == from && term >= self.store_progress().term;
        if heeded && let Some(cause) = contradiction(&self.log.recent(from_index, until), &said) {
            return Box::pin(std::future::ready(Err(end(self.service().as_ref(), cause))));
        }
        let changes = said.iter().any(|entry| matches!(entry.payload, EntryPayload::Membership(_)));
        if changes && let Some(why) = too_far_ahead(&said, self.highest_known()) {
            return Box::pin(std::future::ready(Err(why)));
        }
        let appended = self.raft.append(from, rpc);
        let (raft, remembered, log, service) =
            (self.raft.clone(), self.remembered.clone(), self.log.clone(), self.service());
        Box::pin(async move {
            let answer = appended.await?;
            if matches!(answer, AppendEntriesResponse::Success) && !said.is_empty() {
                let held =
                    log.read(from_index, until, usize::MAX).await.map_err(|error| error.to_string())?;
                if let Some(cause) = contradiction(&held, &said) {
                    return Err(end(service.as_ref(), cause));
                }
            }
            if let (AppendEntriesResponse::Success, Some(commit), Some(raft)) = (&answer, commit, raft.raft())
            {
                let metrics = raft.metrics();
                let metrics = metrics.borrow_watched();
                if let Some(own) = metrics.local_committed {
                    let most = (own.leader_id.term.min(term), own.index.min(commit.index));
                    let membership = &metrics.membership_config;
                    remembered
                        .remember_accepted(&acknowledged, most, |id| membership.get_node(&id).is_some());
                }
            }
            Ok(answer)
        })
    }

    fn vote(&self, from: NodeId, rpc: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>> {
        self.raft.vote(from, rpc)
    }

    fn pre_vote(&self, from: NodeId, rpc: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>> {
        self.raft.pre_vote(from, rpc)
    }

    fn transfer_leader(
        &self,
        from: NodeId,
        rpc: TransferLeaderRequest<TypeConfig>,
    ) -> Answer<TransferLeaderResponse<TypeConfig>> {
        let service = self.service();
        let mine = service.is_some_and(|service| {
            let parts = service.parts();
            parts.is_stopping() && *rpc.to_node_id() == parts.config.node_id
        });
        if mine {
            return Box::pin(std::future::ready(Err(
                "this node is stopping and takes no leadership".to_owned()
            )));
        }
        self.raft.transfer_leader(from, rpc)
    }

    fn snapshot(&self, from: NodeId, step: SnapshotStep) -> Answer<SnapshotReply> {
        self.raft.snapshot(from, step)
    }

    /// Answers only voters. A node that was removed, and has not learnt of it, must not answer its callers by this
    /// node's index.
    fn read_index(&self, from: NodeId) -> BoxFuture<'static, ReadIndexReply> {
        let service = self.service();
        Box::pin(async move {
            let Some(service) = service else { return Err(ReadIndexError::NotLeader { leader: None }) };
            let parts = service.parts();
            if !parts.voters().contains(&from) {
                return Err(ReadIndexError::NoQuorum(format!("node {from} is not a voter")));
            }
            parts.confirm(within(parts.config.deadlines.authorize_ms)).await
        })
    }

    fn submit(
        &self,
        from: NodeId,
        groups: Vec<Group>,
        behalf: Vec<Behalf>,
    ) -> BoxFuture<'static, SubmitReply> {
        let service = self.service();
        Box::pin(async move {
            let Some(service) = service else { return Err(SubmitError::NotLeader { leader: None }) };
            service.submit_on_behalf(from, groups, behalf).await
        })
    }

    fn cosign_rules(&self, _from: NodeId, ask: CosignRules) -> BoxFuture<'static, CosignRulesReply> {
        let service = self.service();
        Box::pin(async move {
            let service = service.ok_or("it is starting")?;
            service.parts().cosign_rules(&ask).await
        })
    }

    fn manage(
        &self,
        from: NodeId,
        manage: Manage,
        behalf: Option<Behalf>,
    ) -> BoxFuture<'static, ManageReply> {
        let service = self.service();
        Box::pin(async move {
            let Some(service) = service else { return Err(ManageError::NotLeader { leader: None }) };
            let until = within(service.parts().config.deadlines.membership_ms);
            service.manage_on_behalf(from, manage, behalf, until).await
        })
    }

    /// Accepts an announcement only if it is signed by the member that it names.
    fn moved(&self, from: NodeId, moved: Moved) -> BoxFuture<'static, MovedReply> {
        let service = self.service();
        Box::pin(async move {
            let service = service.ok_or("it is starting")?;
            service.accept_moved(from, moved).await
        })
    }

    /// Accepts introductions only from members that this node's own log knows.
    fn introduce(&self, from: NodeId, introduce: Introduce) {
        let Some(raft) = self.raft.raft() else { return };
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = &metrics.membership_config;
        if membership.get_node(&from).is_some() {
            self.introductions.accept(introduce.members, self.highest_id(membership));
        }
    }

    fn probe(&self, _from: NodeId) -> BoxFuture<'static, ProbeReply> {
        let leader = self.service().and_then(|service| service.parts().believed_leader());
        let started = self.store_progress().started;
        let reply = ProbeReply { started, store_id: self.store_id, leader, key: self.key };
        Box::pin(std::future::ready(reply))
    }
}
