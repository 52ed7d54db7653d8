//! The order of the checks that a submission has to pass (RFC-EG-033 §6, cryptographic proof validation).
//!
//! Size, form, registry and signatures were checked when the envelope was verified. The checks here follow in
//! this order: the same id again, domain and place (`place.rs`), signers and their roles (`admitted_keys.rs`,
//! `signers.rs`), claims (`claims/mod.rs`), times (`times.rs`), references (`references.rs`), slot
//! (`slot.rs`), and what another registry says (`peer.rs`).

use assent_proof::{Claims, Code, Millis, Refusal, Rules, RulesVersion, Statement, VerifiedEnvelope};

use super::plan::Plan;
use super::stop::Stop;
use super::{claims, peer, place, references, signers, slot, times};
use crate::command::Outcome;
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

/// Checks everything that must hold before an envelope is written.
pub(super) fn check(view: &View<'_>, occasion: Occasion, envelope: &VerifiedEnvelope) -> Result<Plan, Stop> {
    let statement = envelope.statement();
    let rules = verified_under(view, envelope)?;
    let accepted_at = accepted_at(view, occasion, statement)?;
    same_id(view, envelope)?;
    // Claims are read this early only because they say which keys a statement admits and which authority it
    // restricts. What is wrong with them is reported in its turn.
    let claims = Claims::parse(rules, statement.kind, &statement.claims);
    place::domain(view, statement)?;
    let signers = signers::check(view, statement, envelope.id(), claims.as_ref(), accepted_at)?;
    let claims = claims?;
    claims::check(view, statement, &claims, accepted_at)?;
    claims::has_room_for_releasers(view, statement, &claims, &signers)?;
    times::check(statement, &claims, accepted_at)?;
    references::check(view, statement)?;
    let slot = slot::check(view, statement, &claims, accepted_at)?;
    let checkpoint = peer::check(view, statement, &claims, slot.placement, accepted_at)?;
    let founds = match occasion {
        Occasion::Genesis { cluster_id, .. } => Some(cluster_id),
        Occasion::Command { known, .. } => {
            // Other builds accept it. If this replica refused it, or went on without it, it would diverge
            // from them.
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

/// The rules of this state. If the envelope was verified under other rules, replicas could diverge.
///
/// Rule R72 (RFC-EG-033 §6, signed proof envelopes): Every replica verifies each envelope itself, under the
/// rules that the state follows when the envelope's turn comes, and stops at one that was verified under
/// other rules.
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

/// The time of acceptance: max(proposed, registry time). The statement must be meant for this registry.
///
/// Rule R10 (RFC-EG-033 §8, governance authorities): Without a genesis nothing is accepted and nothing is
/// allowed (`domain_unknown`).
///
/// Rule R77 (RFC-EG-033 §6, timestamp-bound proof continuity): A statement is accepted at the leader's stamp
/// or at registry time, whichever is later, so that registry time never runs backwards.
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

/// Rule R74 (RFC-EG-033 §10, proof replay attacks): A statement names this registry's origin
/// (`wrong_registry`).
fn origin(origin: &str, statement: &Statement) -> Result<(), Refusal> {
    if statement.registry == origin {
        return Ok(());
    }
    let detail = format!("it is meant for registry `{}`, this is `{origin}`", statement.registry);
    Err(Refusal::at(Code::WrongRegistry, "predicate.registry", detail))
}

/// The same bytes again are answered with their first receipt.
///
/// Rule R78 (RFC-EG-033 §10, proof replay attacks): The same bytes again are answered with their first
/// receipt and change nothing, even if they verify only under earlier rules under which they were accepted,
/// but the bytes of a containment that was released are refused, and a new one must be signed
/// (`claims_invalid`).
pub(super) fn same_id(view: &View<'_>, envelope: &VerifiedEnvelope) -> Result<(), Stop> {
    let Some(row) = view.evidence(&envelope.id())? else { return Ok(()) };
    let receipt = view.receipt(&envelope.id())?.ok_or_else(|| missing(envelope))?;
    if row.containment.is_some() && view.is_released(&row)? {
        // The first receipt would say that the containment holds, and it does not.
        let detail = "it was released and no longer holds; sign a new one".to_owned();
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
