//! Which keys may submit what, in which order the checks refuse, and that a refusal changes nothing.

use crate::support::*;
use assent_proof::{Code, EvidenceKind, PolicyBody, Role};
use assent_registry::{Outcome, query};

/// Submits and checks that the code is the one expected and that nothing changed.
#[track_caller]
fn refuses(world: &mut World, bytes: &[u8], code: Code) {
    let before = world.rows.clone();
    assert_eq!(refused(&world.submit(bytes)), code);
    assert!(before == world.rows, "a refusal changed state");
}

/// Rule R78.
#[test]
fn the_same_bytes_again_return_the_first_receipt() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let bytes = affirming().sign(&[&keys.attestation]);
    let first = accepted(&world.submit(&bytes));
    assert_eq!(first.revision, first.ledger_index + 1);
    match world.submit_at(500, &bytes) {
        Outcome::Accepted { receipt, fresh } => {
            assert_eq!(receipt, first);
            assert!(!fresh);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(query::envelope(&world.rows, &first.evidence_id).unwrap().unwrap(), bytes);
}

/// Rule R87.
#[test]
fn every_role_may_issue_exactly_its_kinds() {
    use EvidenceKind as K;
    let allowed = [
        (K::ExecutionAuthorization, vec![Role::Governance]),
        (K::RuntimeAttestation, vec![Role::Attestation]),
        (K::PolicyValidation, vec![Role::Orchestration, Role::Governance]),
        (K::RuntimeIntegrity, vec![Role::Runtime, Role::Attestation]),
        (K::AuditLineage, vec![Role::Audit, Role::Gateway, Role::Orchestration]),
    ];
    for (kind, roles) in allowed {
        let mut world = World::new();
        let keys = world.keys.clone();
        let about = accepted(&world.submit(&affirming().lineage("other").sign(&[&keys.attestation])));
        let signers = [
            (Role::Governance, &keys.governance[0]),
            (Role::Attestation, &keys.attestation),
            (Role::Runtime, &keys.runtime),
            (Role::Orchestration, &keys.orchestration),
            (Role::Gateway, &keys.gateway),
            (Role::Audit, &keys.audit),
            (Role::Zone, &keys.zone),
        ];
        for (role, signer) in signers {
            let draft = match kind {
                K::ExecutionAuthorization => authorization(&["run"]),
                K::RuntimeAttestation => affirming(),
                K::PolicyValidation => validation("p1", assent_proof::PolicyVerdict::Pass),
                K::RuntimeIntegrity => integrity("m1"),
                _ => audit("started").references(&[about.evidence_id]),
            };
            let bytes = draft.sign(&[signer]);
            if roles.contains(&role) {
                accepted(&world.submit(&bytes));
            } else {
                refuses(&mut world, &bytes, Code::RoleNotPermitted);
            }
        }
    }
}

/// Rule R87.
#[test]
fn ungranted_keys_and_keys_of_other_domains_are_unknown() {
    let mut world = World::new();
    let keys = world.keys.clone();
    refuses(&mut world, &affirming().sign(&[&key(99)]), Code::AuthorityUnknown);
    refuses(&mut world, &affirming().sign(&[&keys.node]), Code::AuthorityUnknown);
    refuses(&mut world, &affirming().domain("elsewhere").sign(&[&keys.attestation]), Code::DomainUnknown);
}

/// Rule R74.
#[test]
fn another_registrys_evidence_is_refused() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let mut draft = affirming();
    draft.0.registry = "registry.test/2".to_owned();
    refuses(&mut world, &draft.sign(&[&keys.attestation]), Code::WrongRegistry);
}

