//! Other registries: trust in one, and checkpoints of it that extend one another.

use crate::support::*;
use assent_proof::{
    Checkpoint, Code, EvidenceId, EvidenceKind, Of, PolicyBody, PublicKey, Requirement, Role, SigningKey,
    merkle::{BatchTree, consistency_proof, leaf_hash},
};
use assent_registry::{Outcome, RowError, RowsMut, Table, apply};
use proptest::prelude::*;

const PEER: &str = "registry.example/us-1";
/// When its nodes cosign, in seconds since 1970.
const COSIGNED_AT: u64 = 1_795_374_000;

/// The other registry: its keys and a ledger.
struct Peer {
    registry: SigningKey,
    nodes: Vec<SigningKey>,
    leaves: Vec<[u8; 32]>,
}

impl Peer {
    fn new(salt: u8) -> Self {
        let leaves = (0..20_u8).map(|n| leaf_hash(&[n, if n < 5 { 0 } else { salt }])).collect();
        Self { registry: key(80), nodes: (81..84).map(key).collect(), leaves }
    }

    fn root(&self, size: usize) -> [u8; 32] {
        BatchTree::new(self.leaves[..size].to_vec()).root()
    }

    /// A checkpoint of so many leaves, cosigned by so many nodes.
    fn checkpoint(&self, size: usize, cosigners: usize) -> String {
        let root = self.root(size);
        let text = Checkpoint { origin: PEER.to_owned(), size: size as u64, root }.to_text();
        signed_note(&text, PEER, &self.registry, &self.nodes[..cosigners], COSIGNED_AT).to_string()
    }

    fn trust(&self) -> Draft {
        self.trust_until(7200)
    }

    fn trust_until(&self, seconds: i64) -> Draft {
        trust_in(PEER, self.registry.public(), self.node_keys(), seconds)
    }

    fn node_keys(&self) -> Vec<PublicKey> {
        self.nodes.iter().map(SigningKey::public).collect()
    }

    /// The peer has `size` leaves, and had `before`.
    fn continuity(&self, before: usize, size: usize, trust: EvidenceId) -> Draft {
        let proof = match before {
            0 => Vec::new(),
            _ => consistency_proof(&self.leaves[..size], before),
        };
        continuity(self.checkpoint(size, 2), proof).references(&[trust])
    }
}

fn trust_in(peer: &str, registry_key: PublicKey, node_keys: Vec<PublicKey>, seconds: i64) -> Draft {
    place().draft(&claims::trust(peer, registry_key, &node_keys, at(seconds))).lineage("peer")
}

fn continuity(checkpoint: String, proof: Vec<[u8; 32]>) -> Draft {
    place().draft(&claims::continuity(checkpoint, proof)).lineage("peer")
}

/// A domain that requires a checkpoint of the peer that is younger than five minutes.
fn world() -> World {
    World::with_policy(PolicyBody {
        require: vec![Requirement {
            kind: EvidenceKind::SynchronizationContinuity,
            of: Of::Runtime,
            min_issuers: 1,
            max_age_seconds: Some(300),
        }],
        ..attested_policy()
    })
}

/// The world, the peer, and the accepted trust in it; the zone's next slot is 1.
fn trusting() -> (World, Peer, EvidenceId) {
    let mut world = world();
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    let peer = Peer::new(1);
    let trust = accepted(&world.submit(&peer.trust().sign(&[&keys.zone]))).evidence_id;
    (world, peer, trust)
}

fn asked() -> assent_proof::AuthorizeRequest {
    assent_proof::AuthorizeRequest { runtime: Some("peer".parse().unwrap()), ..request() }
}

