//! Whether a revocation or a containment adds anything to those that stand already (RFC-EG-033 §7: revoke,
//! quarantine, isolate, invalidate).

use assent_proof::Statement;

use super::plan::Placement;
use super::stop::Stop;
use crate::kinds::Restriction;
use crate::view::View;

/// A restriction that adds nothing to a standing one by the same issuers is answered with the receipt of that
/// one.
///
/// Rule R114 (RFC-EG-033 §7, revoke): A revocation that adds nothing to an earlier one by the same issuers,
/// or a containment that adds nothing to one by the same issuers that holds, is answered with the earlier
/// receipt and makes no leaf.
pub(super) fn check(
    view: &View<'_>,
    statement: &Statement,
    restriction: &Restriction<'_>,
) -> Result<Placement, Stop> {
    let target = restriction.target();
    let earlier = view.restriction(&statement.domain, statement.kind, &target, &statement.issuers)?;
    let Some(earlier) = earlier else { return Ok(Placement::Restriction) };
    let adds = match restriction {
        Restriction::Revokes { authority, invalid_since } => {
            let reaches = view.authority(authority)?.and_then(|row| row.invalid_since);
            match (invalid_since, reaches) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(since), Some(reaches)) => *since < reaches,
            }
        }
        Restriction::Contains(_) => match view.evidence(&earlier.evidence_id)? {
            Some(row) => view.is_released(&row)?,
            None => true,
        },
    };
    if adds { Ok(Placement::Restriction) } else { Ok(Placement::Redundant(earlier.evidence_id)) }
}
