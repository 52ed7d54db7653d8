//! A submission on its way into the log, what became of it, and why nothing did.

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use assent_api::{Call, Problem, status_of};
use assent_proof::{Code, History};
use assent_registry::{Group, Outcome};

use super::anchor::Unsure;

/// One submission on its way into the log.
pub(crate) struct Pending {
    pub(super) group: Group,
    pub(super) bytes: usize,
    pub(super) until: Instant,
    pub(super) reply: oneshot::Sender<Result<Judged, Failure>>,
    /// Given back with the answer.
    pub(super) _places: OwnedSemaphorePermit,
}

/// What became of one submission, and in which history.
pub(super) struct Judged {
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
    /// Too much is waiting.
    Overloaded(String),
}

impl Failure {
    /// Rule R229 (RFC-EG-033 §4, synchronization ambiguity): A submission that was certainly not proposed,
    /// for want of a quorum or of a sure clock, is answered with 503, and one whose outcome is unknown with
    /// 504.
    pub(super) fn problem(&self) -> Problem {
        let refuse = |code, detail: &str| Problem::new(code, status_of(code, Call::Submission), detail);
        match self {
            Failure::NoQuorum(detail) => refuse(Code::NoQuorum, detail),
            Failure::Unknown(detail) => Problem::unknown_outcome(detail.clone()),
            Failure::ClockUncertain(None) => {
                refuse(Code::ClockUncertain, "the leader does not trust its clock")
            }
            Failure::ClockUncertain(Some(unsure)) => *unsure.problem(Call::Submission),
            Failure::Overloaded(detail) => refuse(Code::Overloaded, detail),
        }
    }
}
