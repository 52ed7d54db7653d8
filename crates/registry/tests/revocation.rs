//! Revocation: immediate, final and independent of order; `invalidSince`, void statements, and what a void statement
//! never lifts.

use crate::support::*;
use assent_proof::{AttestationStatus, AuthorizeRequest, Code, PolicyBody, Role};
use assent_registry::{AuthorityStatus, Outcome, query};

/// Rules R57, R131.
#[test]
fn a_revocation_binds_from_its_position_on() {
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    assert!(world.decide().is_allow());
    accepted(&world.submit(&revocation(keys.attestation.public(), None).sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide()), [Code::AuthorityRevoked]);
    let more = affirming().lineage("exec-2").sign(&[&keys.attestation]);
    assert_eq!(refused(&world.submit(&more)), Code::AuthorityRevoked);
    let row = query::authority(&world.rows, &keys.attestation.public(), ms(0)).unwrap().unwrap();
    assert_eq!(row.status, AuthorityStatus::Revoked);
}

/// Rule R113.
#[test]
fn a_revocation_needs_no_slot_and_can_be_kept_in_a_safe() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let kept = revocation(keys.audit.public(), None).sign(&[&keys.governance[0]]);
    for _ in 0..3 {
        world.govern(policy(attested_policy()), &[]);
    }
    accepted(&world.submit_at(5000, &kept));
}

/// Rule R90.
#[test]
fn an_authority_may_revoke_itself_and_no_other() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let other = revocation(keys.gateway.public(), None).sign(&[&keys.audit]);
    assert_eq!(refused(&world.submit(&other)), Code::RoleNotPermitted);
    accepted(&world.submit(&revocation(keys.audit.public(), Some(at(-5))).sign(&[&keys.audit])));
}

/// Rule R91.
#[test]
fn one_governance_key_can_revoke_neither_another_nor_the_past() {
    let mut world = World::founded(3, 2, Some(attested_policy()));
    let keys = world.keys.clone();
    let [one, two, three] = [&keys.governance[0], &keys.governance[1], &keys.governance[2]];
    assert_eq!(refused(&world.submit(&revocation(two.public(), None).sign(&[one]))), Code::ThresholdNotMet);
    let past = revocation(keys.audit.public(), Some(at(-5)));
    assert_eq!(refused(&world.submit(&past.sign(&[one]))), Code::ThresholdNotMet);
    accepted(&world.submit(&revocation(keys.audit.public(), None).sign(&[one])));
    accepted(&world.submit(&past.sign(&[one, three])));
    accepted(&world.submit(&revocation(two.public(), None).sign(&[one, three])));
}

/// Rule R94.
#[test]
fn a_revoked_key_is_never_granted_again() {
    let mut world = World::new();
    let keys = world.keys.clone();
    accepted(&world.submit(&revocation(keys.audit.public(), None).sign(&[&keys.governance[0]])));
    let (next, head) = world.governance_slot();
    let again = grant(keys.audit.public(), Role::Audit).slot(next, head);
    let again = again.sign(&[&keys.governance[0], &keys.audit]);
    assert_eq!(refused(&world.submit(&again)), Code::AuthorityRevoked);
}

/// Rule R98.
#[test]
fn a_target_must_exist_in_the_domain() {
    let mut world = World::new();
    let keys = world.keys.clone();
    for target in [key(99).public(), keys.node.public()] {
        let bytes = revocation(target, None).sign(&[&keys.governance[0]]);
        assert_eq!(refused(&world.submit(&bytes)), Code::TargetUnknown);
    }
}

