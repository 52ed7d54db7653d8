//! Quarantine, isolation, invalidation; release and reconciliation.

use crate::support::*;
use assent_proof::{AttestationStatus, Code, Containment, EvidenceId, EvidenceKind, LineageStatus, Sha256};
use assent_registry::{Outcome, RowsMut, Table, query};

fn equivocated(outcome: &Outcome) -> EvidenceId {
    match outcome {
        Outcome::Equivocation { receipt, .. } => receipt.evidence_id,
        other => panic!("expected equivocation, got {other:?}"),
    }
}

/// A world whose usual request is allowed.
fn allowed() -> World {
    let mut world = World::new();
    world.grounds();
    assert!(world.decide().is_allow());
    world
}

/// Rule R22.
#[test]
fn a_quarantine_denies_until_it_is_released_and_refuses_nothing() {
    let mut world = allowed();
    let keys = world.keys.clone();
    let held = accepted(&world.submit(&quarantine("exec-1").sign(&[&keys.audit]))).evidence_id;
    let decision = world.decide();
    assert_eq!(codes(&decision), [Code::LineageQuarantined]);
    assert_eq!(decision.reasons[0].evidence, Some(held));
    let page = query::lineage(&world.rows, &domain(), &lineage(), None, 9).unwrap().unwrap();
    assert_eq!(page.status, LineageStatus::Quarantined);
    accepted(&world.submit(&integrity("m1").sign(&[&keys.runtime])));
    world.govern(release(held), &[]);
    assert!(world.decide().is_allow());
}

/// Rule R22.
#[test]
fn a_quarantine_of_the_runtimes_lineage_denies_too() {
    let mut world = allowed();
    let keys = world.keys.clone();
    accepted(&world.submit(&integrity("m1").lineage("host").sign(&[&keys.runtime])));
    let mut asked = request();
    asked.runtime = Some("host".parse().unwrap());
    assert!(world.decide_at(0, &asked).is_allow());
    accepted(&world.submit(&quarantine("host").sign(&[&keys.audit])));
    assert_eq!(codes(&world.decide_at(0, &asked)), [Code::LineageQuarantined]);
}

/// Rule R67.
#[test]
fn each_quarantine_holds_until_it_is_released_itself() {
    let mut world = allowed();
    let keys = world.keys.clone();
    let one = accepted(&world.submit(&quarantine("exec-1").sign(&[&keys.audit]))).evidence_id;
    let two = accepted(&world.submit(&quarantine("exec-1").sign(&[&keys.governance[0]]))).evidence_id;
    world.govern(release(one), &[]);
    let decision = world.decide();
    assert_eq!(codes(&decision), [Code::LineageQuarantined]);
    assert_eq!(decision.reasons[0].evidence, Some(two));
    world.govern(release(two), &[]);
    assert!(world.decide().is_allow());
}

/// Rule R114.
#[test]
fn a_redundant_containment_returns_the_receipt_of_the_one_in_force_until_that_is_released() {
    let mut world = allowed();
    let keys = world.keys.clone();
    let first = accepted(&world.submit(&quarantine("exec-1").sign(&[&keys.audit])));
    let revision = world.revision();
    for n in 1..50 {
        let again = quarantine("exec-1").issued(at(-n)).sign(&[&keys.audit]);
        assert_eq!(accepted(&world.submit(&again)), first);
    }
    assert_eq!(world.revision(), revision, "a flood of them leaves no trace");
    world.govern(release(first.evidence_id), &[]);
    let again = quarantine("exec-1").issued(at(-60)).sign(&[&keys.audit]);
    assert_ne!(accepted(&world.submit(&again)).evidence_id, first.evidence_id);
    assert_eq!(codes(&world.decide()), [Code::LineageQuarantined]);
}

