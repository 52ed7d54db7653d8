//! Accepting envelopes: check first, write after.
//!
//! A check reads, and answers either an outcome or a [`Plan`](plan::Plan) of what to write. Only a plan
//! writes, so a refusal cannot change state, whatever is wrong with the input (RFC-EG-033 §7, no partial
//! proof acceptance).
//!
//! This file owns the outcome of a command, group by group and envelope by envelope. `check.rs` has the order
//! of the checks, and `effect/mod.rs` the order in which a plan is written.

mod admitted_keys;
mod check;
mod claims;
mod cluster;
mod effect;
mod peer;
mod permit;
mod place;
mod plan;
mod references;
mod refuse;
mod restriction;
mod signers;
mod slot;
mod stop;
mod times;
mod unknown_issuers;

use assent_proof::{Millis, Refusal, Rules, RulesVersion, VerifiedEnvelope};

use crate::command::{Checked, Group, Outcome, ToVerify};
use crate::rows::{Overlay, RowError, Rows, RowsMut};
use crate::rules::rules_known;
use crate::view::View;

pub(crate) use check::Occasion;
use stop::Stop;
pub use unknown_issuers::{admits, refuses_unknown_issuers};

/// Applies one command. `known` is the newest version of the rules that the running build knows.
/// `proposed_at` is the proposing leader's clock, from the log entry. Each group says whether it is accepted
/// all or nothing. Answers one outcome for each envelope, in order. The rules are those of the state, not the
/// newest ones, so the build that applies a command never changes its outcomes. Each envelope is verified
/// under them when its turn has come.
///
/// Total: every envelope that cannot be accepted gets an outcome, which is the same on all nodes.
///
/// # Errors
/// This node's store failed, or the state follows rules beyond `known`, or this command would raise it to
/// such rules. Then this node must stop, because others go on under rules that it cannot follow. The caller
/// must keep nothing of the command.
pub fn apply<S: ToVerify>(
    rows: &mut dyn RowsMut,
    known: RulesVersion,
    proposed_at: Millis,
    groups: &[Group<S>],
) -> Result<Vec<Vec<Outcome>>, RowError> {
    rules_known(rows, known)?;
    let occasion = Occasion::Command { proposed_at, known };
    groups
        .iter()
        .map(|group| {
            if group.atomic {
                apply_atomically(rows, occasion, &group.envelopes)
            } else {
                apply_each(rows, occasion, &group.envelopes)
            }
        })
        .collect()
}

/// Whether [`apply`] at `at` would accept the envelope, found out without writing. An envelope that was
/// accepted before would be accepted again. The caller must have verified it under the rules that are in
/// force ([`rules_in_force`](crate::rules_in_force)).
///
/// # Errors
/// Those of [`apply`].
pub fn would_accept(
    rows: &dyn Rows,
    known: RulesVersion,
    at: Millis,
    envelope: &VerifiedEnvelope,
) -> Result<Result<(), Refusal>, RowError> {
    rules_known(rows, known)?;
    match check::check(&View::new(rows), Occasion::Command { proposed_at: at, known }, envelope) {
        Ok(plan) if plan.placement.is_second() => Ok(Err(slot::equivocated(envelope.statement()))),
        Ok(_) => Ok(Ok(())),
        Err(Stop::Answer(outcome)) => Ok(match *outcome {
            Outcome::Accepted { .. } => Ok(()),
            Outcome::Equivocation { refusal, .. } | Outcome::Refused { refusal, .. } => Err(refusal),
        }),
        Err(Stop::Rows(error)) => Err(error),
    }
}

fn apply_each(
    rows: &mut dyn RowsMut,
    occasion: Occasion,
    envelopes: &[impl ToVerify],
) -> Result<Vec<Outcome>, RowError> {
    envelopes.iter().map(|envelope| submit(rows, occasion, envelope)).collect()
}

