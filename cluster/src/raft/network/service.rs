//! Serves Raft's messages from the peers with this node's Raft core.
//!
//! Owns the one snapshot that may be arriving. A peer speaks only in its own name: a vote, append or snapshot that
//! carries another node's is refused before the core sees it.

use std::cmp::Ordering;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::FutureExt;
use openraft::Raft;
use openraft::alias::{CommittedLeaderIdOf, SnapshotMetaOf, VoteOf};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
    VoteResponse,
};
use openraft::storage::Snapshot;

use assent_store::{RegistryStore, SnapshotHeader, SnapshotSummary, StagedSnapshot, StoreError};

use crate::env::{Blocking, blocking};
use crate::peer::{Answer, SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotReply, SnapshotStep};
use crate::raft::machine::{Machine, SnapshotData};
use crate::raft::types::{NodeId, TypeConfig};

/// This node's Raft core.
type Core = Raft<TypeConfig, Machine>;

/// The Raft half of a [`Handler`](crate::peer::Handler). Clones share it.
#[derive(Clone)]
pub struct RaftService {
    inner: Arc<Inner>,
}

struct Inner {
    raft: OnceLock<Core>,
    registry: RegistryStore,
    blocking: Arc<dyn Blocking>,
    arriving: Mutex<Option<Arriving>>,
}

/// A snapshot on its way in.
struct Arriving {
    from: NodeId,
    transfer: u64,
    vote: VoteOf<TypeConfig>,
    meta: SnapshotMetaOf<TypeConfig>,
    staged: StagedSnapshot,
}

impl RaftService {
    /// A service that refuses everything until the Raft core is attached. Snapshots are staged in `registry`,
    /// and written in `blocking`.
    pub fn new(registry: RegistryStore, blocking: Arc<dyn Blocking>) -> Self {
        let inner = Inner { raft: OnceLock::new(), registry, blocking, arriving: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Serves with `raft` from now on. Only the first call counts.
    pub fn attach(&self, raft: Core) {
        // A second core would be a second node; the first one stays.
        let _ = self.inner.raft.set(raft);
    }

    /// The Raft core, once attached.
    pub fn raft(&self) -> Option<&Core> {
        self.inner.raft.get()
    }

    /// Raft AppendEntries. Enters the core in the order in which the returned futures are first polled.
    pub fn append(
        &self,
        from: NodeId,
        rpc: AppendEntriesRequest<TypeConfig>,
    ) -> Answer<AppendEntriesResponse<TypeConfig>> {
        let vote = rpc.vote;
        self.serve(from, &vote, |raft| async move { raft.append_entries(rpc).await })
    }

    /// Raft RequestVote.
    pub fn vote(&self, from: NodeId, rpc: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>> {
        let vote = rpc.vote;
        self.serve(from, &vote, |raft| async move { raft.vote(rpc).await })
    }

    /// Raft PreVote.
    pub fn pre_vote(&self, from: NodeId, rpc: VoteRequest<TypeConfig>) -> Answer<VoteResponse<TypeConfig>> {
        let vote = rpc.vote;
        self.serve(from, &vote, |raft| async move { raft.pre_vote(rpc).await })
    }

    /// The leader asks this node to take over.
    pub fn transfer_leader(
        &self,
        from: NodeId,
        rpc: TransferLeaderRequest<TypeConfig>,
    ) -> Answer<TransferLeaderResponse<TypeConfig>> {
        let vote = *rpc.from_leader();
        self.serve(from, &vote, |raft| async move { raft.handle_transfer_leader(rpc).await })
    }

    /// One step of receiving a snapshot.
    pub fn snapshot(&self, from: NodeId, step: SnapshotStep) -> Answer<SnapshotReply> {
        let inner = self.inner.clone();
        match step {
            SnapshotStep::Begin(begin) => {
                let vote = begin.vote;
                self.serve(from, &vote, |raft| async move { inner.begin(&raft, from, begin).await })
            }
            SnapshotStep::Chunk(chunk) => async move { inner.chunk(from, chunk).await }.boxed(),
            SnapshotStep::End(end) => self.with_raft(|raft| async move { inner.end(&raft, from, end).await }),
        }
    }

    /// Runs `work` with the core, if the peer speaks in its own name.
    fn serve<T, E, F>(
        &self,
        from: NodeId,
        vote: &VoteOf<TypeConfig>,
        work: impl FnOnce(Core) -> F,
    ) -> Answer<T>
    where
        T: Send + 'static,
        E: std::fmt::Display,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let named = vote.leader_id().voted_for;
        if named != from {
            let refusal = format!("node `{from}` speaks in the name of node `{named}`");
            return std::future::ready(Err(refusal)).boxed();
        }
        self.with_raft(work)
    }

    fn with_raft<T, E, F>(&self, work: impl FnOnce(Core) -> F) -> Answer<T>
    where
        T: Send + 'static,
        E: std::fmt::Display,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        match self.inner.raft.get() {
            Some(raft) => {
                let working = work(raft.clone());
                async move { working.await.map_err(|error| error.to_string()) }.boxed()
            }
            None => std::future::ready(Err("this node is starting".to_owned())).boxed(),
        }
    }
}

impl Inner {
    /// A transfer starts, and any other ends: only one leader has anything to send.
    async fn begin(&self, raft: &Core, from: NodeId, begin: SnapshotBegin) -> Result<SnapshotReply, String> {
        let SnapshotBegin { transfer, vote, meta, header } = begin;
        let term = CommittedLeaderIdOf::<TypeConfig>::from(vote.leader_id().term);
        let beyond = meta.last_log_id.is_some_and(|last| *last.committed_leader_id() > term);
        if !vote.is_committed() || beyond {
            // The core would take this for a broken invariant and stop the node.
            return Err("the snapshot is not the leader's to send".to_owned());
        }
        let own = raft.with_raft_state(|state| *state.vote_ref()).await.map_err(|error| error.to_string())?;
        if !matches!(vote.partial_cmp(&own), Some(Ordering::Greater | Ordering::Equal)) {
            return Ok(SnapshotReply::Done(own));
        }
        let former = self.slot().take();
        let registry = self.registry.clone();
        let staged = self
            .blocking(move || {
                drop(former);
                registry.stage(SnapshotHeader::decode(&header)?)
            })
            .await?;
        *self.slot() = Some(Arriving { from, transfer, vote, meta, staged });
        Ok(SnapshotReply::Continue)
    }

