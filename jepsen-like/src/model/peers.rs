//! Other registries, whose checkpoints a domain keeps under a trust, and the epochs of this registry
//! (docs/protocol.md, "Lineages and slots", "Rules and recovery").
//!
//! Everything is found by a walk over all accepted statements. Notes, cosignatures and consistency proofs are
//! implemented here a second time, from C2SP's signed-note, tlog-checkpoint and tlog-cosignature and from RFC 9162; of
//! the product only SHA-256, base64 and keys are used. The walk has no bounds: no random ledger is long enough to
//! reach the registry's.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use assent_proof::{PublicKey, Sha256, decode_base64};

use super::statement::{Class, Statement, texts};
use super::{Leaf, Model};

const TRUST: &str = "sovereign-trust";
const CHECKPOINT: &str = "synchronization-continuity";

/// The number of trusts under which one issuer may submit checkpoints of one peer.
const TRUSTS_MAX: usize = 64;
/// How long a `recovery` is usable.
const RECOVERY_MS: i64 = 7 * 24 * 3600 * 1000;
/// The epoch in which every registry is founded.
const FIRST_EPOCH: u64 = 1;

/// What a line of a note signs, by the byte that goes into its key's id.
const OF_TEXT: u8 = 0x01;
const COSIGNATURE: u8 = 0x04;

type Hash = [u8; 32];

/// A note: its text, which ends in a newline, and the name and the bytes of each signature line.
struct Note<'a> {
    text: String,
    lines: Vec<(&'a str, Vec<u8>)>,
}

/// What a checkpoint says.
struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
}

impl Model {
    /// The epoch in force. Epochs before it never return, even if its `recovery` is void.
    pub fn epoch(&self) -> u64 {
        let recoveries = self.leaves().filter(|leaf| leaf.statement.kind == "recovery");
        recoveries.fold(FIRST_EPOCH, |at, _| at.saturating_add(1))
    }

