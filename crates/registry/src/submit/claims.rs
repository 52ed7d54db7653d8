//! What claims must mean beside being well formed: targets that exist, keys with one role in one domain,
//! subjects that name the target.

use std::rc::Rc;

use assent_proof::{
    AuthorizeRequest, Claims, Code, Containment, DomainName, EvidenceId, EvidenceKind, Millis, PublicKey,
    Refusal, Role, Sha256, Statement,
};

use super::cluster;
use super::signers::Signers;
use super::stop::Stop;
use crate::containment::releasers;
use crate::kinds::profile;
use crate::limit;
use crate::record::{AuthorityRow, EvidenceRow};
use crate::rows::RowError;
use crate::view::View;

/// Checks the claims against the state at `now`.
///
/// Rule R59 (RFC-EG-033 §4): The key that signs the registry's checkpoints has no other role: it is no root
/// key, no governance key and no granted key, and no such key becomes it (`authority_inconsistent`).
///
/// Rule R62 (RFC-EG-033 §8): No `domain` statement names a domain that begins with `_` (`claims_invalid`).
///
/// Rule R65 (RFC-EG-033 §3): A revocation names an authority of its own domain (`target_unknown`).
pub(super) fn check(
    view: &View<'_>,
    statement: &Statement,
    claims: &Claims,
    now: Millis,
) -> Result<(), Stop> {
    match claims {
        Claims::Root { keys, registry_key, .. } => {
            subject(statement, &statement.registry)?;
            if keys.contains(registry_key) || view.authority(registry_key)?.is_some() {
                return Err(two_roles(registry_key).into());
            }
            governs(view, keys, &DomainName::root())?;
        }
        Claims::Domain { domain, governance, .. } => {
            subject(statement, domain.as_ref())?;
            if domain.is_system() {
                return Err(invalid("domain", format!("`{domain}` is the system's")).into());
            }
            governs(view, governance, domain)?;
        }
        Claims::AuthorityGrant { authority, role, .. } => {
            subject(statement, &authority.to_string())?;
            grant(view, statement, authority, *role)?;
        }
        Claims::Policy(_) => subject(statement, statement.domain.as_ref())?,
        Claims::Revocation { authority, .. } => {
            subject(statement, &authority.to_string())?;
            if view.authority(authority)?.is_none_or(|row| row.domain != statement.domain) {
                let detail = format!("{authority} is not an authority of domain `{}`", statement.domain);
                return Err(unknown_target("authority", detail).into());
            }
            still_governed(view, &statement.domain, authority)?;
        }
        Claims::Containment(containment) => {
            subject(statement, &containment.target())?;
            contains(view, statement, containment)?;
        }
        Claims::Release { containment } => {
            subject(statement, &containment.to_string())?;
            releases(view, statement, containment)?;
        }
        Claims::Permit(request) => permits(statement, request)?,
        Claims::Reconciliation { conflict, canonical } => {
            subject(statement, &canonical.to_string())?;
            reconciles(view, statement, conflict)?;
        }
        Claims::Rules { version } => {
            subject(statement, "rules")?;
            cluster::rules(view, *version)?;
        }
        Claims::Recovery { epoch, voters } => {
            subject(statement, &statement.registry)?;
            cluster::recovery(view, *epoch, voters, now)?;
        }
        Claims::SovereignTrust { peer, registry_key, node_keys, .. } => {
            trusts_another(view, statement, peer, registry_key, node_keys)?;
        }
        Claims::ExecutionAuthorization { .. }
        | Claims::RuntimeAttestation { .. }
        | Claims::PolicyValidation { .. }
        | Claims::RuntimeIntegrity { .. }
        | Claims::AuditLineage { .. }
        | Claims::SynchronizationContinuity { .. } => {}
    }
    Ok(())
}

