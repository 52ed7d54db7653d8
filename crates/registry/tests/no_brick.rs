//! Fewer keys than the threshold cannot end a registry, a domain or a relation to a peer. No accepted statement leaves
//! one of them without a threshold of living keys.

use crate::support::*;
use assent_proof::{Code, DomainName, Role, SigningKey};
use assent_registry::{AuthorityStatus, Outcome, query};

fn grants_a_node(world: &mut World, seconds: i64, by: &[&SigningKey]) -> Outcome {
    let node = key(90);
    let mut signers = by.to_vec();
    signers.push(&node);
    world.submit_to_root(seconds, grant(node.public(), Role::Registry).domain("_root"), &signers)
}

/// Rules R90, R91.
#[test]
fn one_root_key_cannot_void_what_it_co_signed_by_revoking_itself() {
    let (mut world, [a, b, c]) = two_of_three();
    let keys = world.keys.clone();
    let d = key(63);
    let next = root_statement(&[a.public(), b.public(), d.public()], 2, keys.checkpoint.public());
    accepted(&world.submit_to_root(10, next, &[&a, &c, &d]));
    let past = revocation(a.public(), Some(at(-1000))).domain("_root");
    assert_eq!(refused(&world.submit_at(20, &past.sign(&[&a]))), Code::ThresholdNotMet);
    accepted(&world.submit_at(20, &revocation(a.public(), None).domain("_root").sign(&[&a])));
    accepted(&grants_a_node(&mut world, 20, &[&b, &d]));
}

#[test]
fn a_root_that_honest_keys_clear_of_a_compromised_one_goes_on() {
    let (mut world, [a, b, c]) = two_of_three();
    let keys = world.keys.clone();
    let d = key(63);
    let next = root_statement(&[a.public(), b.public(), d.public()], 2, keys.checkpoint.public());
    accepted(&world.submit_to_root(10, next, &[&a, &c, &d]));
    let past = revocation(a.public(), Some(at(-1000))).domain("_root");
    accepted(&world.submit_at(20, &past.sign(&[&b, &d])));
    accepted(&grants_a_node(&mut world, 20, &[&b, &d]));
    let domain = domain_statement("prod.us", &[key(64).public()], 1);
    accepted(&world.submit_to_root(20, domain, &[&b, &d, &key(64)]));
    let e = key(65);
    let next = root_statement(&[b.public(), d.public(), e.public()], 2, keys.checkpoint.public());
    accepted(&world.submit_to_root(20, next, &[&b, &d, &e]));
}

/// Rule R58.
#[test]
fn one_root_key_cannot_void_a_domain_that_it_co_signed() {
    let (mut world, [a, b, _]) = two_of_three();
    let fresh = key(64);
    let next = domain_statement(domain().as_ref(), &[world.keys.governance[0].public(), fresh.public()], 1);
    accepted(&world.submit_to_root(10, next, &[&a, &b, &fresh]));
    world.grounds();
    let c = key(62);
    let past = revocation(a.public(), Some(at(5))).domain("_root").sign(&[&b, &c]);
    accepted(&world.submit_at(20, &past));
    assert!(world.decide_at(20, &request()).is_allow(), "a domain accepted at its threshold is never void");
    accepted(&world.submit_at(20, &authorization(&["run"]).lineage("exec-9").sign(&[&fresh])));
}

/// Rules R90, R91.
#[test]
fn one_governance_key_cannot_void_what_it_co_signed_and_the_threshold_without_it_can() {
    let mut world = World::founded(3, 2, Some(attested_policy()));
    world.grounds();
    let keys = world.keys.clone();
    let [one, two, three] = [&keys.governance[0], &keys.governance[1], &keys.governance[2]];
    let past = revocation(three.public(), Some(at(-5)));
    for too_few in [vec![three], vec![three, one], vec![one]] {
        assert_eq!(refused(&world.submit(&past.sign(&too_few))), Code::ThresholdNotMet, "{too_few:?}");
    }
    accepted(&world.submit(&past.sign(&[one, two])));
    assert!(world.decide().is_allow(), "all three signed the policy, and two of them stand");
}

