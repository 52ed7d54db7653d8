//! How many signatures of JSON web tokens a listener verifies for the callers of one address.
//!
//! An address is charged before a signature is verified, and gets that back if the signature is good. A token that the node
//! remembers, or refuses without its signature, costs nothing. The table has only addresses whose bucket was not full when
//! they were last charged. If it is full, further addresses share one bucket, so that a caller with many addresses gets no
//! fresh bucket for each of them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::access::Source;
use crate::locked::lock;
use crate::token_bucket::{Pace, TokenBucket};

/// How many signatures are verified for an address in a second, and at once after a quiet time.
const PACE: Pace = Pace { rate: 10, burst: 100 };
/// The most addresses that are remembered.
const ADDRESSES_MAX: usize = 4096;
/// How long a full table is not searched again for buckets that have filled. To search it takes a look at each address.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// Why a token is not looked at.
pub(super) fn used_up() -> String {
    let Pace { rate, burst } = PACE;
    format!(
        "the node verifies {rate} signatures of JSON web tokens a second, and {burst} at once, for callers of one address, \
         and tokens with a wrong signature have used these up: come back in a second; beyond {ADDRESSES_MAX} addresses with \
         such tokens, further addresses share one such bound; a token that the node has accepted and remembers is still \
         accepted"
    )
}

/// What the addresses have used that have shown tokens with a wrong signature.
#[derive(Default)]
pub(super) struct Verifications(Mutex<State>);

#[derive(Default)]
struct State {
    addresses: BTreeMap<Source, TokenBucket>,
    /// That of all addresses for which the table has no room.
    common: Option<TokenBucket>,
    /// When the full table was last searched for buckets that have filled.
    searched: Option<Instant>,
}

/// The bucket from which a verification was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charged {
    /// That of the address.
    Address,
    /// The one that addresses share for which the table has no room.
    Common,
}

impl Verifications {
    /// Charges an address for one verification. None if it may not have one now.
    pub(super) fn take(&self, source: &Source) -> Option<Charged> {
        let now = Instant::now();
        let mut state = lock(&self.0);
        if let Some(bucket) = state.addresses.get_mut(source) {
            return bucket.take(1, now).then_some(Charged::Address);
        }
        let mut full = TokenBucket::full(PACE, now);
        if !state.has_room(now) {
            return state.common.get_or_insert(full).take(1, now).then_some(Charged::Common);
        }
        let taken = full.take(1, now);
        state.addresses.insert(source.clone(), full);
        taken.then_some(Charged::Address)
    }

    /// Gives back what an address was charged for a token that was good.
    pub(super) fn give_back(&self, source: &Source, charged: Charged) {
        let now = Instant::now();
        let mut state = lock(&self.0);
        match charged {
            Charged::Address => {
                let Some(bucket) = state.addresses.get_mut(source) else { return };
                bucket.give_back(1);
                // A new one is full too, and good tokens take no room in the table.
                if bucket.is_full(now) {
                    state.addresses.remove(source);
                }
            }
            Charged::Common => {
                if let Some(bucket) = &mut state.common {
                    bucket.give_back(1);
                }
            }
        }
    }
}

impl State {
    /// Whether the table has room for another address. If it is full, it is searched for buckets that have filled, at most
    /// once in [`SEARCH_EVERY`].
    fn has_room(&mut self, now: Instant) -> bool {
        if self.addresses.len() < ADDRESSES_MAX {
            return true;
        }
        if self.searched.is_some_and(|at| now.saturating_duration_since(at) < SEARCH_EVERY) {
            return false;
        }
        self.searched = Some(now);
        self.addresses.retain(|_, bucket| !bucket.is_full(now));
        self.addresses.len() < ADDRESSES_MAX
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn source(number: usize) -> Source {
        Source::of(&format!("10.0.{}.{}:1", number / 256, number % 256))
    }

    impl Verifications {
        fn knows(&self, source: &Source) -> bool {
            lock(&self.0).addresses.contains_key(source)
        }
    }

    /// A table that is full of addresses, each of which has used so many verifications.
    fn crowded(used: u64) -> Verifications {
        let all = Verifications::default();
        for number in 0..ADDRESSES_MAX {
            let source = source(number);
            for _ in 0..used {
                assert_eq!(all.take(&source), Some(Charged::Address));
            }
        }
        all
    }

    /// It fails if addresses share a bucket, if a good token uses it up or takes room in the table, or if it never fills
    /// again.
    #[tokio::test(start_paused = true)]
    async fn each_address_has_its_own_verifications_and_a_good_token_costs_none() {
        let all = Verifications::default();
        for _ in 0..1_000 {
            let charged = all.take(&source(1)).unwrap();
            all.give_back(&source(1), charged);
        }
        assert!(!all.knows(&source(1)));
        for _ in 0..PACE.burst {
            assert!(all.take(&source(1)).is_some());
        }
        assert!(all.take(&source(1)).is_none() && all.take(&source(2)).is_some());
        advance(Duration::from_secs(1)).await;
        let again = (0..100).filter(|_| all.take(&source(1)).is_some()).count();
        assert_eq!(u64::try_from(again).unwrap(), PACE.rate);
    }

    /// It fails if the table grows with the addresses, if an address whose bucket is empty is forgotten, or if each new
    /// address gets verifications of its own although the table is full.
    #[tokio::test(start_paused = true)]
    async fn addresses_for_which_the_table_has_no_room_share_one_bucket() {
        let all = crowded(PACE.burst);
        for number in 0..ADDRESSES_MAX {
            assert_eq!(all.take(&source(number)), None, "{number}");
        }
        let new = |number: u64| source(ADDRESSES_MAX + usize::try_from(number).unwrap());
        for number in 0..PACE.burst {
            assert_eq!(all.take(&new(number)), Some(Charged::Common), "{number}");
        }
        assert_eq!(all.take(&new(PACE.burst)), None);
        // A good token costs none of the common ones either.
        all.give_back(&new(0), Charged::Common);
        assert_eq!(all.take(&new(1)), Some(Charged::Common));
        assert_eq!(all.take(&new(2)), None);
        assert!(all.knows(&source(0)) && !all.knows(&new(0)));
        assert_eq!(lock(&all.0).addresses.len(), ADDRESSES_MAX);
        // Until the buckets of the table are full again, nothing but time helps.
        advance(Duration::from_secs(9)).await;
        assert_eq!(all.take(&new(0)), Some(Charged::Common));
        advance(Duration::from_secs(2)).await;
        assert_eq!(all.take(&new(0)), Some(Charged::Address));
        assert_eq!(lock(&all.0).addresses.len(), 1);
    }

    /// It fails if each new address costs a look at the whole table.
    #[tokio::test(start_paused = true)]
    async fn a_full_table_is_searched_at_most_once_a_second() {
        let all = crowded(1);
        assert_eq!(all.take(&source(ADDRESSES_MAX)), Some(Charged::Common));
        // By now each bucket is full again, and the table was searched half a second ago.
        advance(Duration::from_millis(500)).await;
        assert_eq!(all.take(&source(ADDRESSES_MAX)), Some(Charged::Common));
        assert_eq!(lock(&all.0).addresses.len(), ADDRESSES_MAX);
        advance(Duration::from_millis(500)).await;
        assert_eq!(all.take(&source(ADDRESSES_MAX)), Some(Charged::Address));
        assert_eq!(lock(&all.0).addresses.len(), 1);
    }
}