/// Rule R58.
#[test]
fn a_thief_who_floods_containments_with_an_audit_key_is_revoked_at_once() {
    let mut world = World::new();
    let (artifact, _) = world.grounds();
    let keys = world.keys.clone();
    let event = audit("started").references(&[artifact]).sign(&[&keys.audit]);
    let event = accepted(&world.submit(&event)).evidence_id;
    for n in 0..100 {
        let lineage = format!("other-{n}");
        accepted(&world.submit(&integrity("m1").lineage(&lineage).sign(&[&keys.runtime])));
        accepted(&world.submit(&quarantine(&lineage).sign(&[&keys.audit])));
    }
    accepted(&world.submit(&isolate().sign(&[&keys.audit])));
    assert_eq!(codes(&world.decide()), [Code::DomainIsolated]);
    // Everything that the key signed was accepted after the time from which its signatures are void.
    accepted(&world.submit(&revocation(keys.audit.public(), Some(at(-5))).sign(&[&keys.governance[0]])));
    let more = quarantine("exec-1").sign(&[&keys.audit]);
    assert_eq!(refused(&world.submit(&more)), Code::AuthorityRevoked);
    assert_eq!(codes(&world.decide()), [Code::DomainIsolated], "what it contained stays contained");
    let entries = |name: &str| {
        query::lineage(&world.rows, &domain(), &name.parse().unwrap(), None, 1000).unwrap().unwrap().entries
    };
    let contained: Vec<bool> = entries("_governance")
        .iter()
        .filter(|entry| entry.kind == EvidenceKind::Containment)
        .map(|entry| entry.void)
        .collect();
    assert_eq!(contained, [false; 101], "no containment is void");
    let void: Vec<EvidenceId> =
        entries("exec-1").iter().filter(|entry| entry.void).map(|entry| entry.evidence_id).collect();
    assert_eq!(void, [event], "other evidence of the same key is");
}

/// Rules R18, R82.
#[test]
fn an_isolation_denies_and_takes_no_execution_evidence_but_restrictions_and_governance() {
    let mut world = allowed();
    let keys = world.keys.clone();
    let held = accepted(&world.submit(&isolate().sign(&[&keys.audit]))).evidence_id;
    let decision = world.decide();
    assert_eq!(codes(&decision), [Code::DomainIsolated]);
    assert_eq!(decision.reasons[0].evidence, Some(held));
    let more = integrity("m1").sign(&[&keys.runtime]);
    let revision = world.revision();
    assert_eq!(refused(&world.submit(&more)), Code::DomainIsolated);
    assert_eq!(world.revision(), revision);
    accepted(&world.submit(&quarantine("exec-1").sign(&[&keys.audit])));
    accepted(&world.submit(&revocation(keys.zone.public(), None).sign(&[&keys.governance[0]])));
    world.govern(policy(attested_policy()), &[]);
    world.govern(release(held), &[]);
    accepted(&world.submit(&more));
    assert_eq!(codes(&world.decide()), [Code::LineageQuarantined]);
}

/// Rules R37, R59, R67.
#[test]
fn invalidated_evidence_never_counts_again_and_what_rests_on_it_neither() {
    let mut world = World::new();
    let (artifact, attested) = world.grounds();
    let keys = world.keys.clone();
    let rests = integrity("m1").references(&[attested]).sign(&[&keys.runtime]);
    let rests = accepted(&world.submit(&rests)).evidence_id;
    let held = accepted(&world.submit(&invalidate(attested).sign(&[&keys.audit]))).evidence_id;
    let decision = world.decide();
    assert_eq!(codes(&decision), [Code::EvidenceInvalidated]);
    assert_eq!(decision.reasons[0].evidence, Some(attested));
    let page = query::lineage(&world.rows, &domain(), &lineage(), None, 9).unwrap().unwrap();
    let void: Vec<EvidenceId> =
        page.entries.iter().filter(|entry| entry.void).map(|entry| entry.evidence_id).collect();
    assert_eq!(void, [attested, rests]);
    assert!(!void.contains(&artifact));
    let more = audit("started").references(&[rests]).sign(&[&keys.audit]);
    assert_eq!(refused(&world.submit(&more)), Code::InheritanceUnverifiable);
    // It is final, and the same issuer may attest anew.
    let lifted = world.try_to_govern(release(held), &[&keys.governance[0]]);
    assert_eq!(refused(&lifted), Code::ClaimsInvalid);
    accepted(&world.submit(&affirming().slot(1, Some(attested)).sign(&[&keys.attestation])));
    assert!(world.decide().is_allow());
}

