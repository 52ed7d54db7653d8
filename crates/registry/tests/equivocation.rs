//! Equivocation: either order of arrival ends in the same status, void set and later decisions.

use std::collections::BTreeMap;

use crate::support::*;
use assent_proof::{AttestationStatus, Code, EvidenceId, LineageStatus, PolicyBody};
use assent_registry::{Outcome, Table, query};
use proptest::prelude::*;

#[track_caller]
fn equivocated(outcome: &Outcome) -> EvidenceId {
    match outcome {
        Outcome::Equivocation { receipt, refusal } => {
            assert_eq!(refusal.code, Code::AuthorityInconsistent);
            receipt.evidence_id
        }
        other => panic!("expected equivocation, got {other:?}"),
    }
}

/// Rule R108.
#[test]
fn the_second_statement_for_a_slot_is_recorded_answered_and_quarantines() {
    let mut world = World::new();
    let (_, first) = world.grounds();
    let keys = world.keys.clone();
    let other = attestation(AttestationStatus::Affirming, "m2").sign(&[&keys.attestation]);
    let revision = world.revision();
    let second = equivocated(&world.submit(&other));
    assert_eq!(world.revision(), revision + 1);
    assert_eq!(equivocated(&world.submit(&other)), second, "the same bytes return the same receipt");
    let page = query::lineage(&world.rows, &domain(), &lineage(), None, 100).unwrap().unwrap();
    assert_eq!(page.status, LineageStatus::Quarantined);
    assert_eq!(page.head, Some(first), "it moves no head");
    assert!(codes(&world.decide()).contains(&Code::LineageQuarantined));
    // A third one for the same lineage and issuer is refused without a leaf.
    let third = attestation(AttestationStatus::Affirming, "m3").sign(&[&keys.attestation]);
    assert_eq!(refused(&world.submit(&third)), Code::AuthorityInconsistent);
    assert_eq!(world.revision(), revision + 1);
}

/// Rule R111.
#[test]
fn the_next_slot_may_name_either_half_as_its_parent() {
    for half in 0..2 {
        let mut world = World::new();
        let keys = world.keys.clone();
        let a = accepted(&world.submit(&affirming().sign(&[&keys.attestation]))).evidence_id;
        let b = attestation(AttestationStatus::None, "m2").sign(&[&keys.attestation]);
        let b = equivocated(&world.submit(&b));
        let next = affirming().slot(1, Some([a, b][half])).sign(&[&keys.attestation]);
        accepted(&world.submit(&next));
    }
}

#[test]
fn a_dead_key_cannot_quarantine() {
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    accepted(&world.submit(&revocation(keys.attestation.public(), None).sign(&[&keys.governance[0]])));
    let other = attestation(AttestationStatus::Affirming, "m2").sign(&[&keys.attestation]);
    assert_eq!(refused(&world.submit(&other)), Code::AuthorityRevoked);
    let page = query::lineage(&world.rows, &domain(), &lineage(), None, 100).unwrap().unwrap();
    assert_eq!(page.status, LineageStatus::Open);
}

/// Every derived row except those that record the order of arrival itself.
fn unordered_rows(world: &World) -> BTreeMap<(Table, Vec<u8>), Vec<u8>> {
    world
        .rows
        .iter()
        .filter(|(table, _, _)| {
            matches!(table, Table::Authorities | Table::Domains | Table::Policies | Table::OpenSubjects)
        })
        .map(|(table, key, value)| ((table, key.to_vec()), value.to_vec()))
        .collect()
}

