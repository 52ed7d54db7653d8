//! If a row is lost between the checks of a statement and its writing, the node stops: no receipt names an effect that
//! was not written.

use crate::support::*;
use assent_proof::{AttestationStatus, AuthorizeRequest, Checkpoint, EvidenceId, PublicKey, SigningKey};
use assent_registry::{MemoryRows, Outcome, Row, RowError, Rows, RowsMut, Table, apply, query};

/// Rows of which one is damaged at the first write, when every check has passed.
struct Damaged {
    rows: MemoryRows,
    /// Where, and what lies there from then on.
    damage: Option<(Table, Vec<u8>, Option<Vec<u8>>)>,
}

impl Damaged {
    fn strike(&mut self) {
        match self.damage.take() {
            Some((table, key, Some(value))) => self.rows.put(table, &key, &value).unwrap(),
            Some((table, key, None)) => self.rows.delete(table, &key).unwrap(),
            None => {}
        }
    }
}

impl Rows for Damaged {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowError> {
        self.rows.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, RowError> {
        self.rows.scan(table, from, until, limit)
    }
}

impl RowsMut for Damaged {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), RowError> {
        self.strike();
        self.rows.put(table, key, value)
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), RowError> {
        self.strike();
        self.rows.delete(table, key)
    }
}

/// The statement is recorded, except where the row is damaged as it is written: that stops the node, which names the row.
#[track_caller]
fn stops_if(world: &World, bytes: &[u8], table: Table, key: &[u8], value: Option<Vec<u8>>) {
    let group = [group_of(false, vec![unverified(bytes)])];
    let mut whole = world.rows.clone();
    assert!(whole.get(table, key).unwrap().is_some(), "there is no such row to lose");
    let outcome = apply(&mut whole, world.known, ms(0), &group).unwrap().remove(0).remove(0);
    let recorded = matches!(outcome, Outcome::Accepted { fresh: true, .. } | Outcome::Equivocation { .. });
    assert!(recorded, "{outcome:?}");
    let mut rows = Damaged { rows: world.rows.clone(), damage: Some((table, key.to_vec(), value)) };
    let found = apply(&mut rows, world.known, ms(0), &group);
    assert_eq!(found, Err(RowError::Mutated { table, key: key.to_vec() }));
}

#[track_caller]
fn stops_without(world: &World, bytes: &[u8], table: Table, key: &[u8]) {
    stops_if(world, bytes, table, key, None);
}

/// The key of the row of the usual lineage.
fn lineage_key() -> Vec<u8> {
    format!("{}\0{}", domain(), lineage()).into_bytes()
}

/// A governance statement in the next shared slot of the domain, signed by its first key.
fn governed(world: &World, draft: Draft) -> Vec<u8> {
    let (slot, head) = world.governance_slot();
    draft.slot(slot, head).sign(&[&world.keys.governance[0]])
}

/// Rule R125.
#[test]
fn a_revocation_whose_authority_is_lost_has_no_receipt() {
    let world = World::new();
    let revoked = world.keys.audit.public();
    let bytes = revocation(revoked, None).sign(&[&world.keys.governance[0]]);
    stops_without(&world, &bytes, Table::Authorities, revoked.as_bytes());
}

#[test]
fn a_containment_whose_target_is_lost_has_no_receipt() {
    let mut world = World::new();
    let (_, attested) = world.grounds();
    let keys = world.keys.clone();
    let signed = |draft: Draft| draft.sign(&[&keys.audit]);
    stops_without(&world, &signed(quarantine("exec-1")), Table::Lineages, &lineage_key());
    stops_without(&world, &signed(isolate()), Table::Domains, domain().as_ref().as_bytes());
    stops_without(&world, &signed(invalidate(attested)), Table::Evidence, &attested.0);
}

#[test]
fn a_release_that_finds_no_longer_what_it_lifts_has_no_receipt() {
    let mut world = World::new();
    world.grounds();
    let keys = world.keys.clone();
    let held = accepted(&world.submit(&quarantine("exec-1").sign(&[&keys.audit]))).evidence_id;
    let bytes = governed(&world, release(held));
    stops_without(&world, &bytes, Table::Evidence, &held.0);
    stops_without(&world, &bytes, Table::Lineages, &lineage_key());

    let mut world = World::new();
    let held = accepted(&world.submit(&isolate().sign(&[&keys.audit]))).evidence_id;
    let bytes = governed(&world, release(held));
    stops_without(&world, &bytes, Table::Evidence, &held.0);
    stops_without(&world, &bytes, Table::Domains, domain().as_ref().as_bytes());
}

