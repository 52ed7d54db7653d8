//! What became of an envelope, as the caller is told and as it is counted.

use assent_api::{Call, Problem, ReceiptBody, status_of};
use assent_proof::{Code, History};
use assent_registry::Outcome;

use super::pending::Failure;
use crate::metrics::Became;

/// What became of one envelope, as the caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// It is in the ledger; `fresh` if this submission put it there.
    Accepted {
        /// Where.
        receipt: ReceiptBody,
        /// Whether an earlier submission had put it there.
        fresh: bool,
    },
    /// It is not, or it is unknown whether it is, or it proves an equivocation.
    Problem(Box<Problem>),
}

impl From<&Submitted> for Became {
    fn from(result: &Submitted) -> Self {
        match result {
            Submitted::Accepted { fresh: true, .. } => Became::Accepted,
            Submitted::Accepted { fresh: false, .. } => Became::Again,
            // That also leaves its outcome unknown, and is a defect, which is told apart.
            Submitted::Problem(problem) if problem.code == Code::InternalError => {
                Became::Refused(Code::InternalError)
            }
            Submitted::Problem(problem) if problem.is_outcome_unknown() => Became::Unknown,
            Submitted::Problem(problem) => Became::Refused(problem.code),
        }
    }
}

/// The answer to an envelope that has no outcome.
pub(super) fn failed(failure: &Failure) -> Submitted {
    Submitted::Problem(Box::new(failure.problem()))
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
    // A receipt says nothing without the history that it is of. What was applied has one.
    let of_none =
        || failed(&Failure::Unknown("the history of the receipt was lost inside the node".to_owned()));
    match outcome {
        Outcome::Accepted { receipt, fresh } => match history {
            Some(history) => Submitted::Accepted { receipt: body(receipt, history), fresh },
            None => of_none(),
        },
        Outcome::Equivocation { receipt, refusal } => {
            let Some(found) = history else { return of_none() };
            let status = status_of(refusal.code, Call::Submission);
            let problem = Problem::from_refusal(&refusal, status).with_receipt(body(receipt, found));
            Submitted::Problem(Box::new(problem.in_history(history)))
        }
        Outcome::Refused { refusal, head, next_sequence } => {
            let status = status_of(refusal.code, Call::Submission);
            let problem = Problem::from_refusal(&refusal, status).with_slot(head, next_sequence);
            Submitted::Problem(Box::new(problem.in_history(history)))
        }
    }
}
