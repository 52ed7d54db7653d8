//! What must hold of the state before any evidence is looked at: the history, the revision, the domain, its
//! isolations and its policy (RFC-EG-033 §7, synchronize before authorize; §8, boundaries between domains).

use std::rc::Rc;

use assent_proof::{AuthorizeRequest, Code, History};

use super::verdict::{Findings, JudgedBy};
use crate::record::{DomainRow, PolicyRow};
use crate::rows::RowError;
use crate::view::View;

/// Whether the request names the history in force or none. Denies if it names another.
///
/// Rule R15 (RFC-EG-033 §5, governance registries): A question about another history than that of the state
/// is denied for that alone (`history_mismatch`).
pub(super) fn same_history(request: &AuthorizeRequest, in_force: History, findings: &mut Findings) -> bool {
    let Some(asked) = request.history.filter(|asked| *asked != in_force) else { return true };
    let detail = format!("the request is about history `{asked}`, and `{in_force}` is the one in force");
    findings.deny(Code::HistoryMismatch, detail, None);
    false
}

/// Denies if the registry has not reached the least revision that the request names.
///
/// Rule R16 (RFC-EG-033 §7, synchronize-before-authorize): The state has at least the revision that the
/// question names (`revision_not_reached`).
pub(super) fn least_revision(request: &AuthorizeRequest, revision: u64, findings: &mut Findings) {
    if let Some(least) = request.min_revision.filter(|least| revision < *least) {
        let detail = format!("the registry is at revision {revision}, not yet at {least}");
        findings.deny(Code::RevisionNotReached, detail, None);
    }
}

/// The policy of the request's domain. Denies if the domain does not exist or is isolated, or if its policy
/// is missing or void. `None` if there is no policy to judge by.
///
/// Rule R17 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): The domain exists (`domain_unknown`) and has a
/// policy (`policy_missing`), which is not void (`inheritance_unverifiable`).
pub(super) fn policy(
    view: &View<'_>,
    request: &AuthorizeRequest,
    findings: &mut Findings,
) -> Result<Option<Rc<PolicyRow>>, RowError> {
    let Some(domain) = view.domain(&request.domain)? else {
        findings.deny(Code::DomainUnknown, format!("there is no domain `{}`", request.domain), None);
        return Ok(None);
    };
    not_isolated(view, request, &domain, findings)?;
    let Some(policy) = view.policy(&request.domain)? else {
        let detail = format!("domain `{}` has no policy, and without one nothing is allowed", request.domain);
        findings.deny(Code::PolicyMissing, detail, None);
        return Ok(None);
    };
    findings.policy = Some(JudgedBy::new(policy.evidence_id, &policy.body));
    if view.is_void(&policy.evidence_id)? {
        let detail = "the domain's policy is void, and the policy before it does not apply again".to_owned();
        findings.deny(Code::InheritanceUnverifiable, detail, Some(policy.evidence_id));
    }
    Ok(Some(policy))
}

/// Denies for each isolation of the domain that holds.
///
/// Rule R18 (RFC-EG-033 §7, isolate): The domain is not isolated (`domain_isolated`).
fn not_isolated(
    view: &View<'_>,
    request: &AuthorizeRequest,
    domain: &DomainRow,
    findings: &mut Findings,
) -> Result<(), RowError> {
    for isolation in view.isolations(&request.domain, domain)? {
        let detail = format!("domain `{}` is isolated", request.domain);
        findings.deny(Code::DomainIsolated, detail, Some(isolation));
    }
    Ok(())
}
