//! The order of checks: size, parse, registry and signatures were
//! checked when the envelope was verified; then same id, domain, authorities, role, claims, times,
//! references, slot.

use assent_proof::{
    Claims, Code, EvidenceKind, Millis, Refusal, Rules, RulesVersion, Statement, VerifiedEnvelope,
};

use super::{Plan, Stop, claims, peer, place, receipt_of, signers, slot};
use crate::command::Outcome;
use crate::limit;
use crate::rows::RowError;
use crate::rules::reaches;
use crate::view::View;

/// When an envelope is accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Occasion {
    /// As part of the genesis file, at the file's own time.
    Genesis {
        /// The largest `issuedAt` of the file.
        at: Millis,
        /// The file's digest.
        cluster_id: [u8; 32],
    },
    /// By a command of the log.
    Command {
        /// The proposing leader's clock.
        proposed_at: Millis,
        /// The newest rules that this build knows.
        known: RulesVersion,
    },
}

/// Everything that must hold before an envelope is written.
pub(super) fn check(view: &View<'_>, occasion: Occasion, envelope: &VerifiedEnvelope) -> Result<Plan, Stop> {
    let statement = envelope.statement();
    let rules = verified_under(view, envelope)?;
    let accepted_at = accepted_at(view, occasion, statement)?;
    same_id(view, envelope)?;
    // Claims come early only as far as they say which keys a statement admits and whom it restricts; what
    // is wrong with them is reported in its turn.
    let claims = Claims::parse(rules, statement.kind, &statement.claims);
    place::domain(view, statement)?;
    let signers = signers::check(view, statement, envelope.id(), claims.as_ref(), accepted_at)?;
    let claims = claims?;
    claims::check(view, statement, &claims, accepted_at)?;
    claims::has_room_for_releasers(view, statement, &claims, &signers)?;
    times(statement, &claims, accepted_at)?;
    references(view, statement)?;
    let slot = slot::check(view, statement, &claims, accepted_at)?;
    let checkpoint = peer::check(view, statement, &claims, slot.placement, accepted_at)?;
    let founds = match occasion {
        Occasion::Genesis { cluster_id, .. } => Some(cluster_id),
        Occasion::Command { known, .. } => {
            // Others accept it. A refusal here, or going on without it, would part this replica from them.
            if let Claims::Rules { version } = &claims {
                reaches(known, *version)?;
            }
            None
        }
    };
    Ok(Plan {
        rules,
        accepted_at,
        claims,
        counted: signers.counted,
        threshold: signers.threshold,
        placement: slot.placement,
        meta: view.meta()?,
        lineage: slot.lineage,
        chain: slot.chain,
        checkpoint,
        consumes: slot.consumes,
        founds,
    })
}

/// The rules of this state, under which the envelope has to be verified. Were it under others, replicas could part.
fn verified_under(view: &View<'_>, envelope: &VerifiedEnvelope) -> Result<Rules, RowError> {
    let (rules, used) = (view.rules()?, envelope.rules());
    if rules == used {
        return Ok(rules);
    }
    let (follows, used) = (rules.version(), used.version());
    Err(RowError::Unreadable(format!(
        "the state follows rules {follows}, and an envelope was verified under {used}"
    )))
}

/// acceptedAt = max(proposed, registry time); the registry it is meant for must be this one.
fn accepted_at(view: &View<'_>, occasion: Occasion, statement: &Statement) -> Result<Millis, Stop> {
    match (occasion, view.meta()?) {
        (Occasion::Genesis { at, .. }, None) => Ok(at),
        (Occasion::Genesis { at, .. }, Some(meta)) => {
            origin(&meta.origin, statement)?;
            Ok(at.max(meta.registry_time))
        }
        (Occasion::Command { proposed_at, .. }, Some(meta)) => {
            origin(&meta.origin, statement)?;
            Ok(proposed_at.max(meta.registry_time))
        }
        (Occasion::Command { .. }, None) => {
            Err(Refusal::new(Code::DomainUnknown, "this registry has no genesis").into())
        }
    }
}

fn origin(origin: &str, statement: &Statement) -> Result<(), Refusal> {
    if statement.registry == origin {
        return Ok(());
    }
    let detail = format!("it is meant for registry `{}`, this is `{origin}`", statement.registry);
    Err(Refusal::at(Code::WrongRegistry, "predicate.registry", detail))
}

/// The same bytes again are answered with their first receipt.
pub(super) fn same_id(view: &View<'_>, envelope: &VerifiedEnvelope) -> Result<(), Stop> {
    let Some(row) = view.evidence(&envelope.id())? else { return Ok(()) };
    let receipt = receipt_of(view, &envelope.id())?.ok_or_else(|| missing(envelope))?;
    if row.containment.is_some() && view.is_released(&row)? {
        // The first receipt would say that something is held back, and nothing is.
        let detail = "it was released and holds nothing any more; sign a new one".to_owned();
        return Err(Refusal::at(Code::ClaimsInvalid, "predicate.claims", detail).into());
    }
    if row.equivocation {
        return Err(
            Outcome::Equivocation { receipt, refusal: slot::equivocated(envelope.statement()) }.into()
        );
    }
    Err(Outcome::Accepted { receipt, fresh: false }.into())
}

