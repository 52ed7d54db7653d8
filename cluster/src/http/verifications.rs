//! How many signatures of JSON web tokens a listener verifies for the callers of one address that it does not know yet.
//!
//! An address is charged before a signature is verified, and gets that back if the caller turns out to be one of the table.
//! A token that was accepted before is remembered, and costs nothing. The table is bounded: it forgets addresses whose
//! bucket is full, and then the one that was not used for the longest time.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::time::Instant;

use crate::access::Source;
use crate::locked::lock;
use crate::token_bucket::{Pace, TokenBucket};

/// How many signatures are verified for an address in a second, and at once after a quiet time.
const PACE: Pace = Pace { rate: 10, burst: 100 };
/// The most addresses that are remembered.
const ADDRESSES_MAX: usize = 4096;

/// Why a token is not looked at.
pub(super) fn used_up() -> String {
    let Pace { rate, burst } = PACE;
    format!(
        "the node verifies {rate} signatures of JSON web tokens a second, and {burst} at once, for callers of one address \
         that it does not know yet, and this address has used them up with tokens that are not good; a token that the node \
         has accepted before is still accepted"
    )
}

/// The addresses that have shown tokens which are not good.
#[derive(Default)]
pub(super) struct Verifications(Mutex<State>);

#[derive(Default)]
struct State {
    addresses: BTreeMap<Source, Used>,
    /// Counts the verifications, to tell which address was used last.
    number: u64,
}

struct Used {
    bucket: TokenBucket,
    last: u64,
}

impl Verifications {
    /// Charges an address for one verification, if it may have one now.
    pub(super) fn take(&self, source: &Source) -> bool {
        let now = Instant::now();
        let mut state = lock(&self.0);
        state.number = state.number.saturating_add(1);
        if state.addresses.len() >= ADDRESSES_MAX && !state.addresses.contains_key(source) {
            state.forget(now);
        }
        let number = state.number;
        let used = state.addresses.entry(source.clone());
        let used = used.or_insert_with(|| Used { bucket: TokenBucket::full(PACE, now), last: 0 });
        used.last = number;
        used.bucket.take(1, now)
    }

    /// Gives an address back what it was charged for a token that was good.
    pub(super) fn give_back(&self, source: &Source) {
        if let Some(used) = lock(&self.0).addresses.get_mut(source) {
            used.bucket.give_back(1);
        }
    }
}

impl State {
    fn forget(&mut self, now: Instant) {
        self.addresses.retain(|_, used| !used.bucket.is_full(now));
        if self.addresses.len() < ADDRESSES_MAX {
            return;
        }
        let oldest =
            self.addresses.iter().min_by_key(|(_, used)| used.last).map(|(source, _)| source.clone());
        if let Some(oldest) = oldest {
            self.addresses.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn source(number: usize) -> Source {
        Source::of(&format!("10.0.{}.{}:1", number / 256, number % 256))
    }

    /// It fails if addresses share a bucket, if a good token uses it up, or if it never fills again.
    #[tokio::test(start_paused = true)]
    async fn each_address_has_its_own_verifications_and_a_good_token_costs_none() {
        let all = Verifications::default();
        for _ in 0..1_000 {
            assert!(all.take(&source(1)));
            all.give_back(&source(1));
        }
        for _ in 0..PACE.burst {
            assert!(all.take(&source(1)));
        }
        assert!(!all.take(&source(1)) && all.take(&source(2)));
        advance(Duration::from_secs(1)).await;
        let again = (0..100).filter(|_| all.take(&source(1))).count();
        assert_eq!(u64::try_from(again).unwrap(), PACE.rate);
    }

    /// It fails if the table grows with the addresses.
    #[tokio::test(start_paused = true)]
    async fn the_table_of_addresses_is_bounded() {
        let all = Verifications::default();
        for number in 0..ADDRESSES_MAX + 10 {
            assert!(all.take(&source(number)));
        }
        let known = |number: usize| lock(&all.0).addresses.contains_key(&source(number));
        assert_eq!(lock(&all.0).addresses.len(), ADDRESSES_MAX);
        assert!(!known(0) && known(ADDRESSES_MAX + 9));
        advance(Duration::from_secs(60)).await;
        all.take(&source(ADDRESSES_MAX + 10));
        assert_eq!(lock(&all.0).addresses.len(), 1);
    }
}
