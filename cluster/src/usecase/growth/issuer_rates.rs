//! How fast an issuer may submit: a token bucket for each issuer.
//!
//! A bucket starts full, with `limits.issuer_burst` tokens, and gets `limits.issuer_rate` tokens a second until it is
//! full again. A statement takes a token from the bucket of each of its issuers, or from none. A full bucket says
//! nothing that a missing one does not, so full ones are dropped, and the table is bounded.
//!
//! A statement is charged only after its signatures were verified, and its charge is given back unless it is kept, which
//! happens only once the statement has entered the ledger, or may have. So nobody can spend the tokens of a key that
//! they do not have: not with statements that they made, and not with statements of the key's that the rules refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use assent_proof::PublicKey;

use crate::locked::lock;
use crate::token_bucket::{Pace, TokenBucket};

/// The largest number of buckets that are not full. It takes this many issuers that submit within the time in which a
/// bucket fills, and takes some megabytes of memory.
const BUCKETS_MAX: usize = 64 * 1024;
/// How often the full buckets are dropped at most, because that looks at all of them.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// An issuer, and whether its governance statements are meant or all others.
type Of = (PublicKey, bool);

/// The buckets of all issuers.
#[derive(Debug)]
pub(in crate::usecase) struct IssuerRates {
    /// How the buckets fill. A rate of 0 is no bound, and then there are no buckets.
    pace: Pace,
    buckets_max: usize,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    all: BTreeMap<Of, TokenBucket>,
    /// When the full buckets were dropped last.
    swept: Option<Instant>,
}

/// The tokens that a statement has taken. Dropping it gives them back, so a caller that leaves in the middle of its call
/// costs the issuers nothing.
#[derive(Debug)]
#[must_use = "a charge that is dropped is given back"]
pub(in crate::usecase) struct Charge {
    rates: Arc<IssuerRates>,
    /// The buckets from which a token was taken and not given back.
    of: BTreeSet<Of>,
}

impl Charge {
    /// Spends the tokens for good: the statement is in the ledger, or may be.
    pub(in crate::usecase) fn keep(mut self) {
        self.of.clear();
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.rates.refund(&self.of);
    }
}

impl Buckets {
    /// Drops the full buckets, unless that was done just now.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|at| now.saturating_duration_since(at) < SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        self.all.retain(|_, bucket| !bucket.is_full(now));
    }
}

impl IssuerRates {
    /// Buckets that get `rate` tokens a second and hold `burst`. Without a rate there is no bound.
    pub(in crate::usecase) fn new(rate: u64, burst: u64) -> Self {
        Self { pace: Pace { rate, burst }, buckets_max: BUCKETS_MAX, buckets: Mutex::default() }
    }

    /// Whether each of these issuers has a token. It takes none.
    ///
    /// # Errors
    /// Why not, one sentence with what to do.
    pub(super) fn look(&self, issuers: &[PublicKey], governs: bool, now: Instant) -> Result<(), String> {
        if self.pace.rate == 0 {
            return Ok(());
        }
        let buckets = lock(&self.buckets);
        let empty = |issuer: &&PublicKey| {
            let bucket = buckets.all.get(&(**issuer, governs));
            bucket.is_some_and(|bucket| !bucket.has(1, now))
        };
        issuers.iter().find(empty).map_or(Ok(()), |issuer| Err(self.spent(issuer)))
    }

    /// Takes a token from each of these issuers, or none from any.
    ///
    /// # Errors
    /// Why not, one sentence with what to do.
    pub(in crate::usecase) fn charge(
        self: &Arc<Self>,
        issuers: &[PublicKey],
        governs: bool,
        now: Instant,
    ) -> Result<Charge, String> {
        if self.pace.rate == 0 {
            return Ok(Charge { rates: self.clone(), of: BTreeSet::new() });
        }
        let of: BTreeSet<Of> = issuers.iter().map(|issuer| (*issuer, governs)).collect();
        let mut buckets = lock(&self.buckets);
        if buckets.all.len().saturating_add(of.len()) > self.buckets_max {
            buckets.sweep(now);
        }
        let fresh = of.iter().filter(|of| !buckets.all.contains_key(*of)).count();
        if buckets.all.len().saturating_add(fresh) > self.buckets_max {
            return Err(format!(
                "more than {} issuers submit at the same time, and this node counts no more of them: try again after a second",
                self.buckets_max
            ));
        }
        let full = TokenBucket::full(self.pace, now);
        let mut charged = Vec::with_capacity(of.len());
        for of in &of {
            let mut bucket = buckets.all.get(of).copied().unwrap_or(full);
            if !bucket.take(1, now) {
                return Err(self.spent(&of.0));
            }
            charged.push((*of, bucket));
        }
        buckets.all.extend(charged);
        Ok(Charge { rates: self.clone(), of })
    }

    /// Gives a token back to each of these.
    fn refund(&self, charged: &BTreeSet<Of>) {
        if charged.is_empty() {
            return;
        }
        let mut buckets = lock(&self.buckets);
        for of in charged {
            // A bucket that is not there is full.
            if let Some(bucket) = buckets.all.get_mut(of) {
                bucket.give_back(1);
            }
        }
    }

