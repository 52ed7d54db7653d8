//! The other registries that ledgers name: their keys, their trees, and the checkpoints that they sign.
//!
//! Each has two histories that begin alike, so that it can state one history to one reader and the other to another.
//! This module draws their statements for the random ledgers and for the simulation's callers alike. Most of what it
//! draws is right, and the rest is wrong in one way.

use assent_fixtures::signed_note;
use assent_proof::{
    BatchTree, Checkpoint, Claims, EvidenceId, EvidenceKind, Note, PublicKey, Seconds, SigningKey, TreeHash,
    consistency_proof, leaf_hash,
};

use super::draw::NOTHING;
use super::keys::{self, NODE, key, public};
use crate::sim::dice::Dice;

/// The number of peers.
const PEERS: u8 = 2;
/// The largest tree of any in a random ledger.
pub(super) const SIZE_MAX: u8 = 14;
/// This many first leaves are the same in both histories.
const COMMON: u8 = 3;

/// One of the two histories of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Peer {
    number: u8,
    forked: bool,
}

/// The name of a peer.
fn origin(number: u8) -> String {
    format!("peer.test/{number}")
}

/// The number of a peer, if it is one of these.
pub(crate) fn number(of: &str) -> Option<u8> {
    (0..PEERS).find(|number| origin(*number) == of)
}

/// The number of the key that signs its checkpoints.
pub(super) fn registry_key(number: u8) -> u8 {
    90_u8.saturating_add(number.saturating_mul(10))
}

/// The numbers of its nodes' keys.
fn node_keys(number: u8) -> [u8; 3] {
    [1, 2, 3].map(|node| registry_key(number).saturating_add(node))
}

/// The keys of an impostor that takes this peer's name: one for the registry, and one for its only node.
fn stolen_name(number: u8) -> (u8, [u8; 1]) {
    (registry_key(number).saturating_add(4), [registry_key(number).saturating_add(5)])
}

impl Peer {
    fn leaves(self, size: u8) -> Vec<[u8; 32]> {
        let leaf = |at: u8| leaf_hash(&[self.number, at, u8::from(self.forked && at >= COMMON)]);
        (0..size).map(leaf).collect()
    }

    /// Its checkpoint of this many leaves.
    fn checkpoint(self, size: u8) -> Checkpoint {
        let root = BatchTree::new(self.leaves(size)).root();
        Checkpoint { origin: origin(self.number), size: u64::from(size), root }
    }

    /// The proof that a tree extends a smaller one of this history; empty for the first and for an equal one.
    fn proof(self, before: u8, size: u8) -> Vec<TreeHash> {
        let hashes = consistency_proof(&self.leaves(size), usize::from(before));
        hashes.into_iter().map(TreeHash).collect()
    }

    /// The history in which a checkpoint lies: the second one only if it is not in the first.
    fn of(number: u8, checkpoint: &Checkpoint) -> Self {
        let honest = Peer { number, forked: false };
        let size = u8::try_from(checkpoint.size).unwrap_or(0);
        Peer { number, forked: honest.checkpoint(size).root != checkpoint.root }
    }
}

/// A checkpoint as a note with the signature lines of these keys: the first signs as the registry of that name, the
/// others cosign as its nodes.
fn note(checkpoint: &Checkpoint, name: &str, registry: u8, nodes: &[u8], at: Seconds) -> Note {
    let nodes: Vec<SigningKey> = nodes.iter().map(|node| key(*node)).collect();
    let seconds = u64::try_from(at.0).unwrap_or(0);
    signed_note(&checkpoint.to_text(), name, &key(registry), &nodes, seconds)
}

/// The checkpoint in a note, if it has one.
pub(crate) fn said(note: &str) -> Option<Checkpoint> {
    Checkpoint::parse(&Note::parse(note.as_bytes()).ok()?.text).ok()
}

/// The next statement of a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next {
    history: Peer,
    /// The size that its proof begins with.
    before: u8,
    size: u8,
}

/// The evidence kind of a trust or of a checkpoint.
pub(crate) fn kind(dice: &mut Dice) -> EvidenceKind {
    if dice.chance(1, 3) { EvidenceKind::SovereignTrust } else { EvidenceKind::SynchronizationContinuity }
}

