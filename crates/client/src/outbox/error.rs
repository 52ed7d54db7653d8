//! What can go wrong with an outbox.

use assent_proof::Refusal;
use std::io;
use std::path::{Path, PathBuf};

/// Why an outbox did not do what was asked. What was pending stays pending.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The disk.
    #[error("could not {step} `{}`: {source}", .path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("outbox `{}` is in use by another process", .dir.display())]
    InUse {
        /// Its directory.
        dir: PathBuf,
    },
    /// Too much is pending.
    #[error("outbox holds `{pending_max}` pending envelopes, its limit")]
    Full {
        /// The limit.
        pending_max: usize,
    },
    /// The bytes are no envelope.
    #[error("{0}")]
    Refused(Refusal),
    /// A pending file is not what was put: it does not hash to the id in its name.
    #[error("pending envelope `{}` was changed on disk", .path.display())]
    Mutated {
        /// The file.
        path: PathBuf,
    },
}

impl OutboxError {
    pub(crate) fn io(step: &'static str, path: &Path, source: io::Error) -> Self {
        OutboxError::Io { step, path: path.to_owned(), source }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            OutboxError::Io { .. } => "outbox_io",
            OutboxError::InUse { .. } => "outbox_in_use",
            OutboxError::Full { .. } => "outbox_full",
            OutboxError::Refused(refusal) => refusal.code.as_str(),
            OutboxError::Mutated { .. } => "outbox_mutated",
        }
    }
}
