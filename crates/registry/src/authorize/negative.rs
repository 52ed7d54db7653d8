//! Negative statements: which of them deny (RFC-EG-033 §7, fail-closed proof enforcement).
//!
//! For each issuer and kind, the slots are read from the newest one back to the first in which a statement of
//! that kind stands. A negative in that slot denies, however many other issuers pass, whichever issuer signed
//! it and however old it is. So does every negative on the way: voiding a statement lifts nothing, negatives
//! do not age, and a void statement has replaced nothing. Two negatives are not heard: one that governance
//! has released, and one that does not stand while the other half of its slot does.

use assent_proof::{Claims, Code, EvidenceId, PolicyBody, PolicyVerdict};

use super::case::Case;
use super::lineage_state::LineageState;
use super::verdict::Findings;
use super::walk::TooFar;
use crate::issuer_statements::{IssuerStatements, Slot};
use crate::kinds::{Says, effects, profile};
use crate::limit;
use crate::rows::{RowError, Table};

/// Denies for every negative statement in the lineage, whether the policy requires its kind or not.
///
/// Rule R31 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A negative that is heard denies, in the
/// execution's lineage and in the runtime's, whether or not the policy requires its kind, however many other
/// issuers pass, however old it is, and whether or not it is void.
///
/// Rule R32 (RFC-EG-033 §7, best-effort evidence continuity): For each issuer and kind, an evaluation goes
/// back from the newest slot up to and including the first one in which a statement of that kind stands, and
/// hears the negatives of all these slots, except as R34 says, since a statement that does not stand has
/// replaced nothing.
///
/// Rule R33 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): If one evaluation would walk back over more than
/// 1,024 slots, it denies (`inheritance_unverifiable`).
pub(super) fn negatives(
    case: &Case<'_>,
    lineage_state: &LineageState,
    findings: &mut Findings,
) -> Result<(), RowError> {
    for statements in
        lineage_state.statements.iter().filter(|statements| profile(statements.kind).can_be_negative)
    {
        let mut walk = statements.earlier.clone();
        let mut slot = statements.newest.clone();
        let mut replaced = false;
        loop {
            let stands = hear(case, statements, &slot, replaced, findings)?;
            if stands {
                break;
            }
            replaced = true;
            match case.walk(lineage_state, statements, &mut walk)? {
                Ok(Some(earlier)) => slot = earlier,
                Ok(None) => break,
                Err(TooFar) => {
                    findings.deny(Code::InheritanceUnverifiable, too_far(statements), None);
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn too_far(statements: &IssuerStatements) -> String {
    let IssuerStatements { kind, issuer, .. } = statements;
    let most = limit::WALKED_STATEMENTS;
    format!(
        "no recent `{kind}` by {issuer} stands, and this evaluation would walk back over more than {most} slots: \
         let the issuer sign a new one, or, if its key is revoked, begin a new lineage"
    )
}

/// Denies for the negatives of a slot that are heard: those that stand, or all of them if nothing in the slot
/// stands, of whatever kind. Answers whether a statement of this kind stands, so that no older slot matters.
///
/// Rule R34 (RFC-EG-033 §7, best-effort evidence continuity): A negative that does not stand is not heard if
/// the other half of its slot stands, of whatever kind that is, and if neither half of a slot stands, the
/// negatives of both are heard.
fn hear(
    case: &Case<'_>,
    statements: &IssuerStatements,
    slot: &Slot,
    replaced: bool,
    findings: &mut Findings,
) -> Result<bool, RowError> {
    let mut any_stands = false;
    for half in slot.halves() {
        any_stands |= case.view.stands(&half.evidence_id, &half.references)?;
    }
    let mut stands = false;
    for half in slot.of_kind(statements.kind) {
        let half_stands = case.view.stands(&half.evidence_id, &half.references)?;
        stands |= half_stands;
        if !half_stands && any_stands {
            continue;
        }
        if let Some((code, mut detail)) = negative(case.policy, &half.claims)
            && !released(case, &half.evidence_id)?
        {
            if replaced {
                detail.push_str("; nothing of this kind that its issuer said later stands");
            }
            findings.deny(code, detail, Some(half.evidence_id));
        }
    }
    Ok(stands)
}

/// Whether governance lifted a negative statement whose issuer can no longer replace it.
///
/// Rule R67 (RFC-EG-033 §7, quarantine): A quarantine, an isolation or a negative is released only while a
/// release in force names exactly that statement, and not another one that says the same, and an invalidation
/// is never released.
fn released(case: &Case<'_>, id: &EvidenceId) -> Result<bool, RowError> {
    match case.view.evidence(id)? {
        Some(row) => case.view.is_released(&row),
        None => Err(RowError::Mutated { table: Table::Evidence, key: id.0.to_vec() }),
    }
}

/// Why the content of a statement denies: a status that is not accepted, a `fail`, or a measurement that is
/// not approved. An absent list is not checked; an empty list approves nothing.
///
/// Rule R28 (RFC-EG-033 §2, runtime attestation evidence): An attestation is negative if the policy has a
/// list of statuses that lacks its status (`attestation_not_affirming`).
///
/// Rule R29 (RFC-EG-033 §2, runtime integrity verification): An attestation or a measurement is negative if
/// the policy has a list of measurements that lacks its measurement (`measurement_not_approved`).
///
/// Rule R30 (RFC-EG-033 §2, policy validation proofs): A policy validation is negative if it says `fail`
/// (`policy_validation_failed`).
pub(super) fn negative(policy: &PolicyBody, claims: &Claims) -> Option<(Code, String)> {
    let unapproved = |measurement: &str| {
        let approved = policy.measurements.as_ref()?;
        (!approved.iter().any(|approved| approved == measurement))
            .then(|| (Code::MeasurementNotApproved, format!("measurement `{measurement}` is not approved")))
    };
    match effects(claims).says {
        Says::Nothing => None,
        Says::Attested { status, measurement } => {
            let accepted = policy.attestation_status.as_ref();
            if accepted.is_some_and(|accepted| !accepted.contains(&status)) {
                let detail = format!("attestation status `{}` is not accepted", status.as_str());
                return Some((Code::AttestationNotAffirming, detail));
            }
            unapproved(measurement)
        }
        Says::Measured(measured) => unapproved(measured),
        Says::Validated { verdict, .. } => match verdict {
            PolicyVerdict::Pass => None,
            PolicyVerdict::Fail => {
                Some((Code::PolicyValidationFailed, "a policy validation says `fail`".to_owned()))
            }
        },
    }
}