fn missing(envelope: &VerifiedEnvelope) -> RowError {
    RowError::Mutated { table: crate::Table::Evidence, key: envelope.id().0.to_vec() }
}

fn times(statement: &Statement, claims: &Claims, now: Millis) -> Result<(), Refusal> {
    let invalid = |field: &str, detail: String| Err(Refusal::at(Code::TimesInvalid, field, detail));
    if statement.issued_at.to_millis().0 > now.0.saturating_add(limit::CLOCK_BOUND_MS) {
        let detail = format!("`{}` lies in the registry's future", statement.issued_at);
        return invalid("predicate.issuedAt", detail);
    }
    if let Some(expires_at) = statement.expires_at {
        if !statement.kind.is_execution() {
            return invalid("predicate.expiresAt", "a governance statement does not expire".into());
        }
        if expires_at <= statement.issued_at {
            return invalid("predicate.expiresAt", "it is not after `issuedAt`".into());
        }
        if expires_at.to_millis() <= now {
            return invalid("predicate.expiresAt", format!("`{expires_at}` has passed"));
        }
    }
    claimed_times(statement, claims, now)
}

/// The times that claims name, and how long a statement of some kinds can be used after it was signed.
fn claimed_times(statement: &Statement, claims: &Claims, now: Millis) -> Result<(), Refusal> {
    let invalid = |field: &str, detail: String| Err(Refusal::at(Code::TimesInvalid, field, detail));
    let usable_for = |most_ms: i64, most: &str| {
        if now.0 > statement.issued_at.to_millis().0.saturating_add(most_ms) {
            let detail = format!("`{}` is more than {most} ago: sign a new one", statement.issued_at);
            return invalid("predicate.issuedAt", detail);
        }
        Ok(())
    };
    match claims {
        Claims::ExecutionAuthorization { not_before, not_after, .. }
        | Claims::AuthorityGrant { not_before, not_after, .. } => {
            if not_before >= not_after {
                return invalid("predicate.claims.notAfter", "it is not after `notBefore`".into());
            }
            if not_after.to_millis() <= now {
                return invalid("predicate.claims.notAfter", format!("`{not_after}` has passed"));
            }
            Ok(())
        }
        Claims::SovereignTrust { not_after, .. } => {
            if not_after.to_millis() <= now {
                return invalid("predicate.claims.notAfter", format!("`{not_after}` has passed"));
            }
            Ok(())
        }
        Claims::Recovery { .. } => usable_for(limit::RECOVERY_USABLE_MS, "seven days"),
        Claims::Rules { .. } => usable_for(limit::RULES_USABLE_MS, "a minute"),
        Claims::Revocation { invalid_since, .. } => match invalid_since {
            Some(since) if since.to_millis() > now => {
                invalid("predicate.claims.invalidSince", format!("`{since}` lies in the registry's future"))
            }
            Some(_) | None => Ok(()),
        },
        Claims::RuntimeAttestation { .. }
        | Claims::PolicyValidation { .. }
        | Claims::RuntimeIntegrity { .. }
        | Claims::AuditLineage { .. }
        | Claims::SynchronizationContinuity { .. }
        | Claims::Root { .. }
        | Claims::Domain { .. }
        | Claims::Policy(_)
        | Claims::Containment(_)
        | Claims::Release { .. }
        | Claims::Permit(_)
        | Claims::Reconciliation { .. } => Ok(()),
    }
}

fn references(view: &View<'_>, statement: &Statement) -> Result<(), Stop> {
    let field = "predicate.references";
    if statement.kind == EvidenceKind::AuditLineage && statement.references.is_empty() {
        let detail = "an audit event must reference the evidence that it is about";
        return Err(Refusal::at(Code::EvidenceDetached, field, detail).into());
    }
    for reference in &statement.references {
        if view.evidence(reference)?.is_none_or(|row| row.domain != statement.domain) {
            let detail = format!("`{reference}` does not exist in domain `{}`", statement.domain);
            return Err(Refusal::at(Code::EvidenceDetached, field, detail).into());
        }
    }
    if let Some((code, detail)) = view.reference_flaw(&statement.references)? {
        return Err(Refusal::at(code, field, detail).into());
    }
    own_slots(view, statement)
}

/// A statement cannot rest on its own slot or a later one of its issuer's chain: whether such a pair is an equivocation
/// would depend on which of the two arrived first.
fn own_slots(view: &View<'_>, statement: &Statement) -> Result<(), Stop> {
    let closure = view.closure(&statement.references)?.unwrap_or_default();
    for id in closure {
        let Some(row) = view.evidence(&id)? else { continue };
        let same_chain = row.domain == statement.domain
            && row.lineage == statement.lineage
            && row.issuers == statement.issuers;
        if same_chain && row.sequence >= statement.sequence {
            let detail = format!("it rests on `{id}`, which is not before it in its issuer's own chain");
            return Err(Refusal::at(Code::LineageFragmented, "predicate.references", detail).into());
        }
    }
    Ok(())
}
