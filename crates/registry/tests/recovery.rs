//! Recovery: root's statement that the registry continues with the one node that is left, in a new epoch.

use crate::support::*;
use assent_proof::{Code, DomainName, Role, SigningKey};
use assent_registry::{MemoryRows, Outcome, RowError, RulesVersion, query, would_accept};

fn epoch(rows: &MemoryRows) -> u64 {
    query::summary(rows).unwrap().unwrap().epoch
}

/// Submits to `_root` what must be refused, and checks that nothing changed.
#[track_caller]
fn refuses(world: &mut World, draft: Draft, signers: &[&SigningKey], code: Code, field: &str) -> String {
    let before = world.rows.clone();
    let outcome = world.submit_to_root(0, draft, signers);
    let (found, at, detail) = refusal(&outcome);
    assert_eq!((found, at), (code, field), "{detail}");
    assert!(world.rows == before, "a refusal changed state");
    detail.to_owned()
}

/// Rule R154.
#[test]
fn a_recovery_by_roots_threshold_begins_the_next_epoch_in_the_chain_of_root() {
    let (mut world, root) = two_of_three();
    let node = world.keys.node.public();
    assert_eq!(epoch(&world.rows), 1);
    let slot = query::governance_slot(&world.rows, &DomainName::root()).unwrap();
    let bytes = recovery(2, &[node]).slot(slot.0, slot.1).sign(&[&root[0], &root[2]]);
    let receipt = accepted(&world.submit(&bytes));
    assert_eq!((epoch(&world.rows), receipt.revision), (2, world.revision()));
    let after = query::governance_slot(&world.rows, &DomainName::root()).unwrap();
    assert_eq!(after, (slot.0 + 1, Some(receipt.evidence_id)));
    // It is said once: the same bytes again return the first receipt, and the next one takes the next epoch.
    let rows = world.rows.clone();
    match world.submit_at(9, &bytes) {
        Outcome::Accepted { receipt: again, fresh: false } => assert_eq!(again, receipt),
        other => panic!("{other:?}"),
    }
    assert!(world.rows == rows);
    let detail = refuses(
        &mut world,
        recovery(2, &[node]),
        &[&root[0], &root[1]],
        Code::ClaimsInvalid,
        "predicate.claims.epoch",
    );
    assert!(detail.contains("the next one is `3`"), "{detail}");
    accepted(&world.submit_to_root(0, recovery(3, &[node]), &[&root[0], &root[1]]));
    assert_eq!(epoch(&world.rows), 3);
}

#[test]
fn a_slot_of_root_that_is_taken_or_leaves_a_gap_takes_no_recovery() {
    let (mut world, root) = two_of_three();
    let node = world.keys.node.public();
    let (next, head) = query::governance_slot(&world.rows, &DomainName::root()).unwrap();
    let signers = [&root[0], &root[1]];
    let taken = recovery(2, &[node]).slot(next - 1, head).sign(&signers);
    assert_eq!(refused(&world.submit(&taken)), Code::HeadMoved);
    let gap = recovery(2, &[node]).slot(next + 1, head).sign(&signers);
    assert_eq!(refused(&world.submit(&gap)), Code::LineageFragmented);
    let mut slotless = recovery(2, &[node]);
    slotless.0.sequence = None;
    assert_eq!(refused(&world.submit(&slotless.sign(&signers))), Code::Malformed);
    assert_eq!(epoch(&world.rows), 1);
}

/// Rule R89.
#[test]
fn only_roots_threshold_recovers() {
    let (mut world, root) = two_of_three();
    let keys = world.keys.clone();
    let draft = recovery(2, &[keys.node.public()]);
    let issuers = "predicate.issuers";
    refuses(&mut world, draft.clone(), &[&root[0]], Code::ThresholdNotMet, issuers);
    refuses(&mut world, draft.clone(), &[&root[0], &keys.node], Code::RoleNotPermitted, issuers);
    refuses(&mut world, draft.clone(), &[&keys.node], Code::RoleNotPermitted, issuers);
    refuses(&mut world, draft.clone(), &[&root[0], &keys.governance[0]], Code::AuthorityUnknown, issuers);
    refuses(&mut world, draft.clone(), &[&root[0], &keys.checkpoint], Code::AuthorityUnknown, issuers);
    let elsewhere = draft.domain("prod.eu").sign(&[&keys.governance[0]]);
    assert_eq!(refused(&world.submit(&elsewhere)), Code::Malformed);
}

