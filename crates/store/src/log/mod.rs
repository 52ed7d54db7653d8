//! The Raft log: entries, vote and a few positions.
//!
//! This module owns the queue, the committer and the newest entries in memory. Entries can be read as soon as
//! `append` returns. They are durable when their callback is called, never before. The log never interprets
//! an entry.

mod committer;
mod database;
mod entry;
mod mark;
mod op;
mod shared;
mod state;
mod tail;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::committer::Committer;
pub(crate) use self::database::LogDatabase;
pub use self::entry::{EntryError, LogEntry, OnDurable};
pub(crate) use self::mark::MARK_FILE;
use self::op::Op;
use self::shared::{Shared, State};
pub(crate) use self::state::LogState;
pub use self::state::VERSION as LOG_VERSION;
use self::tail::{Located, Tail};
use crate::blocking::{RunBlocking, blocking};
use crate::{Health, StoreError, StoreOptions};

/// How much the committer has done since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogCounters {
    /// Calls of `append`.
    pub appends: u64,
    /// Calls of `truncate_after` that removed entries.
    pub truncations: u64,
    /// Commits, each with one fsync.
    pub commits: u64,
}

/// A handle on the log. Clones share it.
pub struct LogStore<E> {
    queue: mpsc::Sender<Op<E>>,
    shared: Arc<Shared<E>>,
    room: Arc<Semaphore>,
    room_max: usize,
    run: RunBlocking,
}

impl<E> Clone for LogStore<E> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            shared: self.shared.clone(),
            room: self.room.clone(),
            room_max: self.room_max,
            run: self.run.clone(),
        }
    }
}

/// The room in the queue is counted in units of this many bytes.
const ROOM_UNIT: usize = 1024;

impl<E: LogEntry> LogStore<E> {
    /// Starts the committer, and the task that syncs the mark after it. Must be called inside a tokio
    /// runtime.
    pub(crate) fn start(
        database: LogDatabase,
        state: LogState,
        health: Health,
        run: RunBlocking,
        options: &StoreOptions,
    ) -> Self {
        let tail = Tail::new(state, options.recent_bytes_max);
        let commits = watch::Sender::new(());
        let syncing = mark::keep_synced(database.mark(), commits.subscribe(), health.clone(), run.clone());
        tokio::spawn(health.clone().watched("syncs the mark", syncing));
        let shared = Arc::new(Shared {
            state: Mutex::new(State { tail, database: Some(Arc::new(database)) }),
            health,
            appends: AtomicU64::new(0),
            truncations: AtomicU64::new(0),
            commits: AtomicU64::new(0),
        });
        let (sender, receiver) = mpsc::channel(options.queue_ops_max.max(1));
        let committer = Committer {
            queue: receiver,
            shared: shared.clone(),
            commits,
            run: run.clone(),
            options: options.clone(),
        };
        tokio::spawn(shared.health.clone().watched("writes the log", committer.run()));
        let room_max = options.queue_bytes_max.div_ceil(ROOM_UNIT).clamp(1, u32::MAX as usize >> 3);
        Self { queue: sender, shared, room: Arc::new(Semaphore::new(room_max)), room_max, run }
    }

