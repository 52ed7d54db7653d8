//! Which quarantines and isolations hold, and what was released.

use assent_proof::{Containment, DomainName, EvidenceId, LineageName};

use crate::record::{DomainRow, EvidenceRow, LineageRow};
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::view::View;

impl View<'_> {
    /// The quarantines of a lineage that hold, by id.
    pub(crate) fn quarantines(
        &self,
        domain: &DomainName,
        name: &LineageName,
        row: &LineageRow,
    ) -> Result<Vec<EvidenceId>, RowError> {
        self.holding(domain, || Containment::Quarantine(name.clone()), row.quarantines)
    }

    /// The isolations of a domain that hold, by id.
    pub(crate) fn isolations(
        &self,
        domain: &DomainName,
        row: &DomainRow,
    ) -> Result<Vec<EvidenceId>, RowError> {
        self.holding(domain, || Containment::Isolate(domain.clone()), row.isolations)
    }

    /// Those of `ever` containments that were not released, or whose release is void.
    fn holding(
        &self,
        domain: &DomainName,
        containment: impl FnOnce() -> Containment,
        ever: u32,
    ) -> Result<Vec<EvidenceId>, RowError> {
        if ever == 0 {
            return Ok(Vec::new());
        }
        let prefix = row_key::containments(domain, &containment());
        let ever = usize::try_from(ever).unwrap_or(usize::MAX);
        let rows = self.scan_prefix(Table::Containments, &prefix, ever.saturating_add(1))?;
        let mutated = || RowError::Mutated { table: Table::Containments, key: prefix.clone() };
        if rows.len() != ever {
            // One that lost its key to damage is missed, not overlooked.
            return Err(mutated());
        }
        let mut holding = Vec::new();
        for (key, _) in rows {
            let id = key.get(prefix.len()..).and_then(|id| id.try_into().ok());
            let id = EvidenceId(id.ok_or_else(mutated)?);
            let row = self.evidence(&id)?.ok_or_else(mutated)?;
            if !self.is_released(&row)? {
                holding.push(id);
            }
        }
        Ok(holding)
    }

    /// Whether a release of this evidence stands. A void release releases nothing.
    pub(crate) fn is_released(&self, row: &EvidenceRow) -> Result<bool, RowError> {
        match &row.released_by {
            None => Ok(false),
            Some(by) => Ok(!self.is_void(by)?),
        }
    }
}
