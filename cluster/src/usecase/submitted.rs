//! What became of an envelope, as the caller is told and as it is counted.

use assent_api::{Call, Problem, ReceiptBody};
use assent_proof::{History, Refusal};
use assent_registry::Outcome;

use super::pending::Failure;
use super::problem::{is_settled, of_failure, of_refusal};
use crate::metrics::EnvelopeOutcome;

/// What became of one envelope, as the caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// It is in the ledger.
    Accepted {
        /// Its place in the ledger.
        receipt: ReceiptBody,
        /// Whether this submission put it there. If not, an earlier one did.
        fresh: bool,
    },
    /// It was judged: it is not in the ledger, or it is there as proof of an equivocation.
    Refused(Box<Problem>),
    /// It was certainly not proposed, or a node could not judge it. That settles nothing: the same bytes may be
    /// accepted by another node or later.
    NotTaken(Box<Problem>),
    /// It is unknown whether it is in the ledger.
    Unknown(Box<Problem>),
}

impl Submitted {
    /// What the caller is told if it was not accepted.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Submitted::Accepted { .. } => None,
            Submitted::Refused(problem) | Submitted::NotTaken(problem) | Submitted::Unknown(problem) => {
                Some(problem)
            }
        }
    }
}

impl From<&Submitted> for EnvelopeOutcome {
    fn from(result: &Submitted) -> Self {
        match result {
            Submitted::Accepted { fresh: true, .. } => EnvelopeOutcome::Accepted,
            Submitted::Accepted { fresh: false, .. } => EnvelopeOutcome::Again,
            Submitted::Unknown(_) => EnvelopeOutcome::Unknown,
            Submitted::Refused(problem) | Submitted::NotTaken(problem) => {
                EnvelopeOutcome::Refused(problem.code)
            }
        }
    }
}

/// The answer to an envelope that has no outcome.
pub(super) fn failed(failure: &Failure) -> Submitted {
    let problem = of_failure(failure);
    match failure {
        Failure::Unknown(_) => Submitted::Unknown(problem),
        Failure::NoQuorum(_) | Failure::ClockUncertain(_) | Failure::Overloaded(_) => {
            Submitted::NotTaken(problem)
        }
    }
}

/// The answer to an envelope that was refused: it was judged, or a node could not judge it.
fn of_problem(problem: Problem) -> Submitted {
    let is_settled = is_settled(problem.code);
    let problem = Box::new(problem);
    if is_settled { Submitted::Refused(problem) } else { Submitted::NotTaken(problem) }
}

/// The answer to an envelope that is not proposed, as it was judged in this history.
pub(super) fn refused(refusal: &Refusal, history: Option<History>) -> Submitted {
    of_problem(of_refusal(refusal, Call::Submission).in_history(history))
}

/// The answer to an envelope that has this outcome, in this history.
pub(super) fn answer(outcome: Outcome, history: Option<History>) -> Submitted {
    let body = |receipt: assent_registry::Receipt, history| ReceiptBody {
        evidence_id: receipt.evidence_id,
        ledger_index: receipt.ledger_index,
        revision: receipt.revision,
        accepted_at: receipt.accepted_at,
        history,
    };
    // A receipt means nothing without its history. An applied envelope has one.
    let of_none =
        || failed(&Failure::Unknown("the history of the receipt was lost inside the node".to_owned()));
    match outcome {
        Outcome::Accepted { receipt, fresh } => match history {
            Some(history) => Submitted::Accepted { receipt: body(receipt, history), fresh },
            None => of_none(),
        },
        Outcome::Equivocation { receipt, refusal } => {
            let Some(found) = history else { return of_none() };
            let problem = of_refusal(&refusal, Call::Submission).with_receipt(body(receipt, found));
            Submitted::Refused(Box::new(problem.in_history(history)))
        }
        Outcome::Refused { refusal, head, next_sequence } => {
            let problem = of_refusal(&refusal, Call::Submission).with_slot(head, next_sequence);
            of_problem(problem.in_history(history))
        }
    }
}
