//! New root keys, and new governance keys for a domain.

use crate::support::*;
use assent_proof::{Code, DomainName, PublicKey, Role};
use assent_registry::{AuthorityStatus, query};

fn status(world: &World, key: &PublicKey) -> Option<AuthorityStatus> {
    query::authority(&world.rows, key, ms(0)).unwrap().map(|entry| entry.status)
}

/// Rules R84, R86.
#[test]
fn a_new_root_takes_the_old_keys_threshold_and_its_own_and_leaves_no_old_key_alive() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let (a, b, checkpoint) = (key(61), key(62), key(63));
    let next = root_statement(&[a.public(), b.public()], 2, checkpoint.public());
    accepted(&world.submit_to_root(0, next, &[&keys.root, &a, &b, &checkpoint]));
    assert_eq!(status(&world, &keys.root.public()), Some(AuthorityStatus::Revoked));
    for key in [&a, &b] {
        assert_eq!(status(&world, &key.public()), Some(AuthorityStatus::Active));
    }
    let (domains, _) = query::domains(&world.rows, None, 9).unwrap();
    let root = domains.iter().find(|entry| entry.domain == DomainName::root()).unwrap();
    assert_eq!((root.threshold, root.governance.as_slice()), (2, &[a.public(), b.public()][..]));
    // The old key governs nothing any more. One of the new keys is not enough; both are.
    let node = key(64);
    let grant = grant(node.public(), Role::Registry).domain("_root");
    let by_old = world.submit_to_root(0, grant.clone(), &[&keys.root, &node]);
    assert_eq!(refused(&by_old), Code::AuthorityRevoked);
    assert_eq!(refused(&world.submit_to_root(0, grant.clone(), &[&a, &node])), Code::ThresholdNotMet);
    accepted(&world.submit_to_root(0, grant, &[&a, &b, &node]));
}

/// Rule R86.
#[test]
fn a_new_root_that_lacks_a_signature_is_refused_and_changes_nothing() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let (a, b, checkpoint) = (key(61), key(62), key(63));
    let before = world.rows.clone();
    let next = root_statement(&[a.public(), b.public()], 2, checkpoint.public());
    for (signers, code) in [
        (vec![&a, &b, &checkpoint], Code::ThresholdNotMet),
        (vec![&keys.root, &a, &checkpoint], Code::UnsignedEvidence),
        (vec![&keys.root, &a, &b], Code::UnsignedEvidence),
        (vec![&keys.root, &a, &b, &checkpoint, &keys.governance[0]], Code::AuthorityUnknown),
    ] {
        assert_eq!(refused(&world.submit_to_root(0, next.clone(), &signers)), code);
    }
    let attester = root_statement(&[keys.attestation.public()], 1, checkpoint.public());
    let outcome = world.submit_to_root(0, attester, &[&keys.root, &keys.attestation, &checkpoint]);
    assert_eq!(refused(&outcome), Code::AuthorityInconsistent);
    let as_registry = root_statement(&[a.public()], 1, keys.attestation.public());
    let outcome = world.submit_to_root(0, as_registry, &[&keys.root, &a, &keys.attestation]);
    assert_eq!(refused(&outcome), Code::AuthorityInconsistent);
    let both = root_statement(&[a.public()], 1, a.public());
    assert_eq!(refused(&world.submit_to_root(0, both, &[&keys.root, &a])), Code::AuthorityInconsistent);
    assert_eq!(world.rows, before);
}

/// Rule R83.
#[test]
fn a_root_key_that_stays_need_not_sign_again_but_the_new_threshold_needs_signatures() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let (a, b, checkpoint) = (key(61), key(62), &keys.checkpoint);
    let all = [keys.root.public(), a.public(), b.public()];
    let three = root_statement(&all, 2, checkpoint.public());
    accepted(&world.submit_to_root(0, three, &[&keys.root, &a, &b]));
    // `b` stays and is away; the old threshold of 2 is met by the others.
    let stays = root_statement(&all, 2, checkpoint.public());
    accepted(&world.submit_to_root(0, stays.clone(), &[&keys.root, &a]));
    let more = root_statement(&all, 3, checkpoint.public());
    assert_eq!(refused(&world.submit_to_root(0, more, &[&keys.root, &a])), Code::ThresholdNotMet);
    // A root key that was left out is revoked.
    let fewer = root_statement(&all[..2], 2, checkpoint.public());
    accepted(&world.submit_to_root(0, fewer, &[&keys.root, &a]));
    assert_eq!(status(&world, &b.public()), Some(AuthorityStatus::Revoked));
    let back = root_statement(&all, 2, checkpoint.public());
    assert_eq!(refused(&world.submit_to_root(0, back, &[&keys.root, &a, &b])), Code::AuthorityRevoked);
}