/// Rule R121.
#[test]
fn checkpoints_that_extend_one_another_under_a_trust_count() {
    let (mut world, peer, trust) = trusting();
    let keys = world.keys.clone();
    assert_eq!(codes(&world.decide_at(0, &asked())), [Code::EvidenceMissing]);
    let first = peer.continuity(0, 7, trust).slot(1, Some(trust)).sign(&[&keys.zone]);
    let first = accepted(&world.submit(&first)).evidence_id;
    assert!(world.decide_at(0, &asked()).is_allow());
    let second = peer.continuity(7, 12, trust).slot(2, Some(first)).sign(&[&keys.zone]);
    let second = accepted(&world.submit_at(200, &second)).evidence_id;
    let same = peer.continuity(12, 12, trust).issued(at(1)).slot(3, Some(second)).sign(&[&keys.zone]);
    accepted(&world.submit_at(200, &same));
    assert_eq!(codes(&world.decide_at(501, &asked())), [Code::RuntimeStale]);
}

/// Rule R121.
#[test]
fn a_checkpoint_that_does_not_extend_the_last_one_is_divergence() {
    let (mut world, peer, trust) = trusting();
    let keys = world.keys.clone();
    let first = peer.continuity(0, 7, trust).slot(1, Some(trust)).sign(&[&keys.zone]);
    let first = accepted(&world.submit(&first)).evidence_id;
    let before = world.rows.clone();
    let forked = Peer::new(2);
    for draft in [
        forked.continuity(7, 12, trust),
        forked.continuity(0, 7, trust),
        peer.continuity(0, 12, trust),
        peer.continuity(6, 12, trust),
        peer.continuity(0, 5, trust),
        continuity(peer.checkpoint(12, 2), consistency_proof(&peer.leaves[..13], 7)).references(&[trust]),
    ] {
        let outcome = world.submit(&draft.slot(2, Some(first)).sign(&[&keys.zone]));
        assert_eq!(refused(&outcome), Code::RegistryDiverged);
    }
    assert_eq!(world.rows, before);
}

/// Rules R117, R118, R119.
#[test]
fn a_checkpoint_counts_only_under_one_trust_and_its_keys() {
    let (mut world, peer, trust) = trusting();
    let keys = world.keys.clone();
    let before = world.rows.clone();
    let proofless = |checkpoint: String| continuity(checkpoint, Vec::new()).references(&[trust]);
    let mut stranger = Peer::new(1);
    stranger.registry = key(90);
    let altered = peer.checkpoint(7, 2).replace("\n7\n", "\n8\n");
    for (draft, code) in [
        (proofless(peer.checkpoint(7, 1)), Code::UnsignedEvidence),
        (proofless(stranger.checkpoint(7, 2)), Code::UnsignedEvidence),
        (proofless(altered), Code::SignatureInvalid),
        (proofless("not a note".to_owned()), Code::Malformed),
        (continuity(peer.checkpoint(7, 2), Vec::new()), Code::InheritanceUnverifiable),
    ] {
        let outcome = world.submit(&draft.slot(1, Some(trust)).sign(&[&keys.zone]));
        assert_eq!(refused(&outcome), code);
    }
    let by_audit = peer.continuity(0, 7, trust).sign(&[&keys.audit]);
    assert_eq!(refused(&world.submit(&by_audit)), Code::RoleNotPermitted);
    assert_eq!(world.rows, before);
}

