//! A submission on its way into the log, its outcome, and why it has none.

use tokio::sync::oneshot;
use tokio::time::Instant;

use assent_proof::History;
use assent_registry::{Group, Outcome};

use super::anchor::Unsure;
use crate::peer::Behalf;
use crate::shares::Share;

/// One submission on its way into the log.
pub(crate) struct Pending {
    pub(super) group: Group,
    /// Whose it is.
    pub(super) behalf: Behalf,
    pub(super) bytes: usize,
    pub(super) until: Instant,
    pub(super) reply: oneshot::Sender<Result<SubmissionOutcome, Failure>>,
    /// The places of the call, which are given back with the answer.
    pub(super) _places: Share,
}

/// What became of one submission, and in which history.
pub(super) struct SubmissionOutcome {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) history: Option<History>,
}

/// Why a submission has no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It was certainly not proposed.
    NoQuorum(String),
    /// It may have been committed, or may still be.
    Unknown(String),
    /// The leader, or this node while there is none, does not trust its clock.
    ClockUncertain(Option<Unsure>),
    /// Too many submissions are waiting.
    Overloaded(String),
}