/// Rule R150.
#[test]
fn epochs_are_neither_skipped_nor_repeated() {
    let (mut world, root) = two_of_three();
    let node = world.keys.node.public();
    let signers = [&root[0], &root[1]];
    for given in [3, 4, u64::from(u32::MAX), 1 << 62] {
        let draft = recovery(given, &[node]);
        let detail = refuses(&mut world, draft, &signers, Code::ClaimsInvalid, "predicate.claims.epoch");
        assert!(detail.contains(&format!("the next one is `2`, not `{given}`")), "{detail}");
    }
}

/// Rule R151.
#[test]
fn a_recovery_goes_on_with_exactly_one_voter() {
    let (mut world, root) = two_of_three();
    let other = key(64);
    let grant = grant(other.public(), Role::Registry).domain("_root");
    accepted(&world.submit_to_root(0, grant, &[&root[0], &root[1], &other]));
    let draft = recovery(2, &[world.keys.node.public(), other.public()]);
    let signers = [&root[0], &root[1]];
    let detail = refuses(&mut world, draft, &signers, Code::ClaimsInvalid, "predicate.claims.voters");
    assert!(detail.contains("others join through membership afterwards"), "{detail}");
    accepted(&world.submit_to_root(0, recovery(2, &[other.public()]), &signers));
}

/// Rule R151.
#[test]
fn the_voter_must_be_a_node_that_stands_granted_at_that_time() {
    let (mut world, root) = two_of_three();
    let keys = world.keys.clone();
    let signers = [&root[0], &root[1]];
    let elsewhere = key(60);
    world.govern(grant(elsewhere.public(), Role::Registry), &[&elsewhere]);
    let voter = "predicate.claims.voters[0]";
    for no_node in [key(99).public(), root[0].public(), keys.audit.public(), elsewhere.public()] {
        refuses(&mut world, recovery(2, &[no_node]), &signers, Code::TargetUnknown, voter);
    }
    let draft = recovery(2, &[keys.node.public()]);
    let mut late = world.clone();
    let outcome = late.submit_to_root(86_400, draft.clone(), &signers);
    assert_eq!(refused(&outcome), Code::AuthorityExpired);
    // A grant that is void is none, even if the key was never revoked.
    let mut void = world.clone();
    let other = key(64);
    let granted = grant(other.public(), Role::Registry).domain("_root");
    accepted(&void.submit_to_root(10, granted, &[&root[1], &root[2], &other]));
    let revoked = revocation(root[2].public(), Some(at(5))).domain("_root").sign(&[&root[0], &root[1]]);
    accepted(&void.submit_at(20, &revoked));
    let outcome = void.submit_to_root(20, recovery(2, &[other.public()]), &signers);
    assert_eq!(refused(&outcome), Code::InheritanceUnverifiable);
    accepted(&world.submit(&revocation(keys.node.public(), None).domain("_root").sign(&signers)));
    refuses(&mut world, draft, &signers, Code::AuthorityRevoked, voter);
}

#[test]
fn a_recovery_is_about_the_registry_and_rests_on_nothing() {
    let (mut world, root) = two_of_three();
    let node = world.keys.node.public();
    let signers = [&root[0], &root[1]];
    let another = recovery(2, &[node]).subject("another");
    refuses(&mut world, another, &signers, Code::SubjectMismatch, "subject[0].digest.sha256");
    let resting = recovery(2, &[node]).references(&[assent_proof::EvidenceId([1; 32])]);
    refuses(&mut world, resting, &signers, Code::Malformed, "predicate.references");
    let expiring = recovery(2, &[node]).expires(at(60));
    refuses(&mut world, expiring, &signers, Code::TimesInvalid, "predicate.expiresAt");
}

