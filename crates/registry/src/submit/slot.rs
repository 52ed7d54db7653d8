//! Slots: each issuer's own hash chain and the shared chain of `_governance`; restrictions, permits and rules
//! need none (RFC-EG-033 §3, immutable exchange lineage; §4, fragmented proof lineage).

use std::collections::BTreeSet;

use assent_proof::{Claims, Code, EvidenceId, Millis, PublicKey, Refusal, Statement};

use super::plan::Placement;
use super::stop::Stop;
use super::{permit, restriction};
use crate::chain::{Chain, Half};
use crate::command::Outcome;
use crate::kinds::Restriction;
use crate::limit;
use crate::record::{IssuerRow, LineageRow};
use crate::rows::RowError;
use crate::view::View;

/// Where a statement goes, and what is there already.
pub(super) struct Slot {
    pub(super) placement: Placement,
    pub(super) lineage: Option<LineageRow>,
    pub(super) chain: Option<IssuerRow>,
    pub(super) consumes: BTreeSet<EvidenceId>,
}

/// Where the statement goes, if it fits. A restriction needs no slot, so it can be signed in advance and
/// never waits for another statement.
///
/// Rule R113 (RFC-EG-033 §3, Immutable Exchange Lineage): Revocations, containments, permits and `rules` take
/// no slot and move no head.
pub(super) fn check(
    view: &View<'_>,
    statement: &Statement,
    claims: &Claims,
    accepted_at: Millis,
) -> Result<Slot, Stop> {
    let lineage = view.lineage(&statement.domain, &statement.lineage)?;
    let mut chain = None;
    let mut consumes = BTreeSet::new();
    let placement = match claims {
        Claims::Permit(request) => {
            let (placement, consumed) = permit::check(view, request, accepted_at)?;
            consumes = consumed;
            placement
        }
        Claims::Revocation { authority, invalid_since, .. } => {
            let revokes = Restriction::Revokes { authority, invalid_since: *invalid_since };
            restriction::check(view, statement, &revokes)?
        }
        Claims::Containment(containment) => {
            restriction::check(view, statement, &Restriction::Contains(containment))?
        }
        Claims::Rules { .. } => Placement::Rules,
        Claims::ExecutionAuthorization { .. }
        | Claims::RuntimeAttestation { .. }
        | Claims::PolicyValidation { .. }
        | Claims::RuntimeIntegrity { .. }
        | Claims::AuditLineage { .. }
        | Claims::SovereignTrust { .. }
        | Claims::SynchronizationContinuity { .. } => match statement.issuers.as_slice() {
            [issuer] => {
                chain = view.issuer(&statement.domain, &statement.lineage, issuer)?;
                issuer_slot(view, statement, issuer, lineage.as_ref(), chain.as_ref())?
            }
            // No such statement can be read.
            [] | [_, _, ..] => shared_slot(statement, lineage.as_ref())?,
        },
        Claims::Root { .. }
        | Claims::Domain { .. }
        | Claims::AuthorityGrant { .. }
        | Claims::Policy(_)
        | Claims::Release { .. }
        | Claims::Reconciliation { .. }
        | Claims::Recovery { .. } => shared_slot(statement, lineage.as_ref())?,
    };
    Ok(Slot { placement, lineage, chain, consumes })
}

/// Equivocation is found before anything that depends on which statement came first, so that both orders of
/// arrival end alike.
///
/// Rule R108 (RFC-EG-033 §4, inconsistent authority validation): If an issuer makes a second statement for
/// one slot, that statement is recorded in the slot as an equivocation, moves no head and is answered with
/// its receipt and `authority_inconsistent`, but it is refused with that code if the slot has two already or
/// an earlier equivocation of the issuer in the lineage has no chosen half.
///
/// Rule R109 (RFC-EG-033 §3, Deterministic Proof Resolution): Whether a slot is taken is looked at before all
/// that depends on which statement came first.
///
/// Rule R111 (RFC-EG-033 §4, fragmented proof lineage): In an execution's lineage each issuer has a chain of
/// its own, without a gap, in which the parent of a statement is the statement in the slot before, or either
/// half if that slot has two (`lineage_fragmented`).
fn issuer_slot(
    view: &View<'_>,
    statement: &Statement,
    issuer: &PublicKey,
    lineage: Option<&LineageRow>,
    chain: Option<&IssuerRow>,
) -> Result<Placement, Stop> {
    let next = chain.map_or(0, |chain| chain.next_sequence);
    let sequence = statement.sequence.unwrap_or(0);
    if let Some(lineage) = lineage {
        subject(statement, issuer, lineage)?;
    }
    if sequence < next {
        return second_statement(view, statement, issuer, lineage, chain);
    }
    if let Some(lineage) = lineage {
        open_for(statement, lineage, chain.is_none())?;
    }
    if sequence > next {
        let detail = format!("slot {sequence} leaves a gap: this issuer's next slot is {next}");
        return Err(fragmented("predicate.sequence", detail, chain, next).into());
    }
    let joins = match chain {
        None => statement.parent.is_none(),
        Some(_) => is_parent(view, statement, issuer, next)?,
    };
    if !joins {
        let detail = "the parent is not this issuer's newest evidence in the lineage".to_owned();
        return Err(fragmented("predicate.parent", detail, chain, next).into());
    }
    Ok(Placement::IssuerSlot { issuer: *issuer, sequence })
}