    /// Checks that it begins the next epoch with one voter, whose node key stands.
    pub(super) fn check_recovery(&self, statement: &Statement, now: i64) -> Result<(), &'static str> {
        let epoch = statement.claims.get("epoch").and_then(serde_json::Value::as_u64);
        let voters = texts(statement.claims.get("voters"));
        let [voter] = voters.as_slice() else { return Err("claims_invalid") };
        if epoch != self.epoch().checked_add(1) {
            return Err("claims_invalid");
        }
        match self.ledger_state().authority(voter, "_root") {
            Some(authority) if authority.role == "registry" => {
                self.ledger_state().silenced(voter, "_root", now).first().map_or(Ok(()), |code| Err(*code))
            }
            _ => Err("target_unknown"),
        }
    }

    /// Checks that a trust is in another registry, that the other registry's key is not a key of one of its nodes, and
    /// that none of these keys is a key of this registry or of its nodes.
    pub(super) fn check_trust(&self, statement: &Statement) -> Result<(), &'static str> {
        let registry = statement.claim("registryKey");
        let nodes = texts(statement.claims.get("nodeKeys"));
        let is_node = |key: &str| {
            self.ledger_state().authority(key, "_root").is_some_and(|authority| authority.role == "registry")
        };
        let is_own = |key: &str| self.registry_key() == Some(key) || is_node(key);
        let in_itself = statement.claim("peer") == statement.registry;
        let shared = nodes.iter().any(|key| key == registry || is_own(key));
        if in_itself || shared || is_own(registry) { Err("claims_invalid") } else { Ok(()) }
    }

    /// The key that signs this registry's checkpoints.
    pub(super) fn registry_key(&self) -> Option<&str> {
        let root = self.leaves().rfind(|leaf| leaf.statement.kind == "root");
        root.map(|leaf| leaf.statement.claim("registryKey"))
    }

    /// Checks a checkpoint of another registry: it needs one trust that is not over, the signatures that the trust
    /// names, and, in the next slot, a proof that it extends the last one. Any other kind needs nothing.
    pub(super) fn check_checkpoint(
        &self,
        statement: &Statement,
        is_next: bool,
        now: i64,
    ) -> Result<(), &'static str> {
        if statement.kind != CHECKPOINT {
            return Ok(());
        }
        let trusts = self.trusts_of(statement);
        let [trust] = trusts.as_slice() else { return Err("inheritance_unverifiable") };
        if over_ms(&trust.statement) <= now {
            return Err("inheritance_unverifiable");
        }
        let new = Checkpoint::signed(statement.claim("checkpoint"), &trust.statement)?;
        self.check_room(statement, &trust.statement.id, &new.origin)?;
        if !is_next {
            return Ok(());
        }
        let hashes = texts(statement.claims.get("consistency"));
        let proof: Vec<Hash> = hashes.iter().filter_map(|text| hash(text)).collect();
        let last = self.last_checkpoints(&statement.domain, &new.origin);
        let extends_nothing = last.is_empty() && proof.is_empty();
        let extends_all = !last.is_empty() && last.iter().all(|before| before.is_extended_by(&new, &proof));
        if extends_nothing || extends_all { Ok(()) } else { Err("registry_diverged") }
    }

    /// The trusts among the references of a statement.
    fn trusts_of(&self, statement: &Statement) -> Vec<&Leaf> {
        let references = statement.references.iter().filter_map(|id| self.find(id));
        references.filter(|leaf| leaf.statement.kind == TRUST).collect()
    }

    /// The accepted checkpoints of a peer in a domain, void or not, with their contents.
    fn checkpoints_of(&self, domain: &str, origin: &str) -> Vec<(&Leaf, Checkpoint)> {
        let of_domain =
            self.leaves().filter(|leaf| leaf.statement.kind == CHECKPOINT && leaf.statement.domain == domain);
        let read = of_domain.filter_map(|leaf| {
            Some((leaf, Note::read(leaf.statement.claim("checkpoint")).and_then(|note| note.checkpoint())?))
        });
        read.filter(|(_, checkpoint)| checkpoint.origin == origin).collect()
    }

    /// Checks that the issuer has submitted checkpoints of this peer under this trust, or under fewer trusts than the
    /// bound.
    fn check_room(&self, statement: &Statement, trust: &str, origin: &str) -> Result<(), &'static str> {
        let brought = self.checkpoints_of(&statement.domain, origin).into_iter();
        let own = brought.filter(|(leaf, _)| leaf.statement.issuers == statement.issuers);
        let under: BTreeSet<&str> = own
            .flat_map(|(leaf, _)| self.trusts_of(&leaf.statement))
            .map(|leaf| leaf.statement.id.as_str())
            .collect();
        if under.len() < TRUSTS_MAX || under.contains(trust) { Ok(()) } else { Err("too_large") }
    }

    /// The checkpoints that the next one of a peer must extend: all that are not void, in the newest slot that has
    /// any.
    fn last_checkpoints(&self, domain: &str, origin: &str) -> Vec<Checkpoint> {
        let mut by_slot: BTreeMap<Option<usize>, Vec<Checkpoint>> = BTreeMap::new();
        for (leaf, checkpoint) in self.checkpoints_of(domain, origin) {
            if !self.ledger_state().void.contains(&leaf.statement.id) {
                by_slot.entry(self.slot_taken_at(&leaf.statement)).or_default().push(checkpoint);
            }
        }
        by_slot.into_values().next_back().unwrap_or_default()
    }

    /// The place of the statement that took a slot, which is the first of two.
    fn slot_taken_at(&self, statement: &Statement) -> Option<usize> {
        self.leaves().position(|leaf| {
            let of = &leaf.statement;
            of.class == Some(Class::Execution)
                && of.domain == statement.domain
                && of.lineage == statement.lineage
                && of.issuers == statement.issuers
                && of.sequence == statement.sequence
        })
    }

    /// Until when the other registry of a statement is trusted; `None` if the statement is not about one.
    pub(super) fn trusted_until_ms(&self, statement: &Statement) -> Option<i64> {
        match statement.kind.as_str() {
            // After its `expiresAt` a trust is expired like any other statement.
            TRUST => statement.claim_ms("notAfter"),
            CHECKPOINT => self.trusts_of(statement).into_iter().map(|trust| over_ms(&trust.statement)).min(),
            _ => None,
        }
    }
}

