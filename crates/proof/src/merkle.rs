//! RFC 6962 Merkle trees over SHA-256: leaf hashes, a whole tree in memory, inclusion and consistency proofs.

use crate::code::Code;
use crate::refusal::Refusal;
use crate::rules::Rules;
use sha2::{Digest, Sha256};

/// Most hashes of a consistency proof (`c2sp.org/tlog-witness`).
pub const MAX_CONSISTENCY_HASHES: usize = 63;

/// The hash of a leaf: SHA-256(0x00 ‖ `leaf`) (RFC 6962 §2.1).
pub fn leaf_hash(leaf: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update([0x00]).chain_update(leaf).finalize().into()
}

/// The hash of an inner node: SHA-256(0x01 ‖ `left` ‖ `right`) (RFC 6962 §2.1).
pub fn node_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update([0x01]).chain_update(left).chain_update(right).finalize().into()
}

/// A whole tree over a batch of leaves, kept level by level so that each proof costs only its own length.
#[derive(Clone, Debug)]
pub struct BatchTree {
    // The leaves first, the root alone in the last level. A node without a sibling moves up unchanged, which
    // is the same tree as RFC 6962's split at the largest power of two.
    levels: Vec<Vec<[u8; 32]>>,
}

impl BatchTree {
    /// The tree over these leaf hashes, in this order.
    pub fn new(leaf_hashes: Vec<[u8; 32]>) -> Self {
        let mut levels = Vec::new();
        let mut level = leaf_hashes;
        while level.len() > 1 {
            let up = level.chunks(2).map(up).collect();
            levels.push(std::mem::replace(&mut level, up));
        }
        levels.push(level);
        BatchTree { levels }
    }

    /// The root hash. If there are no leaves, it is the SHA-256 of the empty string.
    pub fn root(&self) -> [u8; 32] {
        let root = self.levels.last().and_then(|level| level.first());
        root.copied().unwrap_or_else(|| Sha256::digest([]).into())
    }

    /// The sibling hashes from the leaf at `index` up to the root (RFC 6962 §2.1.1); empty if there is no
    /// such leaf.
    pub fn inclusion_path(&self, index: usize) -> Vec<[u8; 32]> {
        if self.levels.first().is_none_or(|leaves| index >= leaves.len()) {
            return Vec::new();
        }
        let sibling = |(height, level): (usize, &Vec<[u8; 32]>)| level.get((index >> height) ^ 1).copied();
        self.levels.iter().enumerate().filter_map(sibling).collect()
    }
}

fn up(pair: &[[u8; 32]]) -> [u8; 32] {
    match pair {
        [left, right] => node_hash(left, right),
        [alone] => *alone,
        // `chunks(2)` yields one or two elements.
        _ => leaf_hash(&[]),
    }
}

/// Whether `path` proves that the leaf with hash `leaf` stands at `index` of the tree of `size` leaves with
/// root `root` (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(leaf: &[u8; 32], index: u64, size: u64, path: &[[u8; 32]], root: &[u8; 32]) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A node without a sibling moved up to where it is a right child.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// The proof that the tree over the first `old_size` of these leaf hashes is a prefix of the tree over all of
/// them (RFC 6962 §2.1.2), in the order in which [`verify_consistency`] takes it.
///
/// Empty if `old_size` is 0, the number of leaves, or more. Costs one pass over the leaves.
pub fn consistency_proof(leaf_hashes: &[[u8; 32]], old_size: usize) -> Vec<[u8; 32]> {
    if old_size == 0 {
        return Vec::new();
    }
    let root = |leaves: &[[u8; 32]]| BatchTree::new(leaves.to_vec()).root();
    let (mut leaves, mut old) = (leaf_hashes, old_size);
    // RFC 6962's SUBPROOF, from the top down. SUBPROOF appends each sibling after the hashes below it, so
    // this order is the reverse.
    let mut proof = Vec::new();
    // Whether the subtree that remains is the old tree itself, whose root the verifier has.
    let mut is_old_tree = true;
    while old < leaves.len() {
        let split = leaves.len().next_power_of_two() / 2;
        let Some((left, right)) = leaves.split_at_checked(split) else { break };
        if old <= split {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            leaves = right;
            old -= split;
            is_old_tree = false;
        }
    }
    if !is_old_tree {
        proof.push(root(leaves));
    }
    proof.reverse();
    proof
}

/// Verifies that the tree of `old_size` leaves with root `old_root` is a prefix of the tree of `new_size`
/// leaves with root `new_root` (RFC 9162 §2.1.4.2).
///
/// The empty tree is a prefix of every tree: if `old_size` is 0, the proof must be empty, and `old_root` is
/// not looked at unless `new_size` is 0 too. Equal sizes need equal roots and an empty proof. All versions of
/// the rules verify this in the same way.
///
/// # Errors
/// `malformed` for an old size above the new one or a proof of more than 63 hashes; `registry_diverged` when
/// the proof does not prove it.
pub fn verify_consistency(
    _: Rules,
    old_size: u64,
    old_root: &[u8; 32],
    new_size: u64,
    new_root: &[u8; 32],
    proof: &[[u8; 32]],
) -> Result<(), Refusal> {
    if old_size > new_size {
        let detail = format!("the old size `{old_size}` is above the new size `{new_size}`");
        return Err(Refusal::new(Code::Malformed, detail));
    }
    if proof.len() > MAX_CONSISTENCY_HASHES {
        let detail = format!("a consistency proof has at most `{MAX_CONSISTENCY_HASHES}` hashes");
        return Err(Refusal::new(Code::Malformed, detail));
    }
    let consistent = if old_size == new_size {
        proof.is_empty() && old_root == new_root
    } else if old_size == 0 {
        proof.is_empty()
    } else {
        roots_of_proof(old_size, old_root, new_size, proof) == Some((*old_root, *new_root))
    };
    if !consistent {
        let detail = format!(
            "the tree of `{old_size}` leaves is not proven to be a prefix of the one of `{new_size}`"
        );
        return Err(Refusal::new(Code::RegistryDiverged, detail));
    }
    Ok(())
}

/// The old and the new root that a proof yields for 0 < `old_size` < `new_size`; `None` if it is too short or
/// too long.
fn roots_of_proof(
    old_size: u64,
    old_root: &[u8; 32],
    new_size: u64,
    proof: &[[u8; 32]],
) -> Option<([u8; 32], [u8; 32])> {
    // The last leaf of each tree; both move up together from the largest whole subtree that ends the old tree.
    let whole = old_size.trailing_zeros();
    let (mut node, mut last) = ((old_size - 1) >> whole, (new_size - 1) >> whole);
    let (first, siblings) =
        if old_size.is_power_of_two() { (old_root, proof) } else { proof.split_first()? };
    let (mut old, mut new) = (*first, *first);
    for sibling in siblings {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            // A node without a sibling moved up to where it is a right child.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some((old, new))
}
