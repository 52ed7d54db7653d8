//! What claims must mean besides being well formed: targets that exist, keys with one role in one domain,
//! subjects that name the target (RFC-EG-033 §4, inconsistent authority validation).
//!
//! This file owns which of these rules apply to each kind. `keys.rs` owns the rules about keys, and
//! `targets.rs` those about what is restricted, lifted or reconciled.

mod keys;
mod targets;

use assent_proof::{AuthorizeRequest, Claims, Code, DomainName, Millis, Refusal, Sha256, Statement};

use super::cluster;
use super::refuse::{invalid, unknown_target};
use super::stop::Stop;
use crate::view::View;

use keys::{governs, grant, still_governed, trusts_another, two_roles};
pub(super) use targets::has_room_for_releasers;
use targets::{contains, reconciles, releases};

/// Checks the claims against the state at `now`.
///
/// Rule R94 (RFC-EG-033 §4, inconsistent authority validation): One key has one role in one domain, the key
/// that signs the registry's checkpoints has no other (`authority_inconsistent`), and a revoked key is never
/// admitted again (`authority_revoked`).
///
/// Rule R95 (RFC-EG-033 §8, governance authorities): No `domain` statement names a domain that begins with
/// `_` (`claims_invalid`).
///
/// Rule R98 (RFC-EG-033 §7, quarantine): A restriction names what it restricts in its own domain: a
/// revocation an authority, a quarantine a lineage, an isolation that domain itself and never `_root`, and an
/// invalidation execution evidence (`target_unknown`, `claims_invalid`).
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

/// A permit must lie in the domain and lineage of its request, and be about the same subject.
///
/// Rule R143 (RFC-EG-033 §10, proof replay attacks): The request of a permit names its lineage and a nonce
/// (`malformed`, `claims_invalid`), and the permit lies in the domain and the lineage of its request and is
/// about the same subject (`claims_invalid`, `subject_mismatch`).
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

/// A governance statement's subject is the SHA-256 of its target's string.
///
/// Rule R93 (RFC-EG-033 §6, immutable evidence identifiers): The subject of a governance statement is the
/// SHA-256 of the text of its target (`subject_mismatch`).
fn subject(statement: &Statement, target: &str) -> Result<(), Refusal> {
    if statement.subject == Sha256::of(target.as_bytes()) {
        return Ok(());
    }
    let detail = format!("the subject's sha256 is not that of its target `{target}`");
    Err(Refusal::at(Code::SubjectMismatch, "subject[0].digest.sha256", detail))
}