#[test]
fn invalidating_a_negative_lifts_nothing_and_invalidating_its_replacement_restores_it() {
    let mut world = allowed();
    let keys = world.keys.clone();
    let bad = attestation(AttestationStatus::Contraindicated, "m1").sign(&[&keys.attestation2]);
    let bad = accepted(&world.submit(&bad)).evidence_id;
    let good = affirming().slot(1, Some(bad)).sign(&[&keys.attestation2]);
    let good = accepted(&world.submit(&good)).evidence_id;
    assert!(world.decide().is_allow());
    accepted(&world.submit(&invalidate(good).sign(&[&keys.audit])));
    assert_eq!(codes(&world.decide()), [Code::AttestationNotAffirming]);
    accepted(&world.submit(&invalidate(bad).sign(&[&keys.audit])));
    assert_eq!(codes(&world.decide()), [Code::AttestationNotAffirming]);
}

/// Rule R100.
#[test]
fn a_release_lifts_a_negative_only_when_its_issuer_can_no_longer_say_otherwise() {
    let mut world = allowed();
    let keys = world.keys.clone();
    let bad = attestation(AttestationStatus::Contraindicated, "m1").sign(&[&keys.attestation2]);
    let bad = accepted(&world.submit(&bad)).evidence_id;
    let governance = &keys.governance[0];
    assert_eq!(refused(&world.try_to_govern(release(bad), &[governance])), Code::ClaimsInvalid);
    accepted(&world.submit(&revocation(keys.attestation2.public(), None).sign(&[governance])));
    assert_eq!(codes(&world.decide()), [Code::AttestationNotAffirming]);
    world.govern(release(bad), &[]);
    assert!(world.decide().is_allow());
}

/// Rule R67.
#[test]
fn a_void_release_releases_nothing() {
    let mut world = World::founded(2, 1, Some(attested_policy()));
    world.grounds();
    let keys = world.keys.clone();
    let held = accepted(&world.submit_at(5, &quarantine("exec-1").sign(&[&keys.audit]))).evidence_id;
    let (slot, parent) = world.governance_slot();
    let lifted = release(held).slot(slot, parent).sign(&[&keys.governance[1]]);
    accepted(&world.submit_at(10, &lifted));
    assert!(world.decide_at(10, &request()).is_allow());
    let revoked = revocation(keys.governance[1].public(), Some(at(8)));
    accepted(&world.submit_at(10, &revoked.sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide_at(10, &request())), [Code::LineageQuarantined]);
}

/// Rules R98, R100.
#[test]
fn what_cannot_be_contained_or_released_is_refused_and_changes_nothing() {
    let mut world = World::founded(2, 2, Some(attested_policy()));
    let (_, attested) = world.grounds();
    let keys = world.keys.clone();
    let held = accepted(&world.submit(&quarantine("exec-1").sign(&[&keys.audit]))).evidence_id;
    let grant = world.governance_slot().1.unwrap();
    let before = world.rows.clone();
    let nowhere = EvidenceId([9; 32]);
    let other = containment(Containment::Isolate("another".parse().unwrap()));
    for (draft, code) in [
        (quarantine("nowhere"), Code::TargetUnknown),
        (invalidate(nowhere), Code::TargetUnknown),
        (invalidate(grant), Code::ClaimsInvalid),
        (invalidate(held), Code::ClaimsInvalid),
        (other, Code::ClaimsInvalid),
    ] {
        assert_eq!(refused(&world.submit(&draft.sign(&[&keys.audit]))), code);
    }
    let both = [&keys.governance[0], &keys.governance[1]];
    for (draft, code) in [
        (release(nowhere), Code::TargetUnknown),
        (release(grant), Code::ClaimsInvalid),
        (release(attested), Code::ClaimsInvalid),
    ] {
        assert_eq!(refused(&world.try_to_govern(draft, &both)), code);
    }
    for (draft, signers, code) in [
        (quarantine("exec-1"), vec![&keys.attestation], Code::RoleNotPermitted),
        (quarantine("exec-1"), vec![&keys.audit, &keys.governance[0]], Code::Malformed),
        (quarantine("exec-1").slot(0, None), vec![&keys.audit], Code::Malformed),
        (quarantine("exec-1").subject("other"), vec![&keys.audit], Code::SubjectMismatch),
    ] {
        assert_eq!(refused(&world.submit(&draft.sign(&signers))), code);
    }
    let alone = world.try_to_govern(release(held), &[&keys.governance[0]]);
    assert_eq!(refused(&alone), Code::ThresholdNotMet);
    assert_eq!(world.rows, before);
    world.govern(release(held), &[]);
    let again = world.try_to_govern(release(held), &both);
    assert_eq!(refused(&again), Code::ClaimsInvalid, "it is released already");
}

