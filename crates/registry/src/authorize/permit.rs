//! What is recorded of permits: which request a nonce was used for.

use assent_proof::{AuthorizeRequest, blake3_256};

use super::Recorded;
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::submit::receipt_of;
use crate::view::View;

/// The digest by which a request is recognised: BLAKE3-256 of its JSON.
pub(crate) fn digest(request: &AuthorizeRequest) -> [u8; 32] {
    blake3_256(&request.to_json().to_vec())
}

/// What is recorded for the request's nonce; nothing for a request without a lineage or a nonce.
pub(super) fn recorded(view: &View<'_>, request: &AuthorizeRequest) -> Result<Recorded, RowError> {
    let (Some(lineage), Some(nonce)) = (&request.lineage, &request.nonce) else {
        return Ok(Recorded::Nothing);
    };
    let Some(row) = view.permit(&request.domain, lineage, nonce)? else { return Ok(Recorded::Nothing) };
    if row.request != digest(request) {
        return Ok(Recorded::Another);
    }
    match receipt_of(view, &row.evidence_id)? {
        Some(receipt) => Ok(Recorded::Permit { receipt, consumed: row.consumed }),
        None => {
            let key = row_key::permit(&request.domain, lineage, nonce);
            Err(RowError::Mutated { table: Table::Permits, key })
        }
    }
}
