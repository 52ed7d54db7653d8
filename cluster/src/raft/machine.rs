//! openraft's state machine on [`RegistryStore`] and `assent_registry::apply`.
//!
//! This module owns the order of the steps of one batch. It checks every envelope, and applies all entries in one
//! transaction together with the new applied position. Only when the transaction is committed, it answers the
//! callers. Applying is total: an entry of a known version that does not decode changes nothing, on every node alike.
//! If a row cannot be read, or this build does not know an entry's version, the entry is not skipped: the node stops.

use std::io;
use std::sync::Arc;

use assent_proof::{Cursor, History, Millis, Rules};
use assent_registry::{RulesVersion, query, rules_in_force};
use assent_store::{
    RegistryStore, RunBlocking, SnapshotGuard, SnapshotSource, StagedSnapshot, StoreError, blocking,
};
use futures_util::{Stream, StreamExt};
use openraft::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use tokio::sync::watch;

use super::codec;
use super::commands::{AppliedSteps, Step, apply_steps};
use super::types::{Applied, NodeId, TypeConfig};
use super::verifier::Verifier;
use super::voters::Voters;

/// Entries applied in one transaction.
const BATCH_ENTRIES_MAX: usize = 64;

/// A snapshot on its way in or out.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is never in a collection")]
pub enum SnapshotData {
    /// A registry that chunks can be cut from.
    Source(SnapshotSource),
    /// A registry received from a peer.
    Staged(StagedSnapshot),
}

/// How far this node has applied the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AppliedAt {
    /// The last applied log index.
    pub log_index: Option<u64>,
    /// The history in force there; none before genesis.
    pub history: Option<History>,
    /// The ledger's size there.
    pub revision: u64,
    /// The registry's time there; none before genesis.
    pub registry_time: Option<Millis>,
    /// The largest node id that was ever a member there. A new member's id is larger, because an id is used only
    /// once.
    pub highest_id: NodeId,
}

impl AppliedAt {
    /// The end of the ledger there: its size, and the history of that size; none before genesis.
    pub fn ledger(&self) -> Option<Cursor> {
        self.history.map(|history| Cursor { history, revision: self.revision })
    }
}

/// The registry in the form that openraft needs.
pub struct Machine {
    registry: RegistryStore,
    verifier: Arc<Verifier>,
    run: RunBlocking,
    guard: SnapshotGuard,
    known: RulesVersion,
    state: SnapshotMetaOf<TypeConfig>,
    highest_id: NodeId,
    applied: watch::Sender<AppliedAt>,
}

impl Machine {
    /// A machine at the position that the registry holds. `guard` checks every snapshot before it is installed, and
    /// `known` is the newest version of the rules that it applies. This reads a row from disk.
    pub fn new(
        registry: RegistryStore,
        verifier: Arc<Verifier>,
        run: RunBlocking,
        guard: SnapshotGuard,
        known: RulesVersion,
    ) -> io::Result<Self> {
        let (state, at, rules) = position(&registry)?;
        verifier.set_in_force(rules);
        let highest_id = at.highest_id;
        let applied = watch::Sender::new(at);
        Ok(Self { registry, verifier, run, guard, known, state, highest_id, applied })
    }

    /// Changes whenever an entry was applied or a snapshot was installed.
    pub fn applied(&self) -> watch::Receiver<AppliedAt> {
        self.applied.subscribe()
    }

    /// Applies some entries in one transaction.
    async fn apply_batch(&mut self, batch: Vec<EntryResponder<TypeConfig>>) -> io::Result<()> {
        let voters = Voters::of(self.state.last_membership.membership());
        let mut state = self.state.clone();
        let mut highest_id = self.highest_id;
        let mut steps = Vec::with_capacity(batch.len());
        let mut responders = Vec::with_capacity(batch.len());
        for (entry, responder) in batch {
            let log_id = entry.log_id();
            state.last_log_id = Some(log_id);
            steps.push(Step::of(&entry.payload));
            if let EntryPayload::Membership(membership) = entry.payload {
                highest_id = membership.nodes().map(|(id, _)| *id).fold(highest_id, NodeId::max);
                state.last_membership = StoredMembershipOf::<TypeConfig>::new(Some(log_id), membership);
            }
            responders.push(responder);
        }
        let (registry, verifier) = (self.registry.clone(), self.verifier.clone());
        let applied = codec::encode_position(&state, highest_id);
        let known = self.known;
        let work = move || apply_steps(&registry, &verifier, known, voters, &applied, &steps);
        let AppliedSteps { outcomes, history, revision, registry_time, rules } =
            blocking(&self.run, work).await?.map_err(io::Error::other)?;
        self.verifier.set_in_force(rules);

        let log_index = state.last_log_id.map(|log_id| log_id.index);
        self.state = state;
        self.highest_id = highest_id;
        self.applied.send_replace(AppliedAt { log_index, history, revision, registry_time, highest_id });
        for (responder, outcomes) in responders.into_iter().zip(outcomes) {
            if let Some(responder) = responder {
                responder.send(Applied(outcomes));
            }
        }
        Ok(())
    }

