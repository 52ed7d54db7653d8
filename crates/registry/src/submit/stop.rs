//! Why the check of an envelope ends without a plan (RFC-EG-033 §7, no partial proof acceptance).

use assent_proof::Refusal;

use crate::command::Outcome;
use crate::rows::RowError;

/// Why checking ended without a plan.
pub(super) enum Stop {
    /// There is an answer already.
    Answer(Box<Outcome>),
    /// The store failed, or this build does not know the rules.
    Rows(RowError),
}

impl From<RowError> for Stop {
    fn from(error: RowError) -> Self {
        Stop::Rows(error)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Outcome::refused(refusal).into()
    }
}

impl From<Outcome> for Stop {
    fn from(outcome: Outcome) -> Self {
        Stop::Answer(Box::new(outcome))
    }
}
