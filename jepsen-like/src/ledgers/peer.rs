//! The other registries of which ledgers speak: their keys, their trees, and the checkpoints that they sign.
//!
//! Each has two histories that begin alike, so that it can say one thing here and another thing there.

use assent_proof::{
    BatchTree, Checkpoint, Note, Seconds, TreeHash, consistency_proof, cosign, cosigner_name, leaf_hash,
    sign_note,
};

use super::keys::{key, public};

/// How many there are.
pub(super) const PEERS: u8 = 2;
/// The largest tree of any.
pub(super) const SIZE_MAX: u8 = 14;
/// So many leaves are the same in both histories.
const COMMON: u8 = 3;

/// One of the two histories of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) number: u8,
    pub(super) forked: bool,
}

/// The name of a peer.
pub(super) fn origin(number: u8) -> String {
    format!("peer.test/{number}")
}

/// The number of a peer, if it is one of these.
pub(super) fn number(of: &str) -> Option<u8> {
    (0..PEERS).find(|number| origin(*number) == of)
}

/// The number of the key that signs its checkpoints.
pub(super) fn registry_key(number: u8) -> u8 {
    90_u8.saturating_add(number.saturating_mul(10))
}

/// The numbers of its nodes' keys.
pub(super) fn node_keys(number: u8) -> [u8; 3] {
    [1, 2, 3].map(|node| registry_key(number).saturating_add(node))
}

/// The keys that somebody else has, who wants to be taken for this peer: the registry's, and its one node's.
pub(super) fn stolen_name(number: u8) -> (u8, [u8; 1]) {
    (registry_key(number).saturating_add(4), [registry_key(number).saturating_add(5)])
}

impl Peer {
    fn leaves(self, size: u8) -> Vec<[u8; 32]> {
        let leaf = |at: u8| leaf_hash(&[self.number, at, u8::from(self.forked && at >= COMMON)]);
        (0..size).map(leaf).collect()
    }

    /// What its checkpoint of so many leaves says.
    pub(super) fn checkpoint(self, size: u8) -> Checkpoint {
        let root = BatchTree::new(self.leaves(size)).root();
        Checkpoint { origin: origin(self.number), size: u64::from(size), root }
    }

    /// The proof that a tree extends a smaller one of this history; empty for the first and for an equal one.
    pub(super) fn proof(self, before: u8, size: u8) -> Vec<TreeHash> {
        let hashes = consistency_proof(&self.leaves(size), usize::from(before));
        hashes.into_iter().map(TreeHash).collect()
    }

    /// In which of its histories a checkpoint lies: the other one only if it is not in the first.
    pub(super) fn of(number: u8, checkpoint: &Checkpoint) -> Self {
        let honest = Peer { number, forked: false };
        let size = u8::try_from(checkpoint.size).unwrap_or(0);
        Peer { number, forked: honest.checkpoint(size).root != checkpoint.root }
    }
}

/// A checkpoint as a note, with the lines of these keys under it: the first signs as the registry of that name, the others
/// cosign as its nodes.
pub(super) fn note(checkpoint: &Checkpoint, name: &str, registry: u8, nodes: &[u8], at: Seconds) -> Note {
    let text = checkpoint.to_text();
    let seconds = u64::try_from(at.0).unwrap_or(0);
    let mut signatures = vec![sign_note(&text, name, &key(registry))];
    for node in nodes {
        signatures.push(cosign(&text, &cosigner_name(name, &public(*node)), &key(*node), seconds));
    }
    Note { text, signatures }
}

/// The checkpoint that a note says, if it says one.
pub(super) fn said(note: &str) -> Option<Checkpoint> {
    Checkpoint::parse(&Note::parse(note.as_bytes()).ok()?.text).ok()
}

#[cfg(test)]
mod tests {
    use assent_proof::{Claims, EvidenceId};

    use super::super::both::{Both, T0};
    use super::super::draft::{Act, Draft, Slot};
    use super::super::founding::Grounds;
    use super::super::profile::Profile;
    use super::*;

    /// The key of a zone.
    const ZONE: u8 = 75;

    /// A zone says something next, on which both agree: how they answered.
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

    #[test]
    fn one_issuer_brings_checkpoints_of_a_peer_under_so_many_trusts_and_no_more() {
        let mut both = Grounds::default().of(Profile::Peers).unwrap();
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
        // Under one of the others it goes on.
        assert_eq!(says(&mut both, checkpoint, vec![trusts[3]]), "accepted");
    }
}
