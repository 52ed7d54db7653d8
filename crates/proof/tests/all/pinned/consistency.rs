//! Proofs that one tree is a prefix of another, right and wrong, at sizes up to the last.

use assent_proof::merkle::node_hash;
use assent_proof::*;

use super::{Case, Input};

const ACCEPTED: &str = "accepted";
const MALFORMED: &str = "malformed";
const DIVERGED: &str = "registry_diverged";

/// 2^63 - 1.
const LAST_OF_63_BITS: u64 = i64::MAX.unsigned_abs();

/// 2^63.
const FIRST_OF_64_BITS: u64 = LAST_OF_63_BITS + 1;

/// 2^32.
const FIRST_OF_33_BITS: u64 = 1 << 32;

/// The sizes and roots of two trees, and what is to prove that the first is a prefix of the second.
#[derive(Clone)]
struct Claimed {
    old: (u64, [u8; 32]),
    new: (u64, [u8; 32]),
    proof: Vec<[u8; 32]>,
}

/// An arbitrary hash.
fn hash(number: usize) -> [u8; 32] {
    Sha256::of(format!("hash {number}").as_bytes()).0
}

/// RFC 6962 §2.1.2, SUBPROOF word by word, with hashes that nobody chose wherever a subtree lies in one of the trees
/// alone or is common to both; the old root and the new root follow from these.
fn subproof(old: u64, new: u64, is_old_tree: bool, proof: &mut Vec<[u8; 32]>) -> ([u8; 32], [u8; 32]) {
    if old == new {
        let common = hash(64);
        if !is_old_tree {
            proof.push(common);
        }
        return (common, common);
    }
    let split = 1u64 << (new - 1).ilog2();
    if old <= split {
        let (old_root, left) = subproof(old, split, is_old_tree, proof);
        let right = hash(proof.len());
        proof.push(right);
        (old_root, node_hash(&left, &right))
    } else {
        let (old_right, new_right) = subproof(old - split, new - split, false, proof);
        let left = hash(proof.len());
        proof.push(left);
        (node_hash(&left, &old_right), node_hash(&left, &new_right))
    }
}

/// A right proof for 0 < `old` <= `new`.
fn right(old: u64, new: u64) -> Claimed {
    let mut proof = Vec::new();
    let (old_root, new_root) = subproof(old, new, true, &mut proof);
    Claimed { old: (old, old_root), new: (new, new_root), proof }
}

/// A right proof of trees whose leaves exist.
fn of_leaves(old: usize, new: usize) -> Claimed {
    let leaves: Vec<[u8; 32]> = (0..new).map(|i| leaf_hash(i.to_string().as_bytes())).collect();
    let root = |size: usize| (size as u64, BatchTree::new(leaves[..size].to_vec()).root());
    Claimed { old: root(old), new: root(new), proof: consistency_proof(&leaves, old) }
}

fn case(name: impl Into<String>, claimed: Claimed, expect: &str) -> Case {
    let name: String = name.into();
    let Claimed { old: (old_size, old_root), new: (new_size, new_root), proof } = claimed;
    let input = Input::Consistency { old_size, old_root, new_size, new_root, proof };
    Case { name: format!("consistency/{name}"), input, expect: expect.to_owned() }
}

/// Two trees of any sizes and roots.
fn trees(old: (u64, [u8; 32]), new: (u64, [u8; 32]), hashes: usize) -> Claimed {
    Claimed { old, new, proof: (0..hashes).map(hash).collect() }
}

fn rights() -> Vec<Case> {
    let mut cases = Vec::new();
    for (old, new) in [(1, 2), (1, 3), (2, 3), (2, 4), (3, 4), (3, 7), (4, 7), (4, 8), (6, 8), (7, 8), (8, 9)]
    {
        cases.push(case(format!("right-{old}-{new}"), of_leaves(old, new), ACCEPTED));
    }
    for (name, old, new, hashes) in [
        ("right-5-of-2-to-32", 5, FIRST_OF_33_BITS, 33),
        ("right-2-to-32-and-1-more", FIRST_OF_33_BITS, FIRST_OF_33_BITS + 1, 1),
        ("right-2-to-62-of-2-to-63-minus-1", FIRST_OF_64_BITS / 2, LAST_OF_63_BITS, 1),
        ("right-1-of-2-to-63-minus-1", 1, LAST_OF_63_BITS, 63),
        ("right-2-to-63-minus-2-and-1-more", LAST_OF_63_BITS - 1, LAST_OF_63_BITS, 63),
        ("right-1-of-2-to-63", 1, FIRST_OF_64_BITS, 63),
        ("right-2-to-63-of-2-to-64-minus-1", FIRST_OF_64_BITS, u64::MAX, 1),
    ] {
        let claimed = right(old, new);
        assert_eq!(claimed.proof.len(), hashes, "{name}");
        cases.push(case(name, claimed, ACCEPTED));
    }
    // Right, and longer than any proof may be.
    for (name, old, new) in [
        ("long-2-to-63-minus-1-and-1-more", LAST_OF_63_BITS, FIRST_OF_64_BITS),
        ("long-1-of-2-to-63-plus-1", 1, FIRST_OF_64_BITS + 1),
    ] {
        let claimed = right(old, new);
        assert_eq!(claimed.proof.len(), 64, "{name}");
        cases.push(case(name, claimed, MALFORMED));
    }
    cases
}