    async fn chunk(&self, from: NodeId, chunk: SnapshotChunk) -> Result<SnapshotReply, String> {
        let Some(mut arriving) = self.take(from, chunk.transfer) else { return Ok(unknown()) };
        let written = self
            .blocking(move || {
                arriving.staged.write(&assent_store::SnapshotChunk::decode(&chunk.chunk)?)?;
                Ok(arriving)
            })
            .await;
        match written {
            Ok(arriving) => {
                let former = self.slot().replace(arriving);
                debug_assert!(former.is_none(), "steps of one transfer come one after another");
                Ok(SnapshotReply::Continue)
            }
            Err(problem) => Ok(SnapshotReply::Aborted(problem)),
        }
    }

    async fn end(&self, raft: &Core, from: NodeId, end: SnapshotEnd) -> Result<SnapshotReply, String> {
        let Some(mut arriving) = self.take(from, end.transfer) else { return Ok(unknown()) };
        let finished = self
            .blocking(move || {
                arriving.staged.finish(&SnapshotSummary::decode(&end.summary)?)?;
                Ok(arriving)
            })
            .await;
        let Arriving { vote, meta, staged, .. } = match finished {
            Ok(arriving) => arriving,
            Err(problem) => return Ok(SnapshotReply::Aborted(problem)),
        };
        let snapshot = Snapshot { meta, snapshot: SnapshotData::Staged(staged) };
        let installed =
            raft.install_full_snapshot(vote, snapshot).await.map_err(|error| error.to_string())?;
        Ok(SnapshotReply::Done(installed.vote))
    }

    /// Takes the arriving snapshot out for its next step, if it is this one.
    fn take(&self, from: NodeId, transfer: u64) -> Option<Arriving> {
        self.slot().take_if(|arriving| arriving.from == from && arriving.transfer == transfer)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arriving>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a step on the store off the async threads; what it drops on failure is dropped there too.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, String> {
        match blocking(&*self.blocking, work).await {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn unknown() -> SnapshotReply {
    SnapshotReply::Aborted("no such transfer is under way".to_owned())
}
