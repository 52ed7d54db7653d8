//! The Merkle tree against RFC 6962's definitions and public test vectors.

use assent_proof::Code;
use assent_proof::Rules;
use assent_proof::merkle::{
    BatchTree, consistency_proof, leaf_hash, node_hash, verify_consistency, verify_inclusion,
};

use crate::make::code_of;

/// The leaves of the vectors in certificate-transparency's test data.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// The roots of the trees over the first 1 to 8 of them.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn leaves(n: usize) -> Vec<[u8; 32]> {
    LEAVES[..n].iter().map(|leaf| leaf_hash(&hex::decode(leaf).unwrap())).collect()
}

/// RFC 6962 §2.1, word by word.
fn root_by_definition(leaves: &[[u8; 32]]) -> [u8; 32] {
    if let [leaf] = leaves {
        return *leaf;
    }
    let split = leaves.len().next_power_of_two() / 2;
    node_hash(&root_by_definition(&leaves[..split]), &root_by_definition(&leaves[split..]))
}

#[test]
fn roots_are_those_of_the_public_vectors() {
    for (i, root) in ROOTS.iter().enumerate() {
        assert_eq!(hex::encode(BatchTree::new(leaves(i + 1)).root()), *root);
    }
    let empty = BatchTree::new(vec![]);
    assert_eq!(hex::encode(empty.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(empty.inclusion_path(0), Vec::<[u8; 32]>::new());
}

#[test]
fn every_leaf_of_every_size_is_proven_and_by_its_own_path_alone() {
    for size in 1..=40usize {
        let leaves: Vec<[u8; 32]> = (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let tree = BatchTree::new(leaves.clone());
        let root = tree.root();
        assert_eq!(root, root_by_definition(&leaves));
        for index in 0..size {
            let path = tree.inclusion_path(index);
            let holds = |leaf: usize, index: usize, size: usize, path: &[[u8; 32]]| {
                verify_inclusion(&leaves[leaf], index as u64, size as u64, path, &root)
            };
            assert!(holds(index, index, size, &path));
            for other in (0..size).filter(|other| *other != index) {
                assert!(!holds(other, index, size, &path), "{other} at {index} of {size}");
                assert!(!holds(index, other, size, &path), "{index} at {other} of {size}");
            }
            assert!(!holds(index, size, size, &path));
            assert!(!holds(index, index, 0, &path));
            let longer = [path.clone(), vec![[0; 32]]].concat();
            assert!(!holds(index, index, size, &longer));
            if let Some((_, shorter)) = path.split_last() {
                assert!(!holds(index, index, size, shorter));
                let mut wrong = path.clone();
                wrong[0][31] ^= 1;
                assert!(!holds(index, index, size, &wrong));
            }
        }
        assert_eq!(tree.inclusion_path(size), Vec::<[u8; 32]>::new());
    }
}

#[test]
fn sizes_and_indexes_at_the_edge_of_64_bits_do_not_overflow() {
    let hash = leaf_hash(b"");
    assert!(!verify_inclusion(&hash, u64::MAX, u64::MAX, &[], &hash));
    assert!(!verify_inclusion(&hash, u64::MAX - 1, u64::MAX, &[hash; 64], &hash));
    assert!(!verify_inclusion(&hash, 0, u64::MAX, &[], &hash));
    assert!(verify_inclusion(&hash, 0, 1, &[], &hash));
}

#[test]
fn consistency_proofs_are_those_of_the_public_vectors() {
    let vectors: [(usize, usize, &[&str]); 5] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
        (4, 8, &["6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"]),
    ];
    for (old, new, expected) in vectors {
        let proof: Vec<String> = consistency_proof(&leaves(new), old).iter().map(hex::encode).collect();
        assert_eq!(proof, expected, "{old} to {new}");
    }
}

/// RFC 6962 §2.1.2, word by word.
fn proof_by_definition(leaves: &[[u8; 32]], old: usize, is_old_tree: bool) -> Vec<[u8; 32]> {
    if old == leaves.len() {
        return if is_old_tree { vec![] } else { vec![root_by_definition(leaves)] };
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    let (mut proof, sibling) = if old <= split {
        (proof_by_definition(left, old, is_old_tree), right)
    } else {
        (proof_by_definition(right, old - split, false), left)
    };
    proof.push(root_by_definition(sibling));
    proof
}

#[test]
fn every_size_is_proven_consistent_with_every_smaller_one_and_by_its_own_proof_alone() {
    let leaves: Vec<[u8; 32]> = (0..=40usize).map(|i| leaf_hash(&i.to_be_bytes())).collect();
    let roots: Vec<[u8; 32]> = (0..=40).map(|n| BatchTree::new(leaves[..n].to_vec()).root()).collect();
    for new in 1..=40usize {
        for old in 1..=new {
            let proof = consistency_proof(&leaves[..new], old);
            assert_eq!(proof, proof_by_definition(&leaves[..new], old, true), "{old} to {new}");
            let check =
                |old: usize, old_root: &[u8; 32], new: usize, new_root: &[u8; 32], proof: &[[u8; 32]]| {
                    verify_consistency(Rules::NEWEST, old as u64, old_root, new as u64, new_root, proof)
                };
            let refused = |result| assert_eq!(code_of(result), Code::RegistryDiverged, "{old} to {new}");
            check(old, &roots[old], new, &roots[new], &proof).unwrap();
            for i in 0..proof.len() {
                let mut wrong = proof.clone();
                wrong[i][31] ^= 1;
                refused(check(old, &roots[old], new, &roots[new], &wrong));
                let mut without = proof.clone();
                without.remove(i);
                refused(check(old, &roots[old], new, &roots[new], &without));
                let mut swapped = proof.clone();
                swapped.rotate_left(i);
                if i > 0 {
                    refused(check(old, &roots[old], new, &roots[new], &swapped));
                }
            }
            refused(check(old, &roots[old], new, &roots[new], &[proof.clone(), vec![[0; 32]]].concat()));
            refused(check(old, &roots[old], new, &roots[new], &[vec![[0; 32]], proof.clone()].concat()));
            // A root does not commit to its size, but a proof does to the depth.
            refused(check(old, &roots[old], 1024, &roots[new], &proof));
            for other in (0..=40).filter(|n| *n != old) {
                refused(check(old, &roots[other], new, &roots[new], &proof));
            }
            for other in (0..=40).filter(|n| *n != new) {
                refused(check(old, &roots[old], new, &roots[other], &proof));
            }
        }
    }
}

#[test]
fn a_tree_whose_past_was_altered_is_never_consistent() {
    let honest: Vec<[u8; 32]> = (0..20usize).map(|i| leaf_hash(&i.to_be_bytes())).collect();
    for old in 1..20usize {
        let old_root = BatchTree::new(honest[..old].to_vec()).root();
        for altered in 0..20usize {
            let mut forked = honest.clone();
            forked[altered] = leaf_hash(b"another");
            let proof = consistency_proof(&forked, old);
            let root = BatchTree::new(forked).root();
            let result = verify_consistency(Rules::NEWEST, old as u64, &old_root, 20, &root, &proof);
            assert_eq!(result.is_ok(), altered >= old, "{altered} of {old}");
        }
    }
}

#[test]
fn sizes_at_the_edges_need_what_the_documentation_says() {
    let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
    verify_consistency(Rules::NEWEST, 0, &a, 5, &b, &[]).unwrap();
    verify_consistency(Rules::NEWEST, 0, &a, 0, &a, &[]).unwrap();
    verify_consistency(Rules::NEWEST, u64::MAX, &a, u64::MAX, &a, &[]).unwrap();
    type Case<'proof> = (u64, [u8; 32], u64, [u8; 32], &'proof [[u8; 32]]);
    let diverged: [Case; 8] = [
        (0, a, 5, b, &[a]),
        (0, a, 0, b, &[]),
        (0, a, 0, a, &[a]),
        (5, a, 5, b, &[]),
        (5, a, 5, a, &[a]),
        (1, a, 2, b, &[]),
        (1, a, u64::MAX, b, &[b; 63]),
        (u64::MAX - 1, a, u64::MAX, b, &[b; 63]),
    ];
    for (old, old_root, new, new_root, proof) in diverged {
        let result = verify_consistency(Rules::NEWEST, old, &old_root, new, &new_root, proof);
        assert_eq!(code_of(result), Code::RegistryDiverged, "{old} to {new}");
    }
    assert_eq!(code_of(verify_consistency(Rules::NEWEST, 6, &a, 5, &a, &[])), Code::Malformed);
    assert_eq!(code_of(verify_consistency(Rules::NEWEST, 1, &a, u64::MAX, &b, &[b; 64])), Code::Malformed);
    assert_eq!(consistency_proof(&[a, b], 0), Vec::<[u8; 32]>::new());
    assert_eq!(consistency_proof(&[a, b], 3), Vec::<[u8; 32]>::new());
    assert_eq!(consistency_proof(&[], 1), Vec::<[u8; 32]>::new());
}

#[test]
fn a_proof_of_the_most_hashes_that_64_bits_need_verifies() {
    // 2^63 leaves before one more: the new root is over the old one and the new leaf.
    let (old, leaf) = (leaf_hash(b"old"), leaf_hash(b"leaf"));
    verify_consistency(Rules::NEWEST, 1 << 63, &old, (1 << 63) + 1, &node_hash(&old, &leaf), &[leaf])
        .unwrap();
    // From 1 leaf to 2^63: a sibling at each of 63 levels.
    let siblings: Vec<[u8; 32]> = (0..63u8).map(|i| leaf_hash(&[i])).collect();
    let root = siblings.iter().fold(old, |left, right| node_hash(&left, right));
    verify_consistency(Rules::NEWEST, 1, &old, 1 << 63, &root, &siblings).unwrap();
    assert_eq!(
        code_of(verify_consistency(Rules::NEWEST, 1, &old, 1 << 63, &root, &siblings[1..])),
        Code::RegistryDiverged
    );
}
