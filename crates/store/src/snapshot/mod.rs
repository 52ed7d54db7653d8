//! A registry that is sent from one node to another: a header, chunks, a summary.
//!
//! The sender writes no file: it cuts chunks from a read transaction as it sends them. The receiver writes
//! each chunk into the next generation's file. Neither holds more than one chunk in memory.

mod codec;
mod source;
mod staged;

pub use self::codec::{SnapshotChunk, SnapshotHeader, SnapshotSummary};
pub use self::source::{SnapshotChunks, SnapshotSource};
pub use self::staged::StagedSnapshot;
