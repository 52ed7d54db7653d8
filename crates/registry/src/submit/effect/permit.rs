//! A permit: the use of a nonce, and of each authorization that counts its uses.

use assent_proof::AuthorizeRequest;

use super::writer::{StatementPlace, Writer, must};
use crate::permit::request_digest;
use crate::record::PermitRow;
use crate::row_key;
use crate::rows::{RowError, Table};

impl Writer<'_> {
    /// Records that the nonce is used, and that each counted authorization loses a use.
    ///
    /// Rule R146 (RFC-EG-033 §10, proof replay attacks): A permit uses its nonce up, and takes one use of
    /// each authorization that counts its uses and that counts for the request, in the execution's lineage or
    /// in the runtime's.
    pub(super) fn permit(&mut self, request: &AuthorizeRequest) -> Result<(), RowError> {
        for artifact in &self.plan.consumes {
            self.mark(artifact, |row| row.consumed = row.consumed.saturating_add(1))?;
        }
        let StatementPlace { domain, name } = self.place();
        // The reader of claims refuses a permit without a nonce, so a missing one is damage.
        let nonce = must(request.nonce.as_ref(), Table::Permits, &self.id.0)?;
        let row = PermitRow {
            evidence_id: self.id,
            request: request_digest(request),
            consumed: self.plan.consumes.iter().copied().collect(),
        };
        self.put(Table::Permits, &row_key::permit(&domain, &name, nonce), &row)
    }
}