/// Rule R111.
#[test]
fn a_gap_or_a_wrong_parent_is_refused_with_the_true_head() {
    let mut world = World::new();
    let keys = world.keys.clone();
    refuses(
        &mut world,
        &affirming().slot(1, Some(id_of(&affirming().sign(&[&keys.audit])))).sign(&[&keys.attestation]),
        Code::LineageFragmented,
    );
    let first = accepted(&world.submit(&affirming().sign(&[&keys.attestation])));
    let wrong = affirming().slot(1, Some(id_of(&affirming().sign(&[&keys.audit]))));
    match world.submit(&wrong.sign(&[&keys.attestation])) {
        Outcome::Refused { refusal, head, next_sequence } => {
            assert_eq!(refusal.code, Code::LineageFragmented);
            assert_eq!(head, Some(first.evidence_id));
            assert_eq!(next_sequence, Some(1));
        }
        other => panic!("{other:?}"),
    }
    let gap = affirming().slot(2, Some(first.evidence_id)).sign(&[&keys.attestation]);
    refuses(&mut world, &gap, Code::LineageFragmented);
}

/// Rule R111.
#[test]
fn issuers_never_contend_for_slots() {
    let mut world = World::new();
    let keys = world.keys.clone();
    accepted(&world.submit(&affirming().sign(&[&keys.attestation])));
    accepted(&world.submit(&affirming().sign(&[&keys.attestation2])));
    accepted(&world.submit(&integrity("m1").sign(&[&keys.runtime])));
    let page = query::lineage(&world.rows, &domain(), &lineage(), None, 10).unwrap().unwrap();
    assert_eq!(page.issuers.len(), 3);
    assert_eq!(page.entries.len(), 3);
    assert_eq!(page.next, None);
    let page = query::lineage(&world.rows, &domain(), &lineage(), None, 2).unwrap().unwrap();
    assert_eq!(page.entries.len(), 2);
    let rest = query::lineage(&world.rows, &domain(), &lineage(), page.next, 2).unwrap().unwrap();
    assert_eq!((rest.entries.len(), rest.next), (1, None));
}

/// Rule R107.
#[test]
fn a_lineages_first_statement_fixes_its_subject() {
    let mut world = World::new();
    let keys = world.keys.clone();
    accepted(&world.submit(&affirming().sign(&[&keys.attestation])));
    refuses(&mut world, &integrity("m1").subject("other").sign(&[&keys.runtime]), Code::SubjectMismatch);
}

/// Rule R112.
#[test]
fn a_taken_governance_slot_is_a_moved_head_and_nothing_worse() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let taken = policy(PolicyBody { decision_ttl_seconds: 5, ..attested_policy() });
    let (next, head) = world.governance_slot();
    let stale = taken.clone().slot(next - 1, head).sign(&[&keys.governance[0]]);
    refuses(&mut world, &stale, Code::HeadMoved);
    let gap = taken.clone().slot(next + 1, head).sign(&[&keys.governance[0]]);
    refuses(&mut world, &gap, Code::LineageFragmented);
    world.govern(taken, &[]);
    let page = query::lineage(&world.rows, &domain(), &"_governance".parse().unwrap(), None, 100);
    assert_eq!(page.unwrap().unwrap().sequence, Some(next));
}

/// Rule R89.
#[test]
fn a_threshold_counts_distinct_governance_keys_only() {
    let mut world = World::founded(3, 2, None);
    let keys = world.keys.clone();
    let (next, head) = world.governance_slot();
    let draft = policy(attested_policy()).slot(next, head);
    refuses(&mut world, &draft.sign(&[&keys.governance[0]]), Code::ThresholdNotMet);
    refuses(&mut world, &draft.sign(&[&keys.governance[0], &keys.audit]), Code::RoleNotPermitted);
    let fresh = key(60);
    let granted = grant(fresh.public(), Role::Audit).slot(next, head);
    refuses(&mut world, &granted.sign(&[&keys.governance[0], &fresh]), Code::ThresholdNotMet);
    accepted(&world.submit(&draft.sign(&[&keys.governance[2], &keys.governance[0]])));
}

/// Rule R83.
#[test]
fn a_key_that_did_not_sign_its_own_grant_is_refused() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let (next, head) = world.governance_slot();
    let bytes = grant(key(60).public(), Role::Audit).slot(next, head).sign(&[&keys.governance[0]]);
    refuses(&mut world, &bytes, Code::UnsignedEvidence);
}