fn wrongs() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut wrong = |name: String, claimed: &Claimed, change: &dyn Fn(&mut Claimed)| {
        let mut claimed = claimed.clone();
        change(&mut claimed);
        cases.push(case(format!("wrong-{name}"), claimed, DIVERGED));
    };
    // Where the old size is a power of two, its root begins the climb and is not in the proof.
    for (old, new) in [(2, 7), (3, 7)] {
        let claimed = of_leaves(old, new);
        let name = |what: &str| format!("{old}-{new}-{what}");
        wrong(name("hash-too-many"), &claimed, &|claimed| claimed.proof.push(hash(0)));
        wrong(name("hash-too-many-first"), &claimed, &|claimed| claimed.proof.insert(0, hash(0)));
        wrong(name("old-root-first"), &claimed, &|claimed| claimed.proof.insert(0, claimed.old.1));
        wrong(name("last-hash-twice"), &claimed, &|claimed| {
            claimed.proof.extend_from_within(claimed.proof.len() - 1..);
        });
        wrong(name("hash-too-few"), &claimed, &|claimed| claimed.proof.truncate(claimed.proof.len() - 1));
        wrong(name("first-hash-missing"), &claimed, &|claimed| claimed.proof = claimed.proof.split_off(1));
        wrong(name("empty"), &claimed, &|claimed| claimed.proof.clear());
        wrong(name("reversed"), &claimed, &|claimed| claimed.proof.reverse());
        wrong(name("bit"), &claimed, &|claimed| claimed.proof[0][31] ^= 1);
        wrong(name("old-root"), &claimed, &|claimed| claimed.old.1[0] ^= 0x80);
        wrong(name("new-root"), &claimed, &|claimed| claimed.new.1[31] ^= 1);
        wrong(name("roots-exchanged"), &claimed, &|claimed| {
            std::mem::swap(&mut claimed.old.1, &mut claimed.new.1);
        });
        wrong(name("old-size"), &claimed, &|claimed| claimed.old.0 -= 1);
    }
    wrong("63-hashes".into(), &of_leaves(3, 7), &|claimed| claimed.proof.resize(63, hash(0)));
    // Of the two largest sizes that differ, nothing overflows.
    let largest = trees((u64::MAX - 1, hash(1)), (u64::MAX, hash(2)), 3);
    wrong("largest".into(), &largest, &|_| ());
    cases
}

/// Sizes that are equal, nothing as the prefix, and the old tree as the larger one.
fn edges() -> Vec<Case> {
    let empty = BatchTree::new(Vec::new()).root();
    let (one, other) = (hash(1), hash(2));
    let mut cases = vec![case("hashes-64-of-4-7", trees((4, one), (7, other), 64), MALFORMED)];
    for (name, old, new, hashes, expect) in [
        ("equal-5", (5, one), (5, one), 0, ACCEPTED),
        ("equal-4", (4, one), (4, one), 0, ACCEPTED),
        ("equal-2-to-63-minus-1", (LAST_OF_63_BITS, one), (LAST_OF_63_BITS, one), 0, ACCEPTED),
        ("equal-2-to-64-minus-1", (u64::MAX, one), (u64::MAX, one), 0, ACCEPTED),
        ("equal-with-a-hash", (5, one), (5, one), 1, DIVERGED),
        ("equal-with-64-hashes", (5, one), (5, one), 64, MALFORMED),
        ("equal-of-other-roots", (5, one), (5, other), 0, DIVERGED),
        ("equal-of-other-roots-with-a-hash", (4, one), (4, other), 1, DIVERGED),
        ("nothing-of-nothing", (0, empty), (0, empty), 0, ACCEPTED),
        // A checkpoint of size 0 has no such root; here nobody asks.
        ("nothing-of-nothing-with-a-root", (0, one), (0, one), 0, ACCEPTED),
        ("nothing-of-nothing-of-other-roots", (0, empty), (0, other), 0, DIVERGED),
        ("nothing-of-nothing-with-a-hash", (0, empty), (0, empty), 1, DIVERGED),
        ("nothing-of-5", (0, empty), (5, one), 0, ACCEPTED),
        ("nothing-with-a-root-of-5", (0, other), (5, one), 0, ACCEPTED),
        ("nothing-of-2-to-63-minus-1", (0, empty), (LAST_OF_63_BITS, one), 0, ACCEPTED),
        ("nothing-of-5-with-a-hash", (0, empty), (5, one), 1, DIVERGED),
        ("shrunk-by-1", (5, one), (4, other), 1, MALFORMED),
        ("shrunk-of-one-root", (5, one), (4, one), 0, MALFORMED),
        ("shrunk-to-nothing", (1, one), (0, empty), 0, MALFORMED),
        ("shrunk-from-2-to-64-minus-1", (u64::MAX, one), (1, one), 0, MALFORMED),
    ] {
        cases.push(case(name, trees(old, new, hashes), expect));
    }
    // The right proof the other way round.
    let Claimed { old, new, proof } = of_leaves(4, 7);
    cases.push(case("shrunk-by-a-right-proof", Claimed { old: new, new: old, proof }, MALFORMED));
    cases
}

pub fn cases() -> Vec<Case> {
    [rights(), wrongs(), edges()].into_iter().flatten().collect()
}
