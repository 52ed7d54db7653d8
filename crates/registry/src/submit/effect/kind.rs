//! What a statement changes beyond its lineage, kind by kind.

use assent_proof::{
    AuthorizeRequest, Claims, DomainName, EvidenceId, PublicKey, RevocationReason, Role, Seconds,
};

use super::{StatementPlace, Writer};
use crate::authorize::request_digest;
use crate::record::{
    AuthorityRow, DomainRow, EvidenceRow, PermitRow, PolicyRow, Reconciled, RestrictionRow, RevokedMark,
    TakenAt, TrustRow,
};
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::said::{Chain, Half};
use crate::submit::slot;

impl Writer<'_> {
    /// What the kind changes beyond its lineage.
    pub(super) fn kind(&mut self) -> Result<(), RowError> {
        match &self.plan.claims {
            Claims::Root { keys, threshold, .. } => {
                self.governance(&DomainName::root(), keys, *threshold, "root")
            }
            Claims::Domain { domain, governance, threshold } => {
                self.governance(domain, governance, *threshold, "governance")
            }
            Claims::AuthorityGrant { authority, name, role, not_before, not_after } => {
                let before = self.view().authority(authority)?;
                let row = AuthorityRow {
                    name: name.clone(),
                    role: *role,
                    domain: self.statement.domain.clone(),
                    not_before: *not_before,
                    not_after: Some(*not_after),
                    admitted_by: self.id,
                    revoked: None,
                    invalid_since: before.and_then(|row| row.invalid_since),
                };
                self.authority(authority, &row)
            }
            Claims::Policy(body) => {
                let row = PolicyRow { evidence_id: self.id, body: body.clone() };
                let key = row_key::domain(&self.statement.domain);
                self.put(Table::Policies, &key, &row)
            }
            Claims::Revocation { authority, reason, invalid_since } => {
                let Some(row) = self.view().authority(authority)? else { return Ok(()) };
                let mut row = (*row).clone();
                row.revoked.get_or_insert(RevokedMark { by: self.id, reason: *reason });
                row.invalid_since = match (row.invalid_since, *invalid_since) {
                    (Some(before), Some(since)) => Some(before.min(since)),
                    (before, since) => before.or(since),
                };
                self.authority(authority, &row)?;
                self.restriction(*invalid_since)
            }
            Claims::Containment(containment) => {
                self.contain(containment)?;
                self.restriction(None)
            }
            Claims::Release { containment } => self.release(containment),
            Claims::Reconciliation { conflict, canonical } => self.reconcile(conflict, canonical),
            Claims::Permit(request) => self.permit(request),
            Claims::SovereignTrust { peer, registry_key, node_keys, not_after } => {
                let row = TrustRow {
                    peer: peer.clone(),
                    registry_key: *registry_key,
                    node_keys: node_keys.clone(),
                    // It ends with the statement too.
                    not_after: self.statement.expires_at.map_or(*not_after, |end| end.min(*not_after)),
                };
                let id = self.id;
                self.put(Table::Trusts, &id.0, &row)
            }
            Claims::SynchronizationContinuity { .. } => self.checkpoint(),
            // These change the registry as a whole, with its next size.
            Claims::Rules { .. } | Claims::Recovery { .. } => Ok(()),
            Claims::ExecutionAuthorization { .. }
            | Claims::RuntimeAttestation { .. }
            | Claims::PolicyValidation { .. }
            | Claims::RuntimeIntegrity { .. }
            | Claims::AuditLineage { .. } => Ok(()),
        }
    }

    /// The nonce is used, and each counted authorization loses a use.
    fn permit(&mut self, request: &AuthorizeRequest) -> Result<(), RowError> {
        for artifact in &self.plan.consumes {
            self.mark(artifact, |row| row.consumed = row.consumed.saturating_add(1))?;
        }
        let StatementPlace { domain, name } = self.place();
        let Some(nonce) = &request.nonce else { return Ok(()) };
        let row = PermitRow {
            evidence_id: self.id,
            request: request_digest(request),
            consumed: self.plan.consumes.iter().copied().collect(),
        };
        self.put(Table::Permits, &row_key::permit(&domain, &name, nonce), &row)
    }

    /// Remembers the restriction, to recognise one that adds nothing to it.
    fn restriction(&mut self, invalid_since: Option<Seconds>) -> Result<(), RowError> {
        let Some(target) = slot::restricted(&self.plan.claims) else { return Ok(()) };
        let StatementPlace { domain, .. } = self.place();
        let key = row_key::restriction(&domain, self.statement.kind, &target, &self.statement.issuers);
        self.put(Table::Restrictions, &key, &RestrictionRow { evidence_id: self.id, invalid_since })
    }

    /// A checkpoint of another registry. It lies where its slot was taken, whichever half of the slot it is: when that was, and
    /// whether its issuer's key counted then, is the same for both.
    fn checkpoint(&mut self) -> Result<(), RowError> {
        let plan = self.plan;
        let (Some(checkpoint), Some(issuer)) = (&plan.checkpoint, self.statement.issuers.first()) else {
            return Ok(());
        };
        self.put(Table::Checkpoints, &self.id.0.clone(), checkpoint)?;
        let StatementPlace { domain, name } = self.place();
        let sequence = self.statement.sequence.unwrap_or(0);
        let chain = Chain { domain: &domain, lineage: &name, issuer };
        let Some(first) = self.view().half(chain, sequence, Half::First)? else { return Ok(()) };
        let index = match self.view().evidence(&first.evidence_id)? {
            Some(row) => row.index,
            None => {
                return Err(RowError::Mutated { table: Table::Evidence, key: first.evidence_id.0.to_vec() });
            }
        };
        let taken = TakenAt { accepted_at: first.accepted_at, index };
        self.list_checkpoint(&checkpoint.origin, issuer, &checkpoint.trust, taken)
    }

    /// One half stands, the other is void. The lineage remembers how its slot was resolved last.
    fn reconcile(&mut self, conflict: &[EvidenceId; 2], canonical: &EvidenceId) -> Result<(), RowError> {
        let by = self.id;
        let mut consumed = 0;
        for half in conflict {
            consumed = self.view().evidence(half)?.map_or(0, |row| row.consumed).max(consumed);
        }
        for half in conflict.iter().filter(|half| *half != canonical) {
            self.mark(half, |row| row.rejected_by = Some(by))?;
        }
        // What was used under the other half was used of the same slot.
        self.mark(canonical, |row| row.consumed = consumed)?;
        let Some(half) = self.view().evidence(canonical)? else { return Ok(()) };
        let Some(mut lineage) = self.view().lineage(&half.domain, &half.lineage)? else { return Ok(()) };
        for conflict in &mut lineage.conflicts {
            if half.issuers.contains(&conflict.issuer) && half.sequence == Some(conflict.sequence) {
                conflict.reconciled = Some(Reconciled { by, canonical: *canonical });
            }
        }
        self.put(Table::Lineages, &row_key::lineage(&half.domain, &half.lineage), &lineage)
    }

    /// Changes what is remembered of accepted evidence.
    pub(super) fn mark(
        &mut self,
        id: &EvidenceId,
        change: impl FnOnce(&mut EvidenceRow),
    ) -> Result<(), RowError> {
        let Some(row) = self.view().evidence(id)? else { return Ok(()) };
        let mut row = (*row).clone();
        change(&mut row);
        self.put(Table::Evidence, &id.0, &row)
    }

    /// Who governs a domain from now on. A key that is left out is revoked; one that stays is admitted anew.
    fn governance(
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
            if let Some(left_out) = self.view().authority(key)? {
                let mut left_out = (*left_out).clone();
                let mark = RevokedMark { by: self.id, reason: RevocationReason::Superseded };
                left_out.revoked.get_or_insert(mark);
                self.authority(key, &left_out)?;
            }
        }
        for (number, key) in (1_u32..).zip(keys) {
            let authority = match self.view().authority(key)? {
                Some(stays) => AuthorityRow { admitted_by: self.id, ..(*stays).clone() },
                None => AuthorityRow {
                    name: format!("{name}-{number}"),
                    role: Role::Governance,
                    domain: domain.clone(),
                    // An `issuedAt` proves nothing, and may lie a little ahead: what was accepted governs at once.
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

    fn authority(&mut self, key: &PublicKey, row: &AuthorityRow) -> Result<(), RowError> {
        self.put(Table::Authorities, key.as_bytes(), row)?;
        self.rows.put(Table::DomainAuthorities, &row_key::domain_authority(&row.domain, key), &[])
    }
}
