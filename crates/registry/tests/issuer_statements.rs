//! What an issuer stated is decided slot by slot: each statement is judged by itself, whatever the other statement for
//! its slot says, and wherever in the chain its second half lies.

use crate::support::*;
use assent_proof::{AttestationStatus, Code, EvidenceId, PolicyBody, PolicyVerdict};
use assent_registry::Outcome;

fn contraindicated() -> Draft {
    attestation(AttestationStatus::Contraindicated, "m1")
}

/// Everything that an allow needs, by governance and the first attester; the second attester has said nothing yet.
fn allowed() -> World {
    let mut world = World::new();
    world.grounds();
    assert!(world.decide().is_allow());
    world
}

/// The second attester states `draft` in a slot; its id.
fn states(world: &mut World, at: i64, sequence: u64, parent: Option<EvidenceId>, draft: Draft) -> EvidenceId {
    let bytes = draft.slot(sequence, parent).sign(&[&world.keys.clone().attestation2]);
    match world.submit_at(at, &bytes) {
        Outcome::Accepted { receipt, .. } | Outcome::Equivocation { receipt, .. } => receipt.evidence_id,
        refused @ Outcome::Refused { .. } => panic!("{refused:?}"),
    }
}

fn revoke_since(world: &mut World, at_second: i64, since: Option<i64>) {
    let keys = world.keys.clone();
    let bytes = revocation(keys.attestation2.public(), since.map(at)).sign(&[&keys.governance[0]]);
    accepted(&world.submit_at(at_second, &bytes));
}

/// Rule R67.
#[test]
fn each_negative_denies_until_it_is_released_itself_though_another_says_the_same() {
    for released in [0, 1] {
        let mut world = allowed();
        let first = states(&mut world, 10, 0, None, contraindicated());
        let second = states(&mut world, 11, 1, Some(first), contraindicated().issued(at(-1)));
        states(&mut world, 20, 2, Some(second), affirming());
        revoke_since(&mut world, 30, None);
        world.govern(release([first, second][released]), &[]);
        revoke_since(&mut world, 31, Some(15));
        // The affirming one is void. Of the two negatives before it the later one stands, and is all that is looked at.
        let expected = if released == 1 { vec![] } else { vec![Code::AttestationNotAffirming] };
        assert_eq!(codes(&world.decide_at(31, &request())), expected, "released: {released}");
    }
}

/// Rule R67.
#[test]
fn the_release_of_one_negative_neither_lifts_nor_keeps_another_that_says_the_same() {
    let mut world = allowed();
    let first = states(&mut world, 10, 0, None, contraindicated());
    let second = states(&mut world, 20, 1, Some(first), contraindicated().issued(at(-1)));
    revoke_since(&mut world, 30, Some(5));
    // Both are void, so both are heard, and each needs a release of its own.
    world.govern(release(second), &[]);
    assert_eq!(codes(&world.decide_at(30, &request())), [Code::AttestationNotAffirming]);
    world.govern(release(first), &[]);
    assert!(world.decide_at(30, &request()).is_allow());
}

/// Rule R34.
#[test]
fn a_second_half_of_an_older_slot_denies_once_it_is_canonical_and_what_followed_is_void() {
    for (what, between) in [("another kind", integrity("m1")), ("the same again", affirming().issued(at(-1)))]
    {
        let mut world = allowed();
        let first = states(&mut world, 10, 0, None, affirming());
        let between = states(&mut world, 11, 1, Some(first), between);
        states(&mut world, 20, 2, Some(between), affirming().issued(at(-2)));
        let late = states(&mut world, 21, 1, Some(first), contraindicated());
        world.govern(reconciliation([between, late], late), &[]);
        revoke_since(&mut world, 30, Some(15));
        let denied = codes(&world.decide_at(30, &request()));
        assert_eq!(denied, [Code::AttestationNotAffirming], "slot 1 held {what}");
    }
}

