//! One change of the log, as the handles queue it for the committer.

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::entry::OnDurable;
use crate::StoreError;

/// Is sent when an operation is durable.
pub(super) type Done = oneshot::Sender<Result<(), StoreError>>;

/// One change of the log.
pub(super) enum Op<E> {
    /// Adds entries at the end.
    Append { entries: Vec<E>, bytes: usize, append: u64, on_durable: OnDurable, room: OwnedSemaphorePermit },
    /// Replaces the vote.
    Vote { value: Bytes, done: Done },
    /// Replaces the committed position. It becomes durable with the next commit that another operation needs.
    Committed { value: Bytes },
    /// Replaces the value remembered beside the log. If there is no waiter, it becomes durable like
    /// `Committed`.
    Remembered { value: Bytes, done: Option<Done> },
    /// Removes the entries from `from` on.
    Truncate { from: u64, done: Done },
    /// Removes the entries up to `upto`.
    Purge { upto: u64, position: Bytes },
    /// Makes `number` the registry's generation.
    Generation { number: u64, done: Done },
    /// Commits what is left and closes the database.
    Close { done: Done },
}

impl<E> Op<E> {
    /// Bytes of the entries that it adds.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Op::Append { bytes, .. } => *bytes,
            _ => 0,
        }
    }

    /// Whether no caller waits for it, so that it may become durable with the next write.
    pub(super) fn has_no_waiter(&self) -> bool {
        matches!(self, Op::Committed { .. } | Op::Remembered { done: None, .. })
    }
}
