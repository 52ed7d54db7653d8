//! The one task that writes the log.
//!
//! It takes the queued operations, commits them in order with one fsync, and then calls back in order.
//! Operations that arrive in the meantime wait for the next commit, so a busier node shares each fsync among
//! more entries.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::database::LogDatabase;
use super::entry::LogEntry;
use super::op::Op;
use super::shared::Shared;
use crate::blocking::{RunBlocking, blocking};
use crate::{StoreError, StoreOptions};

/// The committer's side of the queue.
pub(super) struct Committer<E> {
    pub(super) queue: mpsc::Receiver<Op<E>>,
    pub(super) shared: Arc<Shared<E>>,
    /// Changes after each commit.
    pub(super) commits: watch::Sender<()>,
    pub(super) run: RunBlocking,
    pub(super) options: StoreOptions,
}

impl<E: LogEntry> Committer<E> {
    /// Runs until the store is closed or no handle on it is left.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(op) = self.queue.recv().await {
            let mut bytes = op.bytes();
            let mut closing = matches!(op, Op::Close { .. });
            batch.push(op);
            while !closing
                && batch.len() < self.options.commit_ops_max
                && bytes < self.options.commit_bytes_max
                && let Ok(op) = self.queue.try_recv()
            {
                bytes = bytes.saturating_add(op.bytes());
                closing = matches!(op, Op::Close { .. });
                batch.push(op);
            }
            if batch.iter().all(Op::has_no_waiter) {
                keep_newest(&mut batch);
                continue;
            }
            self.commit(std::mem::take(&mut batch)).await;
            if closing {
                break;
            }
        }
        self.shared.close();
        self.queue.close();
        while let Some(op) = self.queue.recv().await {
            answer(op, Err(StoreError::Closed));
        }
    }

    async fn commit(&self, batch: Vec<Op<E>>) {
        let outcome = self.write(batch).await;
        match outcome {
            Ok(batch) => {
                let newest = batch.iter().rev().find_map(|op| match op {
                    Op::Append { append, .. } => Some(*append),
                    _ => None,
                });
                self.shared.committed(newest);
                self.commits.send_replace(());
                for op in batch {
                    answer(op, Ok(()));
                }
            }
            Err((error, batch)) => {
                // The content of the disk is unknown now, so nothing is acknowledged from here on, not even
                // an operation that would succeed.
                self.shared.health.poison(&error);
                for op in batch {
                    answer(op, Err(error.clone()));
                }
            }
        }
    }

    /// Runs one commit, off this task. The operations come back for their callbacks.
    async fn write(&self, batch: Vec<Op<E>>) -> Result<Vec<Op<E>>, (StoreError, Vec<Op<E>>)> {
        if let Err(error) = self.shared.health.check() {
            return Err((error, batch));
        }
        let database: Arc<LogDatabase> = match self.shared.database() {
            Ok(database) => database,
            Err(error) => return Err((error, batch)),
        };
        let work = move || match database.commit(&batch) {
            Ok(()) => Ok(batch),
            Err(error) => Err((error, batch)),
        };
        // If the work is lost, its operations are lost with it. Dropping their callbacks then reports the
        // failure.
        blocking(&self.run, work).await.unwrap_or_else(|error| Err((error, Vec::new())))
    }
}

/// Of the operations without a waiter, only the newest of each kind matters. Alone, they are not worth an
/// fsync.
fn keep_newest<E>(batch: &mut Vec<Op<E>>) {
    let (mut committed, mut remembered) = (None, None);
    for op in batch.drain(..) {
        match op {
            Op::Remembered { .. } => remembered = Some(op),
            _ => committed = Some(op),
        }
    }
    batch.extend(committed);
    batch.extend(remembered);
}

fn answer<E>(op: Op<E>, result: Result<(), StoreError>) {
    match op {
        Op::Append { on_durable, room, .. } => {
            drop(room);
            on_durable(result.map_err(Into::into));
        }
        // The caller may have gone away in the meantime.
        Op::Vote { done, .. }
        | Op::Truncate { done, .. }
        | Op::Generation { done, .. }
        | Op::Remembered { done: Some(done), .. }
        | Op::Close { done } => {
            let _ = done.send(result);
        }
        Op::Committed { .. } | Op::Remembered { done: None, .. } | Op::Purge { .. } => {}
    }
}