/// A trust in a peer. Sometimes it ends soon or has ended, or names keys that are not that peer's.
pub(crate) fn trust(dice: &mut Dice, now: Seconds) -> Claims {
    let number = u8::from(dice.chance(1, 5));
    let (registry, nodes) = match dice.below(9) {
        0 => {
            let (registry, nodes) = stolen_name(number);
            (registry, nodes.to_vec())
        }
        1 => (registry_key(number), node_keys(number).into_iter().take(2).collect()),
        _ => (registry_key(number), node_keys(number).to_vec()),
    };
    let lasts = match dice.below(14) {
        0 => 0,
        1 | 2 => 12,
        3 => 30,
        _ => 5000,
    };
    Claims::SovereignTrust {
        peer: origin(number),
        registry_key: public(registry),
        node_keys: nodes.iter().map(|node| public(*node)).collect(),
        not_after: now.saturating_add(lasts),
    }
}

/// The trust under which a checkpoint is submitted: mostly one that can carry it, and often the newest of these.
pub(crate) fn one_trust<T: Copy>(dice: &mut Dice, all: &[T], able: &[T]) -> Option<T> {
    match dice.below(16) {
        0 => dice.pick(all).copied(),
        1..=8 => able.last().copied(),
        _ => dice.pick(able).copied(),
    }
}

/// The next checkpoint of a peer, after those that it stated, which stand or not. Mostly it extends the last one that
/// stands. Sometimes it has fewer leaves, is the same again, or belongs to the other history. Its tree has at most the
/// given number of leaves.
pub(crate) fn next<T>(
    dice: &mut Dice,
    number: u8,
    said: &[(T, Checkpoint)],
    stands: impl Fn(&T) -> bool,
    most: u8,
) -> Next {
    let last =
        if dice.chance(1, 8) { dice.pick(said) } else { said.iter().rfind(|(known, _)| stands(known)) };
    let last = last.map(|(_, checkpoint)| checkpoint);
    let mut history = last.map_or(Peer { number, forked: false }, |checkpoint| Peer::of(number, checkpoint));
    let before = last.and_then(|checkpoint| u8::try_from(checkpoint.size).ok()).unwrap_or(0);
    history.forked ^= dice.chance(1, 10);
    let by = u8::try_from(dice.below(3)).unwrap_or(0).saturating_add(1);
    let size = match dice.below(12) {
        0 => before.saturating_sub(by),
        1 | 2 => before,
        _ => before.saturating_add(by),
    };
    let least = if dice.chance(1, 25) { 0 } else { 1 };
    Next { history, before, size: size.clamp(least, most.max(1)) }
}

impl Next {
    /// The claims of its checkpoint, under a trust in these keys. Sometimes the note or the proof has a flaw.
    pub(crate) fn claims(
        self,
        dice: &mut Dice,
        registry: &PublicKey,
        nodes: &[PublicKey],
        now: Seconds,
    ) -> Option<Claims> {
        let from = if dice.chance(1, 25) { self.before.saturating_add(1) } else { self.before };
        Some(Claims::SynchronizationContinuity {
            checkpoint: noted(dice, self.history.checkpoint(self.size), registry, nodes, now)?,
            consistency: self.history.proof(from, self.size),
        })
    }
}

