//! The execution-authorization: without one that covers the request, nothing is allowed (RFC-EG-033 §2).

use std::collections::BTreeSet;

use assent_proof::{
    AuthorizeRequest, Claims, Code, EvidenceId, EvidenceKind, LineageName, Millis, PublicKey, Seconds,
};

use super::case::{Case, Mode};
use super::counted::{Counted, Flawed, earlier};
use super::lineage_state::LineageState;
use super::verdict::Findings;
use super::{permitted, validity};
use crate::flaw::Flaw;
use crate::kinds::effects;
use crate::permit::Recorded;
use crate::record::SlotRow;
use crate::rows::RowError;

/// Finds an artifact that covers the request, and denies if there is none. Answers the first that covers it,
/// and all those that cover it and count their uses.
///
/// Rule R35 (RFC-EG-033 §4, incomplete proof continuity): Of each issuer and kind only the newest slot can
/// count, and if that slot has an equivocation, only its chosen half: if that half is of another kind than
/// the rejected one, nothing of the issuer counts for the kind of the rejected one, not even an older
/// statement.
///
/// Rule R39 (RFC-EG-033 §2, execution authorization artifacts): An `execution-authorization` in the
/// execution's lineage must cover the request, whatever the policy requires (`evidence_missing`).
///
/// Rule R146 (RFC-EG-033 §10, proof replay attacks): A permit uses its nonce up, and takes one use of each
/// authorization that counts its uses and that counts for the request, in the execution's lineage or in the
/// runtime's.
pub(super) fn authorization(
    case: &Case<'_>,
    execution: &LineageState,
    findings: &mut Findings,
) -> Result<(Option<EvidenceId>, BTreeSet<EvidenceId>), RowError> {
    let mut counted: Option<EvidenceId> = None;
    let mut consumes = BTreeSet::new();
    let mut flaws = Vec::new();
    let mut found = false;
    for statements in execution.of_kind(EvidenceKind::ExecutionAuthorization) {
        // A contested slot never counts, and the quarantine says why. Nor does a slot in which a half of
        // another kind was chosen.
        let Some(half) = execution.counting(&statements.newest, statements.kind) else { continue };
        found = true;
        match covers(case, &statements.issuer, half)? {
            Ok(artifact) => {
                findings.until(artifact.until);
                counted.get_or_insert(artifact.evidence_id);
                if counts_uses(&half.claims) {
                    consumes.insert(artifact.evidence_id);
                }
            }
            Err(flaw) => flaws.extend(flaw),
        }
    }
    if counted.is_none() {
        findings.deny_all(flaws);
        if !found {
            let detail = "the lineage has no `execution-authorization` that could count".to_owned();
            findings.deny(Code::EvidenceMissing, detail, None);
        }
    }
    permitted::needed(case, counted, findings);
    Ok((counted, consumes))
}

/// Whether an authorization counts its uses.
pub(super) fn counts_uses(claims: &Claims) -> bool {
    effects(claims).uses.is_some()
}

/// Whether the artifact, on its own, covers the request. The error lists everything that it lacks.
///
/// Rule R39 (RFC-EG-033 §2, execution authorization artifacts): An `execution-authorization` in the
/// execution's lineage must cover the request, whatever the policy requires (`evidence_missing`).
pub(super) fn covers(
    case: &Case<'_>,
    issuer: &PublicKey,
    half: &SlotRow,
) -> Result<Result<Counted, Vec<Flawed>>, RowError> {
    let (mut until, mut flaws) = validity::check(case, issuer, half)?;
    let flawed = |(code, detail)| Flawed { code, detail, evidence: half.evidence_id };
    match permits(case.request, &half.claims, case.now) {
        Ok(end) => until = earlier(until, Some(end)),
        Err(found) => flaws.extend(found.into_iter().map(flawed)),
    }
    flaws.extend(uses(case, half)?.map(flawed));
    if flaws.is_empty() { Ok(Ok(Counted { evidence_id: half.evidence_id, until })) } else { Ok(Err(flaws)) }
}

/// Why the artifact's counted uses do not let it cover the request; `None` if they do.
///
/// Rule R42 (RFC-EG-033 §7, deny): An authorization that counts its uses covers no request without a permit
/// (`permit_required`), covers the request of a new permit only while a use is left, and covers the request
/// of a recorded permit only if that permit took one of its uses (`authorization_consumed`).
fn uses(case: &Case<'_>, half: &SlotRow) -> Result<Option<Flaw>, RowError> {
    let Some(uses) = effects(&half.claims).uses else { return Ok(None) };
    match &case.mode {
        Mode::Read => {
            let detail = "the artifact's uses are counted, so it takes a permit".to_owned();
            Ok(Some((Code::PermitRequired, detail)))
        }
        Mode::Permitted(Recorded::Permit { consumed, .. }) => {
            let detail = "the permit took no use of this artifact".to_owned();
            let took = consumed.contains(&half.evidence_id);
            Ok((!took).then_some((Code::AuthorizationConsumed, detail)))
        }
        Mode::Record | Mode::Permitted(Recorded::Nothing | Recorded::Another) => {
            let row = case.view.evidence(&half.evidence_id)?;
            let consumed = row.map_or(u32::MAX, |row| row.consumed);
            let detail = format!("all {uses} uses of the artifact are consumed");
            Ok((consumed >= uses).then_some((Code::AuthorizationConsumed, detail)))
        }
    }
}

