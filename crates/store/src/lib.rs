//! Where a node's state lies on disk: the Raft log and the registry's rows, in two redb databases.
//!
//! * [`LogStore`] keeps the Raft log. Everything that changes it goes through one queue into one committer,
//!   which commits all that is queued with one fsync and calls back only after it.
//! * [`RegistryStore`] keeps the registry's rows. A batch is visible at once and durable at the next flush;
//!   the log replays what a crash takes.
//! * [`SnapshotSource`] and [`StagedSnapshot`] move a registry from one node to another in chunks, and
//!   [`RegistryStore::install`] puts it in place of the old one, whole or not at all.
//!
//! This crate owns redb, the files and their formats. It knows nothing of Raft's rules, of openraft or of the
//! meaning of a row. It never retries a failed write: after the first failure the store is poisoned for good
//! ([`Health`]).

mod blocking;
mod bytes_codec;
mod checksum;
mod database;
mod disk;
mod error;
mod health;
mod identity;
mod log;
mod open_database;
mod options;
mod panics;
mod registry;
mod snapshot;
mod store;

pub use crate::blocking::{RunBlocking, blocking};
pub use crate::disk::Disk;
pub use crate::error::{StoreError, WriteError};
pub use crate::health::Health;
pub use crate::log::{EntryError, LOG_VERSION, LogCounters, LogEntry, LogStore, OnDurable};
pub use crate::options::StoreOptions;
pub use crate::registry::{RegistryDigest, RegistryStore, RegistryView, SnapshotGuard};
pub use crate::snapshot::{
    SnapshotChunk, SnapshotChunks, SnapshotHeader, SnapshotSource, SnapshotSummary, StagedSnapshot,
};
pub use crate::store::Store;

/// The newest format of both databases. New databases get it.
pub const FORMAT: u8 = identity::FORMAT;