/// A trust is in another registry, and in keys that are its own: its registry's, which is none of its nodes', and none that
/// this registry or a node of it signs with. Otherwise what one key says would count as what two do.
///
/// Rule R75 (RFC-EG-033 §4): A trust names another registry, whose registry key is none of its node keys, and
/// no key that signs this registry's checkpoints or was ever granted to a node of it (`claims_invalid`).
fn trusts_another(
    view: &View<'_>,
    statement: &Statement,
    peer: &str,
    registry_key: &PublicKey,
    node_keys: &[PublicKey],
) -> Result<(), Stop> {
    if peer == statement.registry {
        return Err(invalid("peer", format!("`{peer}` is this registry itself")).into());
    }
    if node_keys.contains(registry_key) {
        let detail = format!("{registry_key} is the key of one of its nodes too");
        return Err(invalid("registryKey", detail).into());
    }
    let own = |key: &PublicKey| -> Result<bool, RowError> {
        let signs_checkpoints = view.meta()?.is_some_and(|meta| meta.registry_key == *key);
        Ok(signs_checkpoints || view.authority(key)?.is_some_and(|row| is_node(&row)))
    };
    let named = node_keys.iter().map(|key| ("nodeKeys", key));
    for (claim, key) in std::iter::once(("registryKey", registry_key)).chain(named) {
        if own(key)? {
            return Err(invalid(claim, format!("{key} is a key of this registry or of its nodes")).into());
        }
    }
    Ok(())
}

/// Whether the key was granted to a node, revoked or not.
fn is_node(row: &AuthorityRow) -> bool {
    row.role == Role::Registry && row.domain.is_system()
}

/// A permit lies where its request points, and is about the same subject.
///
/// Rule R69 (RFC-EG-033 §6): A permit lies in the domain and the lineage of its request and is about the same
/// subject (`claims_invalid`, `subject_mismatch`).
fn permits(statement: &Statement, request: &AuthorizeRequest) -> Result<(), Refusal> {
    if request.domain != statement.domain || request.lineage.as_ref() != Some(&statement.lineage) {
        return Err(invalid("request", "it is about another domain or lineage than the permit".to_owned()));
    }
    if request.subject != statement.subject {
        let detail = "the subject's sha256 is not that of its request".to_owned();
        return Err(Refusal::at(Code::SubjectMismatch, "subject[0].digest.sha256", detail));
    }
    Ok(())
}

/// Without this key, enough living ones must be left to reach the threshold: a domain without them, or the root, could never
/// be governed again. The last that are needed are replaced instead, by a new `domain` or `root`.
///
/// Rule R66 (RFC-EG-033 §3): A revocation is refused if it would leave fewer living governance keys than the
/// threshold (`threshold_not_met`): a new `domain` or `root` replaces the key.
fn still_governed(view: &View<'_>, domain: &DomainName, revoked: &PublicKey) -> Result<(), Stop> {
    let Some(row) = view.domain(domain)? else { return Ok(()) };
    if !row.governance.contains(revoked) || view.authority(revoked)?.is_none_or(|key| key.revoked.is_some()) {
        return Ok(());
    }
    let mut left: u32 = 0;
    for key in row.governance.iter().filter(|key| *key != revoked) {
        if view.authority(key)?.is_some_and(|key| key.revoked.is_none()) {
            left = left.saturating_add(1);
        }
    }
    if left >= row.threshold {
        return Ok(());
    }
    let (threshold, kind) = (row.threshold, if domain.is_system() { "root" } else { "domain" });
    let detail = format!(
        "`{domain}` would be left with {left} living governance keys of the {threshold} that it needs: replace the key \
         with a new `{kind}` statement, which revokes it"
    );
    Err(Refusal::at(Code::ThresholdNotMet, "predicate.claims.authority", detail).into())
}

/// What is held back exists.
///
/// Rule R67 (RFC-EG-033 §7): A quarantine names a lineage of its domain, an isolation its own domain and
/// never `_root`, and an invalidation execution evidence of its domain (`target_unknown`, `claims_invalid`).
fn contains(view: &View<'_>, statement: &Statement, containment: &Containment) -> Result<(), Stop> {
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

/// It lifts a quarantine or an isolation, or a negative statement whose issuer can no longer say otherwise.
///
/// Rule R68 (RFC-EG-033 §7): A `release` names a quarantine or an isolation, or a negative statement whose
/// issuer can no longer say otherwise because its key is revoked, and none that a standing release has lifted
/// (`claims_invalid`).
fn releases(view: &View<'_>, statement: &Statement, id: &EvidenceId) -> Result<(), Stop> {
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
                return refuse(format!("the issuer of `{id}` can still say otherwise itself"));
            }
            Ok(())
        }
        (kind, _, _) => refuse(format!("a `{kind}` holds nothing back")),
    }
}

