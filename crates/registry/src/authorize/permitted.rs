//! What a permit adds to a decision: the permit that is recorded for this request, or the need for one
//! (RFC-EG-033 §7, synchronize before authorize).

use assent_proof::{Code, EvidenceId};

use super::case::{Case, Mode};
use super::verdict::Findings;
use crate::permit::Recorded;
use crate::rows::RowError;

/// Looks at what is recorded for the request's nonce, if a permit should have been. Denies if that permit is
/// void or for another request.
///
/// Rule R26 (RFC-EG-033 §7, synchronize-before-authorize): Where a permit is asked for, it must be in the
/// ledger (`permit_required`), for this request (`nonce_reused`) and not void (`inheritance_unverifiable`),
/// and the uses of a permit that is void stay taken.
pub(super) fn recorded(case: &Case<'_>, findings: &mut Findings) -> Result<(), RowError> {
    match &case.mode {
        Mode::Permitted(Recorded::Permit { receipt, .. }) => {
            let id = receipt.evidence_id;
            if case.view.is_void(&id)? {
                findings.deny(Code::InheritanceUnverifiable, "the permit is void".to_owned(), Some(id));
            }
            findings.permit = Some(receipt.clone());
        }
        Mode::Permitted(Recorded::Another) => {
            let detail = "the nonce was used for another request in this lineage".to_owned();
            findings.deny(Code::NonceReused, detail, None);
        }
        Mode::Permitted(Recorded::Nothing) | Mode::Read | Mode::Record => {}
    }
    Ok(())
}

/// Denies if the policy allows only with a permit and the caller asks for none, or if a permit should be
/// recorded and is not. `counted` is the authorization that counts.
///
/// Rule R26 (RFC-EG-033 §7, synchronize-before-authorize): Where a permit is asked for, it must be in the
/// ledger (`permit_required`), for this request (`nonce_reused`) and not void (`inheritance_unverifiable`),
/// and the uses of a permit that is void stay taken.
///
/// Rule R43 (RFC-EG-033 §7, deny): If the policy allows only with a permit, a question that asks for no
/// permit is denied (`permit_required`).
pub(super) fn needed(case: &Case<'_>, counted: Option<EvidenceId>, findings: &mut Findings) {
    let lacks_permit = match &case.mode {
        Mode::Read => case.policy.permit_always.then_some("the domain's policy allows only with a permit"),
        Mode::Permitted(Recorded::Nothing) => counted.map(|_| "no permit is recorded for this nonce"),
        Mode::Record | Mode::Permitted(Recorded::Another | Recorded::Permit { .. }) => None,
    };
    if let Some(detail) = lacks_permit {
        findings.deny(Code::PermitRequired, detail.to_owned(), counted);
    }
}
