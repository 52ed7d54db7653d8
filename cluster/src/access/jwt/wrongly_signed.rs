//! The tokens whose signature does not verify, so that such a token costs one verification, however often it is shown.
//!
//! A token is known by the SHA-256 of its text, signature included. What is remembered holds for one set of keys: if a
//! JWKS file changes, all of it is forgotten.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;

use super::verified::Digest;
use crate::locked::lock;

/// The most tokens that are remembered.
const TOKENS_MAX: usize = 4096;

/// The tokens that one set of keys has not signed.
#[derive(Debug, Default)]
pub(super) struct WronglySigned(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    digests: BTreeSet<Digest>,
    /// The same, the oldest first.
    in_order: VecDeque<Digest>,
}

impl WronglySigned {
    /// Whether the token with this digest is remembered.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        lock(&self.0).digests.contains(digest)
    }

    /// Remembers a token. If there are too many, the oldest is forgotten.
    pub(super) fn add(&self, digest: Digest) {
        let mut kept = lock(&self.0);
        if !kept.digests.insert(digest) {
            return;
        }
        kept.in_order.push_back(digest);
        if kept.in_order.len() > TOKENS_MAX {
            let oldest = kept.in_order.pop_front();
            if let Some(oldest) = oldest {
                kept.digests.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> Digest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        digest
    }

    /// It fails if the tokens grow without a bound, if one takes the room of two, or if a newer one is forgotten first.
    #[test]
    fn the_newest_wrong_tokens_are_remembered() {
        let tokens = WronglySigned::default();
        for number in 0..TOKENS_MAX + 10 {
            tokens.add(digest(number));
            tokens.add(digest(number));
        }
        let kept = lock(&tokens.0);
        assert_eq!((kept.digests.len(), kept.in_order.len()), (TOKENS_MAX, TOKENS_MAX));
        drop(kept);
        assert!((0..10).all(|number| !tokens.has(&digest(number))));
        assert!((10..TOKENS_MAX + 10).all(|number| tokens.has(&digest(number))));
    }
}
