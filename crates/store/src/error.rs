//! The errors of the store.

use std::io;
use std::sync::Arc;

use assent_registry::{RowError, UnknownVersionError};

/// Why the store could not be opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk or the database failed.
    #[error("the store cannot be used: {0}")]
    Unusable(String),
    /// An earlier write failed, or this build met something that only another build can read. Nothing is
    /// written or acknowledged any more, and the process must end.
    #[error("the store has stopped and stays stopped: {0}")]
    Poisoned(Arc<str>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The content of the disk is not what was acknowledged.
    #[error(
        "`{file}` is damaged: {problem}; this node can no longer be trusted with what it promised: move its data \
         directory away and let it join as a new node, with an id that was never used"
    )]
    Damaged {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file was written by a build that this one does not understand.
    #[error(
        "`{file}` has format {found}, and this build reads format {known}: start it with {}",
        if found > known { "a newer build" } else { "the build that wrote it" }
    )]
    Format {
        /// The file's name.
        file: String,
        /// The format found.
        found: u8,
        /// The newest format that this build reads.
        known: u8,
    },
    /// Something stored or received has a version that this build does not know. It is not damaged.
    #[error("{what} has {version}")]
    Version {
        /// What has it.
        what: String,
        /// The version.
        version: UnknownVersionError,
    },
    /// The two databases belong to different stores.
    #[error(
        "`{log}` belongs to store `{log_store}` and `{registry}` to store `{registry_store}`: put the files of one \
         store back together, or move them away and let the node join as a new one"
    )]
    Mismatched {
        /// The log's file.
        log: String,
        /// The id in it, hex.
        log_store: String,
        /// The registry's file.
        registry: String,
        /// The id in it, hex.
        registry_store: String,
    },
    /// One of the two databases is missing.
    #[error(
        "`{present}` exists but `{missing}` is missing: put it back, or move the data directory away and let the node \
         join as a new one, with an id that was never used"
    )]
    Missing {
        /// The file that is missing.
        missing: String,
        /// The file that exists.
        present: String,
    },
    /// The entries would leave a gap in the log.
    #[error("entry {found} cannot be appended, the next one is {expected}")]
    Gap {
        /// The index given.
        found: u64,
        /// The index that fits.
        expected: u64,
    },
    /// A snapshot, or a part of one, is not acceptable.
    #[error("the snapshot is refused: {0}")]
    Snapshot(String),
    /// A row of the registry could not be read.
    #[error(transparent)]
    Row(#[from] RowError),
}

impl StoreError {
    /// The disk or database failed in this way.
    pub(crate) fn unusable(error: impl std::fmt::Display) -> Self {
        StoreError::Unusable(error.to_string())
    }

    /// `what` has version `found`, and this build reads versions up to `known`.
    pub(crate) fn unknown_version(what: &str, found: u8, known: u8) -> Self {
        StoreError::Version { what: what.to_owned(), version: UnknownVersionError { found, known } }
    }

    /// Whether only another build can continue. A node that meets such an error stops with it as its reason,
    /// and skips nothing.
    pub fn takes_another_build(&self) -> bool {
        match self {
            StoreError::Version { .. } | StoreError::Format { .. } => true,
            StoreError::Row(error) => error.takes_another_build(),
            StoreError::Unusable(_)
            | StoreError::Poisoned(_)
            | StoreError::Closed
            | StoreError::Damaged { .. }
            | StoreError::Mismatched { .. }
            | StoreError::Missing { .. }
            | StoreError::Gap { .. }
            | StoreError::Snapshot(_) => false,
        }
    }

    /// `file` is damaged in this way.
    pub(crate) fn damaged(file: &str, problem: impl std::fmt::Display) -> Self {
        StoreError::Damaged { file: file.to_owned(), problem: problem.to_string() }
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        io::Error::other(error)
    }
}

impl From<StoreError> for RowError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Row(error) => error,
            other => RowError::Unreadable(other.to_string()),
        }
    }
}

/// Why a batch was not written. In either case, nothing of it was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The closure answered this error.
    #[error("{0}")]
    Refused(E),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
