//! Each failure of another registry's checkpoint that `docs/protocol.md` lists, with the status, the code and the field that it lists.
//!
//! The registry is in memory, as in its own tests; the statuses are those with which a node answers.

use std::collections::BTreeSet;

use crate::support::*;
use assent_api::{Call, status_of};
use assent_proof::{
    AttestationStatus, Checkpoint, EvidenceId, EvidenceKind, Note, SigningKey, TreeHash, cosign,
    cosigner_name,
    merkle::{BatchTree, consistency_proof, leaf_hash},
    sign_note,
};
use assent_registry::Outcome;

const PEER: &str = "registry.example/us-1";
/// How many trusts one issuer may have brought checkpoints of one peer under.
const TRUSTS: u64 = 64;
/// How many slots are looked at for the last checkpoint of one issuer under one trust.
const LOOKED_AT: u64 = 1024;

/// How a refusal stands on the page: status, code, field.
type Said = (u16, String, String);

fn said(outcome: &Outcome) -> Said {
    let (code, field, _) = refusal(outcome);
    let field = match field.split_once('[') {
        Some((list, _)) => format!("{list}[n]"),
        None => field.to_owned(),
    };
    (status_of(code, Call::Submission), code.as_str().to_owned(), field)
}

/// A row of the page's table.
struct Row {
    failure: &'static str,
    status: u16,
    code: &'static str,
    fields: BTreeSet<&'static str>,
}

fn rows() -> Vec<Row> {
    let page = include_str!("../../docs/protocol.md");
    let (_, rest) = page.split_once("\n| failure | status | code | field |\n|---|---|---|---|\n").unwrap();
    rest.lines().take_while(|line| line.starts_with('|')).map(row).collect()
}

fn row(line: &'static str) -> Row {
    let cells: Vec<&'static str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
    let [failure, status, code, fields] = cells[..] else { panic!("{line}") };
    Row {
        failure,
        status: status.parse().unwrap(),
        code: code.trim_matches('`'),
        fields: fields.split('`').skip(1).step_by(2).collect(),
    }
}

fn registry_key() -> SigningKey {
    key(80)
}

fn node_keys() -> [SigningKey; 3] {
    [key(81), key(82), key(83)]
}

/// The hashes of the peer's leaves, of which the ones from the sixth on are other ones if it has forked.
fn leaves(forked: bool) -> Vec<[u8; 32]> {
    (0..20_u8).map(|n| leaf_hash(&[n, u8::from(forked && n >= 5)])).collect()
}

/// What a checkpoint of so many leaves says.
fn text(size: usize) -> String {
    let root = BatchTree::new(leaves(false)[..size].to_vec()).root();
    Checkpoint { origin: PEER.to_owned(), size: size as u64, root }.to_text()
}

/// This text, signed by the registry and by so many of its nodes.
fn note(text: &str, origin: &str, cosigners: usize) -> Note {
    signed_note(text, origin, &registry_key(), &node_keys()[..cosigners], 1_795_374_000)
}

fn written(note: &Note) -> String {
    String::from_utf8(note.to_vec()).unwrap()
}

/// This text as a note that is signed as it should be.
fn signed(text: &str) -> String {
    written(&note(text, PEER, 2))
}

fn trust_until(seconds: i64) -> Draft {
    let nodes = node_keys().map(|node| node.public());
    let claims = claims::trust(PEER, registry_key().public(), &nodes, at(seconds));
    place().draft(&claims).lineage("peer")
}

fn bringing(checkpoint: String, proof: Vec<[u8; 32]>) -> Draft {
    place().draft(&claims::continuity(checkpoint, proof)).lineage("peer")
}

/// The same with these entries as its proof, whatever they are.
fn bringing_with(entries: &[&str]) -> Draft {
    let claims = serde_json::json!({ "checkpoint": signed(&text(7)), "consistency": entries });
    raw(EvidenceKind::SynchronizationContinuity, &claims.to_string()).lineage("peer")
}

/// A registry that trusts the peer by the first statement of its zone.
struct Trusting {
    world: World,
    trust: EvidenceId,
}

impl Trusting {
    fn new() -> Self {
        Self::until(7200)
    }

    fn until(seconds: i64) -> Self {
        let mut world = World::new();
        let zone = world.keys.zone.clone();
        let trust = accepted(&world.submit(&trust_until(seconds).sign(&[&zone]))).evidence_id;
        Self { world, trust }
    }

    /// What the zone submits in its slot of this number, behind `parent`.
    fn zone(&mut self, draft: Draft, slot: u64, parent: EvidenceId) -> Outcome {
        let zone = self.world.keys.zone.clone();
        self.world.submit(&draft.slot(slot, Some(parent)).sign(&[&zone]))
    }