/// Rule R111.
#[test]
fn a_parent_may_be_either_half_of_its_slot_whatever_else_was_signed_twice() {
    let mut ends = Vec::new();
    for swapped in [false, true] {
        let mut world = allowed();
        let a = states(&mut world, 10, 0, None, affirming());
        let half = |build: &str| attestation(AttestationStatus::Affirming, build);
        let (b, c) = if swapped { ("m3", "m2") } else { ("m2", "m3") };
        let b = states(&mut world, 11, 1, Some(a), half(b));
        let c = states(&mut world, 12, 1, Some(a), half(c));
        world.govern(reconciliation([b, c], c), &[]);
        let other = states(&mut world, 13, 0, None, half("m4"));
        world.govern(reconciliation([a, other], a), &[]);
        ends.push([b, c].map(|parent| {
            let mut world = world.clone();
            let next = affirming().slot(2, Some(parent)).sign(&[&world.keys.clone().attestation2]);
            accepted(&world.submit_at(14, &next)).ledger_index
        }));
    }
    assert_eq!(ends[0], ends[1]);
}

/// Rule R34.
#[test]
fn where_nothing_in_a_slot_stands_even_its_rejected_negative_denies() {
    let mut world = allowed();
    let bad = states(&mut world, 10, 0, None, contraindicated());
    let good = states(&mut world, 20, 0, None, affirming());
    world.govern(reconciliation([bad, good], good), &[]);
    assert!(world.decide_at(20, &request()).is_allow(), "the half that stands is the issuer's word");
    revoke_since(&mut world, 30, Some(15));
    assert_eq!(codes(&world.decide_at(30, &request())), [Code::AttestationNotAffirming]);
    world.govern(release(bad), &[]);
    assert!(world.decide_at(30, &request()).is_allow());
}

/// Rule R35.
#[test]
fn a_slot_that_another_kind_won_says_nothing_and_what_came_before_does_not_count_again() {
    let mut world = World::with_policy(PolicyBody { require: vec![], ..attested_policy() });
    let keys = world.keys.clone();
    let first = accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]]))).evidence_id;
    assert!(world.decide().is_allow());
    let artifact = authorization(&["run", "stop"]).slot(1, Some(first)).sign(&[&keys.governance[0]]);
    let artifact = accepted(&world.submit(&artifact)).evidence_id;
    let pass = validation("p", PolicyVerdict::Pass).slot(1, Some(first)).sign(&[&keys.governance[0]]);
    let pass = id_of(&{
        assert!(matches!(world.submit(&pass), Outcome::Equivocation { .. }));
        pass
    });
    world.govern(reconciliation([artifact, pass], pass), &[]);
    assert_eq!(codes(&world.decide()), [Code::EvidenceMissing]);
}

/// Rule R132.
#[test]
fn the_canonical_half_of_an_artifact_has_lost_the_uses_that_the_other_half_lost() {
    let mut world = World::with_policy(PolicyBody { require: vec![], ..attested_policy() });
    let keys = world.keys.clone();
    let counted = |uses| authorization_with(&["run"], None, None, Some(uses));
    let first = accepted(&world.submit(&counted(2).sign(&[&keys.governance[0]]))).evidence_id;
    let asked = |nonce: &str| assent_proof::AuthorizeRequest { nonce: Some(nonce.to_owned()), ..request() };
    accepted(&world.submit(&permit(&asked("one")).sign(&[&keys.node])));
    let second = counted(2).issued(at(-1)).sign(&[&keys.governance[0]]);
    assert!(matches!(world.submit(&second), Outcome::Equivocation { .. }));
    world.govern(reconciliation([first, id_of(&second)], id_of(&second)), &[]);
    accepted(&world.submit(&permit(&asked("two")).sign(&[&keys.node])));
    let third = world.submit(&permit(&asked("three")).sign(&[&keys.node]));
    assert_eq!(refused(&third), Code::AuthorizationConsumed);
}

/// Rule R33.
#[test]
fn a_walk_over_more_void_statements_than_the_bound_denies_and_names_a_remedy() {
    let mut world = allowed();
    let mut parent = states(&mut world, 10, 0, None, affirming());
    let many = assent_registry::limit::WALKED_STATEMENTS as u64 + 1;
    for sequence in 1..=many {
        let at = 20 + i64::try_from(sequence).unwrap() / 100;
        parent = states(&mut world, at, sequence, Some(parent), affirming().issued(at_second(sequence)));
    }
    assert!(world.decide_at(100, &request()).is_allow());
    revoke_since(&mut world, 100, Some(15));
    let decision = world.decide_at(100, &request());
    assert_eq!(codes(&decision), [Code::InheritanceUnverifiable]);
    assert!(decision.reasons[0].detail.contains("new lineage"), "{decision:?}");
}