/// Rule R25.
#[test]
fn a_quarantine_that_damage_hid_is_missed_and_denies() {
    let mut world = allowed();
    let keys = world.keys.clone();
    accepted(&world.submit(&quarantine("exec-1").sign(&[&keys.audit])));
    let rows: Vec<_> = world.rows.iter().filter(|(table, ..)| *table == Table::Containments).collect();
    let [(_, key, _)] = rows.as_slice() else { panic!("one row") };
    let key = key.to_vec();
    world.rows.delete(Table::Containments, &key).unwrap();
    assert_eq!(codes(&world.decide()), [Code::EvidenceMutated]);
}

/// One issuer attests `affirming` and `contraindicated` for one slot.
fn conflict(world: &mut World) -> [EvidenceId; 2] {
    let (_, good) = world.grounds();
    let keys = world.keys.clone();
    let bad = attestation(AttestationStatus::Contraindicated, "m1").sign(&[&keys.attestation]);
    let bad = equivocated(&world.submit(&bad));
    assert!(codes(&world.decide()).contains(&Code::LineageQuarantined));
    [good, bad]
}

/// Rules R35, R59, R63.
#[test]
fn a_reconciliation_lets_the_canonical_half_stand_and_the_other_be_void() {
    for canonical in [0, 1] {
        let mut world = World::new();
        let halves = conflict(&mut world);
        world.govern(reconciliation(halves, halves[canonical]), &[]);
        let decision = world.decide();
        match canonical {
            0 => assert!(decision.is_allow(), "{decision:?}"),
            _ => assert_eq!(codes(&decision), [Code::AttestationNotAffirming]),
        }
        let page = query::lineage(&world.rows, &domain(), &lineage(), None, 9).unwrap().unwrap();
        assert_eq!(page.status, LineageStatus::Open);
        let void: Vec<EvidenceId> =
            page.entries.iter().filter(|entry| entry.void).map(|entry| entry.evidence_id).collect();
        assert_eq!(void, [halves[1 - canonical]]);
        // A statement that rests on the canonical half stands; one that rests on the other half does not.
        let keys = world.keys.clone();
        for (place, half) in halves.iter().enumerate() {
            let rests = integrity("m1").lineage("rests").slot(0, None).references(&[*half]);
            let outcome = world.submit(&rests.sign(&[&keys.runtime]));
            match place == canonical {
                true => drop(accepted(&outcome)),
                false => assert_eq!(refused(&outcome), Code::InheritanceUnverifiable),
            }
        }
    }
}

/// Rule R102.
#[test]
fn a_reconciliation_needs_both_halves_of_one_equivocation_and_happens_once() {
    let mut world = World::new();
    let halves = conflict(&mut world);
    let keys = world.keys.clone();
    let governance = &keys.governance[0];
    let stranger = accepted(&world.submit(&integrity("m1").sign(&[&keys.runtime]))).evidence_id;
    let nowhere = EvidenceId([9; 32]);
    for (conflict, code) in
        [([halves[0], stranger], Code::ClaimsInvalid), ([halves[0], nowhere], Code::TargetUnknown)]
    {
        let outcome = world.try_to_govern(reconciliation(conflict, halves[0]), &[governance]);
        assert_eq!(refused(&outcome), code);
    }
    let by_audit = world.try_to_govern(reconciliation(halves, halves[0]), &[&keys.audit]);
    assert_eq!(refused(&by_audit), Code::RoleNotPermitted);
    world.govern(reconciliation(halves, halves[0]), &[]);
    let again = world.try_to_govern(reconciliation(halves, halves[1]), &[governance]);
    assert_eq!(refused(&again), Code::ClaimsInvalid);
}

/// Rules R23, R63, R102.
#[test]
fn a_void_reconciliation_quarantines_again_and_another_can_be_made() {
    let mut world = World::founded(2, 1, Some(attested_policy()));
    let halves = conflict(&mut world);
    let keys = world.keys.clone();
    let (slot, parent) = world.governance_slot();
    let first = reconciliation(halves, halves[0]).slot(slot, parent).sign(&[&keys.governance[1]]);
    let first = accepted(&world.submit_at(10, &first)).evidence_id;
    assert!(world.decide_at(10, &request()).is_allow());
    let revoked = revocation(keys.governance[1].public(), Some(at(8)));
    accepted(&world.submit_at(10, &revoked.sign(&[&keys.governance[0]])));
    assert!(codes(&world.decide_at(10, &request())).contains(&Code::LineageQuarantined));
    let second = reconciliation(halves, halves[1]).slot(slot + 1, Some(first));
    accepted(&world.submit_at(10, &second.sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide_at(10, &request())), [Code::AttestationNotAffirming]);
}