    /// How the zone's next statement behind the trust is refused, if it rests on the trust and on `others`.
    fn refuses(&self, draft: Draft, others: &[EvidenceId]) -> Said {
        let references = [&[self.trust][..], others].concat();
        self.refuses_resting_on(draft, &references)
    }

    fn refuses_resting_on(&self, draft: Draft, references: &[EvidenceId]) -> Said {
        let mut next = Self { world: self.world.clone(), trust: self.trust };
        said(&next.zone(draft.references(references), 1, self.trust))
    }

    /// How this checkpoint is refused.
    fn refuses_note(&self, checkpoint: String) -> Said {
        self.refuses(bringing(checkpoint, Vec::new()), &[])
    }
}

fn wrong_lengths() -> Vec<Said> {
    let trusting = Trusting::new();
    let hash = TreeHash([7; 32]).to_string();
    vec![
        trusting.refuses_note("x".repeat(8193)),
        trusting.refuses(bringing_with(&[hash.as_str(); 64]), &[]),
        trusting.refuses(bringing_with(&[hash.as_str(), "AAAA"]), &[]),
        trusting.refuses(bringing_with(&[hash.trim_end_matches('=')]), &[]),
    ]
}

fn sound() -> Draft {
    bringing(signed(&text(7)), Vec::new())
}

fn not_in_the_domain() -> Vec<Said> {
    vec![Trusting::new().refuses(sound(), &[EvidenceId([9; 32])])]
}

fn on_what_does_not_stand() -> Vec<Said> {
    let mut void = Trusting::new();
    let keys = void.world.keys.clone();
    accepted(&void.world.submit(&invalidate(void.trust).sign(&[&keys.audit])));
    let mut revoked = Trusting::new();
    let (_, attested) = revoked.world.grounds();
    let revocation = revocation(keys.attestation.public(), None).sign(&[&keys.governance[0]]);
    accepted(&revoked.world.submit(&revocation));
    let mut contested = Trusting::new();
    let (_, half) = contested.world.grounds();
    let other = attestation(AttestationStatus::Affirming, "m2").sign(&[&keys.attestation]);
    assert!(matches!(contested.world.submit(&other), Outcome::Equivocation { .. }));
    vec![
        void.refuses(sound(), &[]),
        revoked.refuses(sound(), &[attested]),
        contested.refuses(sound(), &[half]),
    ]
}

fn not_under_one_trust() -> Vec<Said> {
    let mut two = Trusting::new();
    let first = two.trust;
    let second = accepted(&two.zone(trust_until(7100), 1, first)).evidence_id;
    let of_two = said(&two.zone(sound().references(&[first, second]), 2, second));
    let over = Trusting::until(100);
    let zone = over.world.keys.zone.clone();
    let late = sound().references(&[over.trust]).slot(1, Some(over.trust)).sign(&[&zone]);
    let mut world = over.world.clone();
    vec![Trusting::new().refuses_resting_on(sound(), &[]), of_two, said(&world.submit_at(100, &late))]
}

fn no_notes() -> Vec<Said> {
    let trusting = Trusting::new();
    let good = signed(&text(7));
    let last = good.trim_end().rsplit(' ').next().unwrap();
    [
        "not a note".to_owned(),
        good.replacen("\n\n", "\n", 1),
        format!("{good}no signature\n"),
        good.replacen(last, last.trim_end_matches('='), 1),
        good.replacen(last, &last.replace(['+', '/'], "_").replacen('A', "-", 1), 1),
    ]
    .into_iter()
    .map(|checkpoint| {
        assert_ne!(checkpoint, good);
        trusting.refuses_note(checkpoint)
    })
    .collect()
}

fn too_many_signatures() -> Vec<Said> {
    let lines = "— a AAAAAAA=\n".repeat(65);
    vec![Trusting::new().refuses_note(format!("{}\n{lines}", text(7)))]
}

fn no_checkpoints() -> Vec<Said> {
    let trusting = Trusting::new();
    let good = text(7);
    [
        good.replacen("\n7\n", "\n", 1),
        format!("{good}more\n"),
        good.replacen("\n7\n", "\n07\n", 1),
        good.replacen("\n7\n", "\n18446744073709551616\n", 1),
        good.replacen("\n7\n", "\n0\n", 1),
    ]
    .iter()
    .map(|text| {
        assert_ne!(*text, good);
        trusting.refuses_note(signed(text))
    })
    .collect()
}

fn of_another_origin() -> Vec<Said> {
    let other = "registry.example/us-2";
    let checkpoint = written(&note(&text(7).replacen(PEER, other, 1), other, 2));
    vec![Trusting::new().refuses_note(checkpoint)]
}

