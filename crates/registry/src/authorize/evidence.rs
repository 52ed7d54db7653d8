//! One statement on its own: whether it denies, and whether it may count.
//!
//! Only an issuer's newest slot of a kind can count. Whether it denies is decided by walking its slots back to the first in
//! which something stands. A negative in it denies however many other issuers pass, whoever signed it and however old it is,
//! and so does every negative on the way: voiding lifts nothing, negatives do not age, and what is void has replaced nothing.

use assent_proof::{Claims, Code, EvidenceId, Millis, PolicyBody, PolicyVerdict, PublicKey};

use super::verdict::Findings;
use super::{Case, Scene, TooFar};
use crate::kinds::{Says, effects, profile};
use crate::limit;
use crate::record::SlotRow;
use crate::rows::{RowError, Table};
use crate::said::{Said, Slot};
use crate::standing::authority_flaw;

/// Denies for every negative statement in the scene, whether the policy requires its kind or not.
pub(super) fn negatives(case: &Case<'_>, scene: &Scene, findings: &mut Findings) -> Result<(), RowError> {
    for said in scene.said.iter().filter(|said| profile(said.kind).can_be_negative) {
        let mut walk = said.earlier.clone();
        let mut slot = said.newest.clone();
        let mut replaced = false;
        loop {
            let stands = hear(case, said, &slot, replaced, findings)?;
            if stands {
                break;
            }
            replaced = true;
            match case.walk(scene, said, &mut walk)? {
                Ok(Some(earlier)) => slot = earlier,
                Ok(None) => break,
                Err(TooFar) => {
                    findings.deny(Code::InheritanceUnverifiable, too_far(said), None);
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn too_far(said: &Said) -> String {
    let Said { kind, issuer, .. } = said;
    let most = limit::WALKED_STATEMENTS;
    format!(
        "nothing that {issuer} said last in `{kind}` stands, more than {most} slots back in all: let it state this anew, or, \
         if its key is revoked, begin a new lineage"
    )
}

/// Denies for the negatives of a slot that are heard: those that stand, or all of them if nothing in the slot does, whatever
/// its kind. Answers whether something of this kind stands, so that no older slot matters.
fn hear(
    case: &Case<'_>,
    said: &Said,
    slot: &Slot,
    replaced: bool,
    findings: &mut Findings,
) -> Result<bool, RowError> {
    let mut any_stands = false;
    for half in slot.halves() {
        any_stands |= case.view.stands(&half.evidence_id, &half.references)?;
    }
    let mut stands = false;
    for half in slot.of_kind(said.kind) {
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

/// Whether governance lifted a negative statement whose issuer can no longer say otherwise.
fn released(case: &Case<'_>, id: &EvidenceId) -> Result<bool, RowError> {
    match case.view.evidence(id)? {
        Some(row) => case.view.is_released(&row),
        None => Err(RowError::Mutated { table: Table::Evidence, key: id.0.to_vec() }),
    }
}

/// Why a statement denies by what it says: a status not accepted, a `fail`, a measurement not approved.
/// An absent list is not checked, an empty one approves nothing.
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
    half: &SlotRow,
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
    if !profile(kind).roles.contains(&authority.role) {
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
