//! The targets of claims that restrict, lift or reconcile: each must exist in the statement's own domain and
//! be of a kind that fits (RFC-EG-033 §7).

use std::rc::Rc;

use assent_proof::{Claims, Code, Containment, EvidenceId, EvidenceKind, Refusal, Statement};

use crate::containment::releasers;
use crate::kinds::profile;
use crate::limit;
use crate::record::EvidenceRow;
use crate::submit::refuse::{invalid, unknown_target};
use crate::submit::signers::Signers;
use crate::submit::stop::Stop;
use crate::view::View;

/// The target of a containment must exist.
///
/// Rule R98 (RFC-EG-033 §7, quarantine): A restriction names what it restricts in its own domain: a
/// revocation an authority, a quarantine a lineage, an isolation that domain itself and never `_root`, and an
/// invalidation execution evidence (`target_unknown`, `claims_invalid`).
pub(super) fn contains(
    view: &View<'_>,
    statement: &Statement,
    containment: &Containment,
) -> Result<(), Stop> {
    match containment {
        Containment::Quarantine(name) => {
            if view.lineage(&statement.domain, name)?.is_none() {
                let detail = format!("there is no lineage `{name}` in domain `{}`", statement.domain);
                return Err(unknown_target("target", detail).into());
            }
        }
        Containment::Isolate(domain) => {
            if *domain != statement.domain || domain.is_system() {
                let detail = "it must be the statement's own domain, and none of the system".to_owned();
                return Err(invalid("target", detail).into());
            }
        }
        Containment::Invalidate(id) => {
            let row = evidence(view, statement, id, "target")?;
            if !row.kind.is_execution() {
                let detail = format!("`{id}` is a `{}`; only execution evidence is invalidated", row.kind);
                return Err(invalid("target", detail).into());
            }
        }
    }
    Ok(())
}

/// A release must lift a quarantine, an isolation, or a negative statement whose issuer can no longer replace
/// it.
///
/// Rule R100 (RFC-EG-033 §7, quarantine): A `release` names a quarantine, an isolation, or a statement that
/// can be negative and whose issuer's key is revoked, and it names nothing that a release in force names
/// already (`claims_invalid`).
pub(super) fn releases(view: &View<'_>, statement: &Statement, id: &EvidenceId) -> Result<(), Stop> {
    let row = evidence(view, statement, id, "containment")?;
    let refuse = |detail: String| Err(invalid("containment", detail).into());
    if view.is_released(&row)? {
        return refuse(format!("`{id}` is released already"));
    }
    match (row.kind, &row.containment, row.issuers.as_slice()) {
        (EvidenceKind::Containment, Some(Containment::Quarantine(_) | Containment::Isolate(_)), _) => Ok(()),
        (EvidenceKind::Containment | EvidenceKind::Revocation, _, _) => {
            refuse(format!("`{id}` is final; only a quarantine or an isolation can be released"))
        }
        (kind, _, [issuer]) if profile(kind).can_be_negative => {
            if view.authority(issuer)?.is_some_and(|row| row.revoked.is_none()) {
                return refuse(format!("the issuer of `{id}` can still replace it with a newer statement"));
            }
            Ok(())
        }
        (kind, _, _) => refuse(format!("a `{kind}` restricts nothing, so there is nothing to release")),
    }
}

/// There must be room for one more set of signers among those that released the target.
///
/// Rule R101 (RFC-EG-033 §7, quarantine): At most 1,024 different sets of keys release the containments of
/// one target (`too_large`).
pub(in crate::submit) fn has_room_for_releasers(
    view: &View<'_>,
    statement: &Statement,
    claims: &Claims,
    signers: &Signers,
) -> Result<(), Stop> {
    let Claims::Release { containment } = claims else { return Ok(()) };
    let row = evidence(view, statement, containment, "containment")?;
    let released = match &row.containment {
        Some(Containment::Quarantine(name)) => {
            view.lineage(&row.domain, name)?.map(|row| row.quarantines.released)
        }
        Some(Containment::Isolate(domain)) => view.domain(domain)?.map(|row| row.isolations.released.clone()),
        Some(Containment::Invalidate(_)) | None => None,
    };
    let released = released.unwrap_or_default();
    let most = limit::RELEASERS_PER_TARGET;
    let signers = releasers(&signers.counted, signers.threshold);
    if released.len() >= most && !released.iter().any(|group| group.signers == signers) {
        let detail = format!("{most} different sets of keys released its target: let one of these sign it");
        return Err(Refusal::at(Code::TooLarge, "predicate.issuers", detail).into());
    }
    Ok(())
}

/// Both must be halves of one equivocation that no standing reconciliation has resolved.
///
/// Rule R102 (RFC-EG-033 §2, distributed governance reconciliation): A reconciliation names the two halves of
/// one equivocation of which neither is chosen (`claims_invalid`), and at most 256 slots of one lineage are
/// ever reconciled (`too_large`).
pub(super) fn reconciles(
    view: &View<'_>,
    statement: &Statement,
    conflict: &[EvidenceId; 2],
) -> Result<(), Stop> {
    let [one, other] = conflict;
    let one = evidence(view, statement, one, "conflict[0]")?;
    let other = evidence(view, statement, other, "conflict[1]")?;
    let slot = |row: &EvidenceRow| (row.lineage.clone(), row.issuers.clone(), row.sequence);
    let found = match (one.issuers.as_slice(), one.sequence) {
        ([issuer], Some(sequence)) if one.kind.is_execution() && slot(&one) == slot(&other) => {
            let lineage = view.lineage(&one.domain, &one.lineage)?;
            lineage.and_then(|lineage| Some((*lineage.conflict(issuer, sequence)?, lineage)))
        }
        _ => None,
    };
    let Some((found, lineage)) = found else {
        let detail = "they are not the two halves of an equivocation".to_owned();
        return Err(invalid("conflict", detail).into());
    };
    if let Some(canonical) = view.canonical(&found)? {
        let detail = format!("it is reconciled already: `{canonical}` is canonical");
        return Err(invalid("conflict", detail).into());
    }
    let resolved = lineage.conflicts.iter().filter(|conflict| conflict.reconciled.is_some()).count();
    let most = limit::RECONCILED_PER_LINEAGE;
    if found.reconciled.is_none() && resolved >= most {
        let detail = format!("{most} slots of this lineage were reconciled already: start a new lineage");
        return Err(Refusal::at(Code::TooLarge, "predicate.claims.conflict", detail).into());
    }
    Ok(())
}

/// Evidence of the statement's domain that a claim names.
fn evidence(
    view: &View<'_>,
    statement: &Statement,
    id: &EvidenceId,
    claim: &str,
) -> Result<Rc<EvidenceRow>, Stop> {
    match view.evidence(id)?.filter(|row| row.domain == statement.domain) {
        Some(row) => Ok(row),
        None => {
            let detail = format!("there is no evidence `{id}` in domain `{}`", statement.domain);
            Err(unknown_target(claim, detail).into())
        }
    }
}