/// Rule R99.
#[test]
fn the_last_keys_that_a_domain_or_the_root_needs_can_only_be_replaced() {
    let (mut world, [a, b, c]) = two_of_three();
    let keys = world.keys.clone();
    let of_root = |key: &SigningKey| revocation(key.public(), None).domain("_root");
    accepted(&world.submit_at(0, &of_root(&a).sign(&[&a])));
    let before = world.rows.clone();
    for signers in [vec![&b], vec![&b, &c]] {
        assert_eq!(refused(&world.submit_at(0, &of_root(&b).sign(&signers))), Code::ThresholdNotMet);
    }
    let own = revocation(keys.governance[0].public(), None).sign(&[&keys.governance[0]]);
    let outcome = world.submit(&own);
    let (code, _, detail) = refusal(&outcome);
    assert_eq!(code, Code::ThresholdNotMet);
    assert!(detail.contains("replace"), "{detail}");
    assert_eq!(world.rows, before);
    // Replacing them works, and leaves the old ones dead.
    let d = key(63);
    let next = root_statement(&[c.public(), d.public()], 2, keys.checkpoint.public());
    accepted(&world.submit_to_root(0, next, &[&b, &c, &d]));
    let fresh = key(64);
    let next = domain_statement(domain().as_ref(), &[fresh.public()], 1);
    accepted(&world.submit_to_root(0, next, &[&c, &d, &fresh]));
    for dead in [&b, &keys.governance[0]] {
        let entry = query::authority(&world.rows, &dead.public(), ms(0)).unwrap().unwrap();
        assert_eq!(entry.status, AuthorityStatus::Revoked);
    }
    let (domains, _) = query::domains(&world.rows, None, 9).unwrap();
    assert!(domains.iter().any(|entry| entry.domain == DomainName::root() && entry.threshold == 2));
}

#[test]
fn a_domain_can_be_isolated_however_often_it_was_isolated_and_released() {
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    for round in 0..1100 {
        let held = isolate().issued(at(-round)).sign(&[&keys.audit]);
        let held = accepted(&world.submit(&held)).evidence_id;
        world.govern(release(held), &[]);
    }
    assert!(world.decide().is_allow());
    let again = isolate().issued(at(-2000)).sign(&[&keys.audit]);
    let again = accepted(&world.submit(&again)).evidence_id;
    assert_eq!(codes(&world.decide()), [Code::DomainIsolated]);
    world.govern(release(again), &[]);
    assert!(world.decide().is_allow());
}

/// Rule R67.
#[test]
fn every_containment_whose_release_is_void_holds_again_however_many_followed_it() {
    let mut world = World::founded(3, 1, Some(attested_policy()));
    world.grounds();
    let keys = world.keys.clone();
    let [one, thief, other] = [&keys.governance[0], &keys.governance[1], &keys.governance[2]];
    let mut held = Vec::new();
    for round in 0..12 {
        let bytes = quarantine("exec-1").issued(at(-round)).sign(&[&keys.audit]);
        held.push(accepted(&world.submit_at(20, &bytes)).evidence_id);
        let by = if round == 3 || round == 5 { thief } else { one };
        let (slot, head) = query::governance_slot(&world.rows, &domain()).unwrap();
        let released = release(held[round as usize]).slot(slot, head).sign(&[by]);
        accepted(&world.submit_at(20, &released));
    }
    assert!(world.decide_at(20, &request()).is_allow());
    accepted(&world.submit_at(30, &revocation(thief.public(), Some(at(10))).sign(&[other])));
    let decision = world.decide_at(30, &request());
    assert_eq!(codes(&decision), [Code::LineageQuarantined, Code::LineageQuarantined]);
    let mut holding: Vec<_> = decision.reasons.iter().filter_map(|reason| reason.evidence).collect();
    holding.sort_unstable();
    let mut expected = vec![held[3], held[5]];
    expected.sort_unstable();
    assert_eq!(holding, expected);
    // Each is released anew by itself.
    for (again, left) in [(held[5], 1), (held[3], 0)] {
        let (slot, head) = query::governance_slot(&world.rows, &domain()).unwrap();
        accepted(&world.submit_at(30, &release(again).slot(slot, head).sign(&[other])));
        assert_eq!(world.decide_at(30, &request()).reasons.len(), left);
    }
}

