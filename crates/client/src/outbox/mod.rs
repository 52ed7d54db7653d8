//! The outbox: signed bytes that are on disk before they are sent, and are sent again until their outcome is known.
//!
//! An issuer that signs a second, different statement for one slot equivocates and quarantines its lineage. So what was
//! signed must never be forgotten while its outcome is unknown: it is **put** (durable), then **flushed** (sent, in the
//! order put, until a definite answer), then kept beside its receipt in `done/` or its problem in `refused/`.
//!
//! ```text
//! DIR/lock                                 held while open; one process at a time
//! DIR/history                              the history in which what is done was delivered, after a line with the format's version
//! DIR/<number>-<evidence id's hex>.json    pending: exactly the signed bytes
//! DIR/done/<number>-<hex>.json, .receipt.json
//! DIR/refused/<number>-<hex>.json, .problem.json
//! ```
//! A receipt says that an envelope is in the ledger of one history. If the registry goes on in another one, as after a recovery, what
//! is done may not be there: the outbox then stops with [`OutboxError::HistoryChanged`] until [`Outbox::resend_in`] has made everything
//! pending again. Statements are made for a registry and not for a history, and sending one twice brings its first receipt.
//!
//! The number keeps the order, which a chain of statements needs. Nothing is ever deleted except half-written `.tmp`
//! files; `done/` and `refused/` are the caller's to archive.

mod disk;
mod error;

pub use error::OutboxError;

use assent_api::Problem;
use assent_proof::{Envelope, EvidenceId, History};
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use crate::client::Client;
use crate::error::ClientError;
use crate::submit::Submitted;
use disk::{Disk, Name, Settled};

/// Most pending envelopes of an outbox, unless [`Outbox::open_with_limit`] says otherwise.
pub const PENDING_MAX: usize = 10_000;

/// Signed envelopes on disk whose outcome is not known yet. Holds the directory's lock until it is dropped.
#[derive(Debug)]
pub struct Outbox {
    disk: Arc<Disk>,
    /// In the order put.
    pending: VecDeque<Name>,
    /// Above every number in use, also of what is settled.
    next_number: u64,
    pending_max: usize,
    /// In which history what is done was delivered.
    history: Option<History>,
}

/// What a flush found out.
#[derive(Debug, Default)]
pub struct FlushReport {
    /// Accepted, now in `done/`.
    pub accepted: Vec<(EvidenceId, Submitted)>,
    /// Refused for good, now in `refused/`.
    pub refused: Vec<(EvidenceId, Problem)>,
    /// Why it stopped before the end: the first envelope still pending got no definite answer. What comes after it was
    /// not sent, since it may rest on it.
    pub stopped: Option<ClientError>,
}

