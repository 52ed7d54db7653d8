//! May this execute, now? A pure function of (view, request, now).
//!
//! An evaluation gathers every reason that denies. Only if there is none, and every ground for an allow was
//! found, does [`verdict::conclude`] make an [`Allow`] (RFC-EG-033 §3, fail-closed proof enforcement). If a
//! row cannot be read, the evaluation ends: that is then the only reason, and the reasons that were found
//! before it are not reported.
//!
//! This file owns the order in which the rules are applied. Each rule lies in the file of its subject:
//!
//! | file | rules |
//! |---|---|
//! | `state.rs` | history, revision, domain, isolation, policy |
//! | `lineage_state.rs` | the lineage of the execution and that of the runtime: open, whole, of one subject |
//! | `permitted.rs` | the permit that is recorded, or the need for one |
//! | `negative.rs` | the statements whose content denies |
//! | `artifact.rs` | the execution-authorization |
//! | `requirement.rs` | what the policy requires |
//! | `validity.rs` | whether one statement may count at all |
//! | `verdict.rs` | the decision, and the one place where an allow is made |

mod artifact;
mod case;
mod counted;
mod lineage_state;
mod negative;
mod permitted;
mod requirement;
mod state;
mod validity;
mod verdict;
mod walk;

use std::collections::BTreeSet;

use assent_proof::{AuthorizeRequest, Code, EvidenceId, Millis};

use crate::limit;
use crate::permit;
use crate::rows::RowError;
use crate::view::View;

use case::{Case, Mode};
pub use verdict::{Allow, Decision, JudgedBy, Reason, Verdict};
use verdict::{Findings, Grounds};

/// Decides whether the request may execute at `now`, which is the later of the caller's clock and registry
/// time. Every reason that denies is named, in the order of the codes.
pub fn authorize(view: &View<'_>, request: &AuthorizeRequest, now: Millis) -> Decision {
    evaluate(view, request, now, Mode::Read)
        .map_or_else(|error| unreadable(view, &error, now), |(decision, _)| decision)
}

/// Decides like [`authorize`], for a request whose permit was recorded before: its uses are consumed already,
/// and everything else must still allow. The request must name its lineage and a nonce. If its permit is not
/// in the ledger, nothing is allowed.
///
/// Rule R26 (RFC-EG-033 §7, synchronize-before-authorize): Where a permit is asked for, it must be in the
/// ledger (`permit_required`), for this request (`nonce_reused`) and not void (`inheritance_unverifiable`),
/// and the uses of a permit that is void stay taken.
///
/// Rule R144 (RFC-EG-033 §10, proof replay attacks): A nonce serves one request of its lineage: the same
/// request again is answered with the first permit, takes no further use and is decided anew, and another
/// request is refused (`nonce_reused`).
pub fn authorize_permitted(view: &View<'_>, request: &AuthorizeRequest, now: Millis) -> Decision {
    let evaluated = |recorded| evaluate(view, request, now, Mode::Permitted(recorded));
    let decided = permit::recorded(view, request).and_then(evaluated);
    decided.map_or_else(|error| unreadable(view, &error, now), |(decision, _)| decision)
}

/// Whether a permit may be recorded for the request, which needs an [`Allow`], and which authorizations lose
/// a use by it.
///
/// Rule R145 (RFC-EG-033 §7, synchronize-before-authorize): A permit is accepted only if its request is
/// evaluated to an `Allow` at the time of acceptance.
pub(crate) fn consider(
    view: &View<'_>,
    request: &AuthorizeRequest,
    now: Millis,
) -> Result<(Decision, BTreeSet<EvidenceId>), RowError> {
    evaluate(view, request, now, Mode::Record)
}

/// The deny of an evaluation that could not read the state, or that was interrupted by its deadline.
///
/// Rule R48 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A row that cannot be read denies, whatever else
/// was found (`evidence_mutated`).
fn unreadable(view: &View<'_>, error: &RowError, now: Millis) -> Decision {
    view.met(error);
    let detail = match error {
        RowError::Interrupted => return Decision::deny(Code::DeadlineExceeded, error.to_string(), now),
        RowError::Mutated { .. } => format!("{error}: this node's state cannot be trusted"),
        RowError::Unreadable(_)
        | RowError::RulesUnknown { .. }
        | RowError::RowVersion { .. }
        | RowError::CommandVersion(_) => format!("{error}: this node cannot prove its state"),
    };
    Decision::deny(Code::EvidenceMutated, detail, now)
}