/// Rule R114.
#[test]
fn a_revocation_that_adds_nothing_returns_the_standing_ones_receipt_without_a_leaf() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let target = keys.audit.public();
    let first = revocation(target, Some(at(-100))).sign(&[&keys.governance[0]]);
    let first = accepted(&world.submit(&first));
    let before = world.rows.clone();
    for weaker in [revocation(target, None), revocation(target, Some(at(-50)))] {
        match world.submit(&weaker.sign(&[&keys.governance[0]])) {
            Outcome::Accepted { receipt, fresh } => assert_eq!((receipt, fresh), (first.clone(), false)),
            other => panic!("{other:?}"),
        }
    }
    assert!(before == world.rows);
    let earlier = revocation(target, Some(at(-200))).sign(&[&keys.governance[0]]);
    assert_eq!(accepted(&world.submit(&earlier)).revision, first.revision + 1);
    let row = query::authority(&world.rows, &target, ms(0)).unwrap().unwrap();
    assert_eq!(row.invalid_since, Some(at(-200)));
    assert_eq!(row.revoked_by, Some(first.evidence_id));
}

/// Rule R60.
#[test]
fn invalid_since_goes_by_acceptance_never_by_the_issuers_own_clock() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let void = |world: &World, id| {
        let page = query::lineage(&world.rows, &domain(), &lineage(), None, 100).unwrap().unwrap();
        page.entries.iter().find(|entry| entry.evidence_id == id).unwrap().void
    };
    let before = accepted(&world.submit_at(10, &affirming().sign(&[&keys.attestation]))).evidence_id;
    // Dated long before the compromise, accepted after it.
    let backdated = affirming().issued(at(-1000)).slot(1, Some(before)).sign(&[&keys.attestation]);
    let backdated = accepted(&world.submit_at(30, &backdated)).evidence_id;
    accepted(
        &world
            .submit_at(40, &revocation(keys.attestation.public(), Some(at(20))).sign(&[&keys.governance[0]])),
    );
    assert!(!void(&world, before));
    assert!(void(&world, backdated));
}

/// Rules R57, R60.
#[test]
fn a_void_grants_authority_counts_for_nothing_and_its_predecessor_does_not_come_back() {
    let mut world = World::founded(2, 1, Some(PolicyBody { require: vec![], ..attested_policy() }));
    let keys = world.keys.clone();
    let [honest, thief] = [&keys.governance[0], &keys.governance[1]];
    let rogue = key(70);
    let (next, head) = world.governance_slot();
    let granted = grant(rogue.public(), Role::Attestation).slot(next, head).sign(&[thief, &rogue]);
    let granted = accepted(&world.submit_at(100, &granted));
    let lax = policy(PolicyBody { decision_ttl_seconds: 60, require: vec![], ..attested_policy() });
    let lax = lax.slot(next + 1, Some(granted.evidence_id)).sign(&[thief]);
    accepted(&world.submit_at(100, &lax));
    accepted(&world.submit_at(101, &affirming().sign(&[&rogue])));
    accepted(&world.submit_at(101, &authorization(&["run"]).sign(&[honest])));
    assert!(world.decide_at(101, &request()).is_allow());
    accepted(&world.submit_at(110, &revocation(thief.public(), Some(at(50))).sign(&[honest])));
    let decision = world.decide_at(110, &request());
    assert!(!decision.is_allow());
    assert_eq!(
        codes(&decision),
        [Code::InheritanceUnverifiable],
        "the void policy judges nothing, nor does the one before"
    );
    let more = affirming().lineage("exec-9").sign(&[&rogue]);
    assert_eq!(refused(&world.submit_at(111, &more)), Code::InheritanceUnverifiable);
    let page = query::lineage(&world.rows, &domain(), &lineage(), None, 100).unwrap().unwrap();
    let void: Vec<bool> = page.entries.iter().map(|entry| entry.void).collect();
    assert_eq!(void, [true, false], "what the rogue signed is void, the honest key's artifact is not");
}

/// Rule R59.
#[test]
fn void_spreads_by_reference_and_not_by_parent() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let first = accepted(&world.submit_at(10, &affirming().sign(&[&keys.attestation]))).evidence_id;
    let resting =
        accepted(&world.submit_at(10, &integrity("m1").references(&[first]).sign(&[&keys.runtime])));
    let child = integrity("m1").slot(1, Some(resting.evidence_id)).sign(&[&keys.runtime]);
    accepted(&world.submit_at(10, &child));
    let own = revocation(keys.attestation.public(), Some(at(5))).sign(&[&keys.attestation]);
    accepted(&world.submit_at(20, &own));
    let page = query::lineage(&world.rows, &domain(), &lineage(), None, 100).unwrap().unwrap();
    let void: Vec<bool> = page.entries.iter().map(|entry| entry.void).collect();
    assert_eq!(void, [true, true, false]);
}

