//! The registry's rows.
//!
//! This module owns the current generation and when it is made durable. A batch is one transaction: it is
//! visible to the next view when `write` returns, and durable with the next flush. A crash takes the registry
//! back to its last flush, rows and applied position alike, and the Raft log replays the rest. So the log may
//! only be purged up to a position that was flushed, which is why [`RegistryStore::snapshot`] flushes first.

mod batch;
mod digest;
pub(crate) mod generation;
mod guard;
mod install;
pub(crate) mod view;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::Durability;

use assent_registry::RowsMut;

use self::batch::Batch;
pub use self::digest::RegistryDigest;
use self::generation::{Generation, SharedGeneration};
pub use self::guard::SnapshotGuard;
pub use self::view::RegistryView;
use crate::blocking::RunBlocking;
use crate::database::{self as db, STORE};
use crate::disk::Disk;
use crate::log::{LogEntry, LogStore};
use crate::open_database::failed;
use crate::snapshot::{SnapshotHeader, SnapshotSource, StagedSnapshot};
use crate::{Health, StoreError, StoreOptions, WriteError};

/// A handle on the registry's rows. Clones share it, and see the new generation after an installation.
#[derive(Clone)]
pub struct RegistryStore {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Arc<dyn Disk>,
    store_id: [u8; 16],
    health: Health,
    run: RunBlocking,
    options: StoreOptions,
    /// `None` once the registry is closed.
    current: RwLock<Option<SharedGeneration>>,
    writer: Mutex<Writer>,
    /// The number that the next staged snapshot gets.
    next_generation: AtomicU64,
    flips: Box<dyn FlipGeneration>,
}

/// What was written since the last flush. The holder of its lock is the one writer.
#[derive(Default)]
struct Writer {
    unflushed_batches: u32,
    unflushed_bytes: usize,
    installing: bool,
}

/// How an installation becomes durable: by an entry in the log's database. The trait hides the log's entry
/// type from this one.
trait FlipGeneration: Send + Sync {
    fn flip(&self, number: u64) -> futures_util::future::BoxFuture<'_, Result<(), StoreError>>;
}

impl<E: LogEntry> FlipGeneration for LogStore<E> {
    fn flip(&self, number: u64) -> futures_util::future::BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.set_generation(number))
    }
}

/// What a registry is opened with.
pub(crate) struct RegistryParts<E> {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) store_id: [u8; 16],
    pub(crate) health: Health,
    pub(crate) run: RunBlocking,
    pub(crate) options: StoreOptions,
    pub(crate) current: Generation,
    pub(crate) log: LogStore<E>,
}

impl RegistryStore {
    pub(crate) fn new<E: LogEntry>(parts: RegistryParts<E>) -> Self {
        let RegistryParts { disk, store_id, health, run, options, current, log } = parts;
        let next_generation = AtomicU64::new(current.number.saturating_add(1));
        Self {
            inner: Arc::new(Inner {
                disk,
                store_id,
                health,
                run,
                options,
                current: RwLock::new(Some(Arc::new(current))),
                writer: Mutex::new(Writer::default()),
                next_generation,
                flips: Box::new(log),
            }),
        }
    }

    /// The registry as it is now. Opening a view is cheap.
    pub fn view(&self) -> Result<RegistryView, StoreError> {
        self.inner.health.check()?;
        RegistryView::open(self.current()?)
    }