/// Rule R94.
#[test]
fn one_key_has_one_role_in_one_domain() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let (next, head) = world.governance_slot();
    for (held, role) in
        [(&keys.audit, Role::Gateway), (&keys.node, Role::Audit), (&keys.checkpoint, Role::Audit)]
    {
        let bytes = grant(held.public(), role).slot(next, head).sign(&[&keys.governance[0], held]);
        refuses(&mut world, &bytes, Code::AuthorityInconsistent);
    }
    let own = &keys.governance[0];
    let bytes = grant(own.public(), Role::Audit).slot(next, head).sign(&[own]);
    refuses(&mut world, &bytes, Code::ThresholdNotMet);
    world.govern(grant(keys.audit.public(), Role::Audit), &[&key(25)]);
}

/// Rule R96.
#[test]
fn governance_keys_and_foreign_roles_are_never_granted() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let fresh = key(60);
    let (next, head) = world.governance_slot();
    let before = world.rows.clone();
    let bytes = grant(fresh.public(), Role::Governance).slot(next, head).sign(&[&keys.governance[0], &fresh]);
    let outcome = world.submit(&bytes);
    let (code, field, detail) = refusal(&outcome);
    assert_eq!((code, field), (Code::ClaimsInvalid, "predicate.claims.role"), "{detail}");
    let foreign = Role::ALL.iter().filter(|role| **role != Role::Registry);
    for role in foreign {
        let bytes = grant(fresh.public(), *role).domain("_root");
        let outcome = world.submit_to_root(0, bytes, &[&keys.root, &fresh]);
        let (code, field, detail) = refusal(&outcome);
        assert_eq!((code, field), (Code::ClaimsInvalid, "predicate.claims.role"), "{role}: {detail}");
    }
    assert!(before == world.rows, "a refusal changed state");
    // The role is all that was wrong.
    let node = grant(fresh.public(), Role::Registry).domain("_root");
    accepted(&world.submit_to_root(0, node, &[&keys.root, &fresh]));
}

/// Rules R83, R84.
#[test]
fn a_new_domain_takes_roots_threshold_and_its_own_keys() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let root =
        query::lineage(&world.rows, &"_root".parse().unwrap(), &"_governance".parse().unwrap(), None, 9);
    let root = root.unwrap().unwrap();
    let fresh = key(63);
    let draft = domain_statement("prod.us", &[fresh.public()], 1).slot(root.sequence.unwrap() + 1, root.head);
    refuses(&mut world, &draft.sign(&[&keys.root]), Code::UnsignedEvidence);
    refuses(&mut world, &draft.sign(&[&keys.governance[0], &fresh]), Code::AuthorityUnknown);
    accepted(&world.submit(&draft.sign(&[&keys.root, &fresh])));
    let (domains, more) = query::domains(&world.rows, None, 10).unwrap();
    let names: Vec<_> = domains.iter().map(|domain| domain.domain.to_string()).collect();
    assert_eq!(names, ["_root", "prod.eu", "prod.us"]);
    assert!(!more);
}

/// Rules R103, R104.
#[test]
fn times_that_cannot_be_are_refused() {
    let mut world = World::new();
    let keys = world.keys.clone();
    refuses(&mut world, &affirming().issued(at(1)).sign(&[&keys.attestation]), Code::TimesInvalid);
    let elapsed = affirming().issued(at(-10)).expires(at(0));
    refuses(&mut world, &elapsed.sign(&[&keys.attestation]), Code::TimesInvalid);
    let backwards = affirming().expires(at(0)).sign(&[&keys.attestation]);
    refuses(&mut world, &backwards, Code::TimesInvalid);
    let future = revocation(keys.audit.public(), Some(at(10))).sign(&[&keys.governance[0]]);
    refuses(&mut world, &future, Code::TimesInvalid);
    let (next, head) = world.governance_slot();
    let expiring = policy(attested_policy()).slot(next, head).expires(at(50)).sign(&[&keys.governance[0]]);
    refuses(&mut world, &expiring, Code::TimesInvalid);
    let fresh = key(60);
    let never = grant_for(fresh.public(), Role::Audit, at(5), at(5)).slot(next, head);
    refuses(&mut world, &never.sign(&[&keys.governance[0], &fresh]), Code::ClaimsInvalid);
    let elapsed = grant_for(fresh.public(), Role::Audit, at(-9), at(-5)).slot(next, head);
    refuses(&mut world, &elapsed.sign(&[&keys.governance[0], &fresh]), Code::TimesInvalid);
}

