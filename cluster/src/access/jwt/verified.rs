//! The tokens that were verified and accepted, so that the signature of a good token is not verified each time.
//!
//! A token is known by the SHA-256 of its text, signature included. What is remembered holds for one set of keys: if a
//! JWKS file changes, all of it is forgotten. Its times are checked anew each time that the token is shown.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use assent_proof::Millis;

use super::refusal::JwtRefusal;
use super::settings::JwtIdentity;
use crate::locked::lock;

/// The most tokens that are remembered.
const TOKENS_MAX: usize = 4096;

/// The SHA-256 of a token.
pub(super) type Digest = [u8; 32];

/// A token whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    /// Who shows it.
    pub(super) identity: JwtIdentity,
    pub(super) times: Times,
}

/// When a token is valid, with the issuer's leeway, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// The first point in time at which it is valid.
    pub(super) begins: i64,
    /// The first point in time after that at which it is not valid any more.
    pub(super) ends: i64,
}

impl Times {
    /// Whether the token is valid at this time.
    ///
    /// # Errors
    /// It is over, or has not begun.
    pub(super) fn check(&self, now: Millis) -> Result<(), JwtRefusal> {
        if now.0 >= self.ends {
            return Err(JwtRefusal::Expired);
        }
        if now.0 < self.begins {
            return Err(JwtRefusal::NotYetValid);
        }
        Ok(())
    }
}

/// The tokens that one set of keys has verified.
#[derive(Debug, Default)]
pub(super) struct VerifiedTokens(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    tokens: BTreeMap<Digest, Token>,
    /// How many were added, to tell which is older.
    added: u64,
}

#[derive(Debug)]
struct Token {
    verified: Arc<Verified>,
    /// The number of the token.
    number: u64,
}

impl VerifiedTokens {
    /// The token with this digest, if it is remembered.
    pub(super) fn find(&self, digest: &Digest) -> Option<Arc<Verified>> {
        lock(&self.0).tokens.get(digest).map(|token| token.verified.clone())
    }

    /// Remembers a token. If there are too many, those that are over are forgotten, and then the older half of those of the
    /// identity that has most.
    pub(super) fn add(&self, digest: Digest, verified: Arc<Verified>, now: Millis) {
        let mut kept = lock(&self.0);
        if kept.tokens.len() >= TOKENS_MAX {
            kept.make_room(now);
        }
        let number = kept.added;
        kept.added = number.saturating_add(1);
        kept.tokens.insert(digest, Token { verified, number });
    }
}

impl Kept {
    fn make_room(&mut self, now: Millis) {
        self.tokens.retain(|_, token| token.verified.times.check(now) != Err(JwtRefusal::Expired));
        if self.tokens.len() < TOKENS_MAX {
            return;
        }
        let mut of_each: BTreeMap<&JwtIdentity, Vec<(u64, Digest)>> = BTreeMap::new();
        for (digest, token) in &self.tokens {
            of_each.entry(&token.verified.identity).or_default().push((token.number, *digest));
        }
        let Some(mut most) = of_each.into_values().max_by_key(Vec::len) else { return };
        most.sort_unstable();
        let half = most.len().div_ceil(2);
        for (_, digest) in most.into_iter().take(half) {
            self.tokens.remove(&digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(subject: &str, ends: i64) -> Arc<Verified> {
        let identity = JwtIdentity { issuer: "https://issuer.example".into(), subject: subject.into() };
        Arc::new(Verified { identity, times: Times { begins: 0, ends } })
    }

    fn digest(number: u64) -> Digest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        digest
    }

    /// It fails if the tokens grow without a bound, or if a caller with many tokens pushes out those of another.
    #[test]
    fn a_caller_with_many_tokens_pushes_out_its_own() {
        let tokens = VerifiedTokens::default();
        let now = Millis(1);
        for number in 0..10 {
            tokens.add(digest(number), verified("quiet", 100), now);
        }
        for number in 10..10_000 {
            tokens.add(digest(number), verified("busy", 100), now);
        }
        assert!(lock(&tokens.0).tokens.len() <= TOKENS_MAX);
        assert!((0..10).all(|number| tokens.find(&digest(number)).is_some()));
        assert!(tokens.find(&digest(10)).is_none() && tokens.find(&digest(9_999)).is_some());
        // What is over makes room first.
        for number in 10_000..20_000 {
            tokens.add(digest(number), verified("later", 200), Millis(150));
        }
        assert!(lock(&tokens.0).tokens.values().all(|token| token.verified.identity.subject == "later"));
    }
}
