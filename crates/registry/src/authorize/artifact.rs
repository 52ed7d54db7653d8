//! The execution-authorization: without one that covers the request, nothing is allowed.

use std::collections::BTreeSet;

use assent_proof::{AuthorizeRequest, Claims, Code, EvidenceId, EvidenceKind, Millis, PublicKey};

use super::evidence::{self, Flawed, earlier};
use super::verdict::Findings;
use super::{Case, Counted, Mode, Recorded, Scene};
use crate::kinds::effects;
use crate::record::SlotRow;
use crate::rows::RowError;

/// Finds an artifact that covers the request; denies if there is none. Answers the first that does, and all those that
/// do and count their uses.
pub(super) fn authorization(
    case: &Case<'_>,
    execution: &Scene,
    findings: &mut Findings,
) -> Result<(Option<EvidenceId>, BTreeSet<EvidenceId>), RowError> {
    let mut counted: Option<EvidenceId> = None;
    let mut consumes = BTreeSet::new();
    let mut flaws = Vec::new();
    let mut found = false;
    for said in execution.of_kind(EvidenceKind::ExecutionAuthorization) {
        // A contested slot never counts; the quarantine says why. Nor does one that another kind won.
        let Some(half) = execution.counting(&said.newest, said.kind) else { continue };
        found = true;
        match covers(case, &said.issuer, half)? {
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
    let lacks_permit = match &case.mode {
        Mode::Read => case.policy.permit_always.then_some("the domain's policy allows only with a permit"),
        Mode::Permitted(Recorded::Nothing) => counted.map(|_| "no permit is recorded for this nonce"),
        Mode::Record | Mode::Permitted(Recorded::Another | Recorded::Permit { .. }) => None,
    };
    if let Some(detail) = lacks_permit {
        findings.deny(Code::PermitRequired, detail.to_owned(), counted);
    }
    Ok((counted, consumes))
}

/// Whether an authorization counts its uses.
pub(super) fn counts_uses(claims: &Claims) -> bool {
    effects(claims).uses.is_some()
}

/// Whether the artifact, on its own, covers the request. The error lists everything it lacks.
pub(super) fn covers(
    case: &Case<'_>,
    issuer: &PublicKey,
    half: &SlotRow,
) -> Result<Result<Counted, Vec<Flawed>>, RowError> {
    let (mut until, mut flaws) = evidence::standing(case, issuer, half)?;
    let flawed = |(code, detail)| Flawed { code, detail, evidence: half.evidence_id };
    match permits(case.request, &half.claims, case.now) {
        Ok(end) => until = earlier(until, Some(end)),
        Err(found) => flaws.extend(found.into_iter().map(flawed)),
    }
    flaws.extend(uses(case, half)?.map(flawed));
    if flaws.is_empty() { Ok(Ok(Counted { evidence_id: half.evidence_id, until })) } else { Ok(Err(flaws)) }
}

/// Why an artifact's counted uses do not let it cover the request, if they don't.
fn uses(case: &Case<'_>, half: &SlotRow) -> Result<Option<(Code, String)>, RowError> {
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

/// What the artifact says of the request: until when it covers it, or everything in which it does not.
fn permits(request: &AuthorizeRequest, claims: &Claims, now: Millis) -> Result<Millis, Vec<(Code, String)>> {
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
    let mut lacks = Vec::new();
    if now < not_before.to_millis() || now >= not_after.to_millis() {
        let detail = format!("the artifact is valid from {not_before} to {not_after}");
        lacks.push((Code::EvidenceExpired, detail));
    }
    if !actions.contains(&request.action) {
        let detail = format!("the artifact does not name action `{}`", request.action);
        lacks.push((Code::ActionNotPermitted, detail));
    }
    if let Some(audience) = audience
        && !request.audience.as_ref().is_some_and(|asked| audience.contains(asked))
    {
        let detail = match &request.audience {
            Some(asked) => format!("the artifact is not meant for audience `{asked}`"),
            None => "the artifact is meant for certain audiences, and the request names none".to_owned(),
        };
        lacks.push((Code::AudienceMismatch, detail));
    }
    if let Some(environment) = environment
        && request.environment.as_ref() != Some(environment)
    {
        let detail = format!("the artifact is meant for environment `{environment}`");
        lacks.push((Code::EnvironmentMismatch, detail));
    }
    if let Some(runtimes) = runtimes
        && !request.runtime.as_ref().is_some_and(|asked| runtimes.contains(asked))
    {
        let detail = match &request.runtime {
            Some(asked) => format!("the artifact is not meant for runtime `{asked}`"),
            None => "the artifact is meant for certain runtimes, and the request names none".to_owned(),
        };
        lacks.push((Code::RuntimeMismatch, detail));
    }
    if lacks.is_empty() { Ok(not_after.to_millis()) } else { Err(lacks) }
}
