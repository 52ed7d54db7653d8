//! A registry on its way from one node to another: a header, chunks, a summary.
//!
//! Nothing is written to a file at the sender: chunks are cut from a read transaction as they are sent. The
//! receiver writes each into the next generation's file. Neither holds more than a chunk in memory.

mod codec;
mod source;
mod staged;

pub use self::codec::{SnapshotChunk, SnapshotHeader, SnapshotSummary};
pub use self::source::{SnapshotChunks, SnapshotSource};
pub use self::staged::StagedSnapshot;
