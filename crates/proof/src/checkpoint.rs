//! Checkpoints of the ledger: its origin, size and root hash, signed by the registry and cosigned by its nodes
//! (`c2sp.org/tlog-checkpoint`, `c2sp.org/tlog-cosignature`).
//!
//! [`verify_checkpoint`] is the only way to a [`VerifiedCheckpoint`]. Whether two checkpoints belong to one
//! ledger is for [`verify_consistency`](crate::merkle::verify_consistency) to say.

use crate::base64::encode_base64;
use crate::code::Code;
use crate::cosignature::message;
use crate::id::Sha256;
use crate::key::{PublicKey, SigningKey};
use crate::note::{Note, NoteKey, NoteKeyKind, NoteSignature, is_key_name, key_id};
use crate::note::{malformed, strict_base64};
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::text::shown;
use std::collections::{BTreeMap, BTreeSet};

pub use crate::cosignature::Cosignature;

/// What a checkpoint says, signed or not.
///
/// Its text is three lines: the origin, the size in decimal, and the root hash in base64. Extension lines are
/// refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The identity of the ledger. It is also the name of the registry's key; see [`is_key_name`].
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The RFC 6962 root hash of the first `size` leaves. If `size` is 0, it is the SHA-256 of the empty
    /// string.
    pub root: [u8; 32],
}

impl Checkpoint {
    /// Reads the text of a checkpoint. This verifies nothing.
    ///
    /// What is accepted is written back byte for byte by [`to_text`](Self::to_text).
    ///
    /// # Errors
    /// `malformed` with the line at fault: if the origin is not a valid name of a key; if the size has
    /// leading zeros or does not fit into 64 bits; if the root is not 32 bytes in padded standard base64, or
    /// is not that of the empty tree although the size is 0; or if there are not exactly three lines.
    pub fn parse(text: &str) -> Result<Checkpoint, Refusal> {
        let lines: Vec<&str> = text.split('\n').take(5).collect();
        let [origin, size, root, ""] = lines.as_slice() else {
            return Err(malformed("a checkpoint has exactly three lines, each with its newline"));
        };
        let bad = |field: &str, problem: &str| Err(Refusal::at(Code::Malformed, field, problem));
        if !is_key_name(origin) {
            return bad("origin", "must be usable as the name of a key");
        }
        let Some(size) = size.parse().ok().filter(|n: &u64| n.to_string() == *size) else {
            return bad("size", "must be a decimal number below 2^64 without leading zeros");
        };
        let Some(root) = strict_base64(root).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) else {
            return bad("root", "must be 32 bytes in padded standard base64");
        };
        // There is exactly one tree without leaves. A checkpoint of size 0 with another root would commit to
        // nothing, because later checkpoints are not compared with it.
        if size == 0 && root != Sha256::of(b"").0 {
            return bad("root", "of size 0 must be the hash of the empty tree");
        }
        Ok(Checkpoint { origin: (*origin).to_owned(), size, root })
    }

    /// The text that is signed: three lines, each with its newline.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, encode_base64(&self.root))
    }
}

/// Cosigns the text of a checkpoint as the key `name`, at `seconds` since 1970-01-01T00:00:00Z.
///
/// The caller must have checked that the checkpoint is consistent with the last one that it cosigned. No
/// verifier accepts a cosignature whose time is 2^63 seconds or more.
pub fn cosign(checkpoint_text: &str, name: &str, key: &SigningKey, seconds: u64) -> NoteSignature {
    let signature = key.sign(message(seconds, checkpoint_text).as_bytes());
    NoteSignature {
        name: name.to_owned(),
        key_id: key_id(name, NoteKeyKind::Cosignature, &key.public()),
        signature: Cosignature { time: seconds, signature }.to_bytes(),
    }
}

/// The name under which a node cosigns: `<origin>/node/<first 16 hex digits of its public key>`.
pub fn cosigner_name(origin: &str, key: &PublicKey) -> String {
    format!("{origin}/node/{:.16}", hex::encode(key.as_bytes()))
}

/// A checkpoint that the registry signed and a majority of its nodes cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    cosigned: BTreeMap<PublicKey, u64>,
}

impl VerifiedCheckpoint {
    /// What it says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The nodes that cosigned, each with the time of its last cosignature in seconds since
    /// 1970-01-01T00:00:00Z. This time was compared with no clock, so it may lie in the future.
    pub fn cosigned(&self) -> &BTreeMap<PublicKey, u64> {
        &self.cosigned
    }
}

/// Verifies a checkpoint of the registry `origin`: its own signature, and the cosignatures of more than half
/// of the distinct `node_keys`.
///
/// Lines by other keys, even under a known name, are ignored. Several lines by one key count once. If there
/// is no node key, there is no majority. All versions of the rules verify checkpoints in the same way.
///
/// Rule R118 (RFC-EG-033 §2, synchronization continuity proofs): The checkpoint of a
/// `synchronization-continuity` names the peer of its trust (`wrong_registry`), has at most 64 signature
/// lines (`too_large`), is signed by the peer's registry key and is cosigned by more than half of its node
/// keys (`unsigned_evidence`, `signature_invalid`).
///
/// # Errors
/// `too_large` or `malformed` for the form; `wrong_registry` for another origin; `signature_invalid` when any
/// line by a known key does not verify; `unsigned_evidence` when the registry's signature or a majority is
/// missing.
pub fn verify_checkpoint(
    _: Rules,
    note: &[u8],
    origin: &str,
    registry_key: &PublicKey,
    node_keys: &[PublicKey],
) -> Result<VerifiedCheckpoint, Refusal> {
    let note = Note::parse(note)?;
    let checkpoint = Checkpoint::parse(&note.text)?;
    if checkpoint.origin != origin {
        let detail = format!("is `{}`, not `{}`", shown(&checkpoint.origin), shown(origin));
        return Err(Refusal::at(Code::WrongRegistry, "origin", detail));
    }
    let missing = |detail: String| Err(Refusal::at(Code::UnsignedEvidence, "signatures", detail));
    if !NoteKey::ed25519(origin, *registry_key)?.verify(&note)? {
        return missing(format!("no signature by the registry's key `{registry_key}`"));
    }
    let nodes: BTreeSet<&PublicKey> = node_keys.iter().collect();
    let mut cosigned = BTreeMap::new();
    // All nodes, not just until there is a majority: one bad line by a known key rejects the note. At most 64
    // lines are verified, once for each node whose name and id they bear.
    for node in &nodes {
        let key = NoteKey::cosigner(cosigner_name(origin, node), **node)?;
        let blobs = key.verified_signatures(&note)?;
        let times = blobs.into_iter().filter_map(|blob| Some(Cosignature::from_bytes(blob).ok()?.time));
        if let Some(last) = times.max() {
            cosigned.insert(**node, last);
        }
    }
    if cosigned.len() <= nodes.len() / 2 {
        return missing(format!("cosigned by `{}` of `{}` nodes, no majority", cosigned.len(), nodes.len()));
    }
    Ok(VerifiedCheckpoint { checkpoint, cosigned })
}
