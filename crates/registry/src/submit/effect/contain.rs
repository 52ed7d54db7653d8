//! What a containment holds back, and what a release lifts (see [`crate::containment`]).

use assent_proof::{Containment, DomainName, EvidenceId};

use super::{StatementPlace, Writer};
use crate::containment::releasers;
use crate::record::{Contained, ReleaseRow, ReleasedBy};
use crate::row_key;
use crate::rows::{RowError, Table};

/// How many releases that were overtaken are unlinked by one release. Each release overtakes at most one.
const UNLINKED: usize = 64;

impl Writer<'_> {
    pub(super) fn contain(&mut self, containment: &Containment) -> Result<(), RowError> {
        if let Containment::Invalidate(target) = containment {
            let by = self.id;
            return self.mark(target, |row| {
                // The smaller id, whichever came first.
                row.invalidated_by = Some(row.invalidated_by.map_or(by, |before| before.min(by)));
            });
        }
        let StatementPlace { domain, .. } = self.place();
        let Some(mut contained) = self.contained(&domain, containment)? else { return Ok(()) };
        contained.unreleased = contained.unreleased.saturating_add(1);
        self.put_contained(&domain, containment, contained)?;
        self.rows.put(Table::Containments, &row_key::containment(&domain, containment, &self.id), &[])
    }

    /// It is released by this from now on, and by no release before.
    pub(super) fn release(&mut self, id: &EvidenceId) -> Result<(), RowError> {
        let Some(released) = self.view().evidence(id)? else { return Ok(()) };
        let by = self.id;
        self.mark(id, |row| row.released_by = Some(by))?;
        let Some(containment) = &released.containment else { return Ok(()) };
        let domain = released.domain.clone();
        let Some(mut contained) = self.contained(&domain, containment)? else { return Ok(()) };
        if released.released_by.is_none() {
            contained.unreleased = contained.unreleased.saturating_sub(1);
            self.rows.delete(Table::Containments, &row_key::containment(&domain, containment, id))?;
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
        let row = ReleaseRow { evidence_id: self.id, containment: *id, before };
        self.put(Table::Releases, &row_key::release(&domain, containment, &signers, index), &row)?;
        self.unlink_overtaken(&domain, containment, &mut contained)?;
        self.put_contained(&domain, containment, contained)
    }

    /// Takes out the newest releases of what was released anew since, so that nobody has to walk past them for ever.
    fn unlink_overtaken(
        &mut self,
        domain: &DomainName,
        containment: &Containment,
        contained: &mut Contained,
    ) -> Result<(), RowError> {
        let mut unlinked = 0;
        let mut kept = Vec::with_capacity(contained.released.len());
        for mut group in contained.released.drain(..) {
            let mut stays = true;
            while unlinked < UNLINKED {
                let row = self.view().release(domain, containment, &group.signers, group.newest)?;
                if !self.view().was_released_anew(&row)? {
                    break;
                }
                unlinked = unlinked.saturating_add(1);
                let key = row_key::release(domain, containment, &group.signers, group.newest);
                self.rows.delete(Table::Releases, &key)?;
                match row.before {
                    Some(before) => group.newest = before,
                    None => {
                        stays = false;
                        break;
                    }
                }
            }
            if stays {
                kept.push(group);
            }
        }
        contained.released = kept;
        Ok(())
    }

    /// What is remembered of the containments of a target.
    fn contained(
        &self,
        domain: &DomainName,
        containment: &Containment,
    ) -> Result<Option<Contained>, RowError> {
        Ok(match containment {
            Containment::Quarantine(name) => self.view().lineage(domain, name)?.map(|row| row.quarantines),
            Containment::Isolate(target) => self.view().domain(target)?.map(|row| row.isolations.clone()),
            Containment::Invalidate(_) => None,
        })
    }

    fn put_contained(
        &mut self,
        domain: &DomainName,
        containment: &Containment,
        contained: Contained,
    ) -> Result<(), RowError> {
        match containment {
            Containment::Quarantine(name) => {
                let Some(mut row) = self.view().lineage(domain, name)? else { return Ok(()) };
                row.quarantines = contained;
                self.put(Table::Lineages, &row_key::lineage(domain, name), &row)
            }
            Containment::Isolate(target) => {
                let Some(row) = self.view().domain(target)? else { return Ok(()) };
                let mut row = (*row).clone();
                row.isolations = contained;
                self.put(Table::Domains, &row_key::domain(target), &row)
            }
            Containment::Invalidate(_) => Ok(()),
        }
    }
}
