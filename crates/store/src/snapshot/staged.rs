//! The receiver's side of a snapshot.

use std::fmt;
use std::sync::Arc;

use redb::Durability;

use assent_registry::Table;

use super::codec::{SnapshotChunk, SnapshotHeader, SnapshotSummary, Summing, next_row};
use crate::StoreError;
use crate::bytes_codec::Reader;
use crate::checksum::seal;
use crate::disk::Disk;
use crate::health::Health;
use crate::open_database::failed;
use crate::registry::generation::{Generation, SharedGeneration, definition, file_name};

/// Bytes of chunks after which the file is made durable, so that the last step is short.
const STEP_BYTES: usize = 16 << 20;

/// Passes the error on. If it is the disk's or the database's, it poisons the store.
fn poisoned(health: &Health, error: StoreError) -> StoreError {
    if matches!(error, StoreError::Unusable(_) | StoreError::Damaged { .. }) {
        health.poison(&error);
    }
    error
}

/// A snapshot that is being received into the file of the next generation. If it is dropped before it is
/// installed, it removes the file. A crash leaves the file, which the next start removes.
pub struct StagedSnapshot {
    disk: Arc<dyn Disk>,
    health: Health,
    number: u64,
    /// `None` only while it is being dropped.
    generation: Option<SharedGeneration>,
    applied: Vec<u8>,
    summing: Summing,
    last_row: Option<(Table, Vec<u8>)>,
    bytes_since_step: usize,
    finished: bool,
    remove_file: bool,
}

impl StagedSnapshot {
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        health: Health,
        number: u64,
        store_id: [u8; 16],
        cache_bytes: usize,
        header: SnapshotHeader,
    ) -> Result<Self, StoreError> {
        let poisoned = |error| poisoned(&health, error);
        disk.remove(&file_name(number)).map_err(StoreError::unusable).map_err(poisoned)?;
        let generation =
            Generation::create(disk.as_ref(), number, store_id, cache_bytes).map_err(poisoned)?;
        Ok(Self {
            disk,
            health,
            number,
            generation: Some(Arc::new(generation)),
            summing: Summing::new(&header.applied),
            applied: header.applied,
            last_row: None,
            bytes_since_step: 0,
            finished: false,
            remove_file: true,
        })
    }

    /// Writes the next chunk. A chunk that is out of order, does not match its digest or holds rows out of
    /// order is refused, and the snapshot with it. A write that fails poisons the store like any other,
    /// although nothing depends on this file yet: a disk that fails once is not trusted again. Blocks.
    pub fn write(&mut self, chunk: &SnapshotChunk) -> Result<(), StoreError> {
        self.write_chunk(chunk).map_err(|error| poisoned(&self.health, error))
    }

    fn write_chunk(&mut self, chunk: &SnapshotChunk) -> Result<(), StoreError> {
        let expected = self.summing.chunks();
        if self.finished || chunk.index != expected {
            return Err(StoreError::Snapshot(format!("chunk {} came instead of {expected}", chunk.index)));
        }
        chunk.verify()?;
        let generation = self.generation()?;
        self.bytes_since_step = self.bytes_since_step.saturating_add(chunk.rows.len());
        let step = self.bytes_since_step >= STEP_BYTES;
        let rows = generation.database.doubt().guarded(|| {
            let mut write = generation.database.begin_write()?;
            let durability = if step { Durability::Immediate } else { Durability::None };
            write.set_durability(durability).map_err(failed)?;
            let rows = self.write_rows(&write, chunk)?;
            // Nothing depends on this file yet, so a crash around either commit does no harm.
            write.commit().map_err(failed)?;
            Ok(rows)
        })?;
        if step {
            self.bytes_since_step = 0;
        }
        self.summing.add(chunk, rows);
        Ok(())
    }

    /// Checks that the whole snapshot came. Only then can it be installed.
    pub fn finish(&mut self, summary: &SnapshotSummary) -> Result<(), StoreError> {
        if self.summing.summary() != *summary {
            return Err(StoreError::Snapshot("its chunks are not those that were sent".to_owned()));
        }
        self.finished = true;
        Ok(())
    }

    /// How many chunks were written, and how many rows were in them.
    pub fn received(&self) -> (u64, u64) {
        (self.summing.chunks(), self.summing.rows())
    }

    /// The applied position, in the caller's encoding; empty before anything was applied.
    pub fn applied(&self) -> &[u8] {
        &self.applied
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn generation(&self) -> Result<SharedGeneration, StoreError> {
        self.generation.clone().ok_or(StoreError::Closed)
    }

    /// Lets the file stay when this is dropped.
    pub(crate) fn keep_file(&mut self) {
        self.remove_file = false;
    }

    fn write_rows(
        &mut self,
        write: &redb::WriteTransaction,
        chunk: &SnapshotChunk,
    ) -> Result<u64, StoreError> {
        let unreadable = |problem| StoreError::Snapshot(format!("chunk {}: {problem}", chunk.index));
        let mut reader = Reader::new(&chunk.rows);
        let mut count = 0;
        let mut open = None;
        while let Some((table, key, value)) = next_row(&mut reader).map_err(unreadable)? {
            let row = (table, key.to_vec());
            if self.last_row.as_ref().is_some_and(|last| *last >= row) {
                return Err(unreadable("its rows are out of order"));
            }
            self.last_row = Some(row);
            if open.as_ref().is_none_or(|(opened, _)| *opened != table) {
                // The previous table must be closed first.
                drop(open.take());
                open = Some((table, write.open_table(definition(table)).map_err(failed)?));
            }
            if let Some((_, rows)) = open.as_mut() {
                rows.insert(key, seal(table.name(), key, value).as_slice()).map_err(failed)?;
            }
            count += 1;
        }
        if count == 0 {
            return Err(unreadable("it is empty"));
        }
        Ok(count)
    }
}

impl fmt::Debug for StagedSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagedSnapshot")
            .field("number", &self.number)
            .field("chunks", &self.summing.chunks())
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}

impl Drop for StagedSnapshot {
    fn drop(&mut self) {
        self.generation = None;
        if self.remove_file
            && let Err(error) = self.disk.remove(&file_name(self.number))
        {
            tracing::warn!(%error, "a snapshot's file could not be removed");
        }
    }
}