/// Rule R59.
#[test]
fn a_threshold_statement_stands_while_enough_of_its_signers_do() {
    let mut world = World::founded(4, 2, None);
    let keys = world.keys.clone();
    let [one, two, three, four] = [0, 1, 2, 3].map(|n| &keys.governance[n]);
    let (slot, head) = world.governance_slot();
    let lax = policy(PolicyBody { require: vec![], ..attested_policy() }).slot(slot, head);
    accepted(&world.submit(&lax.sign(&[one, two, three])));
    accepted(&world.submit(&authorization(&["run"]).sign(&[one])));
    assert!(world.decide().is_allow());
    // Three signed the policy; two are enough.
    accepted(&world.submit(&revocation(three.public(), Some(at(-1))).sign(&[one, two])));
    assert!(world.decide().is_allow());
    accepted(&world.submit(&revocation(two.public(), Some(at(-1))).sign(&[one, four])));
    assert!(codes(&world.decide()).contains(&Code::InheritanceUnverifiable));
}

/// Rule R36.
#[test]
fn governance_statements_of_a_revoked_key_stand_and_its_execution_evidence_does_not() {
    let mut world = World::founded(2, 1, Some(PolicyBody { require: vec![], ..attested_policy() }));
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[1]])));
    assert!(world.decide().is_allow());
    accepted(&world.submit(&revocation(keys.governance[1].public(), None).sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide()), [Code::AuthorityRevoked]);
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    assert!(world.decide().is_allow(), "the policy that both signed still stands");
}

/// Rule R31.
#[test]
fn voiding_a_negative_lifts_nothing() {
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    let bad = attestation(AttestationStatus::Contraindicated, "m1").sign(&[&keys.attestation2]);
    accepted(&world.submit(&bad));
    assert_eq!(codes(&world.decide()), [Code::AttestationNotAffirming]);
    accepted(
        &world.submit(&revocation(keys.attestation2.public(), Some(at(-5))).sign(&[&keys.governance[0]])),
    );
    assert_eq!(codes(&world.decide()), [Code::AttestationNotAffirming]);
}

/// Rule R127.
#[test]
fn voiding_a_closing_event_opens_nothing() {
    let mut world = World::new();
    let (artifact, _) = world.grounds();
    let keys = world.keys.clone();
    accepted(&world.submit(&audit("failed").references(&[artifact]).sign(&[&keys.audit])));
    accepted(&world.submit(&revocation(keys.audit.public(), Some(at(-5))).sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide()), [Code::LineageClosed]);
}

/// Rules R37, R64.
#[test]
fn what_rests_on_a_revoked_key_does_not_count() {
    let mut world = World::with_policy(PolicyBody { require: vec![], ..attested_policy() });
    let keys = world.keys.clone();
    let base = accepted(&world.submit(&affirming().sign(&[&keys.attestation]))).evidence_id;
    let middle = integrity("m1").references(&[base]).sign(&[&keys.runtime]);
    let middle = accepted(&world.submit(&middle)).evidence_id;
    accepted(&world.submit(&authorization(&["run"]).references(&[middle]).sign(&[&keys.governance[0]])));
    assert!(world.decide().is_allow());
    accepted(&world.submit(&revocation(keys.attestation.public(), None).sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide()), [Code::InheritanceUnverifiable]);
    let more = validation("p", assent_proof::PolicyVerdict::Pass).references(&[middle]);
    assert_eq!(refused(&world.submit(&more.sign(&[&keys.orchestration]))), Code::InheritanceUnverifiable);
}

