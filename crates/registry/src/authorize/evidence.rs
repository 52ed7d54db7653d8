//! One statement on its own: whether it denies, and whether it may count.
//!
//! Per issuer and kind only the newest statement is looked at, void or not. A negative one denies however
//! many others pass, whoever signed it and however old it is: voiding lifts nothing, and negatives do not age. Nor does
//! what is void lift anything: a negative that a void statement replaced denies still.

use assent_proof::{Claims, Code, EvidenceId, Millis, PolicyBody, PolicyVerdict, PublicKey};

use super::verdict::Findings;
use super::{Case, Scene};
use crate::mutant::{self, Mutant};
use crate::record::{EarlierWord, NewestHalf, NewestRow};
use crate::rows::{RowError, Table};
use crate::standing::authority_flaw;
use crate::submit::roles_for;

/// Denies for every negative statement in the scene, whether the policy requires its kind or not.
pub(super) fn negatives(case: &Case<'_>, scene: &Scene, findings: &mut Findings) -> Result<(), RowError> {
    for (kind, issuer, row) in &scene.newest {
        for half in &row.halves {
            if let Some((code, detail)) = negative(case.policy, &half.claims)
                && !released(case, &half.evidence_id)?
                && !said_otherwise(case, row)
            {
                findings.deny(code, detail, Some(half.evidence_id));
            }
        }
        if row.before.is_empty() || !all_void(case, row)? {
            continue;
        }
        let (words, unknown) = standing_words(case, row)?;
        for word in words {
            if let Some((code, detail)) = negative(case.policy, &word.claims)
                && !released(case, &word.evidence_id)?
            {
                let detail = format!("{detail}; what its issuer said later is void and has not replaced it");
                findings.deny(code, detail, Some(word.evidence_id));
            }
        }
        if unknown {
            let detail = format!(
                "what {issuer} says last in `{kind}` is void, and what it said before is no longer remembered"
            );
            findings.deny(Code::InheritanceUnverifiable, detail, None);
        }
    }
    Ok(())
}

/// Whether an issuer once said something that is not negative: nothing to a node, but to a mutant.
pub(super) fn said_otherwise(case: &Case<'_>, row: &NewestRow) -> bool {
    mutant::is_active(Mutant::AnyMatchingEvidence)
        && row.before.iter().any(|word| negative(case.policy, &word.claims).is_none())
}

/// Whether governance lifted a negative statement whose issuer can no longer say otherwise.
fn released(case: &Case<'_>, id: &EvidenceId) -> Result<bool, RowError> {
    match case.view.evidence(id)? {
        Some(row) => case.view.is_released(&row),
        None => Err(RowError::Mutated { table: Table::Evidence, key: id.0.to_vec() }),
    }
}