    /// Writes one batch: everything that `change` does, and `applied` as the new applied position if one is
    /// given. If `change` answers an error, nothing is written. Blocks, and waits for other writers.
    pub fn write<T, E>(
        &self,
        applied: Option<&[u8]>,
        change: impl FnOnce(&mut dyn RowsMut) -> Result<T, E>,
    ) -> Result<T, WriteError<E>> {
        let mut writer = self.writer();
        self.inner.health.check()?;
        if writer.installing {
            return Err(StoreError::Unusable("a snapshot is being installed".to_owned()).into());
        }
        let generation = self.current()?;
        let doubt = generation.database.doubt();
        let mut write = generation.database.begin_write().map_err(|error| self.poisoned(error))?;
        let (outcome, bytes) = {
            // If it is redb that panics, and not the caller's change, its pages are not to be built on. A crash
            // takes the registry back to its last flush, and so does this.
            let _doubted = doubt.raised_by_a_panic();
            let mut batch = Batch::new(&write);
            (change(&mut batch), batch.bytes)
        };
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(refusal) => {
                let aborted = doubt.guarded(|| write.abort().map_err(failed));
                aborted.map_err(|error| self.poisoned(error))?;
                return Err(WriteError::Refused(refusal));
            }
        };
        let batches = writer.unflushed_batches.saturating_add(1);
        let bytes = writer.unflushed_bytes.saturating_add(bytes);
        let durable = batches >= self.inner.options.flush_batches || bytes >= self.inner.options.flush_bytes;
        let committed = doubt.guarded(|| {
            if let Some(applied) = applied {
                db::put(&mut write.open_table(STORE).map_err(failed)?, db::APPLIED, applied)?;
            }
            // A crash after a commit that is not durable takes back this batch and all others since the last
            // durable one, but never a part of one.
            let durability = if durable { Durability::Immediate } else { Durability::None };
            write.set_durability(durability).map_err(failed)?;
            write.set_quick_repair(durable);
            write.commit().map_err(failed)
        });
        committed.map_err(|error| self.poisoned(error))?;
        (writer.unflushed_batches, writer.unflushed_bytes) = if durable { (0, 0) } else { (batches, bytes) };
        Ok(outcome)
    }

    /// Makes every batch so far durable. Does nothing if they are durable already. Blocks.
    pub fn flush(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        self.flush_locked(&mut writer)
    }

    /// The registry as it is now, made durable, for sending to another node. Blocks.
    pub fn snapshot(&self) -> Result<SnapshotSource, StoreError> {
        let mut writer = self.writer();
        self.flush_locked(&mut writer)?;
        let view = RegistryView::open(self.current()?)?;
        let applied = view.applied()?.unwrap_or_default();
        SnapshotSource::new(view, applied)
    }

    /// Stops the store for good if `error` says that only another build can continue. The owner of the store
    /// then ends, with this error as the reason.
    pub fn stop_at_unknown_version(&self, error: &StoreError) {
        if error.takes_another_build() {
            self.inner.health.poison(error);
        }
    }

    /// Starts to receive a snapshot, beside the current generation. Blocks.
    pub fn stage(&self, header: SnapshotHeader) -> Result<StagedSnapshot, StoreError> {
        self.inner.health.check()?;
        let number = self.inner.next_generation.fetch_add(1, Ordering::Relaxed);
        let disk = self.inner.disk.clone();
        StagedSnapshot::create(
            disk,
            self.inner.health.clone(),
            number,
            self.inner.store_id,
            self.inner.options.registry_cache_bytes / 4,
            header,
        )
    }

    /// Flushes and closes the registry. Every later call fails; open views stay usable. Blocks.
    pub fn close(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let flushed = match self.current() {
            Ok(_) => self.flush_locked(&mut writer),
            Err(_) => Ok(()),
        };
        *self.inner.current.write().unwrap_or_else(PoisonError::into_inner) = None;
        flushed
    }

    fn flush_locked(&self, writer: &mut Writer) -> Result<(), StoreError> {
        self.inner.health.check()?;
        let generation = self.current()?;
        if writer.unflushed_batches > 0 {
            generation.flush().map_err(|error| self.poisoned(error))?;
            *writer = Writer { installing: writer.installing, ..Writer::default() };
        }
        Ok(())
    }

    fn current(&self) -> Result<SharedGeneration, StoreError> {
        let current = self.inner.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone().ok_or(StoreError::Closed)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // If a batch panicked, its transaction rolled it back and no counter changed.
        self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a failed write ends all writing.
    fn poisoned(&self, error: StoreError) -> StoreError {
        self.inner.health.poison(&error);
        error
    }
}
