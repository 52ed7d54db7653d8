//! What the log requires of an entry, and why one cannot be read back.

use std::io;

use assent_registry::UnknownVersionError;

/// Called once: after the entries' fsync, or with an error if there will be none.
pub type OnDurable = Box<dyn FnOnce(io::Result<()>) + Send>;

/// An entry of the log. Cloning should be cheap, because every read clones.
pub trait LogEntry: Clone + Send + Sync + 'static {
    /// The entry's place in the log.
    fn index(&self) -> u64;

    /// Roughly how many bytes it takes, in memory and encoded.
    fn size(&self) -> usize;

    /// The entry's bytes, with a version of their own.
    fn encode(&self) -> Vec<u8>;

    /// Reads an entry back, or says what is wrong with the bytes.
    fn decode(bytes: &[u8]) -> Result<Self, EntryError>;
}

/// Why an entry cannot be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// This build does not know its version.
    #[error("it has {0}")]
    Version(UnknownVersionError),
    /// This build knows its version, and the bytes are not an entry of it.
    #[error("{0}")]
    Damaged(String),
}
