//! Which quarantines and isolations hold, and which were released (RFC-EG-033 §7, quarantine and isolate).
//!
//! A containment that was never released is among its target's unreleased ones. One that was released is
//! found through its newest release, and holds again if that release is void. Releases by the same signers at
//! the same threshold are linked, newest first. A revocation voids everything that was accepted from some
//! time on. So if one release of such a list is not void, none before it is, and an evaluation reads no
//! further. However often a target was contained and released, an evaluation reads one row for each set of
//! signers, and one more for each containment that holds.

use std::collections::BTreeSet;

use assent_proof::{Containment, DomainName, EvidenceId, LineageName, blake3_256};

use crate::limit;
use crate::record::{Contained, CountedSigner, DomainRow, EvidenceRow, LineageRow, ReleaseRow};
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::view::View;

impl View<'_> {
    /// The quarantines of a lineage that hold, by id: all of them, or more than are named.
    ///
    /// Rule R22 (RFC-EG-033 §7, quarantine): Neither the execution's lineage nor the runtime's is closed
    /// (`lineage_closed`), is quarantined (`lineage_quarantined`) or was begun with two subjects, in which
    /// case a new one must be started (`subject_mismatch`).
    pub(crate) fn quarantines(
        &self,
        domain: &DomainName,
        name: &LineageName,
        row: &LineageRow,
    ) -> Result<BTreeSet<EvidenceId>, RowError> {
        self.holding(domain, || Containment::Quarantine(name.clone()), &row.quarantines)
    }

    /// The isolations of a domain that hold, by id: all of them, or more than are named.
    ///
    /// Rule R18 (RFC-EG-033 §7, isolate): The domain is not isolated (`domain_isolated`).
    pub(crate) fn isolations(
        &self,
        domain: &DomainName,
        row: &DomainRow,
    ) -> Result<BTreeSet<EvidenceId>, RowError> {
        self.holding(domain, || Containment::Isolate(domain.clone()), &row.isolations)
    }

    fn holding(
        &self,
        domain: &DomainName,
        containment: impl FnOnce() -> Containment,
        contained: &Contained,
    ) -> Result<BTreeSet<EvidenceId>, RowError> {
        if *contained == Contained::default() {
            return Ok(BTreeSet::new());
        }
        let containment = containment();
        let mut holding = self.unreleased(domain, &containment, contained.unreleased)?;
        for group in &contained.released {
            self.released_in_void(domain, &containment, &group.signers, group.newest, &mut holding)?;
        }
        Ok(holding)
    }

    /// The containments that were never released, as far as they are named.
    ///
    /// Rule R25 (RFC-EG-033 §4, unauthorized evidence mutation): An open lineage or a containment that is
    /// counted and not found, or a slot that another row leads to and that is not found, is damage
    /// (`evidence_mutated`).
    fn unreleased(
        &self,
        domain: &DomainName,
        containment: &Containment,
        unreleased: u64,
    ) -> Result<BTreeSet<EvidenceId>, RowError> {
        let prefix = row_key::containments(domain, containment);
        let named = usize::try_from(unreleased).unwrap_or(usize::MAX).min(limit::CONTAINMENTS_NAMED);
        let rows = self.scan_prefix(Table::Containments, &prefix, named.saturating_add(1))?;
        let mutated = || RowError::Mutated { table: Table::Containments, key: prefix.clone() };
        let all = u64::try_from(rows.len()) == Ok(unreleased);
        if !all && (rows.len() <= named || named < limit::CONTAINMENTS_NAMED) {
            // If damage has changed a row's key, the count shows that the row is missing.
            return Err(mutated());
        }
        let id = |(key, _): &(Vec<u8>, Vec<u8>)| {
            key.get(prefix.len()..).and_then(|id| id.try_into().ok()).map(EvidenceId)
        };
        rows.iter().take(named).map(|row| id(row).ok_or_else(mutated)).collect()
    }

    /// Adds the containments whose newest release is void, among the releases by the same signers.
    ///
    /// Rule R67 (RFC-EG-033 §7, quarantine): A quarantine, an isolation or a negative is released only while
    /// a release in force names exactly that statement, and not another one that says the same, and an
    /// invalidation is never released.
    fn released_in_void(
        &self,
        domain: &DomainName,
        containment: &Containment,
        signers: &[u8; 32],
        newest: u64,
        holding: &mut BTreeSet<EvidenceId>,
    ) -> Result<(), RowError> {
        let mut next = Some(newest);
        while let Some(index) = next.filter(|_| holding.len() < limit::CONTAINMENTS_NAMED) {
            let row = self.release(domain, containment, signers, index)?;
            if !self.is_void(&row.evidence_id)? {
                break;
            }
            holding.insert(row.containment);
            next = row.before;
        }
        Ok(())
    }

    /// One release of a target, which must be there.
    pub(crate) fn release(
        &self,
        domain: &DomainName,
        containment: &Containment,
        signers: &[u8; 32],
        ledger_index: u64,
    ) -> Result<ReleaseRow, RowError> {
        let key = row_key::release(domain, containment, signers, ledger_index);
        match self.read::<ReleaseRow>(Table::Releases, &key)? {
            Some(row) if row.before.is_none_or(|before| before < ledger_index) => Ok(row),
            _ => Err(RowError::Mutated { table: Table::Releases, key }),
        }
    }

    /// Whether a release of this evidence is in force. A void release releases nothing.
    ///
    /// Rule R67 (RFC-EG-033 §7, quarantine): A quarantine, an isolation or a negative is released only while
    /// a release in force names exactly that statement, and not another one that says the same, and an
    /// invalidation is never released.
    pub(crate) fn is_released(&self, row: &EvidenceRow) -> Result<bool, RowError> {
        match &row.released_by {
            None => Ok(false),
            Some(by) => Ok(!self.is_void(by)?),
        }
    }
}

/// What tells sets of releasers apart: the signers, and how many had to sign. Only governance signs releases,
/// and its admissions are never void.
pub(crate) fn releasers(counted: &[CountedSigner], threshold: u32) -> [u8; 32] {
    let mut signers: Vec<_> = counted.iter().map(|signer| signer.key).collect();
    signers.sort_unstable();
    let mut bytes = threshold.to_be_bytes().to_vec();
    for key in signers {
        bytes.extend_from_slice(key.as_bytes());
    }
    blake3_256(&bytes)
}