    /// Adds entries at the end of the log. They can be read when this returns; `on_durable` is called after
    /// their fsync. If too much is queued, this waits. If this answers an error, the callback is not called.
    pub async fn append(&self, entries: Vec<E>, on_durable: OnDurable) -> Result<(), StoreError> {
        let bytes = entries.iter().map(LogEntry::size).fold(0, usize::saturating_add);
        let units = bytes.div_ceil(ROOM_UNIT).clamp(1, self.room_max);
        let room = self
            .room
            .clone()
            .acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX))
            .await
            .map_err(|_| StoreError::Closed)?;
        self.shared.appends.fetch_add(1, Ordering::Relaxed);
        self.enqueue(|tail| {
            let append = tail.append(&entries)?;
            Ok(Some(Op::Append { entries, bytes, append, on_durable, room }))
        })
        .await
    }

    /// Replaces the vote; returns once it is durable.
    pub async fn save_vote(&self, vote: Bytes) -> Result<(), StoreError> {
        let (done, durable) = oneshot::channel();
        self.enqueue(|tail| {
            // Readers see it at once. A reader that stops too early is harmless; one that goes on is not.
            tail.vote = Some(vote.clone());
            Ok(Some(Op::Vote { value: vote, done }))
        })
        .await?;
        wait(durable).await
    }

    /// Replaces the committed position. It becomes durable with the next write.
    pub async fn save_committed(&self, committed: Bytes) -> Result<(), StoreError> {
        self.enqueue(|tail| {
            tail.committed = Some(committed.clone());
            Ok(Some(Op::Committed { value: committed }))
        })
        .await
    }

    /// Replaces the value that is remembered beside the log, in the caller's encoding. It becomes durable
    /// with the next write.
    pub async fn save_remembered(&self, remembered: Bytes) -> Result<(), StoreError> {
        self.enqueue(|tail| {
            tail.remembered = Some(remembered.clone());
            Ok(Some(Op::Remembered { value: remembered, done: None }))
        })
        .await
    }

    /// Replaces the value that is remembered beside the log. Returns once it is durable.
    pub async fn save_remembered_now(&self, remembered: Bytes) -> Result<(), StoreError> {
        let (done, durable) = oneshot::channel();
        self.enqueue(|tail| {
            tail.remembered = Some(remembered.clone());
            Ok(Some(Op::Remembered { value: remembered, done: Some(done) }))
        })
        .await?;
        wait(durable).await
    }

    /// Removes every entry after `keep`, or all of them; returns once that is durable.
    pub async fn truncate_after(&self, keep: Option<u64>) -> Result<(), StoreError> {
        let (done, durable) = oneshot::channel();
        let from = keep.map_or(0, |keep| keep.saturating_add(1));
        let mut unchanged = false;
        self.enqueue(|tail| {
            unchanged = !tail.truncate(from);
            Ok((!unchanged).then_some(Op::Truncate { from, done }))
        })
        .await?;
        if unchanged {
            return Ok(());
        }
        self.shared.truncations.fetch_add(1, Ordering::Relaxed);
        wait(durable).await
    }

    /// Removes every entry up to `upto` and keeps `position`, the caller's name for it. When this returns,
    /// readers no longer see the entries; they leave the disk later.
    pub async fn purge(&self, upto: u64, position: Bytes) -> Result<(), StoreError> {
        self.enqueue(|tail| {
            let news = tail.purge(upto, position.clone());
            Ok(news.then_some(Op::Purge { upto, position }))
        })
        .await
    }

    /// Makes `number` the registry's generation; returns once that is durable.
    pub(crate) async fn set_generation(&self, number: u64) -> Result<(), StoreError> {
        let (done, durable) = oneshot::channel();
        self.enqueue(|_| Ok(Some(Op::Generation { number, done }))).await?;
        wait(durable).await
    }

    /// The entries of `from..until` as far as the log has them. Stops early once they take `bytes_max`, but
    /// answers at least one. Most come from memory; the others are read through blocking work.
    pub async fn read(&self, from: u64, until: u64, bytes_max: usize) -> Result<Vec<E>, StoreError> {
        let (located, read) = {
            let state = self.shared.lock();
            let located = state.tail.locate(from, until, bytes_max);
            // The transaction is opened under the lock, so that it shows the state that was located.
            let read = match &located.on_disk {
                Some(_) => {
                    let database = state.database.as_ref().ok_or(StoreError::Closed)?;
                    Some((database.begin_read()?, database.doubt()))
                }
                None => None,
            };
            (located, read)
        };
        let Located { on_disk, in_memory } = located;
        let (Some((from, until)), Some((read, doubt))) = (on_disk, read) else { return Ok(in_memory) };
        let found = blocking(&self.run, move || {
            doubt.guarded(|| database::read_entries::<E>(&read, from, until, bytes_max))
        });
        let found = found.await?;
        let mut found = found.inspect_err(|error| self.shared.health.poison(error))?;
        if (found.len() as u64) < until - from {
            return Ok(found);
        }
        let mut room =
            bytes_max.saturating_sub(found.iter().map(LogEntry::size).fold(0, usize::saturating_add));
        found.extend(in_memory.into_iter().take_while(|entry| {
            let fits = entry.size() <= room;
            room = room.saturating_sub(entry.size());
            fits
        }));
        Ok(found)
    }

    /// The newest entries of `from..until`: those that are in memory. Reads nothing from the disk.
    pub fn recent(&self, from: u64, until: u64) -> Vec<E> {
        self.shared.lock().tail.locate(from, until, usize::MAX).in_memory
    }

    /// The first and the last index, if there are entries.
    pub fn range(&self) -> Option<(u64, u64)> {
        self.shared.lock().tail.range()
    }

    /// Bytes of the entries on disk; 0 once the log is closed.
    pub fn bytes(&self) -> u64 {
        self.shared.database().map_or(0, |database| database.bytes())
    }

    /// The vote saved last.
    pub fn vote(&self) -> Option<Bytes> {
        self.shared.lock().tail.vote.clone()
    }

    /// The committed position saved last.
    pub fn committed(&self) -> Option<Bytes> {
        self.shared.lock().tail.committed.clone()
    }

    /// The remembered value saved last.
    pub fn remembered(&self) -> Option<Bytes> {
        self.shared.lock().tail.remembered.clone()
    }

    /// The position that `purge` was given last.
    pub fn purged(&self) -> Option<Bytes> {
        self.shared.lock().tail.purged.as_ref().map(|(_, position)| position.clone())
    }

    /// What the log has done since the store was opened.
    pub fn counters(&self) -> LogCounters {
        LogCounters {
            appends: self.shared.appends.load(Ordering::Relaxed),
            truncations: self.shared.truncations.load(Ordering::Relaxed),
            commits: self.shared.commits.load(Ordering::Relaxed),
        }
    }

    /// Commits what is queued and closes the log. Every later call fails.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Op::Close { done }).await.is_ok() {
            // The receiver answers before it drops the database, so this waits until it has done so.
            let outcome = wait(closed).await;
            self.queue.closed().await;
            return outcome;
        }
        Ok(())
    }

    /// Changes the state and queues the operation that makes the change durable, both in the same order for
    /// all callers.
    async fn enqueue(
        &self,
        change: impl FnOnce(&mut Tail<E>) -> Result<Option<Op<E>>, StoreError>,
    ) -> Result<(), StoreError> {
        self.shared.health.check()?;
        let slot = self.queue.reserve().await.map_err(|_| StoreError::Closed)?;
        let mut state = self.shared.lock();
        if state.database.is_none() {
            return Err(StoreError::Closed);
        }
        if let Some(op) = change(&mut state.tail)? {
            slot.send(op);
        }
        Ok(())
    }
}

async fn wait(durable: oneshot::Receiver<Result<(), StoreError>>) -> Result<(), StoreError> {
    durable.await.unwrap_or(Err(StoreError::Closed))
}
