//! What a statement changes beyond its lineage: which function of the [`Writer`] each kind calls (RFC-EG-033
//! §2, the kinds).

use assent_proof::{Claims, DomainName};

use super::writer::Writer;
use crate::kinds::Restriction;
use crate::rows::RowError;

impl Writer<'_> {
    /// Writes what the kind changes beyond its lineage.
    pub(super) fn kind(&mut self) -> Result<(), RowError> {
        match &self.plan.claims {
            Claims::Root { keys, threshold, .. } => {
                self.governance(&DomainName::root(), keys, *threshold, "root")
            }
            Claims::Domain { domain, governance, threshold } => {
                self.governance(domain, governance, *threshold, "governance")
            }
            Claims::AuthorityGrant { authority, name, role, not_before, not_after } => {
                self.grant(authority, name, *role, (*not_before, *not_after))
            }
            Claims::Policy(body) => self.policy(body),
            Claims::Revocation { authority, reason, invalid_since } => {
                self.revoke(authority, *reason, *invalid_since)?;
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
                self.trust(peer, registry_key, node_keys, *not_after)
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
}
