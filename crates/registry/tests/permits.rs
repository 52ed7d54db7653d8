//! Permits: each is recorded only with an allow, and each use is taken once, whichever caller repeats which request.

use crate::support::*;
use assent_proof::{AuthorizeRequest, Code, PolicyBody};
use assent_registry::{Decision, Outcome, Receipt, View, authorize_permitted, query};
use proptest::prelude::*;

/// A world with an artifact of so many uses and an affirming attestation.
fn with_uses(uses: u32) -> World {
    let mut world = World::new();
    let keys = world.keys.clone();
    let artifact = authorization_with(&["run"], None, None, Some(uses));
    accepted(&world.submit(&artifact.sign(&[&keys.governance[0]])));
    accepted(&world.submit(&affirming().sign(&[&keys.attestation])));
    world
}

fn asked(nonce: &str) -> AuthorizeRequest {
    AuthorizeRequest { nonce: Some(nonce.to_owned()), ..request() }
}

/// What a node does: records a permit, signed anew at `seconds`, and decides with it.
fn ask(world: &mut World, seconds: i64, request: &AuthorizeRequest) -> (Outcome, Decision) {
    let keys = world.keys.clone();
    let outcome = world.submit_at(seconds, &permit(request).issued(at(seconds)).sign(&[&keys.node]));
    let decision = authorize_permitted(&View::new(&world.rows), request, ms(seconds));
    (outcome, decision)
}

#[track_caller]
fn permitted(answer: &(Outcome, Decision)) -> Receipt {
    assert!(answer.1.is_allow(), "{:?}", answer.1);
    let receipt = accepted(&answer.0);
    assert_eq!(answer.1.permit.as_ref(), Some(&receipt));
    receipt
}

/// Rules R42, R146.
#[test]
fn an_artifact_with_two_uses_gives_two_permits_and_no_third() {
    let mut world = with_uses(2);
    assert_eq!(codes(&world.decide()), [Code::PermitRequired], "a read consumes nothing and cannot say");
    let one = permitted(&ask(&mut world, 0, &asked("one")));
    let two = permitted(&ask(&mut world, 0, &asked("two")));
    assert_ne!(one, two);
    let revision = world.revision();
    let (outcome, decision) = ask(&mut world, 0, &asked("three"));
    assert_eq!(refused(&outcome), Code::AuthorizationConsumed);
    assert_eq!(codes(&decision), [Code::AuthorizationConsumed]);
    assert_eq!(world.revision(), revision, "what is denied leaves no leaf");
}

/// Rule R144.
#[test]
fn the_same_request_and_nonce_again_consumes_nothing_and_returns_the_first_permit() {
    let mut world = with_uses(1);
    let first = permitted(&ask(&mut world, 0, &asked("one")));
    let revision = world.revision();
    for seconds in [0, 1, 60] {
        assert_eq!(permitted(&ask(&mut world, seconds, &asked("one"))), first);
    }
    assert_eq!(world.revision(), revision);
}

/// Rules R42, R144.
#[test]
fn a_permit_comes_back_only_while_all_but_the_use_still_allows() {
    let mut world = with_uses(1);
    permitted(&ask(&mut world, 0, &asked("one")));
    let (_, late) = ask(&mut world, 301, &asked("one"));
    assert_eq!(codes(&late), [Code::RuntimeStale]);
    let keys = world.keys.clone();
    accepted(&world.submit(&revocation(keys.attestation.public(), None).sign(&[&keys.governance[0]])));
    let (_, revoked) = ask(&mut world, 0, &asked("one"));
    assert_eq!(codes(&revoked), [Code::AuthorityRevoked,][..]);
}

/// Rules R26, R144.
#[test]
fn a_nonce_with_another_request_is_refused_in_its_lineage_only() {
    let mut world = with_uses(5);
    permitted(&ask(&mut world, 0, &asked("one")));
    let other = AuthorizeRequest { audience: Some("edge".to_owned()), ..asked("one") };
    let (outcome, decision) = ask(&mut world, 0, &other);
    assert_eq!(refused(&outcome), Code::NonceReused);
    assert_eq!(codes(&decision), [Code::NonceReused]);
    let keys = world.keys.clone();
    for draft in [authorization(&["run"]), affirming()] {
        let key = if draft.0.kind == affirming().0.kind { &keys.attestation } else { &keys.governance[0] };
        accepted(&world.submit(&draft.lineage("elsewhere").sign(&[key])));
    }
    let elsewhere = AuthorizeRequest { lineage: Some("elsewhere".parse().unwrap()), ..asked("one") };
    permitted(&ask(&mut world, 0, &elsewhere));
}