/// Rules R46, R104, R117.
#[test]
fn a_trust_that_is_over_or_void_carries_nothing() {
    let mut world = world();
    let keys = world.keys.clone();
    accepted(&world.submit(&authorization(&["run"]).sign(&[&keys.governance[0]])));
    let peer = Peer::new(1);
    let over = peer.trust_until(-1).sign(&[&keys.zone]);
    assert_eq!(refused(&world.submit(&over)), Code::TimesInvalid);
    let trust = accepted(&world.submit(&peer.trust_until(100).sign(&[&keys.zone]))).evidence_id;
    let first = peer.continuity(0, 7, trust).slot(1, Some(trust)).sign(&[&keys.zone]);
    let first = accepted(&world.submit(&first)).evidence_id;
    let decision = world.decide_at(95, &asked());
    assert!(decision.is_allow());
    assert_eq!(decision.valid_until, ms(100), "no longer than the trust");
    assert_eq!(codes(&world.decide_at(100, &asked())), [Code::InheritanceUnverifiable]);
    let late = peer.continuity(7, 9, trust).slot(2, Some(first)).sign(&[&keys.zone]);
    assert_eq!(refused(&world.submit_at(100, &late)), Code::InheritanceUnverifiable);
    accepted(&world.submit_at(100, &invalidate(trust).sign(&[&keys.audit])));
    assert!(codes(&world.decide_at(50, &asked())).contains(&Code::InheritanceUnverifiable));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Rule R121.
    #[test]
    fn a_slot_filled_twice_ends_alike_and_what_follows_extends_both(one in 6_usize..12, other in 6_usize..12, next in 12_usize..18) {
        prop_assume!(one != other);
        let mut ends = Vec::new();
        for (first, second) in [(one, other), (other, one)] {
            let (mut world, peer, trust) = trusting();
            let keys = world.keys.clone();
            let half = |size| peer.continuity(0, size, trust).slot(1, Some(trust)).sign(&[&keys.zone]);
            let head = accepted(&world.submit(&half(first))).evidence_id;
            let second = world.submit(&half(second));
            prop_assert!(matches!(second, Outcome::Equivocation { .. }), "{second:?}");
            let outcomes: Vec<Code> = [one, other]
                .map(|before| {
                    let next = peer.continuity(before, next, trust).slot(2, Some(head)).sign(&[&keys.zone]);
                    refused(&world.submit(&next))
                })
                .to_vec();
            ends.push((outcomes, codes(&world.decide_at(0, &asked()))));
        }
        prop_assert_eq!(&ends[0], &ends[1]);
    }
}

/// Rule R122.
#[test]
fn a_void_checkpoint_is_passed_over_and_the_honest_one_extends_what_stands() {
    // A thief of one zone key submits a trust in keys of its own under the peer's name, and the largest
    // possible checkpoint.
    let (mut world, peer, trust) = trusting();
    let keys = world.keys.clone();
    let thief = key(95);
    world.govern(grant(thief.public(), assent_proof::Role::Zone), &[&thief]);
    let own = Peer { registry: key(96), nodes: vec![key(97)], leaves: Vec::new() };
    let false_trust = accepted(&world.submit_at(20, &own.trust().sign(&[&thief]))).evidence_id;
    let mut parent = false_trust;
    for many in 0..1100_u64 {
        let size = (1_u64 << 63) - 1;
        let text = Checkpoint { origin: PEER.to_owned(), size, root: [9; 32] }.to_text();
        let note = signed_note(&text, PEER, &own.registry, &own.nodes, COSIGNED_AT + many);
        let slot =
            continuity(note.to_string(), Vec::new()).references(&[false_trust]).slot(1 + many, Some(parent));
        parent = accepted(&world.submit_at(20, &slot.sign(&[&thief]))).evidence_id;
    }
    let honest = peer.continuity(0, 7, trust).slot(1, Some(trust)).sign(&[&keys.zone]);
    assert_eq!(refused(&world.submit_at(25, &honest)), Code::RegistryDiverged);
    let revoked = revocation(thief.public(), Some(at(10))).sign(&[&keys.governance[0]]);
    accepted(&world.submit_at(30, &revoked));
    let first = accepted(&world.submit_at(30, &honest)).evidence_id;
    // The next checkpoint extends the last one that stands.
    let forked = Peer::new(2).continuity(7, 12, trust).slot(2, Some(first)).sign(&[&keys.zone]);
    assert_eq!(refused(&world.submit_at(31, &forked)), Code::RegistryDiverged);
    let next = peer.continuity(7, 12, trust).slot(2, Some(first)).sign(&[&keys.zone]);
    accepted(&world.submit_at(31, &next));
}

