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
//! pending again. A flush learns of it from the answers to what it sends, and asks the registry if none of them said it, as when nothing
//! is pending. So it is with [`OutboxError::HistoryUnnoted`] if nothing says in which history what is done was delivered, as in the
//! outbox of an earlier build. Statements are made for a registry and not for a history, and sending one twice brings its first receipt.
//!
//! The number keeps the order, which a chain of statements needs. Nothing is ever deleted except half-written `.tmp`
//! files; `done/` and `refused/` are the caller's to archive.

mod disk;
mod error;

pub use error::OutboxError;

use assent_api::Problem;
use assent_proof::{Code, Envelope, EvidenceId, History};
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use crate::client::Client;
use crate::error::ClientError;
use crate::submit::{SubmitError, Submitted};
use disk::{Delivered, Disk, Name, Settled};

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
    delivered: Delivered,
}

/// What a flush found out. Whatever ended it, this has all that it settled before.
#[derive(Debug, Default)]
#[must_use = "what was accepted is reported here alone"]
pub struct FlushReport {
    /// Accepted, now in `done/`.
    pub accepted: Vec<(EvidenceId, Submitted)>,
    /// Refused for good, now in `refused/`.
    pub refused: Vec<(EvidenceId, Problem)>,
    /// Why it stopped before the end. What comes after the first envelope still pending was not sent, since it may rest on it.
    pub stopped: Option<FlushStopped>,
}

/// Why a flush stopped before the end.
#[derive(Debug, thiserror::Error)]
pub enum FlushStopped {
    /// The first envelope still pending got no definite answer.
    #[error(transparent)]
    NoAnswer(#[from] ClientError),
    /// The outbox cannot go on.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

impl FlushStopped {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            FlushStopped::NoAnswer(error) => error.code(),
            FlushStopped::Outbox(error) => error.code(),
        }
    }

