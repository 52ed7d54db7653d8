//! The leaf: one line of the ledger, with its envelope and what the rules need to know of it (RFC-EG-033 §3,
//! immutable proof persistence).

use super::writer::Writer;
use crate::kinds::{Restriction, effects};
use crate::record::{EvidenceRow, LeafRow};
use crate::row_key;
use crate::rows::{RowError, Table};

impl Writer<'_> {
    /// Writes the leaf, the envelope's bytes, and the entry in its lineage.
    ///
    /// Rule R126 (RFC-EG-033 §3, Immutable Proof Persistence): Every accepted statement is the next leaf of
    /// the ledger, with its bytes as they were submitted, and no leaf changes or goes.
    pub(super) fn leaf(&mut self, body: &[u8]) -> Result<(), RowError> {
        let index = row_key::index(self.index);
        let leaf = LeafRow { evidence_id: self.id, accepted_at: self.plan.accepted_at };
        self.put(Table::Leaves, &index, &leaf)?;
        self.rows.put(Table::Bodies, &index, body)?;
        let statement = self.statement;
        let row = EvidenceRow {
            index: self.index,
            accepted_at: self.plan.accepted_at,
            rules: self.plan.rules.version().0,
            kind: statement.kind,
            domain: statement.domain.clone(),
            lineage: statement.lineage.clone(),
            issuers: statement.issuers.clone(),
            counted: self.plan.counted.clone(),
            threshold: self.plan.threshold,
            sequence: statement.sequence,
            references: statement.references.clone(),
            equivocation: self.plan.placement.is_second(),
            containment: match effects(&self.plan.claims).restricts {
                Some(Restriction::Contains(containment)) => Some(containment.clone()),
                Some(Restriction::Revokes { .. }) | None => None,
            },
            invalidated_by: None,
            rejected_by: None,
            released_by: None,
            consumed: 0,
        };
        let id = self.id;
        self.put(Table::Evidence, &id.0, &row)?;
        let entry = row_key::entry(&statement.domain, &statement.lineage, self.index);
        self.rows.put(Table::LineageEntries, &entry, &id.0)
    }
}