#[test]
fn what_follows_a_void_checkpoint_extends_the_one_before_it() {
    let (mut world, peer, trust) = trusting();
    let keys = world.keys.clone();
    let first = peer.continuity(0, 7, trust).slot(1, Some(trust)).sign(&[&keys.zone]);
    let first = accepted(&world.submit(&first)).evidence_id;
    let second = peer.continuity(7, 12, trust).slot(2, Some(first)).sign(&[&keys.zone]);
    let second = accepted(&world.submit(&second)).evidence_id;
    accepted(&world.submit(&invalidate(second).sign(&[&keys.audit])));
    let fork = Peer::new(2);
    for (draft, expected) in [
        (fork.continuity(7, 9, trust), Some(Code::RegistryDiverged)),
        (peer.continuity(12, 15, trust), Some(Code::RegistryDiverged)),
        (peer.continuity(7, 9, trust), None),
    ] {
        let outcome = world.submit(&draft.slot(3, Some(second)).sign(&[&keys.zone]));
        match expected {
            Some(code) => assert_eq!(refused(&outcome), code),
            None => drop(accepted(&outcome)),
        }
    }
}

/// The zone's slot 1 holds two statements, of which the second one to be named is canonical: a checkpoint of the peer.
fn won_by_a_checkpoint(first: &Draft, checkpoint: &Draft, swapped: bool) -> (World, EvidenceId) {
    let (mut world, _, trust) = trusting();
    let keys = world.keys.clone();
    let place = |draft: &Draft| draft.clone().slot(1, Some(trust)).sign(&[&keys.zone]);
    let (loses, wins) = (place(first), place(checkpoint));
    for bytes in if swapped { [&wins, &loses] } else { [&loses, &wins] } {
        assert!(!matches!(world.submit(bytes), Outcome::Refused { .. }));
    }
    let (loses, wins) = (id_of(&loses), id_of(&wins));
    world.govern(reconciliation([loses, wins], wins), &[]);
    (world, wins)
}

#[test]
fn what_follows_a_checkpoint_that_won_its_slot_extends_it_whatever_the_other_half_was() {
    let (_, peer, trust) = trusting();
    let fork = Peer::new(2);
    for other in [peer.trust().issued(at(-1)), peer.continuity(0, 6, trust).issued(at(-1))] {
        for swapped in [false, true] {
            let (mut world, wins) = won_by_a_checkpoint(&other, &peer.continuity(0, 7, trust), swapped);
            let keys = world.keys.clone();
            for (draft, refused_with) in [
                (fork.continuity(7, 9, trust), Some(Code::RegistryDiverged)),
                (peer.continuity(0, 9, trust), Some(Code::RegistryDiverged)),
                (peer.continuity(7, 9, trust), None),
            ] {
                let outcome = world.submit(&draft.slot(2, Some(wins)).sign(&[&keys.zone]));
                match refused_with {
                    Some(code) => assert_eq!(refused(&outcome), code, "swapped: {swapped}"),
                    None => drop(accepted(&outcome)),
                }
            }
        }
    }
}

/// Rule R122.
#[test]
fn a_trust_that_was_made_void_hides_however_many_checkpoints_it_carried() {
    let (mut world, peer, trust) = trusting();
    let keys = world.keys.clone();
    let mut parent = trust;
    for n in 0..1030_u64 {
        let size = 7;
        let issued = at(-i64::try_from(n % 200).unwrap());
        let again = peer.continuity(if n == 0 { 0 } else { size }, size, trust).issued(issued);
        parent =
            accepted(&world.submit_at(10, &again.slot(n + 1, Some(parent)).sign(&[&keys.zone]))).evidence_id;
    }
    accepted(&world.submit_at(20, &invalidate(trust).sign(&[&keys.audit])));
    let renewed = peer.trust().issued(at(-1)).slot(1031, Some(parent)).sign(&[&keys.zone]);
    let renewed = accepted(&world.submit_at(20, &renewed)).evidence_id;
    let first = peer.continuity(0, 9, renewed).slot(1032, Some(renewed)).sign(&[&keys.zone]);
    accepted(&world.submit_at(20, &first));
}