#[test]
fn a_domain_can_be_released_however_often_its_governance_was_replaced() {
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    let governance = &keys.governance[0];
    for round in 0..300 {
        let held = isolate().issued(at(-round)).sign(&[&keys.audit]);
        let held = accepted(&world.submit(&held)).evidence_id;
        world.govern(release(held), &[]);
        let same = domain_statement(domain().as_ref(), &[governance.public()], 1).issued(at(-round));
        accepted(&world.submit_to_root(0, same, &[&keys.root, governance]));
    }
    assert!(world.decide().is_allow());
}

/// Rule R92.
#[test]
fn a_release_rests_on_only_as_many_keys_as_its_threshold_needs() {
    let mut world = World::founded(9, 1, Some(attested_policy()));
    world.grounds();
    let keys = world.keys.clone();
    for set in 1..512_usize {
        let held = isolate().issued(at(-i64::try_from(set).unwrap())).sign(&[&keys.audit]);
        let held = accepted(&world.submit(&held)).evidence_id;
        let signers: Vec<&SigningKey> = keys
            .governance
            .iter()
            .enumerate()
            .filter(|(n, _)| set & (1 << n) != 0)
            .map(|(_, key)| key)
            .collect();
        let (slot, head) = query::governance_slot(&world.rows, &domain()).unwrap();
        accepted(&world.submit(&release(held).slot(slot, head).sign(&signers)));
    }
    // New governance still releases.
    let fresh = key(64);
    let next = domain_statement(domain().as_ref(), &[fresh.public()], 1);
    accepted(&world.submit_to_root(0, next, &[&keys.root, &fresh]));
    let held = isolate().issued(at(-1000)).sign(&[&keys.audit]);
    let held = accepted(&world.submit(&held)).evidence_id;
    let (slot, head) = query::governance_slot(&world.rows, &domain()).unwrap();
    accepted(&world.submit(&release(held).slot(slot, head).sign(&[&fresh])));
}

/// Rule R91.
#[test]
fn one_root_key_of_several_revokes_no_nodes_key() {
    let (mut world, [a, b, _]) = two_of_three();
    let node = world.keys.node.clone();
    let of_node = revocation(node.public(), None).domain("_root");
    assert_eq!(refused(&world.submit(&of_node.sign(&[&a]))), Code::ThresholdNotMet);
    assert!(query::node_key_granted(&world.rows, &node.public(), ms(0)).unwrap());
    accepted(&world.submit(&of_node.sign(&[&a, &b])));
    assert!(!query::node_key_granted(&world.rows, &node.public(), ms(0)).unwrap());
    // A node's key may always give itself up.
    let (mut world, _) = two_of_three();
    accepted(&world.submit(&revocation(node.public(), None).domain("_root").sign(&[&node])));
}

#[test]
fn a_containment_whose_release_is_overtaken_is_found_behind_the_newest_one_in_any_order() {
    let mut world = World::founded(3, 1, Some(attested_policy()));
    world.grounds();
    let keys = world.keys.clone();
    let [one, thief, other] = [&keys.governance[0], &keys.governance[1], &keys.governance[2]];
    let govern = |world: &mut World, seconds: i64, draft: Draft, by: &SigningKey| {
        let (slot, head) = query::governance_slot(&world.rows, &domain()).unwrap();
        accepted(&world.submit_at(seconds, &draft.slot(slot, head).sign(&[by])));
    };
    let mut held = Vec::new();
    for round in 0..5 {
        let bytes = quarantine("exec-1").issued(at(-round)).sign(&[&keys.audit]);
        held.push(accepted(&world.submit_at(20, &bytes)).evidence_id);
        govern(&mut world, 20, release(held[round as usize]), thief);
    }
    accepted(&world.submit_at(30, &revocation(thief.public(), Some(at(10))).sign(&[one])));
    // From the middle, from both ends, and the rest.
    for (place, left) in [(2, 4), (0, 3), (4, 2), (1, 1), (3, 0)] {
        govern(&mut world, 30, release(held[place]), if place % 2 == 0 { one } else { other });
        assert_eq!(world.decide_at(30, &request()).reasons.len(), left, "{place}");
    }
    assert!(world.decide_at(30, &request()).is_allow());
    accepted(&world.submit_at(40, &revocation(other.public(), Some(at(25))).sign(&[one])));
    let holding: Vec<_> =
        world.decide_at(40, &request()).reasons.iter().map(|reason| reason.evidence).collect();
    let mut expected = vec![Some(held[1]), Some(held[3])];
    expected.sort_unstable();
    assert_eq!(holding, expected);
}
