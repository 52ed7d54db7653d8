//! Refusals of one claim.

use assent_proof::{Code, Refusal};

/// A claim that cannot be meant here.
pub(super) fn invalid(claim: &str, detail: String) -> Refusal {
    Refusal::at(Code::ClaimsInvalid, format!("predicate.claims.{claim}"), detail)
}

/// A claim that names something that is not there.
pub(super) fn unknown_target(claim: &str, detail: String) -> Refusal {
    Refusal::at(Code::TargetUnknown, format!("predicate.claims.{claim}"), detail)
}