    /// What to do about it, in one line.
    pub fn remedy(&self) -> String {
        match self {
            FlushStopped::NoAnswer(error) => error.remedy(),
            FlushStopped::Outbox(error) => error.remedy(),
        }
    }
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
        let (pending, next_number, delivered) = (disk.pending()?, disk.next_number()?, disk.delivered()?);
        Ok(Outbox { disk: Arc::new(disk), pending: pending.into(), next_number, pending_max, delivered })
    }

    /// In which history what is done was delivered; none before the first, and if nothing says it.
    pub fn history(&self) -> Option<History> {
        match self.delivered {
            Delivered::In(history) => Some(history),
            Delivered::Nothing | Delivered::Unnoted { .. } => None,
        }
    }

    /// What is pending, in the order put.
    pub fn pending(&self) -> impl Iterator<Item = EvidenceId> + '_ {
        self.pending.iter().map(|name| name.id)
    }

    /// The signed bytes of what is pending, in the order put.
    ///
    /// # Errors
    /// `outbox_io`; `outbox_mutated` for a file that is not what was put.
    pub fn pending_envelopes(&self) -> Result<Vec<Vec<u8>>, OutboxError> {
        self.pending.iter().map(|name| self.disk.read(*name)).collect()
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
    /// It stops at the first envelope without a definite answer, and with `wrong_registry` at one that a node of another registry
    /// refused, which stays pending; with `outbox_io`; with `outbox_mutated` for a pending file that is
    /// not what was put; with `history_mismatch` when the registry judged an envelope in another history than what is done
    /// already, which then stays pending, whatever the judgement was; with `outbox_history_unnoted` at once, if nothing says in which
    /// history what is done was delivered.
    ///
    /// A flush that ends without such an answer, as one with nothing pending does, asks which history is in force, if anything was
    /// delivered before. It stops with `history_mismatch` for another one, and with the client's error if the registry cannot be asked:
    /// that nothing is pending says nothing of what is done.
    pub async fn flush(&mut self, client: &Client) -> FlushReport {
        let mut report = FlushReport::default();
        let stopped = self.flush_into(client, &mut report).await.err();
        FlushReport { stopped, ..report }
    }

    async fn flush_into(&mut self, client: &Client, report: &mut FlushReport) -> Result<(), FlushStopped> {
        if let Delivered::Unnoted { count } = self.delivered {
            return Err(OutboxError::HistoryUnnoted { dir: self.disk.dir().to_owned(), count }.into());
        }
        let mut confirmed = false;
        while let Some(name) = self.pending.front().copied() {
            let envelope = self.on_disk(move |disk| disk.read(name)).await?;
            let submitted = client.submit(Bytes::from(envelope)).await;
            let refused_in = submitted.as_ref().err().and_then(SubmitError::judged_in);
            match submitted {
                Ok(submitted) => {
                    self.is_in(submitted.receipt.history).await?;
                    confirmed = true;
                    self.settle(name, Settled::Done(submitted.receipt)).await?;
                    report.accepted.push((name.id, submitted));
                }
                // The registry that the statement is for may have taken it before.
                Err(SubmitError::Refused(problem)) if problem.code == Code::WrongRegistry => {
                    return Err(ClientError::Refused(problem).into());
                }
                Err(SubmitError::Refused(problem)) => {
                    if let Some(judged_in) = refused_in {
                        self.is_in(judged_in).await?;
                        confirmed = true;
                    }
                    self.settle(name, Settled::Refused(problem.clone())).await?;
                    report.refused.push((name.id, *problem));
                }
                Err(SubmitError::NotTaken(error) | SubmitError::Unknown(error)) => return Err(error.into()),
            }
        }
        if !confirmed && let Delivered::In(_) = self.delivered {
            let in_force = client.history_in_force().await?;
            self.is_in(in_force).await?;
        }
        Ok(())
    }

    /// Files the envelope that is pending first.
    async fn settle(&mut self, name: Name, settled: Settled) -> Result<(), OutboxError> {
        self.on_disk(move |disk| disk.settle(name, &settled)).await?;
        self.pending.pop_front();
        Ok(())
    }

    /// Has everything sent again in this history, once the registry has confirmed that it is the one in force: what is done becomes
    /// pending, before what is pending already, and the next flush sends it. Nothing is lost by it, however often it is asked for.
    ///
    /// # Errors
    /// `history_mismatch` if another history is in force, and the client's error if the registry cannot be asked; nothing was changed
    /// then. `outbox_io`: asked again, it goes on.
    pub async fn resend_in(&mut self, history: History, client: &Client) -> Result<(), FlushStopped> {
        if self.delivered == Delivered::In(history) {
            return Ok(());
        }
        // A name that was mistyped, or guessed, must not become the one that receipts are held against.
        let in_force = client.history_in_force().await?;
        if in_force != history {
            let dir = self.disk.dir().to_owned();
            return Err(OutboxError::HistoryNotInForce { dir, named: history, in_force }.into());
        }
        self.on_disk(Disk::undo_all).await?;
        // Only now: until here the outbox names the earlier history, or none, and a flush would say so again.
        self.on_disk(move |disk| disk.note_history(&history)).await?;
        self.delivered = Delivered::In(history);
        self.pending = self.on_disk(Disk::pending).await?.into();
        Ok(())
    }

    /// Notes the first history, and refuses every other one.
    async fn is_in(&mut self, history: History) -> Result<(), OutboxError> {
        match self.delivered {
            Delivered::In(delivered_in) if delivered_in == history => Ok(()),
            Delivered::In(delivered_in) => Err(OutboxError::HistoryChanged {
                dir: self.disk.dir().to_owned(),
                delivered_in,
                in_force: history,
            }),
            Delivered::Unnoted { count } => {
                Err(OutboxError::HistoryUnnoted { dir: self.disk.dir().to_owned(), count })
            }
            Delivered::Nothing => {
                // Before the first receipt is filed: one without a history next to it would count in any.
                self.on_disk(move |disk| disk.note_history(&history)).await?;
                self.delivered = Delivered::In(history);
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
