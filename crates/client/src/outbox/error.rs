//! What can go wrong with an outbox.

use assent_proof::{History, Refusal};
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
    /// The registry answered in another history than the one in which the envelopes before were delivered. Nothing more is counted as
    /// delivered, and what was pending stays pending.
    #[error(
        "outbox `{}` has delivered in history `{delivered_in}`, and the registry is in `{in_force}`: what is filed as done may not be \
         in that one",
        .dir.display()
    )]
    HistoryChanged {
        /// The outbox's directory.
        dir: PathBuf,
        /// The history of the receipts that are kept.
        delivered_in: History,
        /// The history that the registry answers in.
        in_force: History,
    },
    /// Everything was to be sent again in a history that the registry is not in. Nothing was changed.
    #[error(
        "outbox `{}` was to send everything again in history `{named}`, and the registry is in `{in_force}`: nothing was changed",
        .dir.display()
    )]
    HistoryNotInForce {
        /// The outbox's directory.
        dir: PathBuf,
        /// The history that was named.
        named: History,
        /// The history that a quorum has confirmed to be in force.
        in_force: History,
    },
    /// Envelopes are done, and nothing says in which history: an earlier build did not note it. Nothing is sent, since the registry may
    /// be in another one than that, and what was pending stays pending.
    #[error(
        "outbox `{}` has delivered `{count}` envelopes, and neither it nor their receipts say in which history: an earlier build did not \
         note it",
        .dir.display()
    )]
    HistoryUnnoted {
        /// The outbox's directory.
        dir: PathBuf,
        /// How many envelopes are done.
        count: usize,
    },
    /// The file that names the outbox's history cannot be read.
    #[error("`{}` names no history: {problem}", .path.display())]
    HistoryUnknown {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
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
            OutboxError::HistoryChanged { .. } | OutboxError::HistoryNotInForce { .. } => "history_mismatch",
            OutboxError::HistoryUnnoted { .. } => "outbox_history_unnoted",
            OutboxError::HistoryUnknown { .. } => "outbox_history_unknown",
            OutboxError::Mutated { .. } => "outbox_mutated",
        }
    }

    /// What to do about it, in one line.
    pub fn remedy(&self) -> String {
        match self {
            OutboxError::HistoryChanged { in_force, .. } => format!(
                "find out whether the cluster was recovered or is another one; then have all of it sent again in `{in_force}`, where \
                 what is there already is answered with its first receipt (`assent submit --outbox DIR --resend-in {in_force}`)"
            ),
            OutboxError::HistoryNotInForce { in_force, .. } => format!(
                "if it is the right cluster, name the history that it is in (`assent submit --outbox DIR --resend-in {in_force}`)"
            ),
            OutboxError::HistoryUnnoted { .. } => "look which history the registry is in (`assent status`), and have all of it sent again \
                                                   there, where what is there already is answered with its first receipt (`assent submit \
                                                   --outbox DIR --resend-in HISTORY`)"
                .to_owned(),
            OutboxError::HistoryUnknown { path, .. } => format!(
                "if no receipt is filed under `done` yet, remove `{}`; otherwise write the history of those receipts into it",
                path.display()
            ),
            OutboxError::Refused(refusal) => refusal.code.remedy().to_owned(),
            OutboxError::Io { .. }
            | OutboxError::InUse { .. }
            | OutboxError::Full { .. }
            | OutboxError::Mutated { .. } => {
                "what was pending stays pending; mend it and submit again".to_owned()
            }
        }
    }
}
