//! The marks that a statement got after its acceptance, the registry as a whole, permits and releases.

use std::collections::BTreeSet;

use assent_proof::{Claims, Containment, EvidenceId};

use super::fact::{Fact, is_second, same_slot};
use crate::rows::RowError;
use crate::view::View;

/// Adds each disagreement to `wrong`.
pub(super) fn check(view: &View<'_>, facts: &[Fact], wrong: &mut Vec<String>) -> Result<(), RowError> {
    meta(view, facts, wrong)?;
    for fact in facts {
        evidence(view, facts, fact, wrong)?;
    }
    Ok(())
}

fn meta(view: &View<'_>, facts: &[Fact], wrong: &mut Vec<String>) -> Result<(), RowError> {
    let Some(meta) = view.meta()? else { return Ok(()) };
    let (mut epoch, mut rules, mut registry_key) = (crate::record::FIRST_EPOCH, 1, None);
    for fact in facts {
        if fact.row.rules != rules {
            wrong.push(format!("evidence `{}`: the rules that it was accepted under", fact.id));
        }
        match &fact.claims {
            Claims::Root { registry_key: key, .. } => registry_key = Some(*key),
            Claims::Recovery { epoch: next, .. } => epoch = *next,
            Claims::Rules { version } => rules = *version,
            Claims::ExecutionAuthorization { .. }
            | Claims::RuntimeAttestation { .. }
            | Claims::PolicyValidation { .. }
            | Claims::RuntimeIntegrity { .. }
            | Claims::AuditLineage { .. }
            | Claims::SovereignTrust { .. }
            | Claims::SynchronizationContinuity { .. }
            | Claims::Domain { .. }
            | Claims::AuthorityGrant { .. }
            | Claims::Policy(_)
            | Claims::Revocation { .. }
            | Claims::Containment(_)
            | Claims::Release { .. }
            | Claims::Permit(_)
            | Claims::Reconciliation { .. } => {}
        }
    }
    let time = facts.iter().map(|fact| fact.accepted_at).max();
    if (meta.epoch, meta.rules_version) != (epoch, rules)
        || Some(meta.registry_key) != registry_key
        || Some(meta.registry_time) != time
    {
        wrong.push("the registry's epoch, rules, key or time is not what its ledger says".to_owned());
    }
    Ok(())
}

/// The marks of one statement.
fn evidence(view: &View<'_>, facts: &[Fact], fact: &Fact, wrong: &mut Vec<String>) -> Result<(), RowError> {
    let row = &fact.row;
    let mut say = |what: &str| wrong.push(format!("evidence `{}`: {what}", fact.id));
    if row.equivocation != is_second(facts, fact) {
        say("whether it is a second statement for its slot");
    }
    let invalidates = |other: &&Fact| matches!(&other.claims, Claims::Containment(Containment::Invalidate(target)) if *target == fact.id);
    if row.invalidated_by != facts.iter().filter(invalidates).map(|other| other.id).min() {
        say("what invalidated it");
    }
    let rejects = |other: &&Fact| {
        matches!(&other.claims, Claims::Reconciliation { conflict, canonical }
            if conflict.contains(&fact.id) && *canonical != fact.id)
    };
    if row.rejected_by != facts.iter().rev().find(rejects).map(|other| other.id) {
        say("what rejected it");
    }
    let lifts =
        |other: &&Fact| matches!(&other.claims, Claims::Release { containment } if *containment == fact.id);
    if row.released_by != facts.iter().rev().find(lifts).map(|other| other.id) {
        say("what released it");
    }
    uses(view, facts, fact, wrong)
}

/// The uses that a statement has lost: those that permits took of its slot, if it is the one that counts
/// there.
fn uses(view: &View<'_>, facts: &[Fact], fact: &Fact, wrong: &mut Vec<String>) -> Result<(), RowError> {
    if !fact.statement.kind.is_execution() {
        return Ok(());
    }
    let halves: BTreeSet<EvidenceId> =
        facts.iter().filter(|other| same_slot(other, fact)).map(|other| other.id).collect();
    let chosen = facts.iter().rev().find_map(|other| {
        let Claims::Reconciliation { canonical, .. } = &other.claims else { return None };
        halves.contains(canonical).then_some(*canonical)
    });
    if chosen.is_some_and(|chosen| chosen != fact.id) || (chosen.is_none() && halves.len() > 1) {
        return Ok(());
    }
    let mut used: u32 = 0;
    for permit in facts {
        let Claims::Permit(request) = &permit.claims else { continue };
        let (Some(lineage), Some(nonce)) = (&request.lineage, &request.nonce) else { continue };
        match view.permit(&request.domain, lineage, nonce)? {
            Some(row) if row.evidence_id == permit.id => {
                used = used.saturating_add(u32::from(row.consumed.iter().any(|id| halves.contains(id))));
            }
            _ => wrong.push(format!("permit `{}` is not found by its nonce", permit.id)),
        }
    }
    if fact.row.consumed != used {
        let row = fact.row.consumed;
        wrong.push(format!("evidence `{}`: {row} uses are lost, and permits took {used}", fact.id));
    }
    Ok(())
}