    /// The registry as it is now, durably.
    async fn snapshot(&self) -> Result<SnapshotSource, StoreError> {
        let registry = self.registry.clone();
        blocking(&self.run, move || registry.snapshot()).await?
    }

    /// Takes over the position of a snapshot that was installed.
    async fn reload(&mut self) -> io::Result<()> {
        let registry = self.registry.clone();
        let (state, at, rules) = blocking(&self.run, move || position(&registry)).await??;
        self.verifier.set_in_force(rules);
        self.state = state;
        self.highest_id = at.highest_id;
        self.applied.send_replace(at);
        Ok(())
    }
}

/// The position that the registry holds, and the rules that it follows there.
fn position(registry: &RegistryStore) -> io::Result<(SnapshotMetaOf<TypeConfig>, AppliedAt, Rules)> {
    let view = registry.view()?;
    let (state, highest_id) = decode_position(&view.applied()?.unwrap_or_default())?;
    let summary = query::summary(&view).map_err(io::Error::other)?;
    let revision = summary.as_ref().map_or(0, |summary| summary.revision);
    let registry_time = summary.map(|summary| summary.registry_time);
    let history = query::history(&view).map_err(io::Error::other)?;
    let log_index = state.last_log_id.map(|log_id| log_id.index);
    let rules = rules_in_force(&view).map_err(io::Error::other)?;
    Ok((state, AppliedAt { log_index, history, revision, registry_time, highest_id }, rules))
}

/// An applied position. There are no bytes before anything was applied.
fn decode_position(bytes: &[u8]) -> io::Result<(SnapshotMetaOf<TypeConfig>, NodeId)> {
    if bytes.is_empty() {
        return Ok(Default::default());
    }
    codec::decode_position(bytes).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("the applied position cannot be read: {error}"))
    })
}

/// Builds a snapshot that was taken when the builder was made, at a position that is durable.
pub struct SnapshotBuilder {
    source: Option<Result<SnapshotSource, StoreError>>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, SnapshotData>> {
        match self.source.take() {
            Some(source) => snapshot_of(source?),
            None => Err(io::Error::other("this snapshot was taken already")),
        }
    }
}

fn snapshot_of(source: SnapshotSource) -> io::Result<SnapshotOf<TypeConfig, SnapshotData>> {
    let (meta, _) = decode_position(source.applied())?;
    Ok(SnapshotOf::<TypeConfig, SnapshotData> { meta, snapshot: SnapshotData::Source(source) })
}

/// Copies a snapshot that never left this process in the way in which a peer would have sent it.
fn stage(registry: &RegistryStore, source: &SnapshotSource) -> Result<StagedSnapshot, StoreError> {
    let mut staged = registry.stage(source.header())?;
    let mut chunks = source.chunks();
    while let Some(chunk) = chunks.next_chunk()? {
        staged.write(&chunk)?;
    }
    staged.finish(&chunks.summary())?;
    Ok(staged)
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(
        &mut self,
    ) -> io::Result<(Option<LogIdOf<TypeConfig>>, StoredMembershipOf<TypeConfig>)> {
        Ok((self.state.last_log_id, self.state.last_membership.clone()))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut batches = entries.ready_chunks(BATCH_ENTRIES_MAX);
        while let Some(batch) = batches.next().await {
            let batch = batch.into_iter().collect::<io::Result<Vec<_>>>()?;
            self.apply_batch(batch).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder { source: Some(self.snapshot().await) }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: SnapshotData,
    ) -> io::Result<()> {
        let staged = match snapshot {
            SnapshotData::Staged(staged) => staged,
            SnapshotData::Source(source) => {
                let registry = self.registry.clone();
                blocking(&self.run, move || stage(&registry, &source)).await??
            }
        };
        if decode_position(staged.applied())?.0 != *meta {
            return Err(io::Error::other("the snapshot is not at the position it was announced for"));
        }
        self.registry.install(staged, self.guard.clone()).await?;
        self.reload().await?;
        tracing::info!(at = %meta, "a snapshot was installed");
        Ok(())
    }

    /// Always a new snapshot at the present position. If one were kept, redb could not reuse its pages.
    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<TypeConfig, SnapshotData>>> {
        if self.state.last_log_id.is_none() {
            return Ok(None);
        }
        snapshot_of(self.snapshot().await?).map(Some)
    }
}
