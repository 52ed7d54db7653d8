//! What the policy requires: enough issuers whose newest statement of a kind counts, fresh enough and under a
//! trust that lasts (RFC-EG-033 §4, incomplete proof continuity and unverifiable runtime proof continuity).

use std::collections::BTreeSet;

use assent_proof::{Code, EvidenceId, EvidenceKind, Millis, Of, Requirement};

use super::case::Case;
use super::counted::{Counted, Flawed, earlier};
use super::lineage_state::LineageState;
use super::verdict::Findings;
use super::{artifact, negative, validity};
use crate::issuer_statements::IssuerStatements;
use crate::kinds::{OfPeer, Says, effects};
use crate::record::SlotRow;
use crate::rows::RowError;

/// Denies unless every requirement of the policy is met. Answers the statements that counted and that count
/// their uses.
///
/// Rule R44 (RFC-EG-033 §4, incomplete proof continuity): Towards each requirement at least as many different
/// issuers count as it asks for, all in the execution's lineage or, if it is a requirement of the runtime,
/// all in the lineage of the runtime that the request names (`evidence_missing`).
pub(super) fn all(
    case: &Case<'_>,
    execution: &LineageState,
    runtime: Option<&LineageState>,
    findings: &mut Findings,
) -> Result<BTreeSet<EvidenceId>, RowError> {
    let mut consumes = BTreeSet::new();
    for required in &case.policy.require {
        let lineage_state = match required.of {
            Of::Execution => Some(execution),
            Of::Runtime => runtime,
        };
        match lineage_state {
            Some(lineage_state) => consumes.extend(check(case, required, lineage_state, findings)?),
            None => {
                let detail = format!(
                    "the policy requires a `{}` of the runtime, and the request names none that is known",
                    required.kind
                );
                findings.deny(Code::EvidenceMissing, detail, None);
            }
        }
    }
    Ok(consumes)
}

/// Denies unless the lineage meets the requirement. If it does, what counted bounds the decision's validity.
/// Answers the statements that counted and that count their uses.
///
/// Rule R35 (RFC-EG-033 §4, incomplete proof continuity): Of each issuer and kind only the newest slot can
/// count, and if that slot has an equivocation, only its chosen half: if that half is of another kind than
/// the rejected one, nothing of the issuer counts for the kind of the rejected one, not even an older
/// statement.
///
/// Rule R44 (RFC-EG-033 §4, incomplete proof continuity): Towards each requirement at least as many different
/// issuers count as it asks for, all in the execution's lineage or, if it is a requirement of the runtime,
/// all in the lineage of the runtime that the request names (`evidence_missing`).
///
/// Rule R146 (RFC-EG-033 §10, proof replay attacks): A permit uses its nonce up, and takes one use of each
/// authorization that counts its uses and that counts for the request, in the execution's lineage or in the
/// runtime's.
fn check(
    case: &Case<'_>,
    required: &Requirement,
    lineage_state: &LineageState,
    findings: &mut Findings,
) -> Result<BTreeSet<EvidenceId>, RowError> {
    let mut consumes = BTreeSet::new();
    let mut counted: u32 = 0;
    let mut candidates: u32 = 0;
    let mut flaws = Vec::new();
    let mut until = None;
    for statements in lineage_state.of_kind(required.kind) {
        candidates = candidates.saturating_add(1);
        let Some(half) = lineage_state.counting(&statements.newest, statements.kind) else { continue };
        match counts(case, required, statements, half)? {
            Ok(statement) => {
                counted = counted.saturating_add(1);
                until = earlier(until, statement.until);
                if artifact::counts_uses(&half.claims) {
                    consumes.insert(statement.evidence_id);
                }
            }
            Err(found) => flaws.extend(found),
        }
    }
    findings.until(until);
    if counted >= required.min_issuers {
        return Ok(consumes);
    }
    let none_explains = flaws.is_empty();
    findings.deny_all(flaws);
    if candidates < required.min_issuers || none_explains {
        let detail = format!(
            "the policy requires `{}` by {} issuers of the {}, and {counted} count",
            required.kind,
            required.min_issuers,
            required.of.as_str(),
        );
        findings.deny(Code::EvidenceMissing, detail, None);
    }
    Ok(consumes)
}