/// Rule R123.
#[test]
fn a_checkpoint_after_more_void_ones_than_the_bound_is_in_doubt_and_cannot_be_extended() {
    let (mut world, peer, trust) = trusting();
    let keys = world.keys.clone();
    let (mut parent, mut brought) = (trust, Vec::new());
    for n in 0..1030_u64 {
        let issued = at(-i64::try_from(n % 200).unwrap());
        let again = peer.continuity(if n == 0 { 0 } else { 7 }, 7, trust).issued(issued);
        parent =
            accepted(&world.submit_at(10, &again.slot(n + 1, Some(parent)).sign(&[&keys.zone]))).evidence_id;
        brought.push(parent);
    }
    let voids = |world: &mut World, id: EvidenceId| {
        accepted(&world.submit_at(20, &invalidate(id).sign(&[&keys.audit])));
    };
    // The last one that stands is the 1,024th that is looked at.
    for id in &brought[7..] {
        voids(&mut world, *id);
    }
    let next = peer.continuity(7, 9, trust).slot(1031, Some(parent)).sign(&[&keys.zone]);
    accepted(&world.clone().submit_at(20, &next));
    voids(&mut world, brought[6]);
    let outcome = world.submit_at(20, &next);
    let (code, field, _) = refusal(&outcome);
    assert_eq!((code, field), (Code::InheritanceUnverifiable, "predicate.claims.checkpoint"));
}

/// Rule R116.
#[test]
fn a_trust_is_over_when_its_own_statement_expires() {
    let mut world = world();
    let keys = world.keys.clone();
    let peer = Peer::new(1);
    let trust = peer.trust().expires(at(100)).sign(&[&keys.zone]);
    let trust = accepted(&world.submit(&trust)).evidence_id;
    let late = peer.continuity(0, 7, trust).slot(1, Some(trust)).sign(&[&keys.zone]);
    assert_eq!(refused(&world.submit_at(100, &late)), Code::InheritanceUnverifiable);
    accepted(&world.submit_at(99, &late));
}

/// Rule R122.
#[test]
fn a_revoked_keys_statement_is_judged_at_most_once_whatever_it_rests_on() {
    // A thief of a zone key submits 64 trusts, each on 63 others, and a checkpoint under each.
    let (mut world, peer, trust) = trusting();
    let keys = world.keys.clone();
    let thief = key(95);
    world.govern(grant(thief.public(), assent_proof::Role::Zone), &[&thief]);
    let mut own = Peer::new(1);
    own.registry = key(96);
    let mut cheap = Vec::new();
    for n in 0..64 * 63_u64 {
        let draft = own.trust_until(100 + i64::try_from(n).unwrap()).lineage("cheap");
        let bytes = draft.slot(n, cheap.last().copied()).sign(&[&thief]);
        cheap.push(accepted(&world.submit_at(20, &bytes)).evidence_id);
    }
    let mut parent = None;
    for (n, rests_on) in (0_u64..).zip(cheap.chunks(63)) {
        let draft = own.trust_until(5000 + i64::try_from(n).unwrap()).references(rests_on).lineage("trusts");
        let trust = draft.slot(2 * n, parent).sign(&[&thief]);
        let trust = accepted(&world.submit_at(20, &trust)).evidence_id;
        let checkpoint = own.continuity(if n == 0 { 0 } else { 7 }, 7, trust).lineage("trusts");
        let checkpoint = checkpoint.slot(2 * n + 1, Some(trust)).sign(&[&thief]);
        match world.submit_at(20, &checkpoint) {
            Outcome::Accepted { receipt, .. } => parent = Some(receipt.evidence_id),
            // While its key counts, the last of them are too much for the thief itself.
            refused => {
                assert!(n > 30, "{n}: {refused:?}");
                break;
            }
        }
    }
    accepted(&world.submit_at(30, &revocation(thief.public(), Some(at(10))).sign(&[&keys.governance[0]])));
    let honest = peer.continuity(0, 7, trust).slot(1, Some(trust)).sign(&[&keys.zone]);
    accepted(&world.submit_at(30, &honest));
}

