//! What a release lifts, and its place among the releases of its target (see [`crate::containment`]).

use assent_proof::{Containment, DomainName, EvidenceId};

use super::writer::{Writer, must};
use crate::containment::releasers;
use crate::record::{Contained, ReleaseRow, ReleasedBy};
use crate::row_key;
use crate::rows::{RowError, Table};

impl Writer<'_> {
    /// Marks the statement as released by this release from now on, and by no release before.
    ///
    /// Rule R67 (RFC-EG-033 §7, quarantine): A quarantine, an isolation or a negative is released only while
    /// a release in force names exactly that statement, and not another one that says the same, and an
    /// invalidation is never released.
    pub(super) fn release(&mut self, id: &EvidenceId) -> Result<(), RowError> {
        let released = self.found_evidence(id)?;
        let by = self.id;
        self.mark(id, |row| row.released_by = Some(by))?;
        // A negative statement is lifted by its mark alone, because no list holds it.
        let Some(containment) = &released.containment else { return Ok(()) };
        let domain = released.domain.clone();
        let mut contained = self.contained(&domain, containment)?;
        match &released.released_by {
            None => {
                contained.unreleased = contained.unreleased.saturating_sub(1);
                self.rows.delete(Table::Containments, &row_key::containment(&domain, containment, id))?;
            }
            Some(overtaken) => self.unlink(&domain, containment, &mut contained, overtaken)?,
        }
        let signers = releasers(&self.plan.counted, self.plan.threshold);
        let index = self.index;
        let before = match contained.released.iter_mut().find(|group| group.signers == signers) {
            Some(group) => Some(std::mem::replace(&mut group.newest, index)),
            None => {
                contained.released.push(ReleasedBy { signers, newest: index });
                None
            }
        };
        if let Some(before) = before {
            self.relink(&domain, containment, &signers, before, |row| row.after = Some(index))?;
        }
        let row = ReleaseRow { evidence_id: self.id, containment: *id, before, after: None };
        self.put(Table::Releases, &row_key::release(&domain, containment, &signers, index), &row)?;
        self.put_contained(&domain, containment, contained)
    }

    /// Takes a release out of its list because another release of the same containment overtakes it.
    fn unlink(
        &mut self,
        domain: &DomainName,
        containment: &Containment,
        contained: &mut Contained,
        overtaken: &EvidenceId,
    ) -> Result<(), RowError> {
        let release = self.found_evidence(overtaken)?;
        let signers = releasers(&release.counted, release.threshold);
        let row = self.view().release(domain, containment, &signers, release.index)?;
        let key = row_key::release(domain, containment, &signers, release.index);
        self.rows.delete(Table::Releases, &key)?;
        if let Some(before) = row.before {
            self.relink(domain, containment, &signers, before, |earlier| earlier.after = row.after)?;
        }
        match (row.after, row.before) {
            (Some(after), before) => {
                self.relink(domain, containment, &signers, after, |later| later.before = before)?;
            }
            (None, Some(before)) => {
                let group = contained.released.iter_mut().find(|group| group.signers == signers);
                must(group, Table::Releases, &key)?.newest = before;
            }
            (None, None) => contained.released.retain(|group| group.signers != signers),
        }
        Ok(())
    }

    /// Changes the links of one release.
    fn relink(
        &mut self,
        domain: &DomainName,
        containment: &Containment,
        signers: &[u8; 32],
        ledger_index: u64,
        change: impl FnOnce(&mut ReleaseRow),
    ) -> Result<(), RowError> {
        let mut row = self.view().release(domain, containment, signers, ledger_index)?;
        change(&mut row);
        self.put(Table::Releases, &row_key::release(domain, containment, signers, ledger_index), &row)
    }
}
