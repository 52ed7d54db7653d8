//! The lineage's row: what a statement changes in it by its place.

use super::writer::Writer;
use crate::record::{Contained, LineageRow};
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::submit::plan::Placement;

impl Writer<'_> {
    /// Writes the lineage as it is with this statement in it.
    ///
    /// Rule R113 (RFC-EG-033 §3, Immutable Exchange Lineage): Revocations, containments, permits and `rules`
    /// take no slot and move no head.
    pub(super) fn lineage(&mut self) -> Result<(), RowError> {
        let mut lineage = self.plan.lineage.clone().unwrap_or_else(|| LineageRow {
            subjects: Vec::new(),
            founder: None,
            head: None,
            next_sequence: 0,
            issuers: 0,
            closed_by: None,
            conflicts: Vec::new(),
            quarantines: Contained::default(),
        });
        match self.plan.placement {
            Placement::IssuerSlot { issuer, sequence } => {
                self.issuer_slot(&mut lineage, &issuer, sequence)?;
            }
            Placement::Equivocation { issuer, sequence } => {
                self.equivocation(&mut lineage, &issuer, sequence)?;
            }
            Placement::SharedSlot => {
                lineage.head = Some(self.id);
                lineage.next_sequence = lineage.next_sequence.saturating_add(1);
            }
            Placement::Restriction | Placement::Permit(_) | Placement::Rules | Placement::Redundant(_) => {}
        }
        if self.statement.kind.is_execution() {
            self.subject_and_closing(&mut lineage)?;
        }
        let key = row_key::lineage(&self.statement.domain, &self.statement.lineage);
        self.put(Table::Lineages, &key, &lineage)
    }
}