/// Applies the rules in their order. Answers the decision, and which authorizations lose a use if a permit
/// rests on it.
///
/// Rule R10 (RFC-EG-033 §8, governance authorities): Without a genesis nothing is accepted and nothing is
/// allowed (`domain_unknown`).
///
/// Rule R12 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): Once a decision has met a row or rules of a
/// version that the build does not know, no decision on that state allows, and the node signs no allow any
/// more (`evidence_mutated`).
///
/// Rule R14 (RFC-EG-033 §6, timestamp-bound proof continuity): A question is decided at the node's clock or
/// at registry time, whichever is later.
fn evaluate(
    view: &View<'_>,
    request: &AuthorizeRequest,
    now: Millis,
    mode: Mode,
) -> Result<(Decision, BTreeSet<EvidenceId>), RowError> {
    let Some(meta) = view.meta()? else {
        let detail = "this registry has no genesis";
        return Ok((Decision::deny(Code::DomainUnknown, detail, now), BTreeSet::new()));
    };
    view.rules()?;
    // If a decision could not read something, no later decision on this state may ignore it.
    if let Some(error) = view.takes_another_build() {
        return Err(error);
    }
    view.begin();
    let now = now.max(meta.registry_time);
    let mut findings = Findings::new(now, meta.revision);
    let in_force = view.history_in_force()?;
    findings.history = Some(in_force);
    // This comes first, and alone: a revision or a head of another history means nothing here.
    if !state::same_history(request, in_force, &mut findings) {
        return Ok(denied(findings));
    }
    state::least_revision(request, meta.revision, &mut findings);
    let Some(policy) = state::policy(view, request, &mut findings)? else { return Ok(denied(findings)) };
    let execution = lineage_state::execution(view, request, &mut findings)?;
    let own = request.lineage.as_ref().or(execution.as_ref().map(|lineage_state| &lineage_state.name));
    let runtime = lineage_state::runtime(view, request, own, &mut findings)?;
    let Some(execution) = execution else { return Ok(denied(findings)) };
    let case = Case::new(view, request, &policy.body, now, mode);
    permitted::recorded(&case, &mut findings)?;
    lineage_state::head(&execution, request, &mut findings);
    negative::negatives(&case, &execution, &mut findings)?;
    if let Some(runtime) = &runtime {
        negative::negatives(&case, runtime, &mut findings)?;
    }
    let (authorized_by, mut consumes) = artifact::authorization(&case, &execution, &mut findings)?;
    consumes.extend(requirement::all(&case, &execution, runtime.as_ref(), &mut findings)?);
    within_bounds(view, &mut findings);
    let grounds = authorized_by.map(|authorized_by| {
        Grounds::new(policy.evidence_id, authorized_by, policy.body.decision_ttl_seconds)
    });
    Ok((verdict::conclude(findings, grounds), consumes))
}

/// The deny for what was found so far, if the rules that follow have nothing to look at.
fn denied(findings: Findings) -> (Decision, BTreeSet<EvidenceId>) {
    (verdict::conclude(findings, None), BTreeSet::new())
}

/// Denies if the evaluation would have to judge more statements than it may.
///
/// Rule R62 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): One evaluation, or the check of one envelope,
/// judges at most 4,096 statements, takes all others for void and is then in doubt, which denies a question
/// (`inheritance_unverifiable`).
fn within_bounds(view: &View<'_>, findings: &mut Findings) {
    if view.is_in_doubt() {
        let most = limit::JUDGED_STATEMENTS;
        let detail =
            format!("this rests on more than {most} statements, the most that one evaluation judges");
        findings.deny(Code::InheritanceUnverifiable, detail, None);
    }
}

#[cfg(test)]
mod tests;