    fn spent(&self, issuer: &PublicKey) -> String {
        format!(
            "issuer `{issuer}` has submitted {} statements at once, and this node takes {} a second of an issuer in the long run \
             (`limits.issuer_burst`, `limits.issuer_rate`): submit the rest more slowly",
            self.pace.burst, self.pace.rate
        )
    }
}

#[cfg(test)]
mod tests {
    use assent_proof::SigningKey;

    use super::*;

    fn rates(rate: u64, burst: u64) -> Arc<IssuerRates> {
        Arc::new(IssuerRates::new(rate, burst))
    }

    fn issuer(seed: u8) -> PublicKey {
        SigningKey::from_seed([seed; 32]).public()
    }

    /// How many statements of this issuer are taken now.
    fn taken(rates: &Arc<IssuerRates>, seed: u8, now: Instant) -> usize {
        (0..10_000)
            .take_while(|_| rates.charge(&[issuer(seed)], false, now).map(Charge::keep).is_ok())
            .count()
    }

    #[test]
    fn an_issuer_gets_its_burst_at_once_and_its_rate_from_then_on_and_others_get_theirs() {
        let (rates, start) = (rates(10, 50), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(taken(&rates, 1, start), 50);
        assert_eq!(taken(&rates, 2, start), 50, "another issuer has a bucket of its own");
        assert_eq!(taken(&rates, 1, after(99)), 0);
        assert_eq!(taken(&rates, 1, after(100)), 1, "what came in 99 ms is not lost");
        assert_eq!(taken(&rates, 1, after(1_100)), 10);
        assert_eq!(taken(&rates, 1, after(1_000_000)), 50, "a bucket holds no more than a burst");
    }

    #[test]
    fn a_look_takes_nothing_and_says_the_bound_once_nothing_is_left() {
        let (rates, now) = (rates(10, 2), Instant::now());
        for _ in 0..5 {
            rates.look(&[issuer(1)], false, now).unwrap();
        }
        assert_eq!(taken(&rates, 1, now), 2);
        let why = rates.look(&[issuer(1)], false, now).unwrap_err();
        for said in [issuer(1).to_string().as_str(), "2 statements", "10 a second", "`limits.issuer_rate`"] {
            assert!(why.contains(said), "`{said}` is not in `{why}`");
        }
        rates.look(&[issuer(1)], true, now).expect("its governance statements are counted apart");
    }

    #[test]
    fn a_statement_of_several_issuers_takes_a_token_of_each_or_of_none() {
        let (rates, now) = (rates(1, 2), Instant::now());
        assert_eq!(taken(&rates, 1, now), 2);
        assert!(rates.charge(&[issuer(2), issuer(1)], false, now).is_err());
        assert_eq!(taken(&rates, 2, now), 2, "nothing was taken of it");
        rates.charge(&[issuer(3), issuer(3)], false, now).unwrap().keep();
        assert_eq!(taken(&rates, 3, now), 1, "an issuer that is named twice gives one token");
    }

    #[test]
    fn what_is_given_back_can_be_spent_again_and_never_makes_a_bucket_more_than_full() {
        let (rates, now) = (rates(1, 3), Instant::now());
        let charge = rates.charge(&[issuer(1)], false, now).unwrap();
        for _ in 0..5 {
            rates.refund(&charge.of);
        }
        assert_eq!(taken(&rates, 1, now), 3);
        rates.refund(&charge.of);
        assert_eq!(taken(&rates, 1, now), 1);
        charge.keep();
    }

    /// Fails if a charge that nobody has settled, as that of a caller who has left, stays.
    #[tokio::test(start_paused = true)]
    async fn a_charge_that_is_dropped_leaves_the_bucket_as_it_was_before() {
        let (rates, now) = (rates(1, 3), Instant::now());
        for _ in 0..20 {
            drop(rates.charge(&[issuer(1)], false, now).unwrap());
        }
        let abandoned = async {
            let _charge = rates.charge(&[issuer(1)], false, now).unwrap();
            std::future::pending::<()>().await;
        };
        assert!(tokio::time::timeout(Duration::from_millis(1), abandoned).await.is_err());
        assert_eq!(taken(&rates, 1, now), 3);
        assert!(rates.charge(&[issuer(1)], false, now).is_err(), "what is kept is spent");
    }

    #[test]
    fn the_table_is_bounded_and_forgets_only_full_buckets() {
        let start = Instant::now();
        let rates = Arc::new(IssuerRates { buckets_max: 2, ..IssuerRates::new(1, 1) });
        for seed in [1, 2] {
            rates.charge(&[issuer(seed)], false, start).unwrap().keep();
        }
        let why = rates.charge(&[issuer(3)], false, start).unwrap_err();
        assert!(why.contains("more than 2 issuers"), "{why}");
        // A second later both are full.
        let later = start + Duration::from_secs(1);
        rates.charge(&[issuer(3)], false, later).unwrap().keep();
        assert_eq!(lock(&rates.buckets).all.len(), 1);
    }

    #[test]
    fn without_a_rate_nothing_is_counted() {
        let (rates, now) = (rates(0, 1), Instant::now());
        assert_eq!(taken(&rates, 1, now), 10_000);
        rates.look(&[issuer(1)], false, now).unwrap();
        assert!(lock(&rates.buckets).all.is_empty());
    }
}