/// Rule R71 (RFC-EG-033 §7, partial proof acceptance): A group that is to be accepted as a whole is kept only
/// if each of its envelopes is accepted, and otherwise nothing of it is kept.
fn apply_atomically(
    rows: &mut dyn RowsMut,
    occasion: Occasion,
    envelopes: &[impl ToVerify],
) -> Result<Vec<Outcome>, RowError> {
    let before = View::new(rows).meta()?.map_or(0, |meta| meta.revision);
    let mut overlay = Overlay::new(rows);
    let outcomes = apply_each(&mut overlay, occasion, envelopes)?;
    let failed = outcomes.iter().enumerate().find_map(|(position, outcome)| match outcome {
        Outcome::Accepted { .. } => None,
        Outcome::Equivocation { refusal, .. } | Outcome::Refused { refusal, .. } => {
            Some((position, refusal.clone()))
        }
    });
    let Some((position, refusal)) = failed else {
        overlay.keep()?;
        return Ok(outcomes);
    };
    let not_applied = |outcome| match outcome {
        // A receipt from before this group stays true. Every other one names a leaf that no longer exists.
        Outcome::Accepted { receipt, .. } if receipt.ledger_index >= before => {
            Outcome::refused(Refusal::of_batch(position, &refusal))
        }
        Outcome::Equivocation { receipt, refusal } if receipt.ledger_index >= before => {
            Outcome::refused(refusal)
        }
        earlier_or_refused @ (Outcome::Accepted { .. }
        | Outcome::Equivocation { .. }
        | Outcome::Refused { .. }) => earlier_or_refused,
    };
    Ok(outcomes.into_iter().map(not_applied).collect())
}

/// Rule R72 (RFC-EG-033 §6, signed proof envelopes): Every replica verifies each envelope itself, under the
/// rules that the state follows when the envelope's turn comes, and stops at one that was verified under
/// other rules.
fn submit(rows: &mut dyn RowsMut, occasion: Occasion, envelope: &impl ToVerify) -> Result<Outcome, RowError> {
    let rules = View::new(rows).rules()?;
    match envelope.verified(rules) {
        Checked::Refused(refusal) => Ok(match accepted_before(rows, rules, envelope)? {
            Some(outcome) => outcome,
            None => Outcome::refused(refusal),
        }),
        Checked::Verified(envelope) => accept(rows, occasion, &envelope),
    }
}

/// The answer to an envelope that does not verify under these rules, if it was accepted under earlier ones.
/// Raising the rules takes no receipt back.
///
/// Rule R78 (RFC-EG-033 §10, proof replay attacks): The same bytes again are answered with their first
/// receipt and change nothing, even if they verify only under earlier rules under which they were accepted,
/// but the bytes of a containment that was released are refused, and a new one must be signed
/// (`claims_invalid`).
fn accepted_before(
    rows: &dyn Rows,
    rules: Rules,
    envelope: &impl ToVerify,
) -> Result<Option<Outcome>, RowError> {
    let view = View::new(rows);
    for earlier in rules.earlier() {
        let Checked::Verified(envelope) = envelope.verified(earlier) else { continue };
        let row = view.evidence(&envelope.id())?;
        if row.is_some_and(|row| row.rules == earlier.version().0) {
            return match check::same_id(&view, &envelope) {
                Err(Stop::Answer(outcome)) => Ok(Some(*outcome)),
                Err(Stop::Rows(error)) => Err(error),
                Ok(()) => Ok(None),
            };
        }
    }
    Ok(None)
}

/// Checks one envelope and, if it is acceptable, writes it.
pub(crate) fn accept(
    rows: &mut dyn RowsMut,
    occasion: Occasion,
    envelope: &VerifiedEnvelope,
) -> Result<Outcome, RowError> {
    let checked = check::check(&View::new(rows), occasion, envelope);
    match checked {
        Ok(plan) => effect::write(rows, envelope, plan),
        Err(Stop::Answer(outcome)) => Ok(*outcome),
        Err(Stop::Rows(error)) => Err(error),
    }
}