/// Rule R115.
#[test]
fn a_trust_is_in_another_registry_and_in_keys_that_are_none_of_this_one() {
    let mut world = world();
    let keys = world.keys.clone();
    let peer = Peer::new(1);
    let (registry, nodes) = (peer.registry.public(), peer.node_keys());
    let with = |key: &SigningKey| [peer.node_keys(), vec![key.public()]].concat();
    // A removed node: its signatures still belong to this registry.
    let gone = key(64);
    let granted = grant(gone.public(), Role::Registry).domain("_root");
    accepted(&world.submit_to_root(0, granted, &[&keys.root, &gone]));
    accepted(&world.submit(&revocation(gone.public(), None).domain("_root").sign(&[&keys.root])));
    let before = world.rows.clone();
    for (name, registry, nodes, field) in [
        (ORIGIN, registry, nodes.clone(), "predicate.claims.peer"),
        (PEER, keys.checkpoint.public(), nodes.clone(), "predicate.claims.registryKey"),
        (PEER, keys.node.public(), nodes.clone(), "predicate.claims.registryKey"),
        (PEER, gone.public(), nodes, "predicate.claims.registryKey"),
        (PEER, registry, with(&keys.checkpoint), "predicate.claims.nodeKeys"),
        (PEER, registry, with(&keys.node), "predicate.claims.nodeKeys"),
        (PEER, registry, with(&gone), "predicate.claims.nodeKeys"),
        (PEER, registry, with(&peer.registry), "predicate.claims.registryKey"),
    ] {
        let outcome = world.submit(&trust_in(name, registry, nodes, 7200).sign(&[&keys.zone]));
        let (code, at_field, detail) = refusal(&outcome);
        assert_eq!((code, at_field), (Code::ClaimsInvalid, field), "{detail}");
    }
    assert_eq!(world.rows, before);
    accepted(&world.submit(&peer.trust().sign(&[&keys.zone])));
}

#[test]
fn a_checkpoint_of_no_leaves_is_of_the_empty_tree() {
    let (mut world, peer, trust) = trusting();
    let keys = world.keys.clone();
    let of_no_leaves = |root: [u8; 32]| {
        let text = Checkpoint { origin: PEER.to_owned(), size: 0, root }.to_text();
        let note = signed_note(&text, PEER, &peer.registry, &peer.nodes, COSIGNED_AT);
        continuity(note.to_string(), Vec::new()).references(&[trust]).slot(1, Some(trust)).sign(&[&keys.zone])
    };
    let outcome = world.submit(&of_no_leaves([9; 32]));
    let (code, field, detail) = refusal(&outcome);
    assert_eq!((code, field), (Code::Malformed, "predicate.claims.checkpoint"), "{detail}");
    let empty = accepted(&world.submit(&of_no_leaves(peer.root(0)))).evidence_id;
    let next = peer.continuity(0, 7, trust).slot(2, Some(empty)).sign(&[&keys.zone]);
    accepted(&world.submit(&next));
}

/// Hides each row about peers, one at a time, and submits an envelope that is a fork. Answers the hidden rows
/// with which the fork is still refused as one. With every other row hidden, the damage is found.
fn with_a_hidden_row(world: &World, fork: &[u8]) -> Vec<Vec<u8>> {
    let of_peers = world.rows.iter().filter(|(table, ..)| *table == Table::Peers);
    let keys: Vec<Vec<u8>> = of_peers.map(|(_, key, _)| key.to_vec()).collect();
    let refuses = |hidden: &Vec<u8>| {
        let mut rows = world.rows.clone();
        rows.delete(Table::Peers, hidden).unwrap();
        match apply(&mut rows, world.known, ms(0), &[group_of(false, vec![unverified(fork)])]) {
            Ok(outcomes) => {
                assert_eq!(refused(&outcomes[0][0]), Code::RegistryDiverged);
                true
            }
            Err(RowError::Mutated { table: Table::Peers, .. }) => false,
            Err(other) => panic!("{other:?}"),
        }
    };
    keys.into_iter().filter(refuses).collect()
}