/// Rule R61.
#[test]
fn void_statements_keep_their_slots() {
    let mut world = World::new();
    let (_, attested) = world.grounds();
    let keys = world.keys.clone();
    accepted(
        &world.submit(&revocation(keys.attestation.public(), Some(at(-5))).sign(&[&keys.governance[0]])),
    );
    let page = query::lineage(&world.rows, &domain(), &lineage(), None, 100).unwrap().unwrap();
    let chain = page.issuers.iter().find(|chain| chain.issuer == keys.attestation.public()).unwrap();
    assert_eq!((chain.sequence, chain.head), (0, attested));
}

/// Rule R58.
#[test]
fn a_revocation_outlives_the_keys_that_signed_it() {
    let mut world = World::founded(3, 1, Some(attested_policy()));
    world.grounds();
    let keys = world.keys.clone();
    let [one, signer] = [&keys.governance[0], &keys.governance[1]];
    assert!(world.decide().is_allow());
    let revoked = revocation(keys.attestation.public(), None).sign(&[signer]);
    let revoked = accepted(&world.submit(&revoked)).evidence_id;
    let granted = key(70);
    let (slot, parent) = world.governance_slot();
    let grant = grant(granted.public(), Role::Attestation).slot(slot, parent).sign(&[signer, &granted]);
    let grant = accepted(&world.submit(&grant)).evidence_id;
    accepted(&world.submit(&revocation(signer.public(), Some(at(-5))).sign(&[one])));
    assert_eq!(codes(&world.decide()), [Code::AuthorityRevoked], "the key stays revoked");
    let status = query::authority(&world.rows, &keys.attestation.public(), ms(0)).unwrap().unwrap().status;
    assert_eq!(status, AuthorityStatus::Revoked);
    let governance = "_governance".parse().unwrap();
    let page = query::lineage(&world.rows, &domain(), &governance, None, 100).unwrap().unwrap();
    assert!(page.entries.iter().any(|entry| entry.evidence_id == revoked));
    let void: Vec<_> =
        page.entries.iter().filter(|entry| entry.void).map(|entry| entry.evidence_id).collect();
    assert_eq!(void, [grant], "the grant by the same key is void, and its revocation is not");
}