impl Outbox {
    /// Opens the outbox in `dir`, which is made if it does not exist. Whatever an earlier process left pending is
    /// pending again.
    ///
    /// # Errors
    /// `outbox_in_use` while another process has it open; `outbox_io`.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, OutboxError> {
        Self::open_with_limit(dir, PENDING_MAX)
    }

    /// The same with another limit of pending envelopes.
    pub fn open_with_limit(dir: impl Into<PathBuf>, pending_max: usize) -> Result<Self, OutboxError> {
        let disk = Disk::open(dir.into())?;
        let (pending, next_number, history) = (disk.pending()?, disk.next_number()?, disk.history()?);
        Ok(Outbox { disk: Arc::new(disk), pending: pending.into(), next_number, pending_max, history })
    }

    /// In which history what is done was delivered; none before the first.
    pub fn history(&self) -> Option<History> {
        self.history
    }

    /// What is pending, in the order put.
    pub fn pending(&self) -> impl Iterator<Item = EvidenceId> + '_ {
        self.pending.iter().map(|name| name.id)
    }

    /// Keeps a signed envelope. When this returns, it survives a crash and will be sent by the next flush; nothing was
    /// sent yet. One that is already pending is kept once. Blocks for two fsyncs.
    ///
    /// # Errors
    /// `outbox_full`; the refusal of bytes that are no envelope; `outbox_io`.
    pub fn put(&mut self, envelope: &[u8]) -> Result<EvidenceId, OutboxError> {
        let id = Envelope::parse(envelope).map_err(OutboxError::Refused)?.id();
        if self.pending().any(|pending| pending == id) {
            return Ok(id);
        }
        if self.pending.len() >= self.pending_max {
            return Err(OutboxError::Full { pending_max: self.pending_max });
        }
        let name = Name { number: self.next_number, id };
        self.disk.put(name, envelope)?;
        self.next_number = self.next_number.saturating_add(1);
        self.pending.push_back(name);
        Ok(id)
    }

    /// Sends what is pending, in order, each until its outcome is known, and files it.
    ///
    /// Cancelling it, or a crash at any step, loses nothing: an envelope leaves the pending ones only after its outcome
    /// is durable, and sending it again brings the same receipt.
    ///
    /// # Errors
    /// `outbox_io`; `outbox_mutated` for a pending file that is not what was put; `outbox_history_changed` when the registry judged it
    /// in another history than what is done already: it stays pending, whatever the judgement was.
    pub async fn flush(&mut self, client: &Client) -> Result<FlushReport, OutboxError> {
        let mut report = FlushReport::default();
        while let Some(name) = self.pending.front().copied() {
            let envelope = self.on_disk(move |disk| disk.read(name)).await?;
            let settled = match client.submit(Bytes::from(envelope)).await {
                Ok(submitted) => {
                    self.is_in(submitted.receipt.history).await?;
                    report.accepted.push((name.id, submitted));
                    Settled::Done(submitted.receipt)
                }
                Err(ClientError::Refused(problem)) => {
                    if let Some(judged_in) = problem.history {
                        self.is_in(judged_in).await?;
                    }
                    report.refused.push((name.id, (*problem).clone()));
                    Settled::Refused(problem)
                }
                Err(error) => {
                    report.stopped = Some(error);
                    break;
                }
            };
            self.on_disk(move |disk| disk.settle(name, &settled)).await?;
            self.pending.pop_front();
        }
        Ok(report)
    }

    /// Has everything sent again in this history, which the registry is in now: what is done becomes pending, before what is pending
    /// already, and the next flush sends it. Nothing is lost by it, however often it is asked for.
    ///
    /// # Errors
    /// `outbox_io`. Asked again, it goes on.
    pub async fn resend_in(&mut self, history: History) -> Result<(), OutboxError> {
        if self.history == Some(history) {
            return Ok(());
        }
        self.on_disk(Disk::undo_all).await?;
        // Only now: until here the outbox names the earlier history, and a flush would say so again.
        self.on_disk(move |disk| disk.note_history(&history)).await?;
        self.history = Some(history);
        self.pending = self.on_disk(Disk::pending).await?.into();
        Ok(())
    }

    /// Notes the first history, and refuses every other one.
    async fn is_in(&mut self, history: History) -> Result<(), OutboxError> {
        match self.history {
            Some(delivered_in) if delivered_in == history => Ok(()),
            Some(delivered_in) => Err(OutboxError::HistoryChanged {
                dir: self.disk.dir().to_owned(),
                delivered_in,
                in_force: history,
            }),
            None => {
                // Before the first receipt is filed: one without a history next to it would count in any.
                self.on_disk(move |disk| disk.note_history(&history)).await?;
                self.history = Some(history);
                Ok(())
            }
        }
    }

    /// Runs blocking work away from the async threads.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let disk = Arc::clone(&self.disk);
        match tokio::task::spawn_blocking(move || work(&disk)).await {
            Ok(result) => result,
            // The runtime is shutting down; what was pending stays pending.
            Err(error) => {
                Err(OutboxError::io("run blocking work for", self.disk.dir(), std::io::Error::other(error)))
            }
        }
    }
}
