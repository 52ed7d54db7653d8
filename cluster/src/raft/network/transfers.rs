//! The snapshots that are being transferred, for people: with which peer, how far, and since when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use crate::locked::lock;
use crate::raft::types::NodeId;

/// The direction of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To a peer.
    Sending,
    /// From a peer.
    Receiving,
}

/// The progress of one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// When it began.
    pub since: Instant,
    /// Chunks that the receiver has written.
    pub chunks: u64,
    /// Bytes of rows in them.
    pub bytes: u64,
    /// Rows in them.
    pub rows: u64,
    /// Rows in the whole snapshot.
    pub rows_total: u64,
    /// How often the transfer resumed after a broken connection.
    pub resumed: u64,
}

/// The snapshots that are being transferred. Clones share them.
#[derive(Clone, Default)]
pub struct Transfers {
    under_way: Arc<Mutex<BTreeMap<(Direction, NodeId), Progress>>>,
}

/// One transfer. When this is dropped, it is not shown any more.
pub struct Transfer {
    transfers: Transfers,
    key: (Direction, NodeId),
}

impl Transfers {
    /// Begins to show a transfer of this many rows. An earlier one in the same direction with the same peer is not
    /// shown any more.
    pub fn begin(&self, direction: Direction, peer: NodeId, rows_total: u64) -> Transfer {
        let key = (direction, peer);
        let progress =
            Progress { since: Instant::now(), chunks: 0, bytes: 0, rows: 0, rows_total, resumed: 0 };
        lock(&self.under_way).insert(key, progress);
        Transfer { transfers: self.clone(), key }
    }

    /// Every transfer under way, with its direction and its peer.
    pub fn all(&self) -> Vec<(Direction, NodeId, Progress)> {
        lock(&self.under_way)
            .iter()
            .map(|((direction, peer), progress)| (*direction, *peer, *progress))
            .collect()
    }

    /// Whether this node is sending a snapshot to any peer.
    pub fn is_sending(&self) -> bool {
        lock(&self.under_way).keys().any(|(direction, _)| *direction == Direction::Sending)
    }
}

impl Transfer {
    /// Notes that one more chunk was written.
    pub fn chunk(&self, bytes: usize, rows: u64) {
        self.change(|progress| {
            progress.chunks = progress.chunks.saturating_add(1);
            progress.bytes = progress.bytes.saturating_add(bytes as u64);
            progress.rows = progress.rows.saturating_add(rows);
        });
    }

    /// Notes that the transfer resumed after its connection broke.
    pub fn resumed(&self) {
        self.change(|progress| progress.resumed = progress.resumed.saturating_add(1));
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = lock(&self.transfers.under_way).get_mut(&self.key) {
            change(progress);
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        lock(&self.transfers.under_way).remove(&self.key);
    }
}
