//! Authorities and domains, as the statements left them one after the other.

use std::collections::BTreeMap;

use assent_proof::{Claims, DomainName, PublicKey, RevocationReason, Role, Seconds};

use super::fact::Fact;
use crate::record::{AuthorityRow, Contained, DomainRow, RevokedMark};

type Authorities = BTreeMap<PublicKey, AuthorityRow>;
type Domains = BTreeMap<DomainName, DomainRow>;

/// Every authority, and every domain without what isolates it.
pub(super) fn governed(facts: &[Fact]) -> (Authorities, Domains) {
    let (mut authorities, mut domains) = (Authorities::new(), Domains::new());
    for fact in facts {
        match &fact.claims {
            Claims::Root { keys, threshold, .. } => {
                let named = (&DomainName::root(), "root");
                govern(&mut authorities, &mut domains, fact, named, (keys, *threshold));
            }
            Claims::Domain { domain, governance, threshold } => {
                let named = (domain, "governance");
                govern(&mut authorities, &mut domains, fact, named, (governance, *threshold));
            }
            Claims::AuthorityGrant { authority, name, role, not_before, not_after } => {
                let row = AuthorityRow {
                    name: name.clone(),
                    role: *role,
                    domain: fact.statement.domain.clone(),
                    not_before: *not_before,
                    not_after: Some(*not_after),
                    admitted_by: fact.id,
                    revoked: None,
                    invalid_since: None,
                };
                authorities.insert(*authority, row);
            }
            Claims::Revocation { authority, reason, invalid_since } => {
                if let Some(row) = authorities.get_mut(authority) {
                    row.revoked.get_or_insert(RevokedMark { by: fact.id, reason: *reason });
                    row.invalid_since = row.invalid_since.into_iter().chain(*invalid_since).min();
                }
            }
            Claims::ExecutionAuthorization { .. }
            | Claims::RuntimeAttestation { .. }
            | Claims::PolicyValidation { .. }
            | Claims::RuntimeIntegrity { .. }
            | Claims::AuditLineage { .. }
            | Claims::SovereignTrust { .. }
            | Claims::SynchronizationContinuity { .. }
            | Claims::Policy(_)
            | Claims::Containment(_)
            | Claims::Release { .. }
            | Claims::Permit(_)
            | Claims::Reconciliation { .. }
            | Claims::Rules { .. }
            | Claims::Recovery { .. } => {}
        }
    }
    (authorities, domains)
}

/// The governance of a domain after a `root` or `domain`.
fn govern(
    authorities: &mut Authorities,
    domains: &mut Domains,
    fact: &Fact,
    (domain, name): (&DomainName, &str),
    (keys, threshold): (&[PublicKey], u32),
) {
    let row = DomainRow {
        governance: keys.to_vec(),
        threshold,
        admitted_by: fact.id,
        isolations: Contained::default(),
    };
    let before = domains.insert(domain.clone(), row);
    for key in before.iter().flat_map(|before| &before.governance).filter(|key| !keys.contains(key)) {
        if let Some(left_out) = authorities.get_mut(key) {
            let mark = RevokedMark { by: fact.id, reason: RevocationReason::Superseded };
            left_out.revoked.get_or_insert(mark);
        }
    }
    for (number, key) in (1_u32..).zip(keys) {
        let stays = authorities.get(key).cloned().unwrap_or_else(|| AuthorityRow {
            name: format!("{name}-{number}"),
            role: Role::Governance,
            domain: domain.clone(),
            not_before: Seconds(fact.accepted_at.0.div_euclid(1000)),
            not_after: None,
            admitted_by: fact.id,
            revoked: None,
            invalid_since: None,
        });
        authorities.insert(*key, AuthorityRow { admitted_by: fact.id, ..stays });
    }
}