/// The parent is what took the slot before `next`. If two statements did, it may be either, whatever else was
/// signed twice.
///
/// Rule R111 (RFC-EG-033 §4, fragmented proof lineage): In an execution's lineage each issuer has a chain of
/// its own, without a gap, in which the parent of a statement is the statement in the slot before, or either
/// half if that slot has two (`lineage_fragmented`).
fn is_parent(
    view: &View<'_>,
    statement: &Statement,
    issuer: &PublicKey,
    next: u64,
) -> Result<bool, RowError> {
    let (Some(parent), Some(before)) = (statement.parent, next.checked_sub(1)) else { return Ok(false) };
    let chain = Chain { domain: &statement.domain, lineage: &statement.lineage, issuer };
    for half in [Half::First, Half::Second] {
        if view.half(chain, before, half)?.is_some_and(|row| row.evidence_id == parent) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// For each issuer and lineage, one equivocation that is not reconciled is proof enough; more would only fill
/// the ledger. Once it is reconciled, the next one is recorded and quarantines anew.
///
/// Rule R108 (RFC-EG-033 §4, inconsistent authority validation): If an issuer makes a second statement for
/// one slot, that statement is recorded in the slot as an equivocation, moves no head and is answered with
/// its receipt and `authority_inconsistent`, but it is refused with that code if the slot has two already or
/// an earlier equivocation of the issuer in the lineage has no chosen half.
fn second_statement(
    view: &View<'_>,
    statement: &Statement,
    issuer: &PublicKey,
    lineage: Option<&LineageRow>,
    chain: Option<&IssuerRow>,
) -> Result<Placement, Stop> {
    let mut recorded = false;
    for conflict in lineage.iter().flat_map(|lineage| lineage.contested(issuer)) {
        let same_slot = Some(conflict.sequence) == statement.sequence;
        recorded |= same_slot || view.canonical(conflict)?.is_none();
    }
    if !recorded {
        let sequence = statement.sequence.unwrap_or(0);
        return Ok(Placement::Equivocation { issuer: *issuer, sequence });
    }
    Err(Outcome::Refused {
        refusal: equivocated(statement),
        head: chain.map(|chain| chain.head),
        next_sequence: chain.map(|chain| chain.next_sequence),
    }
    .into())
}

/// The refusal that goes with an equivocation.
pub(super) fn equivocated(statement: &Statement) -> Refusal {
    let sequence = statement.sequence.unwrap_or(0);
    let detail = format!(
        "this issuer has signed another statement for slot {sequence} of lineage `{}`",
        statement.lineage
    );
    Refusal::at(Code::AuthorityInconsistent, "predicate.sequence", detail)
}

/// The lineage is about one subject. Only a second statement for the slot that fixed the subject can name
/// another, and that is an equivocation.
///
/// Rule R107 (RFC-EG-033 §10, execution lineage corruption): A lineage is about the subject of its first
/// statement (`subject_mismatch`), but a second statement for the slot of that first one may name another
/// subject, which the lineage then has too.
fn subject(statement: &Statement, issuer: &PublicKey, lineage: &LineageRow) -> Result<(), Refusal> {
    let fixes_it = lineage.founder.as_ref() == Some(issuer) && statement.sequence == Some(0);
    if fixes_it || lineage.subjects.contains(&statement.subject) {
        return Ok(());
    }
    let detail = format!("lineage `{}` is about another subject", statement.lineage);
    Err(Refusal::at(Code::SubjectMismatch, "subject[0].digest.sha256", detail))
}

/// Rule R110 (RFC-EG-033 §6, distributed proof lineage): A lineage takes at most 32 issuers (`too_large`)
/// and, once it is closed, no new slot (`lineage_closed`), but still a second statement for a slot that is
/// taken.
fn open_for(statement: &Statement, lineage: &LineageRow, new_issuer: bool) -> Result<(), Refusal> {
    if let Some(closed_by) = lineage.closed_by {
        let detail = format!("lineage `{}` was closed by `{closed_by}`", statement.lineage);
        return Err(Refusal::at(Code::LineageClosed, "predicate.lineage", detail));
    }
    let most = limit::ISSUERS_PER_LINEAGE;
    if new_issuer && lineage.issuers as usize >= most {
        let detail = format!("lineage `{}` has {most} issuers already", statement.lineage);
        return Err(Refusal::at(Code::TooLarge, "predicate.issuers", detail));
    }
    Ok(())
}

fn fragmented(field: &str, detail: String, chain: Option<&IssuerRow>, next: u64) -> Outcome {
    Outcome::Refused {
        refusal: Refusal::at(Code::LineageFragmented, field, detail),
        head: chain.map(|chain| chain.head),
        next_sequence: Some(next),
    }
}

/// Governance shares one chain, so a slot that is taken only means that another statement came first.
///
/// Rule R112 (RFC-EG-033 §3, Immutable Exchange Lineage): All statements of a domain's governance that take a
/// slot share one chain, in which a slot that is taken is refused with `head_moved`, and a gap or another
/// parent than the head with `lineage_fragmented`.
fn shared_slot(statement: &Statement, lineage: Option<&LineageRow>) -> Result<Placement, Stop> {
    let next = lineage.map_or(0, |lineage| lineage.next_sequence);
    let head = lineage.and_then(|lineage| lineage.head);
    let sequence = statement.sequence.unwrap_or(0);
    let refuse = |code, field: &str, detail: String| {
        let refusal = Refusal::at(code, field, detail);
        Err(Outcome::Refused { refusal, head, next_sequence: Some(next) }.into())
    };
    if sequence < next {
        let detail = format!("slot {sequence} of `_governance` is taken, the next one is {next}");
        return refuse(Code::HeadMoved, "predicate.sequence", detail);
    }
    if sequence > next {
        let detail = format!("slot {sequence} leaves a gap: the next slot of `_governance` is {next}");
        return refuse(Code::LineageFragmented, "predicate.sequence", detail);
    }
    if statement.parent != head {
        let detail = "the parent is not the head of `_governance`".to_owned();
        return refuse(Code::LineageFragmented, "predicate.parent", detail);
    }
    Ok(Placement::SharedSlot)
}