fn half(number: u8) -> Draft {
    match number {
        0 => affirming(),
        1 => attestation(AttestationStatus::Contraindicated, "m1"),
        2 => attestation(AttestationStatus::Affirming, "m2"),
        3 => integrity("m1"),
        4 => integrity("m9"),
        5 => affirming().subject("another"),
        6 => affirming().expires(at(100)),
        _ => affirming().issued(at(-200)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Rules R108, R109.
    #[test]
    fn both_orders_give_the_same_status_rows_and_later_decisions(
        a in 0_u8..8, b in 0_u8..8, prior in 0_u8..3, after in 0_u8..4, revoke in any::<bool>(), asked in 0_i64..400,
    ) {
        prop_assume!(a != b);
        let mut worlds = Vec::new();
        for (x, y) in [(a, b), (b, a)] {
            let mut world = World::with_policy(PolicyBody {
                measurements: Some(vec!["m1".to_owned(), "m2".to_owned()]),
                ..attested_policy()
            });
            let keys = world.keys.clone();
            let mut slot = 0;
            let mut parent = None;
            for _ in 0..prior {
                let bytes = affirming().slot(slot, parent).sign(&[&keys.attestation]);
                parent = Some(accepted(&world.submit(&bytes)).evidence_id);
                slot += 1;
            }
            let place = |draft: Draft| draft.slot(slot, parent).sign(&[&keys.attestation]);
            let first = world.submit(&place(half(x)));
            let second = world.submit(&place(half(y)));
            if matches!(first, Outcome::Accepted { .. }) {
                // The second is never simply accepted. It leaves no leaf only if it could not have come first
                // either (another subject in a lineage that has one).
                let foreign = prior > 0 && y == 5;
                let recorded = matches!(second, Outcome::Equivocation { .. });
                prop_assert_eq!(recorded, !foreign, "{:?}", second);
            }
            let _ = world.submit(&affirming().sign(&[&keys.attestation2]));
            for number in 0..after {
                let bytes = affirming().slot(slot + 1 + u64::from(number), parent_of(&world)).sign(&[&keys.attestation]);
                let _ = world.submit(&bytes);
            }
            if revoke {
                let bytes = revocation(keys.attestation.public(), Some(at(-1))).sign(&[&keys.governance[0]]);
                accepted(&world.submit(&bytes));
            }
            worlds.push(world);
        }
        let [one, two] = [&worlds[0], &worlds[1]];
        if after == 0 {
            prop_assert_eq!(unordered_rows(one), unordered_rows(two));
        }
        let status = |world: &World| {
            query::lineage(&world.rows, &domain(), &lineage(), None, 100).unwrap().map(|page| (page.status, page.subjects))
        };
        prop_assert_eq!(status(one), status(two));
        let reasons = |world: &World| {
            let decision = world.decide_at(asked, &request());
            (decision.is_allow(), codes(&decision))
        };
        prop_assert_eq!(reasons(one), reasons(two));
    }

    /// Rule R127.
    #[test]
    fn a_closing_half_closes_in_either_order(closing_first in any::<bool>()) {
        let mut world = World::new();
        let (artifact, _) = world.grounds();
        let keys = world.keys.clone();
        let closing = audit("completed").references(&[artifact]).sign(&[&keys.audit]);
        let other = audit("started").references(&[artifact]).sign(&[&keys.audit]);
        let order = if closing_first { [closing, other] } else { [other, closing] };
        accepted(&world.submit(&order[0]));
        equivocated(&world.submit(&order[1]));
        prop_assert_eq!(codes(&world.decide()), vec![Code::AuthorityInconsistent, Code::LineageClosed, Code::LineageQuarantined]);
    }
}

fn parent_of(world: &World) -> Option<EvidenceId> {
    let keys = &world.keys;
    let page = query::lineage(&world.rows, &domain(), &lineage(), None, 100).unwrap()?;
    page.issuers.iter().find(|chain| chain.issuer == keys.attestation.public()).map(|chain| chain.head)
}

/// Rule R106.
#[test]
fn a_statement_cannot_rest_on_its_own_slot_or_a_later_one() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let first = accepted(&world.submit(&affirming().sign(&[&keys.attestation]))).evidence_id;
    let through = integrity("m1").references(&[first]).sign(&[&keys.runtime]);
    let through = accepted(&world.submit(&through)).evidence_id;
    let revision = world.revision();
    for rests_on in [first, through] {
        let half = attestation(AttestationStatus::None, "m2").references(&[rests_on]);
        assert_eq!(refused(&world.submit(&half.sign(&[&keys.attestation]))), Code::LineageFragmented);
    }
    assert_eq!(world.revision(), revision, "neither is stored, so nothing depends on which came first");
    let next = affirming().slot(1, Some(first)).references(&[first]).sign(&[&keys.attestation]);
    accepted(&world.submit(&next));
}
