//! Reading the ledger forwards: pages without gaps, filters that skip leaves but never hide them, and damage that is
//! not taken for the end.

use std::collections::BTreeSet;

use crate::support::*;
use assent_proof::{DomainName, Envelope, EvidenceKind, LineageName};
use assent_registry::query::{Event, EventFilter, EventPage, Restricts, events};
use assent_registry::{RowError, Rows, RowsMut, Table};

fn page(world: &World, filter: &EventFilter, after: u64, scan: usize, limit: usize) -> EventPage {
    events(&world.rows, filter, after, scan, limit).unwrap()
}

fn all(world: &World) -> Vec<Event> {
    page(world, &EventFilter::default(), 0, 1000, 1000).events
}

#[test]
fn pages_of_any_size_cover_the_whole_ledger_without_gap_or_repeat() {
    let mut world = World::new();
    world.grounds();
    let revision = world.revision();
    for (scan, limit) in [(1, 1), (1, 100), (3, 100), (100, 2), (100, 100)] {
        let (mut seen, mut after) = (Vec::new(), 0);
        while after < revision {
            let page = page(&world, &EventFilter::default(), after, scan, limit);
            assert_eq!(page.revision, revision);
            assert!(page.covered > after && page.events.len() <= limit.min(scan));
            seen.extend(page.events.iter().map(|event| event.revision));
            after = page.covered;
        }
        assert_eq!(seen, (1..=revision).collect::<Vec<_>>(), "scan {scan}, limit {limit}");
    }
    assert!(all(&world).iter().all(|event| event.ledger_index + 1 == event.revision));
}

#[test]
fn a_filter_covers_what_it_leaves_out() {
    let mut world = World::new();
    let (_, attested) = world.grounds();
    let filter =
        EventFilter { kinds: BTreeSet::from([EvidenceKind::RuntimeAttestation]), ..EventFilter::default() };
    let found = page(&world, &filter, 0, 1000, 1000);
    assert_eq!(found.events.iter().map(|event| event.evidence_id).collect::<Vec<_>>(), [attested]);
    assert_eq!(found.covered, world.revision());
    let none = page(&world, &filter, 0, 2, 1000);
    assert_eq!((none.events.len(), none.covered), (0, 2));

    let root = EventFilter { domains: BTreeSet::from([DomainName::root()]), ..EventFilter::default() };
    let found = page(&world, &root, 0, 1000, 1000).events;
    assert!(found.len() == 3 && found.iter().all(|event| event.domain == DomainName::root()), "{found:?}");
    let governance =
        EventFilter { lineages: BTreeSet::from([LineageName::governance()]), ..EventFilter::default() };
    let found = page(&world, &governance, 0, 1000, 1000).events;
    assert_eq!(found.len() as u64, world.revision() - 2);
}

#[test]
fn restrictions_name_what_they_restrict() {
    let mut world = World::new();
    let (_, attested) = world.grounds();
    let keys = world.keys.clone();
    for draft in
        [revocation(keys.audit.public(), None), quarantine("exec-1"), isolate(), invalidate(attested)]
    {
        accepted(&world.submit(&draft.sign(&[&keys.governance[0]])));
    }
    let found: Vec<Restricts> = all(&world).into_iter().filter_map(|event| event.restricts).collect();
    let expected = [
        ("revoke", keys.audit.public().to_string()),
        ("quarantine", "exec-1".to_owned()),
        ("isolate", domain().to_string()),
        ("invalidate", attested.to_string()),
    ];
    assert_eq!(found, expected.map(|(action, target)| Restricts { action, target }));
}

#[test]
fn what_was_stored_before_names_were_judged_is_still_read() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let mut draft = revocation(keys.audit.public(), None);
    let taken = draft.sign(&[&keys.governance[0]]);
    let revoked = accepted(&world.submit(&taken));
    // Version 1 of the rules took such a name until release 0.1.0.
    draft.0.subject_name = Some("au\u{202e}dit".to_owned());
    let before = draft.sign(&[&keys.governance[0]]);
    // The rows that such an envelope left: the same, under its own id.
    let id = |envelope: &[u8]| Envelope::parse(envelope).unwrap().id();
    let (index, old, new) = (revoked.ledger_index.to_be_bytes(), id(&taken), id(&before));
    let mut leaf = world.rows.get(Table::Leaves, &index).unwrap().unwrap();
    let place = leaf.windows(32).position(|window| window == old.0).unwrap();
    leaf[place..place + 32].copy_from_slice(&new.0);
    let evidence = world.rows.get(Table::Evidence, &old.0).unwrap().unwrap();
    world.rows.put(Table::Leaves, &index, &leaf).unwrap();
    world.rows.put(Table::Evidence, &new.0, &evidence).unwrap();
    world.rows.put(Table::Bodies, &index, &before).unwrap();
    let last = all(&world).pop().unwrap();
    let target = keys.audit.public().to_string();
    assert_eq!(last.restricts, Some(Restricts { action: "revoke", target }));
}

#[test]
fn an_equivocation_elsewhere_is_seen_by_those_who_ask_for_it() {
    let mut world = World::new();
    let keys = world.keys.clone();
    accepted(&world.submit(&affirming().lineage("other").sign(&[&keys.attestation])));
    let second = second_word().lineage("other").sign(&[&keys.attestation]);
    world.submit(&second);
    let mut filter = EventFilter { lineages: BTreeSet::from([lineage()]), ..EventFilter::default() };
    assert!(page(&world, &filter, 0, 1000, 1000).events.is_empty());
    filter.equivocations = true;
    let found = page(&world, &filter, 0, 1000, 1000).events;
    assert_eq!(found.iter().map(|event| event.evidence_id).collect::<Vec<_>>(), [id_of(&second)]);
    assert!(found[0].equivocation);
}

fn second_word() -> Draft {
    attestation(assent_proof::AttestationStatus::Affirming, "another")
}

#[test]
fn a_state_behind_the_reader_answers_nothing_and_never_goes_back() {
    let world = World::new();
    let found = page(&world, &EventFilter::default(), world.revision() + 5, 100, 100);
    assert_eq!((found.events.len(), found.covered), (0, world.revision() + 5));
    assert_eq!(found.revision, world.revision());
    let huge = page(&world, &EventFilter::default(), u64::MAX, 100, 100);
    assert_eq!((huge.events.len(), huge.covered), (0, u64::MAX));
}

#[test]
fn a_lost_leaf_is_damage_and_no_gap() {
    let mut world = World::new();
    for lost in [0, 3, world.revision() - 1] {
        let mut rows = world.rows.clone();
        rows.delete(Table::Leaves, &lost.to_be_bytes()).unwrap();
        let found = events(&rows, &EventFilter::default(), 0, 1000, 1000);
        assert!(matches!(found, Err(RowError::Mutated { table: Table::Leaves, .. })), "{lost}: {found:?}");
    }
    let keys = world.keys.clone();
    let revoked =
        accepted(&world.submit(&revocation(keys.audit.public(), None).sign(&[&keys.governance[0]])));
    world.rows.delete(Table::Bodies, &revoked.ledger_index.to_be_bytes()).unwrap();
    let found = events(&world.rows, &EventFilter::default(), revoked.ledger_index, 1000, 1000);
    assert!(matches!(found, Err(RowError::Mutated { table: Table::Bodies, .. })), "{found:?}");
}
