//! Answers Raft's messages from the peers with this node's Raft core.
//!
//! This module owns the one snapshot that may be arriving, which outlives the connection on which it comes. A peer
//! may speak only in its own name. A vote, an append or a snapshot in another node's name is refused before the core
//! sees it.

use std::cmp::Ordering;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
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
use crate::locked::lock;
use crate::peer::{Answer, SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotReply, SnapshotStep};
use crate::raft::machine::{Machine, SnapshotData};
use crate::raft::types::{NodeId, TypeConfig};

use super::transfers::{Direction, Transfer, Transfers};

/// This node's Raft core.
type Core = Raft<TypeConfig, Machine>;

/// The Raft part of a [`Handler`](crate::peer::Handler). Clones share it.
#[derive(Clone)]
pub struct RaftService {
    inner: Arc<Inner>,
}

struct Inner {
    raft: OnceLock<Core>,
    registry: RegistryStore,
    blocking: Arc<dyn Blocking>,
    arriving: Mutex<Option<Arriving>>,
    /// The sender and the transfer of the snapshot that was installed last.
    installed: Mutex<Option<(NodeId, u64)>>,
    /// Held during a step, so that there is one step at a time.
    turn: tokio::sync::Mutex<()>,
    transfers: Transfers,
}

/// A snapshot that is arriving.
struct Arriving {
    from: NodeId,
    transfer: u64,
    vote: VoteOf<TypeConfig>,
    meta: SnapshotMetaOf<TypeConfig>,
    header: Bytes,
    staged: StagedSnapshot,
    shown: Transfer,
}

impl RaftService {
    /// A service that refuses everything until the Raft core is attached. Snapshots are staged in `registry`,
    /// written in `blocking`, and shown in `transfers`.
    pub fn new(registry: RegistryStore, blocking: Arc<dyn Blocking>, transfers: Transfers) -> Self {
        let inner = Inner {
            raft: OnceLock::new(),
            registry,
            blocking,
            arriving: Mutex::default(),
            installed: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            transfers,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Answers with `raft` from now on. Only the first call counts.
    pub fn attach(&self, raft: Core) {
        // A second core would be a second node; the first one stays.
        let _ = self.inner.raft.set(raft);
    }

    /// The Raft core, once attached.
    pub fn raft(&self) -> Option<&Core> {
        self.inner.raft.get()
    }

    /// Raft AppendEntries. The core gets the appends in the order in which the returned futures are first polled.
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
            // A step that the end of the connection would interrupt is completed: the sender resumes after it.
            SnapshotStep::Chunk(chunk) => uncut(async move { inner.chunk(from, chunk).await }).boxed(),
            SnapshotStep::End(end) => {
                self.with_raft(|raft| uncut(async move { inner.end(&raft, from, end).await }))
            }
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
    /// Starts a transfer and ends any other one, because only one leader has a snapshot to send. If the transfer is
    /// under way already, it continues.
    async fn begin(&self, raft: &Core, from: NodeId, begin: SnapshotBegin) -> Result<SnapshotReply, String> {
        let _turn = self.turn.lock().await;
        let SnapshotBegin { transfer, vote, meta, header } = begin;
        let term = CommittedLeaderIdOf::<TypeConfig>::from(vote.leader_id().term);
        let beyond = meta.last_log_id.is_some_and(|last| *last.committed_leader_id() > term);
        if !vote.is_committed() || beyond {
            // The core would treat this as a broken invariant, and would stop the node.
            return Err("the snapshot is not the leader's to send".to_owned());
        }
        let own = raft.with_raft_state(|state| *state.vote_ref()).await.map_err(|error| error.to_string())?;
        if !matches!(vote.partial_cmp(&own), Some(Ordering::Greater | Ordering::Equal)) {
            return Ok(SnapshotReply::Done(own));
        }
        if vote == own && *lock(&self.installed) == Some((from, transfer)) {
            return Ok(SnapshotReply::Done(own));
        }
        let resumes = |arriving: &Arriving| {
            arriving.from == from
                && arriving.transfer == transfer
                && arriving.vote == vote
                && arriving.meta == meta
                && arriving.header == header
        };
        let former = {
            let mut slot = lock(&self.arriving);
            if let Some(arriving) = slot.as_ref().filter(|arriving| resumes(arriving)) {
                arriving.shown.resumed();
                return Ok(SnapshotReply::Continue { next: arriving.staged.received().0 });
            }
            slot.take()
        };
        let registry = self.registry.clone();
        let bytes = header.clone();
        let (staged, rows) = self
            .blocking(move || {
                drop(former);
                let header = SnapshotHeader::decode(&bytes)?;
                let rows = header.rows;
                Ok((registry.stage(header)?, rows))
            })
            .await?;
        let shown = self.transfers.begin(Direction::Receiving, from, rows);
        *lock(&self.arriving) = Some(Arriving { from, transfer, vote, meta, header, staged, shown });
        Ok(SnapshotReply::Continue { next: 0 })
    }

    async fn chunk(&self, from: NodeId, chunk: SnapshotChunk) -> Result<SnapshotReply, String> {
        let _turn = self.turn.lock().await;
        let Some(mut arriving) = self.take(from, chunk.transfer) else { return Ok(unknown()) };
        let written = self
            .blocking(move || {
                let (_, before) = arriving.staged.received();
                arriving.staged.write(&assent_store::SnapshotChunk::decode(&chunk.chunk)?)?;
                let (_, after) = arriving.staged.received();
                arriving.shown.chunk(chunk.chunk.len(), after.saturating_sub(before));
                Ok(arriving)
            })
            .await;
        match written {
            Ok(arriving) => {
                let next = arriving.staged.received().0;
                let former = lock(&self.arriving).replace(arriving);
                debug_assert!(former.is_none(), "steps come one after another");
                Ok(SnapshotReply::Continue { next })
            }
            Err(problem) => Ok(SnapshotReply::Aborted(problem)),
        }
    }

    async fn end(&self, raft: &Core, from: NodeId, end: SnapshotEnd) -> Result<SnapshotReply, String> {
        let _turn = self.turn.lock().await;
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
        *lock(&self.installed) = Some((from, end.transfer));
        Ok(SnapshotReply::Done(installed.vote))
    }

    /// Takes the arriving snapshot out for its next step, if it is this one.
    fn take(&self, from: NodeId, transfer: u64) -> Option<Arriving> {
        lock(&self.arriving).take_if(|arriving| arriving.from == from && arriving.transfer == transfer)
    }

    /// Runs a step on the store off the async threads. What the step drops on failure is dropped there too. A part of
    /// a version that this build does not know ends the node: without the snapshot it would never catch up.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, String> {
        match blocking(&*self.blocking, work).await {
            Ok(done) => done.map_err(|error| {
                self.registry.stop_at_unknown_version(&error);
                error.to_string()
            }),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Runs `work` to its end, even if its caller does not wait any more.
#[expect(clippy::disallowed_methods, reason = "one call's, which is told how it ended")]
async fn uncut<T, F>(work: F) -> Result<T, String>
where
    T: Send + 'static,
    F: Future<Output = Result<T, String>> + Send + 'static,
{
    tokio::spawn(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

fn unknown() -> SnapshotReply {
    SnapshotReply::Aborted("no such transfer is under way".to_owned())
}
