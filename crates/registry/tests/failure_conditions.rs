//! The failure conditions of RFC-EG-033 §4: a test builds each one exactly, and the answer has exactly its code. Two
//! need a cluster: `jepsen-like/tests/failover.rs` shows `no_quorum`, and `jepsen-like/tests/damage.rs` shows damage
//! to a node's files.

use crate::support::*;
use assent_proof::{AttestationStatus, Code, Envelope, Rules, verify};
use assent_registry::{Outcome, RowsMut, Table, query};

/// A world whose usual request is allowed.
fn allowed() -> World {
    let mut world = World::new();
    world.grounds();
    assert!(world.decide().is_allow());
    world
}

fn hide(world: &mut World, table: Table, part: &[u8]) {
    let found = |key: &[u8]| key.windows(part.len()).any(|window| window == part);
    let keys: Vec<Vec<u8>> = world
        .rows
        .iter()
        .filter(|(t, key, _)| *t == table && found(key))
        .map(|(_, key, _)| key.to_vec())
        .collect();
    assert_eq!(keys.len(), 1, "one row is meant");
    world.rows.delete(table, &keys[0]).unwrap();
}

/// Rule R75.
#[test]
fn unsigned_governance_evidence_is_refused() {
    let keys = World::new().keys;
    let mut envelope = Envelope::parse(&affirming().sign(&[&keys.attestation])).unwrap();
    envelope.signatures.clear();
    assert_eq!(verify(&envelope.to_vec(), ORIGIN, Rules::NEWEST).unwrap_err().code, Code::UnsignedEvidence);
}

#[test]
fn fragmented_proof_lineage_is_refused_and_denied() {
    let mut world = allowed();
    let keys = world.keys.clone();
    let head = world.decide().head;
    let gap = affirming().slot(2, head).sign(&[&keys.attestation]);
    assert_eq!(refused(&world.submit(&gap)), Code::LineageFragmented);
    // A chain of the stored lineage is gone: what is left does not join.
    hide(&mut world, Table::LineageIssuers, keys.attestation.public().as_bytes());
    assert_eq!(codes(&world.decide()), [Code::LineageFragmented, Code::EvidenceMissing]);
}

/// Puts the row of one key in the place of another's.
fn swap_in(world: &mut World, table: Table, of: &[u8], in_place_of: &[u8]) {
    let find = |part: &[u8]| {
        let found = world.rows.iter().find(|(t, key, _)| *t == table && key.ends_with(part));
        found.map(|(_, key, value)| (key.to_vec(), value.to_vec())).unwrap()
    };
    let (_, value) = find(of);
    let (key, _) = find(in_place_of);
    world.rows.put(table, &key, &value).unwrap();
}

/// Rule R24.
#[test]
fn a_chain_that_does_not_join_its_newest_statement_is_denied() {
    let mut world = allowed();
    let keys = world.keys.clone();
    let first = accepted(&world.submit(&affirming().sign(&[&keys.attestation2]))).evidence_id;
    accepted(&world.submit(&affirming().slot(1, Some(first)).sign(&[&keys.attestation2])));
    let head = query::lineage(&world.rows, &domain(), &lineage(), None, 9).unwrap().unwrap();
    let head = head.issuers.iter().find(|chain| chain.issuer == keys.attestation.public()).unwrap().head;
    accepted(&world.submit(&affirming().slot(1, Some(head)).sign(&[&keys.attestation])));
    assert!(world.decide().is_allow());
    let (of, place) = (keys.attestation2.public(), keys.attestation.public());
    swap_in(&mut world, Table::LineageIssuers, of.as_bytes(), place.as_bytes());
    assert_eq!(codes(&world.decide()), [Code::LineageFragmented]);
}

/// Rule R36.
#[test]
fn an_authority_of_another_role_or_domain_counts_for_nothing() {
    let keys = World::new().keys;
    let attester = keys.attestation.public();
    let mut world = allowed();
    swap_in(&mut world, Table::Authorities, keys.audit.public().as_bytes(), attester.as_bytes());
    assert_eq!(codes(&world.decide()), [Code::RoleNotPermitted]);
    let mut world = allowed();
    swap_in(&mut world, Table::Authorities, keys.node.public().as_bytes(), attester.as_bytes());
    assert_eq!(codes(&world.decide()), [Code::AuthorityInconsistent, Code::RoleNotPermitted]);
}

#[test]
fn unverifiable_runtime_proof_continuity_is_denied() {
    let world = allowed();
    assert!(world.decide_at(299, &request()).is_allow());
    assert_eq!(codes(&world.decide_at(300, &request())), [Code::RuntimeStale]);
}

/// Rule R105.
#[test]
fn detached_audit_evidence_is_refused() {
    let mut world = allowed();
    let keys = world.keys.clone();
    assert_eq!(refused(&world.submit(&audit("seen").sign(&[&keys.audit]))), Code::EvidenceDetached);
    let nowhere = audit("seen").references(&[assent_proof::EvidenceId([7; 32])]).sign(&[&keys.audit]);
    assert_eq!(refused(&world.submit(&nowhere)), Code::EvidenceDetached);
}

/// Rule R23.
#[test]
fn inconsistent_authority_validation_is_refused_and_denied() {
    let mut world = allowed();
    let keys = world.keys.clone();
    let other_role = grant(keys.attestation.public(), assent_proof::Role::Runtime);
    let twice = world.try_to_govern(other_role, &[&keys.governance[0], &keys.attestation]);
    assert_eq!(refused(&twice), Code::AuthorityInconsistent);
    let second = attestation(AttestationStatus::Affirming, "m2").sign(&[&keys.attestation]);
    match world.submit(&second) {
        Outcome::Equivocation { refusal, .. } => assert_eq!(refusal.code, Code::AuthorityInconsistent),
        other => panic!("{other:?}"),
    }
    let denied = codes(&world.decide());
    assert_eq!(denied, [Code::AuthorityInconsistent, Code::EvidenceMissing, Code::LineageQuarantined]);
}

/// Rules R39, R44.
#[test]
fn incomplete_proof_continuity_is_denied() {
    let mut world = World::new();
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide()), [Code::EvidenceMissing]);
}

/// Rule R48.
#[test]
fn unauthorized_evidence_mutation_is_denied() {
    for table in [Table::Slots, Table::Lineages, Table::Authorities, Table::Policies, Table::Domains] {
        let mut world = allowed();
        let rows: Vec<Vec<u8>> =
            world.rows.iter().filter(|(t, ..)| *t == table).map(|(_, key, _)| key.to_vec()).collect();
        for key in rows {
            world.rows.put(table, &key, b"\x01garbage").unwrap();
        }
        assert_eq!(codes(&world.decide()), [Code::EvidenceMutated], "{table:?}");
    }
}

/// Rules R37, R105.
#[test]
fn unverifiable_exchange_inheritance_is_refused_and_denied() {
    let mut world = World::new();
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    let ground = accepted(&world.submit(&integrity("m1").lineage("host").sign(&[&keys.runtime]))).evidence_id;
    accepted(&world.submit(&affirming().references(&[ground]).sign(&[&keys.attestation])));
    assert!(world.decide().is_allow());
    accepted(&world.submit(&invalidate(ground).sign(&[&keys.audit])));
    assert_eq!(codes(&world.decide()), [Code::InheritanceUnverifiable]);
    let more = validation("p1", assent_proof::PolicyVerdict::Pass).references(&[ground]);
    assert_eq!(refused(&world.submit(&more.sign(&[&keys.orchestration]))), Code::InheritanceUnverifiable);
}