#[test]
fn a_dry_run_says_what_would_become_of_it_and_writes_nothing() {
    let (mut world, root) = two_of_three();
    let node = world.keys.node.public();
    let (next, head) = query::governance_slot(&world.rows, &DomainName::root()).unwrap();
    let envelope = |draft: Draft, signers: &[&SigningKey]| {
        let bytes = draft.slot(next, head).sign(signers);
        let envelope = verified(&world.rows, &bytes).unwrap();
        (bytes, envelope)
    };
    let both = [&root[0], &root[1]];
    let (bytes, good) = envelope(recovery(2, &[node]), &both);
    let (_, alone) = envelope(recovery(2, &[node]), &both[..1]);
    let (_, unknown) = envelope(recovery(2, &[key(99).public()]), &both);
    let mut raise = rules(2);
    raise.0.issuers = vec![node];
    let raise = verified(&world.rows, &raise.sign(&[&world.keys.node])).unwrap();
    let rows = world.rows.clone();
    let dry = |envelope| would_accept(&rows, RulesVersion::NEWEST, ms(0), envelope);
    assert_eq!(dry(&good), Ok(Ok(())));
    assert_eq!(dry(&alone).unwrap().unwrap_err().code, Code::ThresholdNotMet);
    assert_eq!(dry(&unknown).unwrap().unwrap_err().code, Code::TargetUnknown);
    assert_eq!(dry(&raise), Err(RowError::RulesUnknown { version: 2, known: 1 }));
    assert_eq!(would_accept(&rows, RulesVersion::TEST, ms(0), &raise), Ok(Ok(())));
    let early = would_accept(&rows, RulesVersion(0), ms(0), &good);
    assert_eq!(early, Err(RowError::RulesUnknown { version: 1, known: 0 }));
    assert!(rows == world.rows, "nothing was written");
    accepted(&world.submit(&bytes));
    assert_eq!(would_accept(&world.rows, RulesVersion::NEWEST, ms(1), &good), Ok(Ok(())), "as it was before");
}

#[test]
fn the_next_slot_of_governance_is_the_first_where_there_is_none_yet() {
    let world = World::new();
    let nowhere: DomainName = "nowhere".parse().unwrap();
    assert_eq!(query::governance_slot(&world.rows, &nowhere).unwrap(), (0, None));
    assert_eq!(query::governance_slot(&world.rows, &domain()).unwrap(), world.governance_slot());
}

#[test]
fn replaying_a_ledger_with_a_recovery_gives_the_same_rows() {
    let (mut world, root) = two_of_three();
    let node = world.keys.node.public();
    world.grounds();
    accepted(&world.submit_to_root(1, recovery(2, &[node]), &[&root[0], &root[1]]));
    world.known = RulesVersion::TEST;
    accepted(&world.submit_at(1, &rules(2).sign(&[&world.keys.node.clone()])));
    accepted(&world.submit_to_root(2, recovery(3, &[node]), &[&root[1], &root[2]]));
    for per_command in [1, 64] {
        assert!(world.replayed(per_command) == world.rows, "{per_command} leaves a command");
    }
    assert_eq!(epoch(&world.replayed(1)), 3);
}

/// Rule R152.
#[test]
fn a_recovery_that_was_not_used_within_seven_days_is_not_used_any_more() {
    let (mut world, root) = two_of_three();
    let node = world.keys.node.public();
    let week = 7 * 24 * 3600;
    let renewed = grant_for(node, Role::Registry, at(-3600), at(10 * week)).domain("_root");
    accepted(&world.submit_to_root(0, renewed, &[&root[0], &root[1], &world.keys.node.clone()]));
    let outcome = world.submit_to_root(week + 1, recovery(2, &[node]), &[&root[0], &root[1]]);
    assert_eq!(refusal(&outcome).0, Code::TimesInvalid);
    accepted(&world.submit_to_root(week, recovery(2, &[node]), &[&root[0], &root[1]]));
}