/// Rule R145.
#[test]
fn a_nonce_is_recorded_only_with_a_permit() {
    let mut world = with_uses(1);
    let keys = world.keys.clone();
    let held = accepted(&world.submit(&quarantine("exec-1").sign(&[&keys.audit]))).evidence_id;
    let (outcome, decision) = ask(&mut world, 0, &asked("one"));
    assert_eq!(refused(&outcome), Code::LineageQuarantined);
    assert_eq!(codes(&decision), [Code::LineageQuarantined, Code::PermitRequired]);
    world.govern(release(held), &[]);
    permitted(&ask(&mut world, 0, &asked("one")));
}

/// Rule R26.
#[test]
fn without_a_recorded_permit_nothing_is_permitted() {
    let world = with_uses(1);
    for request in [asked("one"), request(), AuthorizeRequest { lineage: None, ..asked("one") }] {
        let decision = authorize_permitted(&View::new(&world.rows), &request, ms(0));
        assert_eq!(codes(&decision), [Code::PermitRequired]);
    }
}

/// Rule R43.
#[test]
fn a_policy_may_allow_only_with_permits_and_they_count_nothing_where_nothing_is_counted() {
    let mut world = World::with_policy(PolicyBody { permit_always: true, ..attested_policy() });
    world.grounds();
    assert_eq!(codes(&world.decide()), [Code::PermitRequired]);
    for nonce in ["one", "two", "three"] {
        permitted(&ask(&mut world, 0, &asked(nonce)));
    }
}

/// Rules R87, R143.
#[test]
fn a_permit_is_a_nodes_alone_and_says_what_its_request_says() {
    let mut world = with_uses(1);
    let keys = world.keys.clone();
    let before = world.rows.clone();
    let request = asked("one");
    for (draft, key, code) in [
        (permit(&request), &keys.governance[0], Code::AuthorityUnknown),
        (permit(&request), &keys.root, Code::RoleNotPermitted),
        (permit(&request).lineage("elsewhere"), &keys.node, Code::ClaimsInvalid),
        (permit(&request).subject("another"), &keys.node, Code::SubjectMismatch),
        (permit(&request).slot(0, None), &keys.node, Code::Malformed),
        (permit(&request).expires(at(60)), &keys.node, Code::TimesInvalid),
    ] {
        assert_eq!(refused(&world.submit(&draft.sign(&[key]))), code);
    }
    assert_eq!(world.rows, before);
    let another = domain_statement("another", &[key(70).public()], 1);
    accepted(&world.submit_to_root(0, another, &[&keys.root, &key(70)]));
    let moved = permit(&request).domain("another").sign(&[&keys.node]);
    assert_eq!(refused(&world.submit(&moved)), Code::ClaimsInvalid);
    permitted(&ask(&mut world, 0, &request));
}

/// Rule R26.
#[test]
fn a_void_permit_allows_nothing_and_stays_consumed() {
    let mut world = with_uses(1);
    let keys = world.keys.clone();
    permitted(&ask(&mut world, 10, &asked("one")));
    let revoked = revocation(keys.node.public(), Some(at(5))).domain("_root");
    accepted(&world.submit_at(20, &revoked.sign(&[&keys.root])));
    let decision = authorize_permitted(&View::new(&world.rows), &asked("one"), ms(20));
    assert_eq!(codes(&decision), [Code::InheritanceUnverifiable]);
    let decision = authorize_permitted(&View::new(&world.rows), &asked("two"), ms(20));
    assert_eq!(codes(&decision), [Code::AuthorizationConsumed]);
}

/// Rule R113.
#[test]
fn a_permit_stands_in_its_lineage_and_moves_no_head() {
    let mut world = with_uses(1);
    let head = world.decide().head;
    let receipt = permitted(&ask(&mut world, 0, &asked("one")));
    let page = query::lineage(&world.rows, &domain(), &lineage(), None, 9).unwrap().unwrap();
    assert_eq!(page.head, head);
    assert_eq!(page.entries.last().map(|entry| entry.evidence_id), Some(receipt.evidence_id));
    // An audit event may rest on it.
    let keys = world.keys.clone();
    let event = audit("started").references(&[receipt.evidence_id]).sign(&[&keys.audit]);
    accepted(&world.submit(&event));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Rule R42.
    #[test]
    fn n_uses_give_at_most_n_permits_whoever_retries_what(
        uses in 1_u32..4,
        asks in prop::collection::vec((0_u8..6, any::<bool>()), 1..20),
    ) {
        let mut world = with_uses(uses);
        let mut given = std::collections::BTreeSet::new();
        for (place, (nonce, other_action)) in asks.into_iter().enumerate() {
            let mut request = asked(&format!("n{nonce}"));
            if other_action {
                request.environment = Some("prod".to_owned());
            }
            let (_, decision) = ask(&mut world, place as i64, &request);
            if let Some(permit) = decision.permit.filter(|_| decision.reasons.is_empty()) {
                given.insert(permit.evidence_id);
            }
        }
        prop_assert!(given.len() <= uses as usize);
        prop_assert!(!given.is_empty());
    }
}

