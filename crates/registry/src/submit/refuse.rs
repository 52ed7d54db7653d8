//! The refusals of a single claim.

use assent_proof::{Code, Refusal};

/// The refusal of a claim that is not valid here.
pub(super) fn invalid(claim: &str, detail: String) -> Refusal {
    Refusal::at(Code::ClaimsInvalid, format!("predicate.claims.{claim}"), detail)
}

/// The refusal of a claim that names a target that does not exist.
pub(super) fn unknown_target(claim: &str, detail: String) -> Refusal {
    Refusal::at(Code::TargetUnknown, format!("predicate.claims.{claim}"), detail)
}
