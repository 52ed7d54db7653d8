//! What a statement changes beyond its lineage, kind by kind.

use assent_proof::{
    AuthorizeRequest, Claims, DomainName, EvidenceId, PublicKey, RevocationReason, Role, Seconds,
};

use super::{StatementPlace, Writer, must};
use crate::authorize::request_digest;
use crate::kinds::Restriction;
use crate::record::{
    AuthorityRow, DomainRow, EvidenceRow, PermitRow, PolicyRow, Reconciled, RestrictionRow, RevokedMark,
    TakenAt, TrustRow,
};
use crate::row_key;
use crate::rows::{RowError, Table};
use crate::said::{Chain, Half};

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
                let mut row = (*self.found_authority(authority)?).clone();
                row.revoked.get_or_insert(RevokedMark { by: self.id, reason: *reason });
                row.invalid_since = match (row.invalid_since, *invalid_since) {
                    (Some(before), Some(since)) => Some(before.min(since)),
                    (before, since) => before.or(since),
                };
                self.authority(authority, &row)?;
                self.restriction(&Restriction::Revokes { authority, invalid_since: *invalid_since })
            }
            Claims::Containment(containment) => {
                self.contain(containment)?;
                self.restriction(&Restriction::Contains(containment))
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
        // No permit can be read without the nonce by which it is found again.
        let nonce = must(request.nonce.as_ref(), Table::Permits, &self.id.0)?;
        let row = PermitRow {
            evidence_id: self.id,
            request: request_digest(request),
            consumed: self.plan.consumes.iter().copied().collect(),
        };
        self.put(Table::Permits, &row_key::permit(&domain, &name, nonce), &row)
    }

    /// Remembers the restriction, to recognise one that adds nothing to it.
    fn restriction(&mut self, restriction: &Restriction<'_>) -> Result<(), RowError> {
        let target = restriction.target();
        let StatementPlace { domain, .. } = self.place();
        let key = row_key::restriction(&domain, self.statement.kind, &target, &self.statement.issuers);
        let row = RestrictionRow { evidence_id: self.id, invalid_since: restriction.invalid_since() };
        self.put(Table::Restrictions, &key, &row)
    }

    /// A checkpoint of another registry. It lies where its slot was taken, whichever half of the slot it is: when that was, and
    /// whether its issuer's key counted then, is the same for both.
    fn checkpoint(&mut self) -> Result<(), RowError> {
        let (plan, id) = (self.plan, self.id);
        let checkpoint = must(plan.checkpoint.as_ref(), Table::Checkpoints, &id.0)?;
        let (issuer, sequence) = must(plan.placement.own_slot(), Table::Checkpoints, &id.0)?;
        self.put(Table::Checkpoints, &id.0, checkpoint)?;
        let StatementPlace { domain, name } = self.place();
        let chain = Chain { domain: &domain, lineage: &name, issuer: &issuer };
        let first = self.view().half(chain, sequence, Half::First)?;
        let first = must(first, Table::Slots, &row_key::slot(chain, sequence, Half::First))?;
        let index = self.found_evidence(&first.evidence_id)?.index;
        let taken = TakenAt { accepted_at: first.accepted_at, index };
        self.list_checkpoint(&checkpoint.origin, &issuer, &checkpoint.trust, taken)
    }

    /// One half stands, the other is void. The lineage remembers how its slot was resolved last.
    fn reconcile(&mut self, conflict: &[EvidenceId; 2], canonical: &EvidenceId) -> Result<(), RowError> {
        let by = self.id;
        let mut consumed = 0;
        for half in conflict {
            consumed = self.found_evidence(half)?.consumed.max(consumed);
        }
        for half in conflict.iter().filter(|half| *half != canonical) {
            self.mark(half, |row| row.rejected_by = Some(by))?;
        }
        // What was used under the other half was used of the same slot.
        self.mark(canonical, |row| row.consumed = consumed)?;
        let half = self.found_evidence(canonical)?;
        let mut lineage = self.found_lineage(&half.domain, &half.lineage)?;
        let key = row_key::lineage(&half.domain, &half.lineage);
        let resolved = lineage.conflicts.iter_mut().find(|conflict| {
            half.issuers.contains(&conflict.issuer) && half.sequence == Some(conflict.sequence)
        });
        let reconciled = Reconciled { by, canonical: *canonical };
        must(resolved, Table::Lineages, &key)?.reconciled = Some(reconciled);
        self.put(Table::Lineages, &key, &lineage)
    }

    /// Changes what is remembered of accepted evidence.
    pub(super) fn mark(
        &mut self,
        id: &EvidenceId,
        change: impl FnOnce(&mut EvidenceRow),
    ) -> Result<(), RowError> {
        let mut row = (*self.found_evidence(id)?).clone();
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