/// Whether a `recovery` was signed too long ago to be used.
pub(super) fn is_stale_recovery(statement: &Statement, now: i64) -> bool {
    statement.kind == "recovery" && now > statement.issued_ms.saturating_add(RECOVERY_MS)
}

/// When a trust is over.
fn over_ms(trust: &Statement) -> i64 {
    trust.claim_ms("notAfter").into_iter().chain(trust.expires_ms).min().unwrap_or(i64::MIN)
}

impl<'a> Note<'a> {
    /// Reads the form of a note; `None` if the text is not a note.
    fn read(note: &'a str) -> Option<Self> {
        let (text, lines) = note.strip_suffix('\n')?.rsplit_once("\n\n")?;
        let line = |line: &'a str| {
            let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
            Some((name, decode_base64(signature)?))
        };
        Some(Self { text: format!("{text}\n"), lines: lines.split('\n').map(line).collect::<Option<_>>()? })
    }

    /// The checkpoint in the note's text: origin, size and root, one on each line.
    fn checkpoint(&self) -> Option<Checkpoint> {
        let lines: Vec<&str> = self.text.lines().collect();
        let [origin, size, root] = lines.as_slice() else { return None };
        let (size, root) = (size.parse::<u64>().ok()?, hash(root)?);
        // A tree without leaves has only one root.
        let is_one = size > 0 || root == Sha256::of(b"").0;
        is_one.then(|| Checkpoint { origin: (*origin).to_owned(), size, root })
    }

    /// Whether a key of this name signed it; each line of this key must verify.
    fn is_signed_by(&self, name: &str, key: &PublicKey, sort: u8) -> Result<bool, &'static str> {
        let of_key = [name.as_bytes(), b"\n", [sort].as_slice(), key.as_bytes().as_slice()].concat();
        let id = Sha256::of(&of_key).0.first_chunk::<4>().copied().unwrap_or_default();
        let mut signed = false;
        for (of, bytes) in &self.lines {
            let Some((of_id, signature)) = bytes.split_first_chunk::<4>() else { continue };
            if *of == name && *of_id == id {
                if !self.verifies(key, sort, signature) {
                    return Err("signature_invalid");
                }
                signed = true;
            }
        }
        Ok(signed)
    }

    /// Whether a signature is this key's: over the text, or over the text under a time with which the signature
    /// begins.
    fn verifies(&self, key: &PublicKey, sort: u8, signature: &[u8]) -> bool {
        if sort == OF_TEXT {
            return key.verify(self.text.as_bytes(), signature);
        }
        let Some((time, signature)) = signature.split_first_chunk::<8>() else { return false };
        let message = format!("cosignature/v1\ntime {}\n{}", u64::from_be_bytes(*time), self.text);
        key.verify(message.as_bytes(), signature)
    }
}