fn at_second(sequence: u64) -> assent_proof::Seconds {
    at(-i64::try_from(sequence % 200).unwrap())
}

/// Rules R32, R66.
#[test]
fn what_rests_on_a_contested_statement_has_not_replaced_the_negative_before_it() {
    let mut world = World::founded(3, 2, Some(attested_policy()));
    world.grounds();
    let keys = world.keys.clone();
    let [one, two, three] = [&keys.governance[0], &keys.governance[1], &keys.governance[2]];
    // The second attester says no, and then yes on the word of a third party in another lineage.
    let base = integrity("m1").lineage("base").sign(&[&keys.runtime]);
    let base = accepted(&world.submit_at(10, &base)).evidence_id;
    let bad = states(&mut world, 10, 0, None, contraindicated());
    states(&mut world, 10, 1, Some(bad), affirming().references(&[base]));
    assert!(world.decide_at(10, &request()).is_allow());
    // The third party contradicts itself: what it said is in doubt, and with it what rests on it.
    let other = integrity("m2").lineage("base").sign(&[&keys.runtime]);
    assert!(matches!(world.submit_at(20, &other), Outcome::Equivocation { .. }));
    assert_eq!(codes(&world.decide_at(20, &request())), [Code::AttestationNotAffirming]);
    // Nor is it lifted by a reconciliation either way that turns out void.
    let (slot, head) = assent_registry::query::governance_slot(&world.rows, &domain()).unwrap();
    let canonical = reconciliation([base, id_of(&other)], id_of(&other)).slot(slot, head);
    accepted(&world.submit_at(30, &canonical.sign(&[one, two])));
    assert_eq!(codes(&world.decide_at(30, &request())), [Code::AttestationNotAffirming]);
    accepted(&world.submit_at(40, &revocation(two.public(), Some(at(25))).sign(&[one, three])));
    let denied = codes(&world.decide_at(40, &request()));
    assert!(denied.contains(&Code::AttestationNotAffirming), "{denied:?}");
}

/// Rule R102.
#[test]
fn a_lineage_at_its_bound_of_reconciled_slots_stays_quarantined_by_the_next_equivocation() {
    let mut world = allowed();
    let most = assent_registry::limit::RECONCILED_PER_LINEAGE as u64;
    let mut parent = None;
    for sequence in 0..=most {
        let first = states(&mut world, 10, sequence, parent, affirming());
        let second = states(&mut world, 10, sequence, parent, affirming().issued(at(-1)));
        let reconciles = reconciliation([first, second], first);
        if sequence < most {
            world.govern(reconciles, &[]);
        } else {
            let governance = world.keys.clone();
            let refused_with = world.try_to_govern(reconciles, &[&governance.governance[0]]);
            assert_eq!(refused(&refused_with), Code::TooLarge);
        }
        parent = Some(first);
    }
    assert!(codes(&world.decide_at(10, &request())).contains(&Code::LineageQuarantined));
}

/// Rule R33.
#[test]
fn a_walk_of_exactly_the_bound_still_decides() {
    let mut world = allowed();
    let mut parent = None;
    for sequence in 0..=assent_registry::limit::WALKED_STATEMENTS as u64 {
        let draft = affirming().issued(at_second(sequence));
        parent = Some(states(&mut world, 20, sequence, parent, draft));
    }
    revoke_since(&mut world, 30, Some(15));
    assert!(world.decide_at(30, &request()).is_allow());
}

/// Rule R66.
#[test]
fn what_rests_on_a_revoked_keys_evidence_has_not_replaced_the_negative_before_it() {
    let mut world = allowed();
    let keys = world.keys.clone();
    let base = integrity("m1").lineage("base").sign(&[&keys.runtime]);
    let base = accepted(&world.submit_at(10, &base)).evidence_id;
    let bad = states(&mut world, 10, 0, None, contraindicated());
    states(&mut world, 10, 1, Some(bad), affirming().references(&[base]));
    assert!(world.decide_at(10, &request()).is_allow());
    // One governance key ends the runtime's key at once; since when it was stolen is for the threshold to say.
    accepted(&world.submit_at(20, &revocation(keys.runtime.public(), None).sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide_at(20, &request())), [Code::AttestationNotAffirming]);
}
