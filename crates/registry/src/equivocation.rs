//! Two statements of one issuer for one slot: which of them is chosen (RFC-EG-033 §3, deterministic proof
//! resolution).

use assent_proof::{EvidenceId, PublicKey};

use crate::record::{Conflict, EvidenceRow, LineageRow, Reconciled};
use crate::rows::RowError;
use crate::view::View;

impl LineageRow {
    /// The equivocation of a slot, if there is one.
    pub(crate) fn conflict(&self, issuer: &PublicKey, sequence: u64) -> Option<&Conflict> {
        self.conflicts.iter().find(|conflict| conflict.issuer == *issuer && conflict.sequence == sequence)
    }

    /// The slots that this issuer filled twice, oldest first.
    pub(crate) fn contested(&self, issuer: &PublicKey) -> impl Iterator<Item = &Conflict> {
        self.conflicts.iter().filter(move |conflict| conflict.issuer == *issuer)
    }
}

impl View<'_> {
    /// The chosen half of an equivocation; `None` if it is not reconciled or its reconciliation is void.
    ///
    /// Rule R63 (RFC-EG-033 §2, distributed governance reconciliation): A reconciliation marks the half that
    /// it names as chosen and the other one as rejected, and a half is chosen as long as the reconciliation
    /// that names it is not void.
    pub(crate) fn canonical(&self, conflict: &Conflict) -> Result<Option<EvidenceId>, RowError> {
        match conflict.reconciled {
            Some(Reconciled { by, canonical }) if !self.is_void(&by)? => Ok(Some(canonical)),
            _ => Ok(None),
        }
    }

    /// Whether the evidence is one half of an equivocation, and not the chosen one.
    ///
    /// Rule R64 (RFC-EG-033 §10, unsigned proof inheritance): A statement has a flaw if it is unknown
    /// (`evidence_detached`), or if it is void, a half that is not chosen, or execution evidence of a revoked
    /// key (`inheritance_unverifiable`).
    pub(crate) fn is_contested(&self, id: &EvidenceId, row: &EvidenceRow) -> Result<bool, RowError> {
        let ([issuer], Some(sequence)) = (row.issuers.as_slice(), row.sequence) else { return Ok(false) };
        if !row.kind.is_execution() {
            return Ok(false);
        }
        let Some(lineage) = self.lineage(&row.domain, &row.lineage)? else { return Ok(true) };
        match lineage.conflict(issuer, sequence) {
            None => Ok(false),
            Some(conflict) => Ok(self.canonical(conflict)? != Some(*id)),
        }
    }
}