/// A checkpoint as a note with the signatures that a trust asks for; sometimes with a flaw.
fn noted(
    dice: &mut Dice,
    mut checkpoint: Checkpoint,
    registry: &PublicKey,
    nodes: &[PublicKey],
    now: Seconds,
) -> Option<String> {
    let mut registry = keys::number(registry)?;
    let mut cosigners: Vec<u8> = nodes.iter().filter_map(keys::number).collect();
    dice.shuffle(&mut cosigners);
    let half = cosigners.len() / 2;
    if !dice.chance(1, 3) {
        cosigners.truncate(half.saturating_add(1));
    }
    let flaw = dice.below(80);
    match flaw {
        0 => return Some("no note".to_owned()),
        1 | 2 => cosigners.truncate(half),
        3 => registry = NODE,
        4 => checkpoint.origin = origin(PEERS),
        // A line that the trust does not ask for.
        5 => cosigners.push(NODE),
        // A checkpoint of no leaves, with the root of some.
        10 => checkpoint.size = 0,
        _ => {}
    }
    let mut note = note(&checkpoint, &checkpoint.origin, registry, &cosigners, now);
    match flaw {
        6 => {
            checkpoint.size = checkpoint.size.saturating_add(1);
            note.text = checkpoint.to_text();
        }
        7 => {
            let line = note.signatures.last_mut();
            if let Some(byte) = line.and_then(|line| line.signature.last_mut()) {
                *byte ^= 1;
            }
        }
        // Two lines of one key count once.
        8 | 9 => {
            cosigners.truncate(half.max(1));
            note = self::note(&checkpoint, &checkpoint.origin, registry, &cosigners, now);
            note.signatures.extend(note.signatures.last().cloned());
        }
        _ => {}
    }
    Some(note.to_string())
}

/// What a checkpoint rests on: its trust; sometimes something else, or that as well. `any` is everything that it may
/// rest on.
pub(crate) fn references(
    dice: &mut Dice,
    trust: EvidenceId,
    trusts: &[EvidenceId],
    any: &[EvidenceId],
) -> Vec<EvidenceId> {
    let sort = dice.below(40);
    let among = if sort < 3 { trusts } else { any };
    let other = dice.pick(among).copied().unwrap_or(NOTHING);
    match sort {
        0 | 4 => vec![other],
        1 | 3 if other != trust => vec![trust, other],
        2 | 5 if other != trust => vec![other, trust],
        6 => Vec::new(),
        _ => vec![trust],
    }
}

#[cfg(test)]
mod tests {
    use super::super::both::{Both, T0};
    use super::super::draft::{Act, Draft, Slot};
    use super::super::founding::FoundedRegistries;
    use super::super::profile::Profile;
    use super::*;

    /// The key of a zone.
    const ZONE: u8 = 75;

    /// Submits a zone's next statement, on which both must agree. Returns what they answered.
    fn says(both: &mut Both, claims: Claims, references: Vec<EvidenceId>) -> String {
        let (domain, lineage) = ("prod".parse().unwrap(), "host-1".parse().unwrap());
        let mut draft = Draft::new(domain, lineage, claims, [ZONE], Seconds(T0));
        let chain = both.chain(&draft.chain());
        let parent = chain.last().and_then(|slot| slot.first()).copied();
        draft.slot = Some(Slot { sequence: u64::try_from(chain.len()).unwrap(), parent });
        draft.references = references;
        both.take(Act::Submit(draft)).unwrap();
        assert_eq!(both.finding(), None);
        both.steps.last().unwrap().said.clone()
    }

    /// Rule R120.
    #[test]
    fn one_issuer_brings_checkpoints_of_a_peer_under_so_many_trusts_and_no_more() {
        let mut both = FoundedRegistries::default().of(Profile::Peers).unwrap();
        let peer = Peer { number: 0, forked: false };
        let note = note(&peer.checkpoint(5), &origin(0), registry_key(0), &node_keys(0), Seconds(T0));
        let checkpoint =
            Claims::SynchronizationContinuity { checkpoint: note.to_string(), consistency: Vec::new() };
        let trust = Claims::SovereignTrust {
            peer: origin(0),
            registry_key: public(registry_key(0)),
            node_keys: node_keys(0).map(public).to_vec(),
            not_after: Seconds(T0 + 1000),
        };
        let mut trusts = Vec::new();
        for number in 0..65 {
            assert_eq!(says(&mut both, trust.clone(), Vec::new()), "accepted");
            let id = both.known.last().unwrap().id;
            trusts.push(id);
            let answer = says(&mut both, checkpoint.clone(), vec![id]);
            assert_eq!(answer, if number < 64 { "accepted" } else { "too_large" }, "{number}");
        }
        // Under one of the other trusts it continues.
        assert_eq!(says(&mut both, checkpoint, vec![trusts[3]]), "accepted");
    }
}
