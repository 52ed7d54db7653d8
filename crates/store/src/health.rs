//! Whether the store may still acknowledge writes.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::watch;

use crate::{StoreError, panics};

/// One flag for both databases: healthy, or poisoned for good with a cause.
///
/// The first write or fsync that fails poisons the store. It is never retried: after a failed fsync the
/// kernel may have dropped the pages, so a second fsync that succeeds proves nothing. If a row or a snapshot
/// has a version that this build does not know, that poisons the store too: only another build can continue.
#[derive(Debug, Clone)]
pub struct Health {
    cause: Arc<watch::Sender<Option<Arc<str>>>>,
}

impl Health {
    /// A healthy flag.
    pub(crate) fn new() -> Self {
        Self { cause: Arc::new(watch::Sender::new(None)) }
    }

    /// The first failure, if there was one.
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.cause.borrow().clone()
    }

    /// Changes to `Some` once, at the first failure. The node must then end.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.cause.subscribe()
    }

    /// Nothing if the store is healthy, otherwise the error that every later call answers.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.poisoned() {
            None => Ok(()),
            Some(cause) => Err(StoreError::Poisoned(cause)),
        }
    }

    /// Poisons the store. Only the first cause is kept.
    pub(crate) fn poison(&self, cause: &StoreError) {
        self.cause.send_if_modified(|current| {
            if current.is_some() {
                return false;
            }
            tracing::error!(%cause, "the store is poisoned: nothing is acknowledged any more");
            *current = Some(cause.to_string().into());
            true
        });
    }

    /// Runs a task that the store needs. If the task panics, the store is poisoned: what the task had begun
    /// is in doubt, and nothing continues it.
    pub(crate) async fn watched(self, task: &'static str, work: impl Future<Output = ()> + Send) {
        let Err(panic) = AssertUnwindSafe(work).catch_unwind().await else { return };
        let text = panics::text(&*panic);
        self.poison(&StoreError::Unusable(format!("the task that {task} panicked: {text}")));
        resume_unwind(panic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn panics() {
        panic!("on purpose")
    }

    #[tokio::test]
    async fn a_task_of_the_store_that_panics_poisons_it_and_one_that_ends_does_not() {
        let health = Health::new();
        health.clone().watched("rests", std::future::ready(())).await;
        assert_eq!(health.poisoned(), None);
        assert!(tokio::spawn(health.clone().watched("writes the log", panics())).await.is_err());
        let cause = health.poisoned().unwrap();
        assert!(cause.contains("the task that writes the log panicked: on purpose"), "{cause}");
    }
}