/// Rule R105.
#[test]
fn an_audit_event_and_every_reference_must_rest_on_something_that_is_there() {
    let mut world = World::new();
    let keys = world.keys.clone();
    refuses(&mut world, &audit("started").sign(&[&keys.audit]), Code::EvidenceDetached);
    let nowhere = id_of(&affirming().sign(&[&keys.zone]));
    let dangling = audit("started").references(&[nowhere]).sign(&[&keys.audit]);
    refuses(&mut world, &dangling, Code::EvidenceDetached);
    let root =
        query::lineage(&world.rows, &"_root".parse().unwrap(), &"_governance".parse().unwrap(), None, 9);
    let elsewhere = root.unwrap().unwrap().head.unwrap();
    let foreign = audit("started").references(&[elsewhere]).sign(&[&keys.audit]);
    refuses(&mut world, &foreign, Code::EvidenceDetached);
}

/// Rule R93.
#[test]
fn a_governance_statements_subject_names_its_target() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let (next, head) = world.governance_slot();
    let bytes = policy(attested_policy()).subject("another").slot(next, head).sign(&[&keys.governance[0]]);
    refuses(&mut world, &bytes, Code::SubjectMismatch);
}

/// Rules R80, R81.
#[test]
fn statements_belong_where_their_kind_does() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let governance = &keys.governance[0];
    refuses(&mut world, &affirming().lineage("_governance").sign(&[&keys.attestation]), Code::Malformed);
    refuses(&mut world, &affirming().domain("_root").sign(&[&keys.node]), Code::Malformed);
    refuses(&mut world, &policy(attested_policy()).lineage("exec-1").sign(&[governance]), Code::Malformed);
    let slotted = revocation(keys.audit.public(), None).slot(0, None).sign(&[governance]);
    refuses(&mut world, &slotted, Code::Malformed);
    let mut slotless = affirming();
    slotless.0.sequence = None;
    refuses(&mut world, &slotless.sign(&[&keys.attestation]), Code::Malformed);
}

/// Rule R81.
#[test]
fn governance_rests_on_nothing_so_that_voidness_has_a_bound() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let about = accepted(&world.submit(&affirming().sign(&[&keys.attestation]))).evidence_id;
    let (next, head) = world.governance_slot();
    let fresh = key(60);
    let granted = grant(fresh.public(), Role::Audit).slot(next, head).references(&[about]);
    refuses(&mut world, &granted.sign(&[&keys.governance[0], &fresh]), Code::Malformed);
    let ruled = policy(attested_policy()).slot(next, head).references(&[about]);
    refuses(&mut world, &ruled.sign(&[&keys.governance[0]]), Code::Malformed);
}

/// Rule R79.
#[test]
fn claims_of_the_wrong_shape_are_refused_with_their_field() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let cases = [
        r#"{"verifier":"v","status":"affirming"}"#,
        r#"{"verifier":"v","status":"fine","measurement":"m"}"#,
        r#"{"verifier":"v","status":"affirming","measurement":"m","extra":1}"#,
        r#"{"verifier":["v"],"status":"affirming","measurement":"m"}"#,
    ];
    for claims in cases {
        let before = world.rows.clone();
        match world.submit(&raw(EvidenceKind::RuntimeAttestation, claims).sign(&[&keys.attestation])) {
            Outcome::Refused { refusal, .. } => {
                assert_eq!(refusal.code, Code::ClaimsInvalid, "{claims}");
                assert!(refusal.field.unwrap().starts_with("predicate.claims"), "{claims}");
            }
            other => panic!("{other:?}"),
        }
        assert!(before == world.rows);
    }
}