fn with_a_line_that_does_not_verify() -> Vec<Said> {
    let trusting = Trusting::new();
    // Of the registry, and of the third node, each beside lines that suffice without it.
    let (mut of_registry, mut of_node) = (note(&text(7), PEER, 2), note(&text(7), PEER, 2));
    of_registry.signatures.push(sign_note(&text(8), PEER, &registry_key()));
    let [_, _, third] = node_keys();
    let name = cosigner_name(PEER, &third.public());
    of_node.signatures.push(cosign(&text(8), &name, &third, 1_795_374_000));
    [of_registry, of_node].iter().map(|note| trusting.refuses_note(written(note))).collect()
}

fn not_signed_by_all_that_must() -> Vec<Said> {
    let trusting = Trusting::new();
    let mut without_registry = note(&text(7), PEER, 3);
    without_registry.signatures.remove(0);
    [without_registry, note(&text(7), PEER, 1)]
        .iter()
        .map(|note| trusting.refuses_note(written(note)))
        .collect()
}

fn under_one_trust_too_many() -> Vec<Said> {
    let mut trusting = Trusting::new();
    let (mut slot, mut trust) = (1, trusting.trust);
    for n in 1..=TRUSTS {
        let proven = bringing(signed(&text(7)), Vec::new()).references(&[trust]);
        let parent = accepted(&trusting.zone(proven, slot, trust)).evidence_id;
        let next = trust_until(7200 - i64::try_from(n).unwrap());
        trust = accepted(&trusting.zone(next, slot + 1, parent)).evidence_id;
        slot += 2;
    }
    vec![said(&trusting.zone(sound().references(&[trust]), slot, trust))]
}

fn behind_too_many_that_are_void() -> Vec<Said> {
    let mut trusting = Trusting::new();
    let (keys, trust) = (trusting.world.keys.clone(), trusting.trust);
    let mut brought = vec![trust];
    for slot in 1..=LOOKED_AT + 1 {
        let parent = *brought.last().unwrap();
        brought.push(accepted(&trusting.zone(sound().references(&[trust]), slot, parent)).evidence_id);
    }
    for id in &brought[1..] {
        accepted(&trusting.world.submit(&invalidate(*id).sign(&[&keys.audit])));
    }
    let parent = *brought.last().unwrap();
    vec![said(&trusting.zone(sound().references(&[trust]), LOOKED_AT + 2, parent))]
}

fn not_extending() -> Vec<Said> {
    let mut trusting = Trusting::new();
    let trust = trusting.trust;
    let first =
        trusting.refuses(bringing(signed(&text(12)), consistency_proof(&leaves(false)[..12], 7)), &[]);
    let before = accepted(&trusting.zone(sound().references(&[trust]), 1, trust)).evidence_id;
    let fork = leaves(true);
    let root = BatchTree::new(fork[..12].to_vec()).root();
    let forked = Checkpoint { origin: PEER.to_owned(), size: 12, root }.to_text();
    let forked = bringing(signed(&forked), consistency_proof(&fork[..12], 7));
    let without_proof = bringing(signed(&text(12)), Vec::new());
    let smaller = bringing(signed(&text(5)), Vec::new());
    let mut found = vec![first];
    for draft in [forked, without_proof, smaller] {
        found.push(said(&trusting.zone(draft.references(&[trust]), 2, before)));
    }
    found
}

#[test]
fn each_failure_of_a_peers_checkpoint_is_refused_as_the_protocols_page_says() {
    let produced: [(&str, Vec<Said>); 13] = [
        ("`checkpoint` is over its length", wrong_lengths()),
        ("a reference is not in the domain", not_in_the_domain()),
        ("a reference, which may be the trust, is or rests on something void", on_what_does_not_stand()),
        ("the statement references no trust or more than one, or the trust is over", not_under_one_trust()),
        ("the checkpoint is not a note", no_notes()),
        ("the note has more than 64 signature lines", too_many_signatures()),
        ("the note's text is not three lines", no_checkpoints()),
        ("the note's origin is not the trust's `peer`", of_another_origin()),
        ("a signature line under the name and key id of `registryKey`", with_a_line_that_does_not_verify()),
        ("`registryKey` has not signed the note", not_signed_by_all_that_must()),
        ("its issuer has brought checkpoints of this peer under 64 other trusts", under_one_trust_too_many()),
        (
            "to find the last checkpoint, the node would have to read more than 1,024 slots",
            behind_too_many_that_are_void(),
        ),
        ("the checkpoint does not extend the last one", not_extending()),
    ];
    let rows = rows();
    assert_eq!(rows.len(), produced.len(), "as many failures are produced as the page lists");
    for (row, (begins, produced)) in rows.iter().zip(&produced) {
        let failure = row.failure;
        assert!(failure.starts_with(*begins), "`{failure}` is not where `{begins}` is expected");
        for (status, code, _) in produced {
            assert_eq!((*status, code.as_str()), (row.status, row.code), "{failure}");
        }
        let fields: BTreeSet<&str> = produced.iter().map(|(_, _, field)| field.as_str()).collect();
        assert_eq!(fields, row.fields, "{failure}");
    }
}