fn all_void(case: &Case<'_>, row: &NewestRow) -> Result<bool, RowError> {
    for half in &row.halves {
        if !case.view.is_void(&half.evidence_id)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the issuer said before its newest statement, back to the last slot in which something stands, and whether that
/// reaches further back than is remembered. What is void on the way has replaced nothing, and lifts nothing either.
///
/// A word stands if the first statement that said it does: if only a later one does, the walk goes on and finds more.
fn standing_words<'r>(case: &Case<'_>, row: &'r NewestRow) -> Result<(Vec<&'r EarlierWord>, bool), RowError> {
    let mut words = Vec::new();
    let mut rest = row.before.as_slice();
    while let Some(last) = rest.last() {
        let start = rest.iter().position(|word| word.sequence == last.sequence).unwrap_or(0);
        let (earlier, slot) = rest.split_at(start);
        let mut standing = Vec::new();
        for word in slot {
            if !case.view.is_void(&word.evidence_id)? {
                standing.push(word);
            }
        }
        if !standing.is_empty() {
            words.extend(standing);
            return Ok((words, false));
        }
        words.extend(slot);
        rest = earlier;
    }
    Ok((words, row.forgotten))
}

/// Why a statement denies by what it says: a status not accepted, a `fail`, a measurement not approved.
/// An absent list is not checked, an empty one approves nothing.
pub(super) fn negative(policy: &PolicyBody, claims: &Claims) -> Option<(Code, String)> {
    let unapproved = |measurement: &String| {
        let approved = policy.measurements.as_ref()?;
        (!approved.contains(measurement))
            .then(|| (Code::MeasurementNotApproved, format!("measurement `{measurement}` is not approved")))
    };
    match claims {
        Claims::RuntimeAttestation { status, measurement, .. } => {
            let accepted = policy.attestation_status.as_ref();
            if accepted.is_some_and(|accepted| !accepted.contains(status)) {
                let detail = format!("attestation status `{}` is not accepted", status.as_str());
                return Some((Code::AttestationNotAffirming, detail));
            }
            unapproved(measurement)
        }
        Claims::RuntimeIntegrity { measured } => unapproved(measured),
        Claims::PolicyValidation { verdict: PolicyVerdict::Fail, .. } => {
            Some((Code::PolicyValidationFailed, "a policy validation says `fail`".to_owned()))
        }
        _ => None,
    }
}

/// Why a statement does not count.
pub(super) struct Flawed {
    pub(super) code: Code,
    pub(super) detail: String,
    pub(super) evidence: EvidenceId,
}

/// Whether the statement's issuer, grant, references and expiry let it count now: until when they do, and
/// everything that says otherwise.
pub(super) fn standing(
    case: &Case<'_>,
    issuer: &PublicKey,
    half: &NewestHalf,
) -> Result<(Option<Millis>, Vec<Flawed>), RowError> {
    let mut flaws = Vec::new();
    let mut flaw = |code, detail| flaws.push(Flawed { code, detail, evidence: half.evidence_id });
    let Some(authority) = case.view.authority(issuer)? else {
        flaw(Code::AuthorityUnknown, format!("{issuer} is not an authority"));
        return Ok((None, flaws));
    };
    if authority.domain != case.request.domain {
        flaw(
            Code::AuthorityInconsistent,
            format!("{issuer} is an authority of domain `{}`", authority.domain),
        );
    }
    let kind = half.claims.kind();
    if !roles_for(kind).contains(&authority.role) {
        flaw(
            Code::RoleNotPermitted,
            format!("{issuer} is an authority for {} and signed a `{kind}`", authority.role),
        );
    }
    if let Some((code, detail)) = authority_flaw(issuer, &authority, case.now) {
        flaw(code, detail);
    }
    if !case.view.is_admitted(&authority)? {
        let detail = format!("the grant of authority `{}` ({issuer}) is void", authority.name);
        flaw(Code::InheritanceUnverifiable, detail);
    } else if let Some((code, detail)) = case.view.reference_flaw(&half.references)? {
        flaw(code, detail);
    }
    let expires_at = half.expires_at.map(|at| at.to_millis());
    if expires_at.is_some_and(|at| case.now >= at) {
        flaw(Code::EvidenceExpired, "it has expired".to_owned());
    }
    if case.view.is_void(&half.evidence_id)? {
        let row = case.view.evidence(&half.evidence_id)?;
        if let Some(by) = row.and_then(|row| row.invalidated_by) {
            let detail = format!("it was invalidated by `{by}`");
            flaws.push(Flawed { code: Code::EvidenceInvalidated, detail, evidence: half.evidence_id });
        } else if flaws.is_empty() {
            // Void by any of the ways named above; were there another, it would still not count.
            let detail = "it is void".to_owned();
            flaws.push(Flawed { code: Code::InheritanceUnverifiable, detail, evidence: half.evidence_id });
        }
    }
    Ok((earlier(expires_at, authority.not_after.map(|at| at.to_millis())), flaws))
}

/// The earlier of two ends, where there are any.
pub(super) fn earlier(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