/// Whether this issuer's newest statement counts, looked at alone.
fn counts(
    case: &Case<'_>,
    required: &Requirement,
    statements: &IssuerStatements,
    half: &SlotRow,
) -> Result<Result<Counted, Vec<Flawed>>, RowError> {
    let issuer = &statements.issuer;
    let trusted = trusted_until(case, half)?;
    let (stands_until, mut flaws) = if required.kind == EvidenceKind::ExecutionAuthorization {
        match artifact::covers(case, issuer, half)? {
            Ok(artifact) => (artifact.until, Vec::new()),
            Err(flaws) => (None, flaws),
        }
    } else {
        validity::check(case, issuer, half)?
    };
    let mut flaw = |code, detail| flaws.push(Flawed { code, detail, evidence: half.evidence_id });
    if let Some((code, detail)) = content(case, half) {
        flaw(code, detail);
    }
    if trusted.is_some_and(|end| case.now >= end) {
        flaw(Code::InheritanceUnverifiable, "the trust in the other registry is over".to_owned());
    }
    let stands_until = earlier(stands_until, trusted);
    let end = fresh_until(required, half);
    if end.is_some_and(|end| case.now >= end) {
        let seconds = required.max_age_seconds.unwrap_or(0);
        flaw(Code::RuntimeStale, format!("`{}` is older than {seconds} seconds", required.kind));
    }
    if flaws.is_empty() {
        Ok(Ok(Counted { evidence_id: half.evidence_id, until: earlier(stands_until, end) }))
    } else {
        Ok(Err(flaws))
    }
}

/// Why the content of a statement does not satisfy the requirement.
///
/// Rule R45 (RFC-EG-033 §2, policy validation proofs): What counts towards a requirement is not negative, and
/// a policy validation counts only for a digest that the policy approves, if it has a list of them
/// (`policy_validation_failed`).
fn content(case: &Case<'_>, half: &SlotRow) -> Option<(Code, String)> {
    if let Some(negative) = negative::negative(case.policy, &half.claims) {
        return Some(negative);
    }
    let policy_digest = match effects(&half.claims).says {
        Says::Validated { policy_digest, .. } => policy_digest,
        Says::Nothing | Says::Attested { .. } | Says::Measured(_) => return None,
    };
    let approved = case.policy.policy_digests.as_ref()?;
    (!approved.iter().any(|approved| approved == policy_digest)).then(|| {
        (Code::PolicyValidationFailed, format!("policy digest `{policy_digest}` is not among those approved"))
    })
}

/// For a statement about another registry: until when that registry is trusted.
///
/// Rule R46 (RFC-EG-033 §2, sovereign execution trust evidence): Evidence about another registry counts no
/// longer than the trust in that registry (`inheritance_unverifiable`).
fn trusted_until(case: &Case<'_>, half: &SlotRow) -> Result<Option<Millis>, RowError> {
    match effects(&half.claims).peer {
        OfPeer::Nothing => Ok(None),
        OfPeer::Trust { not_after } => Ok(Some(not_after.to_millis())),
        OfPeer::Checkpoint { .. } => {
            let mut until = None;
            for reference in &half.references {
                let trust = case.view.trust(reference)?;
                until = earlier(until, trust.map(|trust| trust.not_after.to_millis()));
            }
            // Only damage can hide the trust. Without it, the statement rests on nothing.
            Ok(Some(until.unwrap_or(Millis(i64::MIN))))
        }
    }
}

/// Until when the statement is young enough. Its age runs from the earlier of `issuedAt` and `acceptedAt`, so
/// that neither an old statement that is submitted late nor one that is dated ahead counts as young.
///
/// Rule R47 (RFC-EG-033 §4, unverifiable runtime proof continuity): What counts is younger than the
/// requirement's `maxAgeSeconds`, from the earlier of `issuedAt` and acceptance (`runtime_stale`).
fn fresh_until(required: &Requirement, half: &SlotRow) -> Option<Millis> {
    let seconds = required.max_age_seconds?;
    let born = half.issued_at.to_millis().min(half.accepted_at);
    Some(Millis(born.0.saturating_add(i64::from(seconds).saturating_mul(1000))))
}
