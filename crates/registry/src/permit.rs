//! What is recorded of permits: the request that a nonce was used for (RFC-EG-033 §10, proof replay).

use assent_proof::{AuthorizeRequest, EvidenceId, blake3_256};

use crate::command::Receipt;
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::view::View;

/// What is recorded for a nonce.
pub(crate) enum Recorded {
    /// Nothing.
    Nothing,
    /// A permit for another request.
    Another,
    /// This request's permit.
    Permit {
        /// Where it is.
        receipt: Receipt,
        /// The authorizations that lost a use by it.
        consumed: Vec<EvidenceId>,
    },
}

/// The digest that identifies a request: BLAKE3-256 of its JSON.
pub(crate) fn request_digest(request: &AuthorizeRequest) -> [u8; 32] {
    blake3_256(&request.to_json().to_vec())
}

/// What is recorded for the request's nonce; nothing for a request without a lineage or a nonce.
///
/// Rule R26 (RFC-EG-033 §7, synchronize-before-authorize): Where a permit is asked for, it must be in the
/// ledger (`permit_required`), for this request (`nonce_reused`) and not void (`inheritance_unverifiable`),
/// and the uses of a permit that is void stay taken.
pub(crate) fn recorded(view: &View<'_>, request: &AuthorizeRequest) -> Result<Recorded, RowError> {
    let (Some(lineage), Some(nonce)) = (&request.lineage, &request.nonce) else {
        return Ok(Recorded::Nothing);
    };
    let Some(row) = view.permit(&request.domain, lineage, nonce)? else { return Ok(Recorded::Nothing) };
    if row.request != request_digest(request) {
        return Ok(Recorded::Another);
    }
    match view.receipt(&row.evidence_id)? {
        Some(receipt) => Ok(Recorded::Permit { receipt, consumed: row.consumed }),
        None => {
            let key = row_key::permit(&request.domain, lineage, nonce);
            Err(RowError::Mutated { table: Table::Permits, key })
        }
    }
}
