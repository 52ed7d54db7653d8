//! What still stands: authorities over time, and evidence after revocations.
//!
//! Void spreads by authority and by reference, never by `parent`. It is computed when asked, from what the
//! evidence recorded of its signers and from marks that are only ever gained, so the order in which
//! revocations arrive cannot matter.

use std::collections::BTreeSet;

use assent_proof::{Code, EvidenceId, Millis, PublicKey};

use crate::limit;
use crate::record::{AuthorityRow, Conflict, CountedSigner, EvidenceRow};
use crate::rows::RowError;
use crate::view::View;

/// What an authority may do at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorityStatus {
    /// It may sign.
    Active,
    /// Its validity has not begun.
    Pending,
    /// Its validity is over.
    Expired,
    /// It was revoked: dead for good.
    Revoked,
}

impl AuthorityRow {
    /// Its status at `now`. Revocation outweighs time.
    pub(crate) fn status(&self, now: Millis) -> AuthorityStatus {
        if self.revoked.is_some() {
            AuthorityStatus::Revoked
        } else if now < self.not_before.to_millis() {
            AuthorityStatus::Pending
        } else if self.not_after.is_some_and(|end| now >= end.to_millis()) {
            AuthorityStatus::Expired
        } else {
            AuthorityStatus::Active
        }
    }
}

/// Why something does not count: a code and a sentence.
pub(crate) type Flaw = (Code, String);

/// The flaw of an authority that may not sign at `now`, if it has one.
pub(crate) fn authority_flaw(key: &PublicKey, row: &AuthorityRow, now: Millis) -> Option<Flaw> {
    match row.status(now) {
        AuthorityStatus::Active => None,
        AuthorityStatus::Revoked => {
            Some((Code::AuthorityRevoked, format!("authority `{}` ({key}) is revoked", row.name)))
        }
        AuthorityStatus::Pending => Some((
            Code::AuthorityExpired,
            format!("authority `{}` ({key}) is valid only from {}", row.name, row.not_before),
        )),
        AuthorityStatus::Expired => {
            Some((Code::AuthorityExpired, format!("authority `{}` ({key}) has expired", row.name)))
        }
    }
}

impl View<'_> {
    /// Whether the evidence, which the caller has found in the ledger, is void. Restrictions never are.
    pub(crate) fn is_void(&self, id: &EvidenceId) -> Result<bool, RowError> {
        if self.meta()?.is_some_and(|meta| meta.void_marks == 0) {
            // Voidness begins with an `invalidSince`.
            return Ok(false);
        }
        if let Some(known) = self.known_void(id) {
            return Ok(known);
        }
        let void = match self.evidence(id)? {
            // It was found, and is gone now: doubt denies.
            None => true,
            Some(row) => !row.kind.is_restriction() && self.is_row_void(id, &row)?,
        };
        self.remember_void(*id, void);
        Ok(void)
    }

    fn is_row_void(&self, id: &EvidenceId, row: &EvidenceRow) -> Result<bool, RowError> {
        let mut unvoided: u32 = 0;
        for signer in &row.counted {
            if self.signed_validly(id, row, signer)? {
                unvoided = unvoided.saturating_add(1);
            }
        }
        if unvoided < row.threshold {
            return Ok(true);
        }
        for reference in &row.references {
            if self.is_void(reference)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a signer's signature on the evidence still counts.
    fn signed_validly(
        &self,
        id: &EvidenceId,
        row: &EvidenceRow,
        signer: &CountedSigner,
    ) -> Result<bool, RowError> {
        let Some(authority) = self.authority(&signer.key)? else { return Ok(false) };
        if authority.invalid_since.is_some_and(|since| row.accepted_at >= since.to_millis()) {
            return Ok(false);
        }
        // The root statement admits its own signers: it stands on their signatures alone.
        if signer.admitted_by == *id {
            return Ok(true);
        }
        Ok(!self.is_void(&signer.admitted_by)?)
    }

    /// Whether the grant of an authority still stands.
    pub(crate) fn is_admitted(&self, authority: &AuthorityRow) -> Result<bool, RowError> {
        Ok(!self.is_void(&authority.admitted_by)?)
    }

    /// Everything that these references rest on, themselves included; none beyond the bound.
    pub(crate) fn closure(
        &self,
        references: &[EvidenceId],
    ) -> Result<Option<BTreeSet<EvidenceId>>, RowError> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<EvidenceId> = references.to_vec();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            if seen.len() > limit::TRANSITIVE_REFERENCES {
                return Ok(None);
            }
            if let Some(row) = self.evidence(&id)? {
                open.extend(row.references);
            }
        }
        Ok(Some(seen))
    }

    /// Whether the evidence is one half of an equivocation.
    fn is_contested(&self, row: &EvidenceRow) -> Result<bool, RowError> {
        let ([issuer], Some(sequence)) = (row.issuers.as_slice(), row.sequence) else { return Ok(false) };
        if !row.kind.is_execution() {
            return Ok(false);
        }
        let half = Conflict { issuer: *issuer, sequence };
        let lineage = self.lineage(&row.domain, &row.lineage)?;
        Ok(lineage.is_none_or(|lineage| lineage.conflicts.contains(&half)))
    }

    /// The first flaw in what a statement rests on: a reference that is void or contested, or execution evidence whose
    /// key is revoked. A revoked key is dead, so nothing rests on it, not even by way of others.
    pub(crate) fn reference_flaw(&self, references: &[EvidenceId]) -> Result<Option<Flaw>, RowError> {
        if references.is_empty() {
            return Ok(None);
        }
        let Some(closure) = self.closure(references)? else {
            let most = limit::TRANSITIVE_REFERENCES;
            return Ok(Some((Code::TooLarge, format!("it rests on more than {most} statements"))));
        };
        for id in closure {
            let Some(row) = self.evidence(&id)? else {
                return Ok(Some((Code::EvidenceDetached, format!("it rests on `{id}`, which is unknown"))));
            };
            if self.is_void(&id)? {
                return Ok(Some((
                    Code::InheritanceUnverifiable,
                    format!("it rests on `{id}`, which is void"),
                )));
            }
            if self.is_contested(&row)? {
                return Ok(Some((
                    Code::InheritanceUnverifiable,
                    format!("it rests on `{id}`, whose issuer signed another statement for the same slot"),
                )));
            }
            if row.kind.is_execution() {
                for CountedSigner { key, .. } in &row.counted {
                    if self.authority(key)?.is_none_or(|authority| authority.revoked.is_some()) {
                        return Ok(Some((
                            Code::InheritanceUnverifiable,
                            format!("it rests on `{id}`, whose key {key} is revoked"),
                        )));
                    }
                }
            }
        }
        Ok(None)
    }
}
