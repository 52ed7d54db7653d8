//! The keys that sign. A key follows from its number:
//! - 1–3 are root's, and 6–8 their successors;
//! - 4 signs checkpoints;
//! - 5 is the node's, and 9 and 10 are those of nodes that come later;
//! - a domain's keys begin at 20 (`lab`) or 60 (`prod`): governance at 0–4 from there, then two of each role, then
//!   spare ones;
//! - the keys of other registries begin at 90.

use std::sync::LazyLock;

use assent_proof::{PublicKey, SigningKey};

/// How many keys there are.
const KEYS: u8 = 110;

/// The key that signs checkpoints.
pub(super) const CHECKPOINTS: u8 = 4;
/// The node's key.
pub(super) const NODE: u8 = 5;
/// The keys of nodes that are granted later, if at all. They sign no permits.
pub(super) const NODES: [u8; 2] = [9, 10];
/// The keys that may be root keys: the first ones, and their successors.
pub(super) const ROOT: [u8; 6] = [1, 2, 3, 6, 7, 8];
/// The successors of the first root keys.
pub(super) const NEXT_ROOT: [u8; 3] = [6, 7, 8];

static ALL: LazyLock<Vec<SigningKey>> = LazyLock::new(|| (0..KEYS).map(assent_fixtures::key).collect());

/// The key with a number.
pub(super) fn key(number: u8) -> SigningKey {
    ALL.get(usize::from(number)).cloned().unwrap_or_else(|| assent_fixtures::key(number))
}

/// Its public half.
pub(super) fn public(number: u8) -> PublicKey {
    key(number).public()
}

/// Every number, with the public half of its key as text.
pub(super) fn names() -> impl Iterator<Item = (u8, String)> {
    (0..KEYS).map(|number| (number, public(number).to_string()))
}

/// Where the numbers of a domain's keys begin.
pub(super) fn base(domain: &str) -> u8 {
    if domain == "lab" { 20 } else { 60 }
}

/// The keys that may govern a domain.
pub(super) fn governance(domain: &str) -> Vec<u8> {
    match domain {
        "_root" => ROOT.to_vec(),
        _ => (base(domain)..base(domain).saturating_add(5)).collect(),
    }
}

/// The number of a key, if it is one of this file's.
pub(super) fn number(of: &PublicKey) -> Option<u8> {
    (0..KEYS).find(|number| public(*number) == *of)
}
