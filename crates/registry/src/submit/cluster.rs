//! What a `rules` statement says of the registry as a whole: it moves one step on, never back and never two at once.

use assent_proof::{Code, Refusal};

use super::Stop;
use crate::view::View;

/// The next version of the rules, and no other.
pub(super) fn rules(view: &View<'_>, version: u32) -> Result<(), Stop> {
    let current = view.rules_version()?.0;
    if current.checked_add(1) == Some(version) {
        return Ok(());
    }
    let next = current.saturating_add(1);
    let detail =
        format!("the rules are at version `{current}`, so the next one is `{next}`, not `{version}`");
    Err(Refusal::at(Code::ClaimsInvalid, "predicate.claims.version", detail).into())
}