/// Rule R146.
#[test]
fn a_required_authorization_of_the_runtime_loses_its_use_too() {
    use assent_proof::{EvidenceKind, Of, Requirement};
    let mut world = World::with_policy(PolicyBody {
        require: vec![Requirement {
            kind: EvidenceKind::ExecutionAuthorization,
            of: Of::Runtime,
            min_issuers: 1,
            max_age_seconds: None,
        }],
        ..attested_policy()
    });
    world.grounds();
    let keys = world.keys.clone();
    let host = authorization_with(&["run"], None, None, Some(1)).lineage("host");
    accepted(&world.submit(&host.sign(&[&keys.governance[0]])));
    let on_host = |nonce: &str| AuthorizeRequest { runtime: Some("host".parse().unwrap()), ..asked(nonce) };
    permitted(&ask(&mut world, 0, &on_host("one")));
    permitted(&ask(&mut world, 0, &on_host("one")));
    let (outcome, decision) = ask(&mut world, 0, &on_host("two"));
    assert_eq!(refused(&outcome), Code::AuthorizationConsumed);
    assert!(codes(&decision).contains(&Code::AuthorizationConsumed));
}

/// Rule R42.
#[test]
fn a_permit_does_not_ride_on_an_authorization_that_it_took_no_use_of() {
    let mut world = World::new();
    let (artifact, _) = world.grounds();
    let keys = world.keys.clone();
    for nonce in ["bank-1", "bank-2"] {
        permitted(&ask(&mut world, 0, &asked(nonce)));
    }
    let counted = authorization_with(&["run"], None, None, Some(1)).slot(1, Some(artifact));
    accepted(&world.submit(&counted.sign(&[&keys.governance[0]])));
    permitted(&ask(&mut world, 0, &asked("one")));
    for nonce in ["bank-1", "bank-2", "two"] {
        let (_, decision) = ask(&mut world, 0, &asked(nonce));
        assert!(codes(&decision).contains(&Code::AuthorizationConsumed), "{nonce}: {decision:?}");
    }
}

/// Rule R42.
#[test]
fn an_equivocated_artifact_has_the_uses_of_one() {
    let mut world = with_uses(1);
    let keys = world.keys.clone();
    let page = query::lineage(&world.rows, &domain(), &lineage(), None, 9).unwrap().unwrap();
    let artifact = page.entries[0].evidence_id;
    permitted(&ask(&mut world, 0, &asked("one")));
    let other = authorization_with(&["run", "stop"], None, None, Some(1)).sign(&[&keys.governance[0]]);
    world.submit(&other);
    let other = id_of(&other);
    world.govern(reconciliation([artifact, other], other), &[]);
    for nonce in ["one", "two"] {
        let (_, decision) = ask(&mut world, 0, &asked(nonce));
        assert!(codes(&decision).contains(&Code::AuthorizationConsumed), "{nonce}: {decision:?}");
    }
}

/// Rule R81.
#[test]
fn a_permit_has_exactly_one_issuer() {
    let mut world = World::with_policy(PolicyBody { require: vec![], ..attested_policy() });
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    let second = key(70);
    let granted = grant(second.public(), assent_proof::Role::Registry).domain("_root");
    accepted(&world.submit_to_root(0, granted, &[&keys.root, &second]));
    let asked = assent_proof::AuthorizeRequest { nonce: Some("n".to_owned()), ..request() };
    assert_eq!(refused(&world.submit(&permit(&asked).sign(&[&keys.node, &second]))), Code::Malformed);
    accepted(&world.submit(&permit(&asked).sign(&[&keys.node])));
}

/// Rule R21.
#[test]
fn no_permit_is_recorded_for_an_execution_that_is_its_own_runtime() {
    let mut world = with_uses(1);
    let own = AuthorizeRequest { runtime: Some(lineage()), ..asked("one") };
    let (outcome, decision) = ask(&mut world, 0, &own);
    let (code, field, detail) = refusal(&outcome);
    assert_eq!((code, field), (Code::ClaimsInvalid, "predicate.claims.request.runtime"), "{detail}");
    assert_eq!(codes(&decision), [Code::LineageUnknown, Code::PermitRequired]);
    permitted(&ask(&mut world, 0, &asked("one")));
}