/// Whether the claims of the artifact cover the request: until when they do, or every reason why they do not.
fn permits(request: &AuthorizeRequest, claims: &Claims, now: Millis) -> Result<Millis, Vec<Flaw>> {
    let Claims::ExecutionAuthorization {
        actions,
        audience,
        environment,
        not_before,
        not_after,
        uses: _,
        runtimes,
    } = claims
    else {
        return Err(vec![(Code::EvidenceMissing, "it is no execution-authorization".to_owned())]);
    };
    let lacks = [
        in_time(*not_before, *not_after, now),
        for_action(request, actions),
        for_audience(request, audience),
        for_environment(request, environment),
        for_runtime(request, runtimes),
    ];
    let lacks: Vec<Flaw> = lacks.into_iter().flatten().collect();
    if lacks.is_empty() { Ok(not_after.to_millis()) } else { Err(lacks) }
}

/// The flaw of an artifact that is not valid now.
///
/// Rule R40 (RFC-EG-033 §6, timestamp-bound proof continuity): An authorization covers a request from its
/// `notBefore` to its `notAfter`, exclusive (`evidence_expired`).
fn in_time(not_before: Seconds, not_after: Seconds, now: Millis) -> Option<Flaw> {
    if now < not_before.to_millis() || now >= not_after.to_millis() {
        let detail = format!("the artifact is valid from {not_before} to {not_after}");
        return Some((Code::EvidenceExpired, detail));
    }
    None
}

/// The flaw of an artifact that does not name the action.
///
/// Rule R41 (RFC-EG-033 §2, execution authorization artifacts): An authorization covers only a request whose
/// action it names (`action_not_permitted`), and, if it names audiences, environments or runtimes, only one
/// whose audience, environment or runtime is among them (`audience_mismatch`, `environment_mismatch`,
/// `runtime_mismatch`), compared byte by byte.
fn for_action(request: &AuthorizeRequest, actions: &[String]) -> Option<Flaw> {
    if !actions.contains(&request.action) {
        let detail = format!("the artifact does not name action `{}`", request.action);
        return Some((Code::ActionNotPermitted, detail));
    }
    None
}

/// The flaw of an artifact that is meant for certain audiences, of which the request names none.
///
/// Rule R41 (RFC-EG-033 §2, execution authorization artifacts): An authorization covers only a request whose
/// action it names (`action_not_permitted`), and, if it names audiences, environments or runtimes, only one
/// whose audience, environment or runtime is among them (`audience_mismatch`, `environment_mismatch`,
/// `runtime_mismatch`), compared byte by byte.
fn for_audience(request: &AuthorizeRequest, audience: &Option<Vec<String>>) -> Option<Flaw> {
    if let Some(audience) = audience
        && !request.audience.as_ref().is_some_and(|asked| audience.contains(asked))
    {
        let detail = match &request.audience {
            Some(asked) => format!("the artifact is not meant for audience `{asked}`"),
            None => "the artifact is meant for certain audiences, and the request names none".to_owned(),
        };
        return Some((Code::AudienceMismatch, detail));
    }
    None
}

/// The flaw of an artifact that is meant for a certain environment, which the request does not name.
///
/// Rule R41 (RFC-EG-033 §2, execution authorization artifacts): An authorization covers only a request whose
/// action it names (`action_not_permitted`), and, if it names audiences, environments or runtimes, only one
/// whose audience, environment or runtime is among them (`audience_mismatch`, `environment_mismatch`,
/// `runtime_mismatch`), compared byte by byte.
fn for_environment(request: &AuthorizeRequest, environment: &Option<String>) -> Option<Flaw> {
    if let Some(environment) = environment
        && request.environment.as_ref() != Some(environment)
    {
        let detail = format!("the artifact is meant for environment `{environment}`");
        return Some((Code::EnvironmentMismatch, detail));
    }
    None
}

/// The flaw of an artifact that is meant for certain runtimes, of which the request names none.
///
/// Rule R41 (RFC-EG-033 §2, execution authorization artifacts): An authorization covers only a request whose
/// action it names (`action_not_permitted`), and, if it names audiences, environments or runtimes, only one
/// whose audience, environment or runtime is among them (`audience_mismatch`, `environment_mismatch`,
/// `runtime_mismatch`), compared byte by byte.
fn for_runtime(request: &AuthorizeRequest, runtimes: &Option<Vec<LineageName>>) -> Option<Flaw> {
    if let Some(runtimes) = runtimes
        && !request.runtime.as_ref().is_some_and(|asked| runtimes.contains(asked))
    {
        let detail = match &request.runtime {
            Some(asked) => format!("the artifact is not meant for runtime `{asked}`"),
            None => "the artifact is meant for certain runtimes, and the request names none".to_owned(),
        };
        return Some((Code::RuntimeMismatch, detail));
    }
    None
}