/// Rule R124.
#[test]
fn a_row_of_a_peer_that_damage_hid_is_missed_and_makes_no_fork_a_first_checkpoint() {
    let (mut world, peer, trust) = trusting();
    let keys = world.keys.clone();
    let fork = Peer::new(2);
    let first = peer.continuity(0, 7, trust).slot(1, Some(trust)).sign(&[&keys.zone]);
    let first = accepted(&world.submit(&first)).evidence_id;
    let as_first = fork.continuity(0, 9, trust);
    let hidden = with_a_hidden_row(&world, &as_first.clone().slot(2, Some(first)).sign(&[&keys.zone]));
    assert!(hidden.is_empty(), "{hidden:?}");
    // Of three, the newest is void, and the one before it is what the next has to extend.
    let second = peer.continuity(7, 12, trust).slot(2, Some(first)).sign(&[&keys.zone]);
    let second = accepted(&world.submit(&second)).evidence_id;
    let third = peer.continuity(12, 15, trust).slot(3, Some(second)).sign(&[&keys.zone]);
    let third = accepted(&world.submit(&third)).evidence_id;
    accepted(&world.submit(&invalidate(third).sign(&[&keys.audit])));
    for draft in [as_first, fork.continuity(7, 9, trust), fork.continuity(12, 16, trust)] {
        let hidden = with_a_hidden_row(&world, &draft.slot(4, Some(third)).sign(&[&keys.zone]));
        assert_eq!(hidden.len(), 1, "only the oldest is not looked at: {hidden:?}");
    }
}

/// Rule R124.
#[test]
fn a_row_of_a_peer_that_damage_hid_is_missed_where_its_issuer_was_revoked() {
    let (mut world, peer, trust) = trusting();
    let keys = world.keys.clone();
    let other = key(95);
    world.govern(grant(other.public(), Role::Zone), &[&other]);
    let mut parent = trust;
    for (slot, before, size, seconds) in [(1, 0, 7, 0), (2, 7, 9, 5), (3, 9, 12, 20)] {
        let next = peer.continuity(before, size, trust).slot(slot, Some(parent)).sign(&[&keys.zone]);
        parent = accepted(&world.submit_at(seconds, &next)).evidence_id;
    }
    let revoked = revocation(keys.zone.public(), Some(at(10))).sign(&[&keys.governance[0]]);
    accepted(&world.submit_at(30, &revoked));
    let renewed = accepted(&world.submit_at(30, &peer.trust().sign(&[&other]))).evidence_id;
    for fork in [Peer::new(2).continuity(0, 13, renewed), Peer::new(2).continuity(7, 13, renewed)] {
        let hidden = with_a_hidden_row(&world, &fork.slot(1, Some(renewed)).sign(&[&other]));
        assert_eq!(hidden.len(), 1, "only the oldest is not looked at: {hidden:?}");
    }
    let honest = peer.continuity(9, 13, renewed).slot(1, Some(renewed)).sign(&[&other]);
    accepted(&world.submit_at(30, &honest));
}

/// Rule R121.
#[test]
fn a_second_half_takes_its_place_among_the_checkpoints_of_its_time() {
    for (size, slots) in [(5, ["renewal", "5", "9"]), (7, ["5", "renewal", "9"])] {
        let (mut world, peer, trust) = trusting();
        let keys = world.keys.clone();
        let mut parents = vec![trust];
        let mut last = 0;
        for (slot, what) in (1_u64..).zip(slots) {
            let draft = match what.parse::<usize>() {
                Ok(size) => peer.continuity(std::mem::replace(&mut last, size), size, trust),
                Err(_) => peer.trust().issued(at(-1)),
            };
            let bytes = draft.slot(slot, parents.last().copied()).sign(&[&keys.zone]);
            parents.push(accepted(&world.submit(&bytes)).evidence_id);
        }
        // The rows are worked out anew after each of these.
        let slot = 1 + slots.iter().position(|what| *what == "renewal").unwrap();
        let second = peer.continuity(0, size, trust).issued(at(-2));
        let second = second.slot(slot as u64, Some(parents[slot - 1])).sign(&[&keys.zone]);
        assert!(matches!(world.submit(&second), Outcome::Equivocation { .. }));
        let next = peer.continuity(9, 12, trust).slot(4, parents.last().copied()).sign(&[&keys.zone]);
        accepted(&world.submit(&next));
    }
}