/// Rule R71.
#[test]
fn an_atomic_group_is_accepted_whole_or_not_at_all() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let good = affirming().sign(&[&keys.attestation]);
    let next = affirming().slot(1, Some(id_of(&good))).sign(&[&keys.attestation]);
    let bad = integrity("m1").sign(&[&keys.audit]);
    let before = world.rows.clone();
    let outcomes = world.submit_group(0, true, &[good.clone(), next.clone(), bad.clone()]);
    assert!(outcomes.iter().all(|outcome| refused(outcome) == Code::RoleNotPermitted));
    // The good ones say that they are, and which one is not.
    let at_fault = outcomes.iter().map(|outcome| match outcome {
        Outcome::Refused { refusal, .. } => refusal.field.clone(),
        other => panic!("{other:?}"),
    });
    let at_fault: Vec<Option<String>> = at_fault.collect();
    assert_eq!(at_fault[..2], [Some("envelopes[2]".to_owned()), Some("envelopes[2]".to_owned())]);
    assert_ne!(at_fault[2], at_fault[0]);
    assert!(before == world.rows);
    let outcomes = world.submit_group(0, true, &[good.clone(), next.clone()]);
    assert_eq!(accepted(&outcomes[1]).ledger_index, accepted(&outcomes[0]).ledger_index + 1);
    let outcomes = world.submit_group(0, false, &[good, bad, next]);
    assert!(matches!(outcomes[0], Outcome::Accepted { fresh: false, .. }));
    assert_eq!(refused(&outcomes[1]), Code::RoleNotPermitted);
}

/// Rule R71.
#[test]
fn a_failed_atomic_group_gives_no_receipt_for_what_it_did_not_keep() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let good = affirming().sign(&[&keys.attestation]);
    let bad = integrity("m1").sign(&[&keys.audit]);
    let stops = revocation(keys.gateway.public(), None).sign(&[&keys.governance[0]]);
    let stops_again = revocation(keys.gateway.public(), None).issued(at(-1)).sign(&[&keys.governance[0]]);
    let before = world.rows.clone();
    for group in [vec![good.clone(), good.clone(), bad.clone()], vec![stops, stops_again, bad.clone()]] {
        for outcome in world.submit_group(0, true, &group) {
            assert_eq!(refused(&outcome), Code::RoleNotPermitted);
        }
        assert!(before == world.rows);
    }
    // What was there before the group keeps its receipt.
    let first = accepted(&world.submit(&good));
    let outcomes = world.submit_group(0, true, &[good, bad]);
    assert_eq!(accepted(&outcomes[0]), first);
}

/// Rule R110.
#[test]
fn a_lineage_takes_a_bounded_number_of_issuers() {
    let mut world = World::new();
    for seed in 100..133_u8 {
        let fresh = key(seed);
        world.govern(grant(fresh.public(), Role::Attestation), &[&fresh]);
        let bytes = affirming().sign(&[&fresh]);
        if seed < 132 {
            accepted(&world.submit(&bytes));
        } else {
            refuses(&mut world, &bytes, Code::TooLarge);
        }
    }
}

/// Rule R65.
#[test]
fn what_a_statement_rests_on_is_bounded() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let mut before = None;
    for sequence in 0..70_u64 {
        let references: Vec<_> = before.into_iter().collect();
        let draft = affirming().slot(sequence, before).references(&references);
        let outcome = world.submit(&draft.sign(&[&keys.attestation]));
        if sequence <= 64 {
            before = Some(accepted(&outcome).evidence_id);
        } else {
            assert_eq!(refused(&outcome), Code::TooLarge, "{sequence}");
        }
    }
}