/// Rules R37, R92.
#[test]
fn a_new_grant_neither_revives_what_was_void_nor_voids_what_was_sound() {
    let mut world = World::founded(2, 1, Some(attested_policy()));
    let keys = world.keys.clone();
    let [honest, thief] = [&keys.governance[0], &keys.governance[1]];
    let void = |world: &World, name: &str| {
        let page =
            query::lineage(&world.rows, &domain(), &name.parse().unwrap(), None, 100).unwrap().unwrap();
        page.entries.iter().map(|entry| entry.void).collect::<Vec<_>>()
    };
    // One key granted by the thief and renewed by honest governance; one the other way round.
    let (suspect, sound) = (key(70), key(71));
    let mut chain = world.governance_slot();
    let mut govern =
        |world: &mut World, draft: Draft, by: &assent_proof::SigningKey, own: &assent_proof::SigningKey| {
            let bytes = draft.slot(chain.0, chain.1).sign(&[by, own]);
            let receipt = accepted(&world.submit_at(100, &bytes));
            chain = (chain.0 + 1, Some(receipt.evidence_id));
        };
    govern(&mut world, grant(suspect.public(), Role::Attestation), thief, &suspect);
    govern(&mut world, grant(sound.public(), Role::Attestation), honest, &sound);
    let attested = affirming().lineage("of-suspect").sign(&[&suspect]);
    let attested = accepted(&world.submit_at(101, &attested)).evidence_id;
    accepted(&world.submit_at(101, &affirming().lineage("of-sound").sign(&[&sound])));
    for lineage in ["of-suspect", "of-sound"] {
        accepted(&world.submit_at(101, &authorization(&["run"]).lineage(lineage).sign(&[honest])));
    }
    let decide = |world: &World, name: &str| {
        let lineage = Some(name.parse().unwrap());
        world.decide_at(110, &AuthorizeRequest { lineage, ..request() })
    };
    assert!(decide(&world, "of-suspect").is_allow() && decide(&world, "of-sound").is_allow());
    govern(&mut world, grant_for(sound.public(), Role::Attestation, at(0), at(80_000)), thief, &sound);
    assert!(decide(&world, "of-sound").is_allow());
    accepted(&world.submit_at(110, &revocation(thief.public(), Some(at(50))).sign(&[honest])));
    assert_eq!(void(&world, "of-suspect"), [true, false], "the honest key's authorization is not void");
    assert_eq!(void(&world, "of-sound"), [false, false], "a void grant voids nothing of before it");
    govern(&mut world, grant_for(suspect.public(), Role::Attestation, at(0), at(90_000)), honest, &suspect);
    assert_eq!(void(&world, "of-suspect"), [true, false], "void statements never count again");
    // The grant in force stands, so that the statement is void is all that is wrong with it.
    let denied = decide(&world, "of-suspect");
    let reasons: Vec<_> =
        denied.reasons.iter().map(|reason| (reason.code, reason.evidence, reason.detail.as_str())).collect();
    assert_eq!(reasons, [(Code::InheritanceUnverifiable, Some(attested), "it is void")]);
    let renewed = affirming().lineage("of-suspect").slot(1, Some(attested)).sign(&[&suspect]);
    accepted(&world.submit_at(110, &renewed));
    assert!(decide(&world, "of-suspect").is_allow(), "what the key signs under its new grant counts");
    assert_eq!(codes(&decide(&world, "of-sound")), [Code::InheritanceUnverifiable], "its grant is void");
    govern(&mut world, grant_for(sound.public(), Role::Attestation, at(0), at(90_000)), honest, &sound);
    assert!(decide(&world, "of-sound").is_allow(), "what was sound counts again under a grant that stands");
}

/// Rule R64.
#[test]
fn what_rests_on_a_contested_statement_does_not_count() {
    let mut world = World::with_policy(PolicyBody { require: vec![], ..attested_policy() });
    let keys = world.keys.clone();
    let base = affirming().lineage("elsewhere");
    let first = accepted(&world.submit(&base.clone().sign(&[&keys.attestation]))).evidence_id;
    accepted(&world.submit(&authorization(&["run"]).references(&[first]).sign(&[&keys.governance[0]])));
    assert!(world.decide().is_allow());
    let other = attestation(AttestationStatus::None, "m1").lineage("elsewhere").sign(&[&keys.attestation]);
    assert!(matches!(world.submit(&other), Outcome::Equivocation { .. }));
    assert_eq!(codes(&world.decide()), [Code::InheritanceUnverifiable]);
}

/// The attester says `contraindicated`, then a thief of its key says `affirming`; another attester affirms too.
fn overruled_by_a_thief(thiefs: &[Draft]) -> World {
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    let honest = attestation(AttestationStatus::Contraindicated, "m1").sign(&[&keys.attestation2]);
    let mut parent = accepted(&world.submit_at(10, &honest)).evidence_id;
    assert_eq!(codes(&world.decide()), [Code::AttestationNotAffirming]);
    for (place, thiefs) in thiefs.iter().enumerate() {
        let sequence = place as u64 + 1;
        let bytes = thiefs.clone().slot(sequence, Some(parent)).sign(&[&keys.attestation2]);
        parent = accepted(&world.submit_at(20 + place as i64, &bytes)).evidence_id;
    }
    world
}

#[test]
fn a_negative_that_a_void_statement_replaced_denies_still() {
    let mut world = overruled_by_a_thief(&[affirming(), affirming()]);
    assert!(world.decide_at(30, &request()).is_allow(), "nothing says yet that it was a thief");
    let keys = world.keys.clone();
    let revoked = revocation(keys.attestation2.public(), Some(at(15)));
    accepted(&world.submit_at(30, &revoked.sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide_at(30, &request())), [Code::AttestationNotAffirming]);
}

