//! What the handles on a log share with its committer: the state under one lock, the health and the counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::database::LogDatabase;
use super::entry::LogEntry;
use super::tail::Tail;
use crate::{Health, StoreError};

/// What the handles share with the committer.
pub(super) struct Shared<E> {
    pub(super) state: Mutex<State<E>>,
    pub(super) health: Health,
    pub(super) appends: AtomicU64,
    pub(super) truncations: AtomicU64,
    pub(super) commits: AtomicU64,
}

/// The state that is read and changed under one lock.
pub(super) struct State<E> {
    pub(super) tail: Tail<E>,
    /// `None` once the log is closed.
    pub(super) database: Option<Arc<LogDatabase>>,
}

impl<E> Shared<E> {
    /// The state, locked for as long as the answer is held.
    pub(super) fn lock(&self) -> MutexGuard<'_, State<E>> {
        // No code that holds the lock can panic and leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database, unless the log is closed.
    pub(super) fn database(&self) -> Result<Arc<LogDatabase>, StoreError> {
        self.lock().database.clone().ok_or(StoreError::Closed)
    }

    /// Closes the log for every handle.
    pub(super) fn close(&self) {
        self.lock().database = None;
    }
}

impl<E: LogEntry> Shared<E> {
    /// A commit that is durable contained the appends up to this one.
    pub(super) fn committed(&self, append: Option<u64>) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        if let Some(append) = append {
            self.lock().tail.durable(append);
        }
    }
}
