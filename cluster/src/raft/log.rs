//! openraft's log storage on [`LogStore`].
//!
//! This module owns the translation between openraft's values and bytes. Order, durability and caching belong to the
//! store. It also starts to verify the envelopes of arriving entries early, and refuses a command of a version that
//! this build does not know.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use assent_registry::{Command, RulesVersion};
use assent_store::{EntryError, LogEntry, LogStore};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{EntryPayload, LogState, OptionalSend, RaftLogReader};

use super::codec;
use super::types::{NodeId, Proposal, TypeConfig};
use super::verifier::Verifier;

/// Bytes of entries that replication and apply read at a time.
const READ_BYTES_MAX: usize = 1 << 20;

/// One entry in the form that the store keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord(pub EntryOf<TypeConfig>);

impl LogEntry for LogRecord {
    fn index(&self) -> u64 {
        self.0.log_id.index
    }

    fn size(&self) -> usize {
        match &self.0.payload {
            EntryPayload::Normal(Proposal(command)) => command.len().saturating_add(64),
            // A membership has a few nodes with two addresses each.
            EntryPayload::Blank | EntryPayload::Membership(_) => 1024,
        }
    }

    fn encode(&self) -> Vec<u8> {
        codec::encode_entry(&self.0)
    }

    fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        use codec::RaftCodecError::{Kind, Membership, Short, Trailing, Version};

        codec::decode_entry(bytes).map(Self).map_err(|error| match error {
            Version(version) => EntryError::Version(version),
            Short | Trailing | Kind(_) | Membership(_) => EntryError::Damaged(error.to_string()),
        })
    }
}

/// The log in the form that openraft needs. Clones share it.
#[derive(Clone)]
pub struct RaftLog {
    store: LogStore<LogRecord>,
    verifier: Arc<Verifier>,
    known: RulesVersion,
    node_id: NodeId,
}

impl RaftLog {
    /// The log of node `node_id`, which knows the rules up to `known`.
    pub fn new(
        store: LogStore<LogRecord>,
        verifier: Arc<Verifier>,
        known: RulesVersion,
        node_id: NodeId,
    ) -> Self {
        Self { store, verifier, known, node_id }
    }

    /// Starts to verify these entries' envelopes. Those of this node's own term were verified when clients submitted
    /// them, those of another leader were not.
    fn prefetch(&self, entries: &[LogRecord]) {
        let ours = self
            .store
            .vote()
            .and_then(|bytes| codec::decode_vote(&bytes).ok())
            .is_some_and(|vote| vote.is_committed() && vote.leader_id().voted_for == self.node_id);
        if ours {
            return;
        }
        let commands: Vec<Bytes> = entries
            .iter()
            .filter_map(|LogRecord(entry)| match &entry.payload {
                EntryPayload::Normal(Proposal(command)) => Some(command.clone()),
                EntryPayload::Blank | EntryPayload::Membership(_) => None,
            })
            .collect();
        if !commands.is_empty() {
            self.verifier.prefetch(commands);
        }
    }

    async fn read(&self, from: u64, until: u64, bytes_max: usize) -> io::Result<Vec<EntryOf<TypeConfig>>> {
        let records = self.store.read(from, until, bytes_max).await?;
        Ok(records.into_iter().map(|LogRecord(entry)| entry).collect())
    }
}

/// An error, which stops the node, if an entry's command has a version that this build does not know. Such an entry
/// is not kept, so it does not count as acknowledged. If a false leader made it up, it is gone when the node starts
/// again.
fn readable(records: &[LogRecord], known: RulesVersion) -> io::Result<()> {
    for LogRecord(entry) in records {
        let EntryPayload::Normal(Proposal(command)) = &entry.payload else { continue };
        Command::version_known(command, known).map_err(|version| {
            io::Error::other(format!("the command at log index {} has {version}", entry.log_id.index))
        })?;
    }
    Ok(())
}

/// `range` as `from..until`.
fn half_open(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let until = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(until) => *until,
        Bound::Unbounded => u64::MAX,
    };
    (from, until)
}

fn unreadable(what: &str, error: codec::RaftCodecError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the stored {what} cannot be read: {error}"))
}

impl RaftLogReader<TypeConfig> for RaftLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<EntryOf<TypeConfig>>> {
        let (from, until) = half_open(&range);
        self.read(from, until, usize::MAX).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> io::Result<Vec<EntryOf<TypeConfig>>> {
        self.read(start, end, READ_BYTES_MAX).await
    }

    /// Reads a bounded part at a time, so that catching up takes no more memory than keeping up.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<EntryOf<TypeConfig>>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, until) = half_open(&range);
        let log = self.clone();
        stream::unfold(Some(from), move |from| {
            let log = log.clone();
            async move {
                let from = from?;
                match log.read(from, until, READ_BYTES_MAX).await {
                    Ok(entries) => {
                        let next = entries.last()?.log_id.index.saturating_add(1);
                        let part = stream::iter(entries.into_iter().map(Ok).collect::<Vec<_>>());
                        Some((part, Some(next)))
                    }
                    Err(error) => Some((stream::iter(vec![Err(error)]), None)),
                }
            }
        })
        .flatten()
        .boxed()
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<TypeConfig>>> {
        match self.store.vote() {
            Some(bytes) => codec::decode_vote(&bytes).map(Some).map_err(|error| unreadable("vote", error)),
            None => Ok(None),
        }
    }
}

impl RaftLogStorage<TypeConfig> for RaftLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let last_purged_log_id = match self.store.purged() {
            Some(bytes) => {
                Some(codec::decode_log_id(&bytes).map_err(|error| unreadable("purged position", error))?)
            }
            None => None,
        };
        let last = match self.store.range() {
            Some((_, last)) => self.read(last, last.saturating_add(1), usize::MAX).await?.pop(),
            None => None,
        };
        let last_log_id = last.map(|entry| entry.log_id()).or(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<TypeConfig>) -> io::Result<()> {
        Ok(self.store.save_vote(codec::encode_vote(vote).into()).await?)
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<TypeConfig>>) -> io::Result<()> {
        let bytes = codec::encode_log_id_option(committed.as_ref());
        Ok(self.store.save_committed(bytes.into()).await?)
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogIdOf<TypeConfig>>> {
        match self.store.committed() {
            Some(bytes) => {
                codec::decode_log_id_option(&bytes).map_err(|error| unreadable("committed position", error))
            }
            None => Ok(None),
        }
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = EntryOf<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records: Vec<_> = entries.into_iter().map(LogRecord).collect();
        readable(&records, self.known)?;
        self.prefetch(&records);
        Ok(self.store.append(records, Box::new(move |result| callback.io_completed(result))).await?)
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogIdOf<TypeConfig>>) -> io::Result<()> {
        Ok(self.store.truncate_after(last_log_id.map(|log_id| log_id.index)).await?)
    }

    async fn purge(&mut self, log_id: LogIdOf<TypeConfig>) -> io::Result<()> {
        Ok(self.store.purge(log_id.index, codec::encode_log_id(&log_id).into()).await?)
    }
}
