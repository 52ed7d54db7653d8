//! The governance of a domain, its other authorities, and its policy (RFC-EG-033 §3, authority proof
//! verification).

use assent_proof::{DomainName, PolicyBody, PublicKey, RevocationReason, Role, Seconds};

use super::writer::Writer;
use crate::record::{AuthorityRow, DomainRow, PolicyRow, RevokedMark};
use crate::row_key;
use crate::rows::{RowError, Table};

impl Writer<'_> {
    /// Sets the domain's governance from now on. A key that is left out is revoked; one that stays is
    /// admitted anew.
    ///
    /// Rule R128 (RFC-EG-033 §3, Authority Proof Verification): A `domain` or `root` admits its keys from the
    /// moment of its acceptance, admits anew a key that stays, and revokes each key that it leaves out.
    pub(super) fn governance(
        &mut self,
        domain: &DomainName,
        keys: &[PublicKey],
        threshold: u32,
        name: &str,
    ) -> Result<(), RowError> {
        let before = self.view().domain(domain)?;
        let row = DomainRow {
            governance: keys.to_vec(),
            threshold,
            admitted_by: self.id,
            isolations: before.as_ref().map(|before| before.isolations.clone()).unwrap_or_default(),
        };
        self.put(Table::Domains, &row_key::domain(domain), &row)?;
        for key in before.iter().flat_map(|before| &before.governance).filter(|key| !keys.contains(key)) {
            let mut left_out = (*self.found_authority(key)?).clone();
            let mark = RevokedMark { by: self.id, reason: RevocationReason::Superseded };
            left_out.revoked.get_or_insert(mark);
            self.authority(key, &left_out)?;
        }
        for (number, key) in (1_u32..).zip(keys) {
            let authority = match self.view().authority(key)? {
                Some(stays) => AuthorityRow { admitted_by: self.id, ..(*stays).clone() },
                None => AuthorityRow {
                    name: format!("{name}-{number}"),
                    role: Role::Governance,
                    domain: domain.clone(),
                    // An `issuedAt` proves nothing and may lie a little ahead. A statement that was accepted
                    // governs at once.
                    not_before: Seconds(self.plan.accepted_at.0.div_euclid(1000)),
                    not_after: None,
                    admitted_by: self.id,
                    revoked: None,
                    invalid_since: None,
                },
            };
            self.authority(key, &authority)?;
        }
        Ok(())
    }

    /// Grants one key its role: governance vouches for it anew. If the key has an `invalid_since`, that
    /// stays.
    ///
    /// Rule R129 (RFC-EG-033 §3, Authority Proof Verification): A new grant replaces the earlier one of the
    /// same key, and evidence of the key counts again if nothing but the end of the earlier grant had kept it
    /// from counting.
    pub(super) fn grant(
        &mut self,
        authority: &PublicKey,
        name: &str,
        role: Role,
        (not_before, not_after): (Seconds, Seconds),
    ) -> Result<(), RowError> {
        let before = self.view().authority(authority)?;
        let row = AuthorityRow {
            name: name.to_owned(),
            role,
            domain: self.statement.domain.clone(),
            not_before,
            not_after: Some(not_after),
            admitted_by: self.id,
            revoked: None,
            invalid_since: before.and_then(|row| row.invalid_since),
        };
        self.authority(authority, &row)
    }

    /// Sets the policy that judges in the domain from now on.
    ///
    /// Rule R130 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A new policy replaces the domain's policy
    /// for good, even if the new one becomes void.
    pub(super) fn policy(&mut self, body: &PolicyBody) -> Result<(), RowError> {
        let row = PolicyRow { evidence_id: self.id, body: body.clone() };
        let key = row_key::domain(&self.statement.domain);
        self.put(Table::Policies, &key, &row)
    }

    /// Ends a key. The first revocation stays the one that ended it, and the earliest `invalid_since` stays.
    ///
    /// Rule R131 (RFC-EG-033 §7, revoke): A revocation binds from its place in the ledger on, and of several
    /// `invalidSince` the earliest counts.
    pub(super) fn revoke(
        &mut self,
        authority: &PublicKey,
        reason: RevocationReason,
        invalid_since: Option<Seconds>,
    ) -> Result<(), RowError> {
        let mut row = (*self.found_authority(authority)?).clone();
        row.revoked.get_or_insert(RevokedMark { by: self.id, reason });
        row.invalid_since = match (row.invalid_since, invalid_since) {
            (Some(before), Some(since)) => Some(before.min(since)),
            (before, since) => before.or(since),
        };
        self.authority(authority, &row)
    }

    /// Writes an authority, and its entry among those of its domain.
    fn authority(&mut self, key: &PublicKey, row: &AuthorityRow) -> Result<(), RowError> {
        self.put(Table::Authorities, key.as_bytes(), row)?;
        self.rows.put(Table::DomainAuthorities, &row_key::domain_authority(&row.domain, key), &[])
    }
}
