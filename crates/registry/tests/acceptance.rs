//! Which statements are accepted or refused at the limits of the rules: the first statement, the first and the last
//! moment, the last place.

use crate::support::*;
use assent_proof::{Code, Envelope, PublicKey, Refusal, Role, SigningKey};
use assent_registry::{
    AuthorityStatus, GenesisError, GenesisFile, MemoryRows, View, authorize, bootstrap, limit, query,
    would_accept,
};

/// Founds a registry by this one statement.
fn founded_by(root: &[u8]) -> Result<(), GenesisError> {
    let file = GenesisFile::format(&[Envelope::parse(root).unwrap()]).unwrap();
    bootstrap(&mut MemoryRows::new(), &GenesisFile::parse(&file).unwrap())
}

/// Rule R85.
#[test]
fn the_first_root_is_signed_by_its_own_keys_and_by_no_other() {
    let keys = World::new().keys;
    let stranger = key(60);
    let root = root_statement(&[keys.root.public()], 1, keys.checkpoint.public()).slot(0, None);
    assert!(founded_by(&root.sign(&[&keys.root, &keys.checkpoint])).is_ok());
    for (signers, code) in [
        (vec![&keys.root, &keys.checkpoint, &stranger], Code::AuthorityUnknown),
        (vec![&keys.root], Code::UnsignedEvidence),
        (vec![&keys.checkpoint], Code::UnsignedEvidence),
    ] {
        match founded_by(&root.sign(&signers)) {
            Err(GenesisError::Refused(refusal)) => assert_eq!(refusal.code, code),
            other => panic!("{other:?}"),
        }
    }
}

/// Rule R10.
#[test]
fn without_a_genesis_nothing_is_accepted_and_nothing_is_allowed() {
    let world = World::new();
    let rows = MemoryRows::new();
    let envelope = verified(&rows, &affirming().sign(&[&world.keys.attestation])).unwrap();
    let refused: Result<(), Refusal> = would_accept(&rows, world.known, ms(0), &envelope).unwrap();
    assert_eq!(refused.unwrap_err().code, Code::DomainUnknown);
    let decision = authorize(&View::new(&rows), &request(), ms(0));
    assert_eq!(codes(&decision), [Code::DomainUnknown]);
}

/// Rule R77.
#[test]
fn a_statement_is_accepted_no_earlier_than_registry_time() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let first = affirming().sign(&[&keys.attestation]);
    assert_eq!(accepted(&world.submit_at(1000, &first)).accepted_at, ms(1000));
    let stamped_earlier = affirming().lineage("exec-2").sign(&[&keys.attestation]);
    assert_eq!(accepted(&world.submit_at(10, &stamped_earlier)).accepted_at, ms(1000));
}

/// Rule R95.
#[test]
fn no_domain_statement_names_a_domain_of_the_systems() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let fresh = key(60);
    let before = world.rows.clone();
    let own = domain_statement("_root", &[fresh.public()], 1);
    let outcome = world.submit_to_root(0, own, &[&keys.root, &fresh]);
    let (code, field, _) = refusal(&outcome);
    assert_eq!((code, field), (Code::ClaimsInvalid, "predicate.claims.domain"));
    assert!(before == world.rows);
}

/// Rule R128.
#[test]
fn a_governance_key_is_valid_from_acceptance_whatever_its_statement_was_issued_at() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let fresh = key(60);
    let issued_long_ago = domain_statement("prod.us", &[fresh.public()], 1).issued(at(-500));
    accepted(&world.submit_to_root(100, issued_long_ago, &[&keys.root, &fresh]));
    let entry = query::authority(&world.rows, &fresh.public(), ms(100)).unwrap().unwrap();
    assert_eq!((entry.not_before, entry.status), (at(100), AuthorityStatus::Active));
}

/// Rule R129.
#[test]
fn a_new_grant_for_a_key_whose_grant_ran_out_lets_its_evidence_count_again() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let attester = key(60);
    world.govern(grant_for(attester.public(), Role::Attestation, at(0), at(60)), &[&attester]);
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    accepted(&world.submit(&affirming().sign(&[&attester])));
    assert!(world.decide_at(59, &request()).is_allow());
    assert_eq!(codes(&world.decide_at(60, &request())), [Code::AuthorityExpired]);
    world.govern(grant_for(attester.public(), Role::Attestation, at(0), at(600)), &[&attester]);
    assert!(world.decide_at(60, &request()).is_allow());
}

/// Rule R101.
#[test]
fn a_target_is_released_by_1024_different_sets_of_keys_and_by_no_more() {
    let mut world = World::new();
    let keys = world.keys.clone();
    // Of 20 keys there are 1,140 sets of three.
    let governance: Vec<SigningKey> = (100..120).map(key).collect();
    let public: Vec<PublicKey> = governance.iter().map(SigningKey::public).collect();
    let signers: Vec<&SigningKey> = std::iter::once(&keys.root).chain(&governance).collect();
    accepted(&world.submit_to_root(0, domain_statement(domain().as_ref(), &public, 3), &signers));
    let mut sets = Vec::new();
    for first in &governance {
        for second in governance.iter().filter(|second| second.public() > first.public()) {
            for third in governance.iter().filter(|third| third.public() > second.public()) {
                sets.push([first, second, third]);
            }
        }
    }
    let isolates = |world: &mut World, number: usize| {
        let isolation = isolate().issued(at(-i64::try_from(number).unwrap())).sign(&[&keys.audit]);
        accepted(&world.submit(&isolation)).evidence_id
    };
    let most = limit::RELEASERS_PER_TARGET;
    for (number, set) in sets.iter().take(most).enumerate() {
        let held = isolates(&mut world, number);
        let (slot, head) = query::governance_slot(&world.rows, &domain()).unwrap();
        accepted(&world.submit(&release(held).slot(slot, head).sign(set)));
    }
    let held = isolates(&mut world, most);
    let (slot, head) = query::governance_slot(&world.rows, &domain()).unwrap();
    let by = |set: &[&SigningKey; 3]| release(held).slot(slot, head).sign(set);
    let outcome = world.submit(&by(&sets[most]));
    let (code, field, _) = refusal(&outcome);
    assert_eq!((code, field), (Code::TooLarge, "predicate.issuers"));
    accepted(&world.submit(&by(&sets[0])));
}