/// There is room for one more set of signers among those that released the target.
///
/// Rule R76 (RFC-EG-033 §7): At most 1,024 different sets of keys release the containments of one target
/// (`too_large`).
pub(super) fn has_room_for_releasers(
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

/// Both are halves of one equivocation, which no reconciliation that stands has resolved.
///
/// Rule R70 (RFC-EG-033 §3): A reconciliation names the two halves of one equivocation that no standing
/// reconciliation has resolved (`claims_invalid`).
///
/// Rule R71 (RFC-EG-033 §3): At most 256 slots of one lineage are ever reconciled (`too_large`): one more
/// equivocation quarantines the lineage for good.
fn reconciles(view: &View<'_>, statement: &Statement, conflict: &[EvidenceId; 2]) -> Result<(), Stop> {
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

/// A governance statement's subject is the SHA-256 of its target's string.
///
/// Rule R58 (RFC-EG-033 §6): The subject of a governance statement is the SHA-256 of the text of its target
/// (`subject_mismatch`).
fn subject(statement: &Statement, target: &str) -> Result<(), Refusal> {
    if statement.subject == Sha256::of(target.as_bytes()) {
        return Ok(());
    }
    let detail = format!("the subject's sha256 is not that of its target `{target}`");
    Err(Refusal::at(Code::SubjectMismatch, "subject[0].digest.sha256", detail))
}

/// Rule R60 (RFC-EG-033 §4): One key has one role in one domain (`authority_inconsistent`).
///
/// Rule R61 (RFC-EG-033 §3): A revoked key is never admitted again (`authority_revoked`).
///
/// Rule R63 (RFC-EG-033 §8): The role `governance` is never granted, and `_root` grants the role `registry`
/// only (`claims_invalid`).
fn grant(view: &View<'_>, statement: &Statement, key: &PublicKey, role: Role) -> Result<(), Stop> {
    let in_root = statement.domain == DomainName::root();
    if role == Role::Governance {
        return Err(invalid("role", "governance keys come from `domain` and `root` only".into()).into());
    }
    if in_root && role != Role::Registry {
        return Err(invalid("role", "`_root` grants only the role `registry`, to nodes".into()).into());
    }
    let Some(row) = view.authority(key)? else { return not_registry_key(view, key) };
    if row.revoked.is_some() {
        return Err(dead(key, "predicate.claims.authority").into());
    }
    if row.role != role || row.domain != statement.domain {
        return Err(two_roles(key).into());
    }
    Ok(())
}

/// Each key governs this domain and no other, or has no role yet.
///
/// Rule R60 (RFC-EG-033 §4): One key has one role in one domain (`authority_inconsistent`).
///
/// Rule R61 (RFC-EG-033 §3): A revoked key is never admitted again (`authority_revoked`).
fn governs(view: &View<'_>, keys: &[PublicKey], domain: &DomainName) -> Result<(), Stop> {
    for key in keys {
        match view.authority(key)? {
            None => not_registry_key(view, key)?,
            Some(row) if row.revoked.is_some() => return Err(dead(key, "predicate.claims").into()),
            Some(row) if row.role == Role::Governance && row.domain == *domain => {}
            Some(_) => return Err(two_roles(key).into()),
        }
    }
    Ok(())
}

fn dead(key: &PublicKey, field: &str) -> Refusal {
    let detail = format!("{key} was revoked, and a revoked key is dead for good");
    Refusal::at(Code::AuthorityRevoked, field, detail)
}

/// Rule R59 (RFC-EG-033 §4): The key that signs the registry's checkpoints has no other role: it is no root
/// key, no governance key and no granted key, and no such key becomes it (`authority_inconsistent`).
fn not_registry_key(view: &View<'_>, key: &PublicKey) -> Result<(), Stop> {
    if view.meta()?.is_some_and(|meta| meta.registry_key == *key) {
        return Err(two_roles(key).into());
    }
    Ok(())
}

fn two_roles(key: &PublicKey) -> Refusal {
    let detail = format!("{key} already has a role: one key has one role in one domain");
    Refusal::at(Code::AuthorityInconsistent, "predicate.claims", detail)
}

fn invalid(claim: &str, detail: String) -> Refusal {
    Refusal::at(Code::ClaimsInvalid, format!("predicate.claims.{claim}"), detail)
}

fn unknown_target(claim: &str, detail: String) -> Refusal {
    Refusal::at(Code::TargetUnknown, format!("predicate.claims.{claim}"), detail)
}