impl Checkpoint {
    /// A checkpoint as a trust requires it: of the peer, signed by its registry, cosigned by more than half of its
    /// nodes.
    fn signed(note: &str, trust: &Statement) -> Result<Self, &'static str> {
        let note = Note::read(note).ok_or("malformed")?;
        let checkpoint = note.checkpoint().ok_or("malformed")?;
        let origin = trust.claim("peer");
        if checkpoint.origin != origin {
            return Err("wrong_registry");
        }
        let registry: PublicKey = trust.claim("registryKey").parse().map_err(|_| "unsigned_evidence")?;
        if !note.is_signed_by(origin, &registry, OF_TEXT)? {
            return Err("unsigned_evidence");
        }
        let nodes = texts(trust.claims.get("nodeKeys"));
        let mut cosigned = 0_usize;
        for text in &nodes {
            let key: PublicKey = text.parse().map_err(|_| "unsigned_evidence")?;
            let digits: String = text.trim_start_matches("ed25519:").chars().take(16).collect();
            let signed = note.is_signed_by(&format!("{origin}/node/{digits}"), &key, COSIGNATURE)?;
            cosigned = cosigned.saturating_add(usize::from(signed));
        }
        if cosigned.saturating_mul(2) > nodes.len() { Ok(checkpoint) } else { Err("unsigned_evidence") }
    }

    /// Whether the proof shows that another checkpoint extends this one. Any checkpoint extends one without leaves,
    /// with an empty proof.
    fn is_extended_by(&self, new: &Checkpoint, proof: &[Hash]) -> bool {
        match self.size.cmp(&new.size) {
            Ordering::Greater => false,
            Ordering::Equal => proof.is_empty() && self.root == new.root,
            Ordering::Less if self.size == 0 => proof.is_empty(),
            Ordering::Less => self.is_proven_by(new, proof),
        }
    }

    /// RFC 9162 §2.1.4.2, step by step.
    fn is_proven_by(&self, new: &Checkpoint, proof: &[Hash]) -> bool {
        if proof.is_empty() {
            return false;
        }
        let first = if self.size.is_power_of_two() { vec![self.root] } else { Vec::new() };
        let path = [first.as_slice(), proof].concat();
        let Some((seed, rest)) = path.split_first() else { return false };
        let (mut of_old, mut of_new) = (self.size.saturating_sub(1), new.size.saturating_sub(1));
        while of_old & 1 == 1 {
            (of_old, of_new) = (of_old >> 1, of_new >> 1);
        }
        let (mut old_root, mut new_root) = (*seed, *seed);
        for hash in rest {
            if of_new == 0 {
                return false;
            }
            if of_old & 1 == 1 || of_old == of_new {
                old_root = inner(hash, &old_root);
                new_root = inner(hash, &new_root);
                while of_old & 1 == 0 && of_old != 0 {
                    (of_old, of_new) = (of_old >> 1, of_new >> 1);
                }
            } else {
                new_root = inner(&new_root, hash);
            }
            (of_old, of_new) = (of_old >> 1, of_new >> 1);
        }
        of_new == 0 && old_root == self.root && new_root == new.root
    }
}

/// The hash of an inner node of an RFC 9162 tree.
fn inner(left: &Hash, right: &Hash) -> Hash {
    Sha256::of(&[[0x01_u8].as_slice(), left.as_slice(), right.as_slice()].concat()).0
}

/// A hash in base64.
fn hash(text: &str) -> Option<Hash> {
    decode_base64(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use assent_proof::{BatchTree, Rules, consistency_proof, leaf_hash, verify_consistency};

    use super::*;

    fn of(leaves: &[Hash]) -> Checkpoint {
        let size = u64::try_from(leaves.len()).unwrap();
        Checkpoint { origin: "o".to_owned(), size, root: BatchTree::new(leaves.to_vec()).root() }
    }

    #[test]
    fn a_proof_proves_what_it_is_made_for_and_nothing_else() {
        let leaves: Vec<Hash> = (0..20_u8).map(|number| leaf_hash(&[number])).collect();
        let proofs: Vec<Vec<Hash>> = (1..20)
            .flat_map(|old| (old..=20).map(move |new| (old, new)))
            .map(|(old, new)| consistency_proof(&leaves[..new], old))
            .chain([Vec::new()])
            .collect();
        let mut proven = 0;
        for old in 0..=20 {
            for new in 0..=20 {
                let (before, after) = (of(&leaves[..old]), of(&leaves[..new]));
                for proof in &proofs {
                    let extends = before.is_extended_by(&after, proof);
                    let known = verify_consistency(
                        Rules::NEWEST,
                        before.size,
                        &before.root,
                        after.size,
                        &after.root,
                        proof,
                    )
                    .is_ok();
                    assert_eq!(extends, known, "{old} {new} {proof:?}");
                    proven += u32::from(extends);
                }
            }
        }
        // Each pair at least once, with the proof that was made for it.
        assert!(proven >= 21 * 22 / 2, "{proven}");
    }
}
