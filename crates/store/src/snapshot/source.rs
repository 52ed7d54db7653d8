//! The sender's side of a snapshot.

use std::sync::Arc;

use assent_registry::Table;
use redb::ReadableTableMetadata;

use super::codec::{CHUNK_BYTES_MAX, SnapshotChunk, SnapshotHeader, SnapshotSummary, Summing, put_row};
use crate::StoreError;
use crate::registry::RegistryView;
use crate::registry::view::{unreadable, value};

/// A registry at a position that is durable here. Clones share the view. As long as one clone lives, redb
/// cannot reuse the pages that the view shows.
#[derive(Debug, Clone)]
pub struct SnapshotSource {
    view: Arc<RegistryView>,
    applied: Vec<u8>,
    rows: u64,
}

impl SnapshotSource {
    pub(crate) fn new(view: RegistryView, applied: Vec<u8>) -> Result<Self, StoreError> {
        let mut rows = 0u64;
        for table in Table::ALL {
            rows = rows.saturating_add(view.table(*table)?.len().map_err(unreadable)?);
        }
        Ok(Self { view: Arc::new(view), applied, rows })
    }

    /// The applied position, in the caller's encoding; empty before anything was applied.
    pub fn applied(&self) -> &[u8] {
        &self.applied
    }

    /// The part to send first.
    pub fn header(&self) -> SnapshotHeader {
        SnapshotHeader { applied: self.applied.clone(), rows: self.rows }
    }

    /// The parts to send after the header.
    pub fn chunks(&self) -> SnapshotChunks {
        SnapshotChunks {
            view: self.view.clone(),
            summing: Summing::new(&self.applied),
            at: Some((0, Vec::new())),
        }
    }
}

/// Cuts a registry into chunks. Each chunk is read when it is asked for, and none is kept.
#[derive(Debug)]
pub struct SnapshotChunks {
    view: Arc<RegistryView>,
    summing: Summing,
    /// The number of the table and the first key not sent yet; `None` at the end.
    at: Option<(usize, Vec<u8>)>,
}

impl SnapshotChunks {
    /// The next chunk; `None` after the last. Blocks. A row that does not match its checksum is an error, so
    /// damage here is not sent to another node.
    pub fn next_chunk(&mut self) -> Result<Option<SnapshotChunk>, StoreError> {
        let mut rows = Vec::new();
        let mut count = 0;
        while let Some((number, from)) = self.at.take() {
            let Some(table) = Table::ALL.get(number) else { break };
            self.at = match self.view.noted(self.fill(*table, &from, &mut rows, &mut count))? {
                Some(next) => {
                    self.at = Some((number, next));
                    break;
                }
                None => Some((number + 1, Vec::new())),
            };
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let chunk = SnapshotChunk::new(self.summing.chunks(), rows);
        self.summing.add(&chunk, count);
        Ok(Some(chunk))
    }

    /// How many rows the chunks so far held.
    pub fn rows(&self) -> u64 {
        self.summing.rows()
    }

    /// The part to send after the last chunk.
    pub fn summary(&self) -> SnapshotSummary {
        self.summing.summary()
    }

    /// Adds rows of the table as far as there is room. Answers the first key that found no room.
    fn fill(
        &self,
        table: Table,
        from: &[u8],
        rows: &mut Vec<u8>,
        count: &mut u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        for row in self.view.table(table)?.range::<&[u8]>(from..).map_err(unreadable)? {
            let (key, stored) = row.map_err(unreadable)?;
            let key = key.value();
            let value = value(table, key, stored.value())?;
            if !rows.is_empty() && rows.len() + key.len() + value.len() + 9 > CHUNK_BYTES_MAX {
                return Ok(Some(key.to_vec()));
            }
            put_row(rows, table, key, &value);
            *count += 1;
        }
        Ok(None)
    }
}