/// Rules R83, R128.
#[test]
fn root_replaces_a_domains_governance_and_the_keys_left_out_are_dead() {
    let mut world = World::founded(2, 1, Some(attested_policy()));
    world.grounds();
    let keys = world.keys.clone();
    let [old, stays] = [&keys.governance[0], &keys.governance[1]];
    let fresh = key(61);
    let isolation = accepted(&world.submit(&isolate().sign(&[&keys.audit]))).evidence_id;
    let next = domain_statement(domain().as_ref(), &[stays.public(), fresh.public()], 2);
    let before = world.rows.clone();
    let by_governance = world.submit_to_root(0, next.clone(), &[stays, &fresh]);
    assert_eq!(refused(&by_governance), Code::ThresholdNotMet, "only root replaces governance");
    assert_eq!(refused(&world.submit_to_root(0, next.clone(), &[&keys.root])), Code::UnsignedEvidence);
    assert_eq!(world.rows, before);
    accepted(&world.submit_to_root(0, next, &[&keys.root, &fresh]));
    assert_eq!(status(&world, &old.public()), Some(AuthorityStatus::Revoked));
    assert_eq!(status(&world, &stays.public()), Some(AuthorityStatus::Active));
    assert_eq!(
        codes(&world.decide()),
        [Code::AuthorityRevoked, Code::DomainIsolated],
        "it is isolated still"
    );
    let alone = world.try_to_govern(release(isolation), &[stays]);
    assert_eq!(refused(&alone), Code::ThresholdNotMet);
    accepted(&world.try_to_govern(release(isolation), &[stays, &fresh]));
    let artifact = authorization(&["run"]).sign(&[stays]);
    accepted(&world.submit(&artifact));
    assert!(world.decide().is_allow(), "policy and grants of before stand");
}

#[test]
fn a_root_statement_by_unknown_keys_is_refused() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let (a, checkpoint) = (key(61), key(62));
    let first = root_statement(&[a.public()], 1, checkpoint.public());
    let outcome = world.submit(&first.sign(&[&a, &checkpoint]));
    assert_eq!(refused(&outcome), Code::ThresholdNotMet);
    assert_eq!(status(&world, &keys.root.public()), Some(AuthorityStatus::Active));
}

/// Rules R58, R92.
#[test]
fn a_new_root_outlives_the_invalid_since_of_the_keys_that_it_replaced() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let (a, checkpoint) = (key(61), &keys.checkpoint);
    let next = root_statement(&[a.public()], 1, checkpoint.public());
    accepted(&world.submit_to_root(10, next, &[&keys.root, &a]));
    let revoked = revocation(keys.root.public(), Some(at(5))).domain("_root").sign(&[&a]);
    accepted(&world.submit_at(20, &revoked));
    let node = key(64);
    let grant = grant(node.public(), Role::Registry).domain("_root");
    accepted(&world.submit_to_root(20, grant, &[&a, &node]));
    let b = key(62);
    let again = root_statement(&[b.public()], 1, checkpoint.public());
    accepted(&world.submit_to_root(30, again, &[&a, &b]));
}

/// Rule R88.
#[test]
fn a_restriction_kept_in_a_safe_outlives_one_of_its_signers() {
    let mut world = World::founded(3, 2, Some(attested_policy()));
    let keys = world.keys.clone();
    let [one, two, three] = [&keys.governance[0], &keys.governance[1], &keys.governance[2]];
    let kept = revocation(keys.attestation.public(), Some(at(-5))).sign(&[one, two, three]);
    accepted(&world.submit(&revocation(three.public(), None).sign(&[one, two])));
    accepted(&world.submit(&kept));
    assert_eq!(status(&world, &keys.attestation.public()), Some(AuthorityStatus::Revoked));
    // If too few of them are left, they are not enough.
    let kept = revocation(keys.attestation2.public(), Some(at(-5))).sign(&[two, three]);
    assert_eq!(refused(&world.submit(&kept)), Code::ThresholdNotMet);
}

/// Rule R94.
#[test]
fn the_checkpoint_key_is_neither_a_nodes_key_nor_a_root_key() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let before = world.rows.clone();
    let fresh = key(61);
    let root = keys.root.public();
    let node = grant(keys.checkpoint.public(), Role::Registry).domain("_root");
    let by_node = root_statement(&[root], 1, keys.node.public());
    let by_root = root_statement(&[root, fresh.public()], 1, fresh.public());
    let governs = root_statement(&[root, keys.checkpoint.public()], 1, fresh.public());
    for (draft, signers) in [
        (node, vec![&keys.root, &keys.checkpoint]),
        (by_node, vec![&keys.root, &keys.node]),
        (by_root, vec![&keys.root, &fresh]),
        (governs, vec![&keys.root, &keys.checkpoint, &fresh]),
    ] {
        let outcome = world.submit_to_root(0, draft, &signers);
        assert_eq!(refused(&outcome), Code::AuthorityInconsistent, "{outcome:?}");
    }
    assert_eq!(world.rows, before);
}
