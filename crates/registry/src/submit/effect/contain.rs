//! What a containment restricts (see [`crate::containment`]; RFC-EG-033 §7: quarantine, isolate, invalidate).

use assent_proof::{Containment, DomainName, EvidenceId};

use super::writer::{StatementPlace, Writer};
use crate::record::Contained;
use crate::row_key;
use crate::rows::{RowError, Table};

impl Writer<'_> {
    /// Marks the invalidated evidence, or adds the containment to those of its lineage or domain.
    ///
    /// Rule R67 (RFC-EG-033 §7, quarantine): A quarantine, an isolation or a negative is released only while
    /// a release in force names exactly that statement, and not another one that says the same, and an
    /// invalidation is never released.
    pub(super) fn contain(&mut self, containment: &Containment) -> Result<(), RowError> {
        match containment {
            Containment::Invalidate(target) => {
                let by = self.id;
                self.mark(target, |row| {
                    // The smaller id wins, so that the order of arrival does not matter.
                    row.invalidated_by = Some(row.invalidated_by.map_or(by, |before| before.min(by)));
                })
            }
            Containment::Quarantine(_) | Containment::Isolate(_) => {
                let StatementPlace { domain, .. } = self.place();
                let mut contained = self.contained(&domain, containment)?;
                contained.unreleased = contained.unreleased.saturating_add(1);
                self.put_contained(&domain, containment, contained)?;
                let key = row_key::containment(&domain, containment, &self.id);
                self.rows.put(Table::Containments, &key, &[])
            }
        }
    }

    /// Reads the record of the quarantines or isolations of a target.
    pub(super) fn contained(
        &self,
        domain: &DomainName,
        containment: &Containment,
    ) -> Result<Contained, RowError> {
        match containment {
            Containment::Quarantine(name) => Ok(self.found_lineage(domain, name)?.quarantines),
            Containment::Isolate(target) => Ok(self.found_domain(target)?.isolations.clone()),
            Containment::Invalidate(target) => Err(not_listed(target)),
        }
    }

    /// Writes the record of the quarantines or isolations of a target.
    pub(super) fn put_contained(
        &mut self,
        domain: &DomainName,
        containment: &Containment,
        contained: Contained,
    ) -> Result<(), RowError> {
        match containment {
            Containment::Quarantine(name) => {
                let mut row = self.found_lineage(domain, name)?;
                row.quarantines = contained;
                self.put(Table::Lineages, &row_key::lineage(domain, name), &row)
            }
            Containment::Isolate(target) => {
                let mut row = (*self.found_domain(target)?).clone();
                row.isolations = contained;
                self.put(Table::Domains, &row_key::domain(target), &row)
            }
            Containment::Invalidate(target) => Err(not_listed(target)),
        }
    }
}

/// An invalidation marks its target for good and is in no list. The checks refuse every release of one, so a
/// row that leads here is damaged.
fn not_listed(target: &EvidenceId) -> RowError {
    RowError::Mutated { table: Table::Evidence, key: target.0.to_vec() }
}