#[test]
fn a_rejected_half_of_another_kind_brings_back_the_negative_that_it_replaced() {
    let mut world = World::with_policy(assent_proof::PolicyBody {
        measurements: Some(vec!["m1".to_owned()]),
        ..attested_policy()
    });
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    accepted(&world.submit(&affirming().sign(&[&keys.attestation2])));
    let bad = integrity("m9").sign(&[&keys.attestation]);
    let bad = accepted(&world.submit(&bad)).evidence_id;
    let good = integrity("m1").slot(1, Some(bad)).sign(&[&keys.attestation]);
    let good = accepted(&world.submit(&good)).evidence_id;
    assert!(world.decide().is_allow());
    let other = affirming().slot(1, Some(bad)).sign(&[&keys.attestation]);
    let other = equivocated(&world.submit(&other));
    world.govern(reconciliation([good, other], other), &[]);
    assert_eq!(codes(&world.decide()), [Code::MeasurementNotApproved]);
}

/// Rules R22, R107.
#[test]
fn a_lineage_begun_with_two_subjects_never_allows_even_when_reconciled() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let governance = &keys.governance[0];
    let artifact = authorization(&["run"]).sign(&[governance]);
    let artifact = accepted(&world.submit(&artifact)).evidence_id;
    let other = authorization(&["run"]).subject("another").sign(&[governance]);
    let other = equivocated(&world.submit(&other));
    accepted(&world.submit(&affirming().sign(&[&keys.attestation])));
    world.govern(reconciliation([artifact, other], artifact), &[]);
    for subject in [request().subject, Sha256::of(b"another")] {
        let mut asked = request();
        asked.subject = subject;
        assert_eq!(codes(&world.decide_at(0, &asked)), [Code::SubjectMismatch]);
    }
}

/// One attester's statements in a row, at 10, 20, 30 … seconds; beside it the usual grounds.
fn said(world: &mut World, drafts: &[Draft]) -> Vec<EvidenceId> {
    let keys = world.keys.clone();
    let mut ids: Vec<EvidenceId> = Vec::new();
    for (place, draft) in drafts.iter().enumerate() {
        let slot = draft.clone().slot(place as u64, ids.last().copied()).sign(&[&keys.attestation2]);
        ids.push(accepted(&world.submit_at(10 * (place as i64 + 1), &slot)).evidence_id);
    }
    ids
}

fn contraindicated() -> Draft {
    attestation(AttestationStatus::Contraindicated, "m1")
}

#[test]
fn what_stands_before_a_void_statement_is_found_past_other_void_ones() {
    let mut world = allowed();
    let keys = world.keys.clone();
    let ids =
        said(&mut world, &[contraindicated(), affirming(), attestation(AttestationStatus::Affirming, "m2")]);
    accepted(&world.submit_at(40, &invalidate(ids[1]).sign(&[&keys.audit])));
    assert!(world.decide_at(40, &request()).is_allow());
    let revoked = revocation(keys.attestation2.public(), Some(at(25))).sign(&[&keys.governance[0]]);
    accepted(&world.submit_at(40, &revoked));
    assert_eq!(codes(&world.decide_at(40, &request())), [Code::AttestationNotAffirming]);
}

#[test]
fn the_canonical_half_is_what_stands_before_a_void_statement_whichever_id_is_smaller() {
    for build in 0..6 {
        let mut world = allowed();
        let keys = world.keys.clone();
        let bad = attestation(AttestationStatus::Contraindicated, &format!("build-{build}"));
        let bad = said(&mut world, &[bad])[0];
        let good = affirming().slot(0, None).sign(&[&keys.attestation2]);
        let good = equivocated(&world.submit_at(12, &good));
        world.govern(reconciliation([good, bad], bad), &[]);
        assert_eq!(codes(&world.decide_at(15, &request())), [Code::AttestationNotAffirming]);
        let thief = affirming().slot(1, Some(bad)).sign(&[&keys.attestation2]);
        accepted(&world.submit_at(30, &thief));
        assert!(world.decide_at(30, &request()).is_allow());
        let revoked = revocation(keys.attestation2.public(), Some(at(25))).sign(&[&keys.governance[0]]);
        accepted(&world.submit_at(30, &revoked));
        assert_eq!(codes(&world.decide_at(30, &request())), [Code::AttestationNotAffirming]);
    }
}

