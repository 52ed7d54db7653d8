//! Whether a permit is recorded: once for a nonce, and only for a request that is allowed (RFC-EG-033 §7,
//! synchronize before authorize).

use std::collections::BTreeSet;

use assent_proof::{AuthorizeRequest, Code, EvidenceId, Millis, Refusal};

use super::plan::Placement;
use super::stop::Stop;
use crate::authorize::{Verdict, consider};
use crate::permit::request_digest;
use crate::view::View;

/// A permit is recorded once for a nonce, and only if the request is allowed.
///
/// Rule R144 (RFC-EG-033 §10, proof replay attacks): A nonce serves one request of its lineage: the same
/// request again is answered with the first permit, takes no further use and is decided anew, and another
/// request is refused (`nonce_reused`).
///
/// Rule R145 (RFC-EG-033 §7, synchronize-before-authorize): A permit is accepted only if its request is
/// evaluated to an `Allow` at the time of acceptance.
pub(super) fn check(
    view: &View<'_>,
    request: &AuthorizeRequest,
    now: Millis,
) -> Result<(Placement, BTreeSet<EvidenceId>), Stop> {
    if let (Some(lineage), Some(nonce)) = (&request.lineage, &request.nonce)
        && let Some(row) = view.permit(&request.domain, lineage, nonce)?
    {
        if row.request == request_digest(request) {
            return Ok((Placement::Redundant(row.evidence_id), BTreeSet::new()));
        }
        let detail = "the nonce was used for another request in this lineage";
        return Err(Refusal::at(Code::NonceReused, "predicate.claims.request.nonce", detail).into());
    }
    let (decision, consumes) = consider(view, request, now)?;
    if let Verdict::Allow(allow) = decision.verdict() {
        return Ok((Placement::Permit(*allow), consumes));
    }
    // A deny that names no reason is still a deny.
    let (code, detail) = match decision.reasons.into_iter().next() {
        Some(reason) => (reason.code, reason.detail),
        None => (Code::EvidenceMissing, "no ground for an allow was found".to_owned()),
    };
    Err(Refusal::at(code, "predicate.claims.request", detail).into())
}
