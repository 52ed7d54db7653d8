//! The outbox: signed bytes that are on disk before they are sent, and are sent again until their outcome is known.
//!
//! An issuer that signs a second, different statement for one slot equivocates and quarantines its lineage. So signed
//! bytes must never be lost while their outcome is unknown. First they are **put**, which makes them durable. Then
//! they are **flushed**: sent in the order in which they were put, until each has a definite answer. Then they are
//! kept with their receipt in `done/` or with their problem in `refused/`.
//!
//! ```text
//! DIR/lock                                 held while open; one process at a time
//! DIR/history                              the history in which what is done was delivered, after a line with the format's version
//! DIR/<number>-<evidence id's hex>.json    pending: exactly the signed bytes
//! DIR/done/<number>-<hex>.json, .receipt.json
//! DIR/refused/<number>-<hex>.json, .problem.json
//! ```
//! A receipt says that an envelope is in the ledger of one history. If the registry continues in another history, for
//! example after a recovery, the envelopes in `done/` may not be in its ledger. The outbox then stops with
//! [`OutboxError::HistoryChanged`] until [`Outbox::resend_in`] has made everything pending again. A flush learns the
//! history in force from the answers to what it sends. If no answer names it, for example because nothing is pending,
//! the flush asks the registry. If neither the outbox nor the receipts name the history in which the envelopes in
//! `done/` were delivered, as in the outbox of an earlier build, the outbox stops with
//! [`OutboxError::HistoryUnnoted`]. A statement is made for a registry and not for a history, and sending it twice
//! brings its first receipt.
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

/// The result of a flush. Whatever ended the flush, this has everything that it settled before.
#[derive(Debug, Default)]
#[must_use = "what was accepted is reported here alone"]
pub struct FlushReport {
    /// The envelopes that were accepted and are now in `done/`.
    pub accepted: Vec<(EvidenceId, Submitted)>,
    /// The envelopes that were definitely refused and are now in `refused/`.
    pub refused: Vec<(EvidenceId, Problem)>,
    /// Why the flush stopped before its end. The envelopes after the first one that is still pending were not sent,
    /// since they may rest on it.
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

    /// Opens the outbox like [`open`](Self::open), with another limit of pending envelopes.
    pub fn open_with_limit(dir: impl Into<PathBuf>, pending_max: usize) -> Result<Self, OutboxError> {
        let disk = Disk::open(dir.into())?;
        let (pending, next_number, delivered) = (disk.pending()?, disk.next_number()?, disk.delivered()?);
        Ok(Outbox { disk: Arc::new(disk), pending: pending.into(), next_number, pending_max, delivered })
    }

    /// The history in which the envelopes in `done/` were delivered. `None` if there are none, or if their history is
    /// not known.
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

    /// Keeps a signed envelope. When this returns, the envelope survives a crash, and the next flush sends it. Nothing
    /// has been sent yet. An envelope that is already pending is kept once. The call blocks for two fsyncs.
    ///
    /// # Errors
    /// `outbox_full`; the refusal of bytes that are not an envelope; `outbox_io`.
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
    /// It stops at the first envelope without a definite answer, and with `outbox_io`. It stops with `wrong_registry` at
    /// an envelope that a node of another registry refused; that envelope stays pending. It stops with `outbox_mutated`
    /// for a pending file that is not what was put. It stops with `history_mismatch` if the registry judged an
    /// envelope in another history than that of the envelopes in `done/`; that envelope stays pending, whatever the
    /// judgement was. It stops at once with `outbox_history_unnoted` if nothing names the history of the envelopes in
    /// `done/`.
    ///
    /// If no answer has named the history in force, for example because nothing was pending, and something was
    /// delivered before, the flush asks which history is in force. It stops with `history_mismatch` if that is another
    /// one, and with the client's error if the registry cannot be asked. An outbox without pending envelopes does not
    /// prove that those in `done/` are in the ledger.
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

    /// Makes everything pending again in this history, once the registry has confirmed that the history is in force.
    /// The envelopes in `done/` come before those that are already pending, and the next flush sends all of them. It
    /// may be called repeatedly without losing anything.
    ///
    /// # Errors
    /// `history_mismatch` if another history is in force, and the client's error if the registry cannot be asked; in
    /// both cases nothing was changed. `outbox_io`: a repeated call continues.
    pub async fn resend_in(&mut self, history: History, client: &Client) -> Result<(), FlushStopped> {
        if self.delivered == Delivered::In(history) {
            return Ok(());
        }
        // A history that was mistyped or guessed must not become the one that receipts are checked against.
        let in_force = client.history_in_force().await?;
        if in_force != history {
            let dir = self.disk.dir().to_owned();
            return Err(OutboxError::HistoryNotInForce { dir, named: history, in_force }.into());
        }
        self.on_disk(Disk::undo_all).await?;
        // The history is noted only now. Until here the outbox names the earlier history or none, so a flush would
        // fail again.
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
                // The history is noted before the first receipt is filed: a receipt without a history would count in
                // any history.
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
