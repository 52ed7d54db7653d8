//! RFC 6962 Merkle trees over SHA-256: leaf hashes, a whole tree in memory, inclusion proofs.

use sha2::{Digest, Sha256};

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
    // The leaves first, the root alone in the last level. A node without a sibling moves up unchanged, which is the
    // same tree as RFC 6962's split at the largest power of two.
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

    /// The root hash; that of no leaves is SHA-256 of nothing.
    pub fn root(&self) -> [u8; 32] {
        let root = self.levels.last().and_then(|level| level.first());
        root.copied().unwrap_or_else(|| Sha256::digest([]).into())
    }

    /// The sibling hashes from the leaf at `index` up to the root (RFC 6962 §2.1.1); empty if there is no such leaf.
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

/// Whether `path` proves that the leaf with hash `leaf` stands at `index` of the tree of `size` leaves with root `root`
/// (RFC 9162 §2.1.3.2).
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