#[test]
fn a_negative_that_its_issuer_replaced_before_its_key_was_stolen_stays_replaced() {
    let other = attestation(AttestationStatus::Affirming, "m2");
    let mut world = overruled_by_a_thief(&[affirming(), other]);
    let keys = world.keys.clone();
    let revoked = revocation(keys.attestation2.public(), Some(at(21)));
    accepted(&world.submit_at(30, &revoked.sign(&[&keys.governance[0]])));
    assert!(world.decide_at(30, &request()).is_allow());
}

/// Rule R32.
#[test]
fn a_negative_of_long_ago_denies_once_everything_after_it_is_void() {
    let many: Vec<Draft> =
        (0..12).map(|n| attestation(AttestationStatus::Affirming, &format!("build-{n}"))).collect();
    let mut world = overruled_by_a_thief(&many);
    assert!(world.decide_at(40, &request()).is_allow());
    let keys = world.keys.clone();
    let revoked = revocation(keys.attestation2.public(), Some(at(15)));
    accepted(&world.submit_at(40, &revoked.sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide_at(40, &request())), [Code::AttestationNotAffirming]);
}

/// Rules R17, R130.
#[test]
fn a_void_stricter_policy_does_not_bring_back_the_laxer_one() {
    let mut world = World::founded(2, 1, Some(PolicyBody { require: vec![], ..attested_policy() }));
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    assert!(world.decide().is_allow(), "the laxer policy asks for nothing more");
    let (slot, parent) = world.governance_slot();
    let stricter = policy(attested_policy()).slot(slot, parent).sign(&[&keys.governance[1]]);
    accepted(&world.submit_at(10, &stricter));
    assert_eq!(codes(&world.decide_at(10, &request())), [Code::EvidenceMissing]);
    let revoked = revocation(keys.governance[1].public(), Some(at(5))).sign(&[&keys.governance[0]]);
    accepted(&world.submit_at(20, &revoked));
    let denied = codes(&world.decide_at(20, &request()));
    assert!(denied.contains(&Code::InheritanceUnverifiable), "{denied:?}");
}

/// Rule R60.
#[test]
fn invalid_since_takes_what_was_dated_back_and_what_was_dated_ahead_alike() {
    for issued in [-3600, 0] {
        let mut world = World::new();
        let keys = world.keys.clone();
        accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
        // It was accepted 20 seconds in, whatever time it states.
        let thief = affirming().issued(at(20 + issued)).sign(&[&keys.attestation]);
        accepted(&world.submit_at(20, &thief));
        let revoked = revocation(keys.attestation.public(), Some(at(15))).sign(&[&keys.governance[0]]);
        accepted(&world.submit_at(30, &revoked));
        let page = query::lineage(&world.rows, &domain(), &lineage(), None, 9).unwrap().unwrap();
        assert!(page.entries.iter().any(|entry| entry.void), "dated {issued}");
        assert!(!world.decide_at(30, &request()).is_allow());
    }
    // A statement that is dated further ahead than the clock bound is not accepted at all.
    let mut world = World::new();
    let keys = world.keys.clone();
    let ahead = affirming().issued(at(60)).sign(&[&keys.attestation]);
    assert_eq!(refused(&world.submit(&ahead)), Code::TimesInvalid);
}

/// Rule R35.
#[test]
fn governance_narrows_what_it_authorized_with_its_next_statement() {
    let mut world = World::new();
    let (wide, _) = world.grounds();
    let keys = world.keys.clone();
    assert!(world.decide().is_allow());
    let narrow = authorization_with(&["run"], Some(&["edge"]), None, None).slot(1, Some(wide));
    accepted(&world.submit(&narrow.sign(&[&keys.governance[0]])));
    assert_eq!(codes(&world.decide()), [Code::AudienceMismatch]);
    let for_edge = assent_proof::AuthorizeRequest { audience: Some("edge".to_owned()), ..request() };
    assert!(world.decide_at(0, &for_edge).is_allow());
}
