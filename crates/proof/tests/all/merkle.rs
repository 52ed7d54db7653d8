//! The Merkle tree against RFC 6962's definitions and public test vectors.

use assent_proof::merkle::{BatchTree, leaf_hash, node_hash, verify_inclusion};

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
