//! The boundaries of RFC-EG-033 §8: every role against every kind.

use crate::support::*;
use assent_proof::{Code, EvidenceId, EvidenceKind, PolicyVerdict, Role, SigningKey};
use assent_registry::Outcome;

/// Which roles may issue a kind. `None`: the kind belongs to `_root`, where no key of a domain is an authority.
fn permitted(kind: EvidenceKind) -> Option<&'static [Role]> {
    use EvidenceKind as K;
    use Role::*;
    Some(match kind {
        K::ExecutionAuthorization => &[Governance],
        K::RuntimeAttestation => &[Attestation],
        K::PolicyValidation => &[Orchestration, Governance],
        K::RuntimeIntegrity => &[Runtime, Attestation],
        K::AuditLineage => &[Audit, Gateway, Orchestration],
        K::SynchronizationContinuity => &[Registry, Zone],
        K::SovereignTrust => &[Zone],
        K::AuthorityGrant | K::Policy | K::Reconciliation | K::Release | K::Revocation => &[Governance],
        K::Containment => &[Governance, Audit],
        K::Permit | K::Rules | K::Root | K::Recovery | K::Domain => return None,
    })
}

/// A statement of the kind that is well formed, and the keys that sign it beside its issuer.
fn draft(kind: EvidenceKind, about: EvidenceId) -> (Draft, Vec<SigningKey>) {
    use EvidenceKind as K;
    let fresh = key(60);
    let none = Vec::new();
    match kind {
        K::ExecutionAuthorization => (authorization(&["run"]), none),
        K::RuntimeAttestation => (affirming(), none),
        K::PolicyValidation => (validation("p1", PolicyVerdict::Pass), none),
        K::RuntimeIntegrity => (integrity("m1"), none),
        K::AuditLineage => (audit("started").references(&[about]), none),
        K::SynchronizationContinuity => (raw(kind, r#"{"checkpoint":"none","consistency":[]}"#), none),
        K::SovereignTrust => {
            let (public, node) = (fresh.public(), key(61).public());
            let claims = format!(
                r#"{{"peer":"peer","registryKey":"{public}","nodeKeys":["{node}"],"notAfter":"2036-01-01T00:00:00Z"}}"#
            );
            (raw(kind, &claims), none)
        }
        K::Permit => (permit(&assent_proof::AuthorizeRequest { nonce: Some("n".into()), ..request() }), none),
        K::Rules => (rules(2), none),
        K::Recovery => (recovery(2, &[key(3).public()]), none),
        K::Root => {
            let checkpoint = key(61);
            (root_statement(&[fresh.public()], 1, checkpoint.public()), vec![fresh, checkpoint])
        }
        K::Domain => (domain_statement("another", &[fresh.public()], 1), vec![fresh]),
        K::AuthorityGrant => (grant(fresh.public(), Role::Audit), vec![fresh]),
        K::Policy => (policy(attested_policy()), none),
        K::Reconciliation => (reconciliation([about, EvidenceId([1; 32])], about), none),
        K::Release => (release(about), none),
        K::Revocation => (revocation(key(26).public(), None), none),
        K::Containment => (quarantine("other"), none),
    }
}

/// Rule R87.
#[test]
fn every_role_is_tried_against_every_kind() {
    for kind in EvidenceKind::ALL.iter().copied() {
        let mut world = World::new();
        let keys = world.keys.clone();
        let registry = key(27);
        world.govern(grant(registry.public(), Role::Registry), &[&registry]);
        let about =
            accepted(&world.submit(&affirming().lineage("other").sign(&[&keys.attestation]))).evidence_id;
        let signers = [
            (Role::Governance, &keys.governance[0]),
            (Role::Attestation, &keys.attestation),
            (Role::Runtime, &keys.runtime),
            (Role::Orchestration, &keys.orchestration),
            (Role::Gateway, &keys.gateway),
            (Role::Audit, &keys.audit),
            (Role::Registry, &registry),
            (Role::Zone, &keys.zone),
        ];
        for (role, signer) in signers {
            let mut world = world.clone();
            let (draft, others) = draft(kind, about);
            let shared = !kind.is_execution() && kind.takes_slot();
            let (slot, parent) = world.governance_slot();
            let draft = if shared { draft.slot(slot, parent) } else { draft };
            let signers: Vec<&SigningKey> = std::iter::once(signer).chain(&others).collect();
            let outcome = world.submit(&draft.sign(&signers));
            let code = match &outcome {
                Outcome::Refused { refusal, .. } => Some(refusal.code),
                _ => None,
            };
            let held_back = matches!(code, Some(Code::RoleNotPermitted | Code::AuthorityUnknown));
            match permitted(kind) {
                // Here a zone revokes itself, which is the only thing that every authority may do.
                Some(_) if kind == EvidenceKind::Revocation && role == Role::Zone => assert_eq!(code, None),
                Some(roles) if roles.contains(&role) => {
                    assert!(!held_back, "{role} for `{kind}`: {outcome:?}")
                }
                Some(_) => assert_eq!(code, Some(Code::RoleNotPermitted), "{role} for `{kind}`"),
                None => assert!(held_back, "{role} for `{kind}`: {outcome:?}"),
            }
        }
    }
}