#[test]
fn a_release_of_a_negative_that_is_lost_has_no_receipt() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let negative = attestation(AttestationStatus::Contraindicated, "m1").sign(&[&keys.attestation]);
    let negative = accepted(&world.submit(&negative)).evidence_id;
    accepted(&world.submit(&revocation(keys.attestation.public(), None).sign(&[&keys.governance[0]])));
    stops_without(&world, &governed(&world, release(negative)), Table::Evidence, &negative.0);
}

#[test]
fn a_reconciliation_that_finds_no_longer_its_equivocation_has_no_receipt() {
    let mut world = World::new();
    let (_, first) = world.grounds();
    let keys = world.keys.clone();
    let before = world.rows.get(Table::Lineages, &lineage_key()).unwrap();
    let second = attestation(AttestationStatus::Affirming, "m2").sign(&[&keys.attestation]);
    assert!(matches!(world.submit(&second), Outcome::Equivocation { .. }));
    let second = id_of(&second);
    for canonical in [first, second] {
        let bytes = governed(&world, reconciliation([first, second], canonical));
        stops_without(&world, &bytes, Table::Evidence, &first.0);
        stops_without(&world, &bytes, Table::Evidence, &second.0);
        stops_without(&world, &bytes, Table::Lineages, &lineage_key());
        // The row is there, and knows of no equivocation.
        stops_if(&world, &bytes, Table::Lineages, &lineage_key(), before.clone());
    }
}

/// Rule R125.
#[test]
fn a_permit_whose_artifact_is_lost_has_no_receipt() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let artifact = authorization_with(&["run"], None, None, Some(1)).sign(&[&keys.governance[0]]);
    let artifact = accepted(&world.submit(&artifact)).evidence_id;
    accepted(&world.submit(&affirming().sign(&[&keys.attestation])));
    let asked = AuthorizeRequest { nonce: Some("one".to_owned()), ..request() };
    let bytes = permit(&asked).sign(&[&keys.node]);
    stops_without(&world, &bytes, Table::Evidence, &artifact.0);
}

#[test]
fn a_key_that_governance_leaves_out_and_that_is_lost_is_not_taken_for_revoked() {
    let world = World::founded(2, 1, None);
    let keys = world.keys.clone();
    let (slot, head) = query::governance_slot(&world.rows, &"_root".parse().unwrap()).unwrap();
    let next = domain_statement(domain().as_ref(), &[keys.governance[0].public()], 1);
    let bytes = next.slot(slot, head).sign(&[&keys.root]);
    let left_out = keys.governance[1].public();
    stops_without(&world, &bytes, Table::Authorities, left_out.as_bytes());

    let (world, root) = two_of_three();
    let (slot, head) = query::governance_slot(&world.rows, &"_root".parse().unwrap()).unwrap();
    let stays: Vec<PublicKey> = root.iter().take(2).map(SigningKey::public).collect();
    let next = root_statement(&stays, 2, keys.checkpoint.public());
    let bytes = next.slot(slot, head).sign(&[&root[0], &root[1]]);
    stops_without(&world, &bytes, Table::Authorities, root[2].public().as_bytes());
}

const PEER: &str = "registry.example/us-1";

/// A checkpoint of another registry, by the zone for slot 1 of lineage `peer`.
fn continuity(size: u64, trust: EvidenceId) -> Draft {
    let text = Checkpoint { origin: PEER.to_owned(), size, root: [7; 32] }.to_text();
    let note = signed_note(&text, PEER, &key(80), &[key(81)], 1_795_374_000);
    let draft = place().draft(&claims::continuity(note.to_string(), Vec::new()));
    draft.lineage("peer").references(&[trust]).slot(1, Some(trust))
}

#[test]
fn a_second_checkpoint_for_a_slot_whose_first_is_lost_has_no_receipt() {
    let mut world = World::new();
    let keys = world.keys.clone();
    let claims = claims::trust(PEER, key(80).public(), &[key(81).public()], at(7200));
    let trust = place().draft(&claims).lineage("peer");
    let trust = accepted(&world.submit(&trust.sign(&[&keys.zone]))).evidence_id;
    let slots = |world: &World| -> Vec<Vec<u8>> {
        let slots = world.rows.iter().filter(|(table, ..)| *table == Table::Slots);
        slots.map(|(_, key, _)| key.to_vec()).collect()
    };
    let before = slots(&world);
    let first = accepted(&world.submit(&continuity(7, trust).sign(&[&keys.zone]))).evidence_id;
    let slot = slots(&world).into_iter().find(|key| !before.contains(key)).unwrap();
    let second = continuity(8, trust).sign(&[&keys.zone]);
    stops_without(&world, &second, Table::Slots, &slot);
    stops_without(&world, &second, Table::Evidence, &first.0);
}