#[test]
fn a_rejected_half_of_another_kind_hides_nothing_further_back() {
    let mut world = allowed();
    let keys = world.keys.clone();
    let ids = said(&mut world, &[contraindicated(), affirming()]);
    let third = affirming().slot(2, Some(ids[1])).issued(at(-30)).sign(&[&keys.attestation2]);
    let third = accepted(&world.submit_at(30, &third)).evidence_id;
    let other = integrity("m1").slot(2, Some(ids[1])).sign(&[&keys.attestation2]);
    let other = equivocated(&world.submit_at(31, &other));
    world.govern(reconciliation([third, other], other), &[]);
    assert!(world.decide_at(40, &request()).is_allow());
    accepted(&world.submit_at(40, &invalidate(ids[1]).sign(&[&keys.audit])));
    assert_eq!(codes(&world.decide_at(40, &request())), [Code::AttestationNotAffirming]);
}

/// Rule R108.
#[test]
fn a_late_half_of_an_older_slot_is_remembered_like_an_early_one() {
    for late in [true, false] {
        let mut world = allowed();
        let keys = world.keys.clone();
        let good = affirming().slot(0, None).sign(&[&keys.attestation2]);
        let bad = contraindicated().slot(0, None).sign(&[&keys.attestation2]);
        let head = accepted(&world.submit_at(10, &good)).evidence_id;
        let next =
            attestation(AttestationStatus::Affirming, "m2").slot(1, Some(head)).sign(&[&keys.attestation2]);
        let order = if late { [&next, &bad] } else { [&bad, &next] };
        for bytes in order {
            world.submit_at(20, bytes);
        }
        let (next, bad) = (id_of(&next), id_of(&bad));
        world.govern(reconciliation([head, bad], bad), &[]);
        assert!(world.decide_at(30, &request()).is_allow(), "its next statement says otherwise");
        accepted(&world.submit_at(30, &invalidate(next).sign(&[&keys.audit])));
        let denied = codes(&world.decide_at(30, &request()));
        assert_eq!(denied, [Code::AttestationNotAffirming], "late: {late}");
    }
}

/// Rule R78.
#[test]
fn a_released_containment_is_not_accepted_again_by_its_first_receipt() {
    let mut world = allowed();
    let keys = world.keys.clone();
    let bytes = quarantine("exec-1").sign(&[&keys.audit]);
    let held = accepted(&world.submit(&bytes)).evidence_id;
    assert_eq!(accepted(&world.submit(&bytes)).evidence_id, held);
    world.govern(release(held), &[]);
    assert_eq!(refused(&world.submit(&bytes)), Code::ClaimsInvalid);
    accepted(&world.submit(&quarantine("exec-1").issued(at(-1)).sign(&[&keys.audit])));
    assert_eq!(codes(&world.decide()), [Code::LineageQuarantined]);
}

/// Rule R108.
#[test]
fn an_issuer_that_was_reconciled_once_quarantines_anew() {
    let mut world = World::new();
    let halves = conflict(&mut world);
    let keys = world.keys.clone();
    let third = attestation(AttestationStatus::None, "m3").sign(&[&keys.attestation]);
    world.govern(reconciliation(halves, halves[0]), &[]);
    assert_eq!(refused(&world.submit(&third)), Code::AuthorityInconsistent, "the slot is resolved");
    let next = affirming().slot(1, Some(halves[0])).sign(&[&keys.attestation]);
    accepted(&world.submit(&next));
    assert!(world.decide().is_allow());
    let again = contraindicated().slot(1, Some(halves[0])).sign(&[&keys.attestation]);
    let again = equivocated(&world.submit(&again));
    assert!(codes(&world.decide()).contains(&Code::LineageQuarantined));
    world.govern(reconciliation([id_of(&next), again], again), &[]);
    assert_eq!(codes(&world.decide()), [Code::AttestationNotAffirming]);
}
