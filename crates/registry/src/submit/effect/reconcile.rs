//! A reconciliation: one half of an equivocation stands, the other is void (RFC-EG-033 §2, distributed
//! governance reconciliation).

use assent_proof::EvidenceId;

use super::writer::{Writer, must};
use crate::record::Reconciled;
use crate::row_key;
use crate::rows::{RowError, Table};

impl Writer<'_> {
    /// Marks one half as chosen and the other one as rejected. The lineage remembers its slot's last
    /// reconciliation.
    ///
    /// Rule R63 (RFC-EG-033 §2, distributed governance reconciliation): A reconciliation marks the half that
    /// it names as chosen and the other one as rejected, and a half is chosen as long as the reconciliation
    /// that names it is not void.
    ///
    /// Rule R132 (RFC-EG-033 §2, distributed governance reconciliation): A reconciliation charges the half
    /// that it names with the uses that permits took under either half.
    pub(super) fn reconcile(
        &mut self,
        conflict: &[EvidenceId; 2],
        canonical: &EvidenceId,
    ) -> Result<(), RowError> {
        let by = self.id;
        let mut consumed = 0;
        for half in conflict {
            consumed = self.found_evidence(half)?.consumed.max(consumed);
        }
        for half in conflict.iter().filter(|half| *half != canonical) {
            self.mark(half, |row| row.rejected_by = Some(by))?;
        }
        // Uses that were taken under the other half were taken of the same slot.
        self.mark(canonical, |row| row.consumed = consumed)?;
        let half = self.found_evidence(canonical)?;
        let mut lineage = self.found_lineage(&half.domain, &half.lineage)?;
        let key = row_key::lineage(&half.domain, &half.lineage);
        let resolved = lineage.conflicts.iter_mut().find(|conflict| {
            half.issuers.contains(&conflict.issuer) && half.sequence == Some(conflict.sequence)
        });
        let reconciled = Reconciled { by, canonical: *canonical };
        must(resolved, Table::Lineages, &key)?.reconciled = Some(reconciled);
        self.put(Table::Lineages, &key, &lineage)
    }
}
