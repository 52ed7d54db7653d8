//! How many requests each caller may have under way, make in a second, and have in work while other callers are at work.
//!
//! A caller is charged before the work, and gets back what was not used. The table of accounts is bounded: it forgets
//! accounts whose bucket is full, because a new bucket is full too. A caller of the configuration is forgotten only so. An
//! address may be forgotten before its bucket is full, the longest unused one first. A stranger gains nothing from that:
//! to have an address forgotten, it needs thousands of others, and each of these has a bucket of its own anyway.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use crate::access::Account;
use crate::config::LimitConfig;
use crate::locked::lock;
use crate::shares::{Door, DoorLane, Inside};
use crate::token_bucket::{Pace, TokenBucket};

/// The most accounts that are remembered, beside those with requests under way. It is above the number of entries that
/// `callers` may have.
const ACCOUNTS_MAX: usize = 4096;

/// The accounts of all callers.
pub(crate) struct Quotas {
    /// The pace of a caller that has none of its own.
    pace: Pace,
    requests_max: usize,
    accounts_max: usize,
    state: Mutex<State>,
    door: Door,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<Account, Counts>,
    /// Counts the requests, to tell which account was used last.
    requests: u64,
}

struct Counts {
    bucket: TokenBucket,
    /// Its requests under way.
    running: usize,
    /// The number of its last request.
    last: u64,
}

/// A request that is within its caller's quotas. It counts as under way until this is dropped.
pub(crate) struct Admitted {
    quotas: Arc<Quotas>,
    account: Account,
    pace: Pace,
    /// The number of requests that are charged for it.
    charged: AtomicU64,
}

/// Which of a caller's quotas is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuotaError {
    /// Too many requests are under way.
    #[error(
        "this caller has {most} requests under way, which is the most that it may have (`limits.caller_requests`)"
    )]
    Requests {
        /// The bound.
        most: usize,
    },
    /// Too many requests were made.
    #[error(
        "this caller may make {rate} requests a second and {burst} at once (`limits.caller_rate`, `limits.caller_burst`, \
         or `rate` and `burst` of its entry in `callers`), and {more} more are too many now"
    )]
    Rate {
        /// The bound, in a second.
        rate: u64,
        /// The bound, at once.
        burst: u64,
        /// How many it wanted.
        more: u64,
    },
    /// Too many of its requests are in work.
    #[error(
        "while a node is short of processors and other callers are at work, it works on {most} calls of this kind for \
         one caller at a time (`limits.caller_work`), and this call waited {waited_ms} ms for its turn"
    )]
    Work {
        /// The bound.
        most: usize,
        /// How long it waited, in milliseconds.
        waited_ms: u128,
    },
}

impl Quotas {
    pub(crate) fn new(limits: &LimitConfig) -> Self {
        let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        Self {
            pace: Pace { rate: number(limits.caller_rate), burst: number(limits.caller_burst) },
            requests_max: limits.caller_requests,
            accounts_max: ACCOUNTS_MAX,
            state: Mutex::default(),
            door: Door::new(limits.caller_work),
        }
    }

    /// Admits a request and charges one for it. An account has the pace of all if it has none of its own. Calls that are
    /// not told apart have no quotas.
    ///
    /// # Errors
    /// Which quota is used up. Then nothing is charged.
    pub(crate) fn admit(
        self: &Arc<Self>,
        account: Account,
        (rate, burst): (Option<u64>, Option<u64>),
    ) -> Result<Admitted, QuotaError> {
        let pace = Pace { rate: rate.unwrap_or(self.pace.rate), burst: burst.unwrap_or(self.pace.burst) };
        if account != Account::Common {
            let now = Instant::now();
            let mut state = lock(&self.state);
            let counts = state.counts(&account, pace, self.accounts_max, now);
            if counts.running >= self.requests_max {
                return Err(QuotaError::Requests { most: self.requests_max });
            }
            if !counts.bucket.take(1, now) {
                return Err(QuotaError::Rate { rate: pace.rate, burst: pace.burst, more: 1 });
            }
            counts.running = counts.running.saturating_add(1);
        }
        Ok(Admitted { quotas: self.clone(), account, pace, charged: AtomicU64::new(1) })
    }
}

impl State {
    /// What is counted of an account, which is remembered from now on. Its pace is always the same.
    fn counts(&mut self, account: &Account, pace: Pace, accounts_max: usize, now: Instant) -> &mut Counts {
        self.requests = self.requests.saturating_add(1);
        if self.accounts.len() >= accounts_max && !self.accounts.contains_key(account) {
            self.forget(accounts_max, now);
        }
        let counts = self.accounts.entry(account.clone());
        let counts =
            counts.or_insert_with(|| Counts { bucket: TokenBucket::full(pace, now), running: 0, last: 0 });
        counts.last = self.requests;
        counts
    }

    fn forget(&mut self, accounts_max: usize, now: Instant) {
        self.accounts.retain(|_, counts| counts.running > 0 || !counts.bucket.is_full(now));
        if self.accounts.len() < accounts_max {
            return;
        }
        let unused = self.accounts.iter().filter(|(account, counts)| match account {
            Account::Source(_) => counts.running == 0,
            Account::Common | Account::Named(_) => false,
        });
        let oldest = unused.min_by_key(|(_, counts)| counts.last).map(|(account, _)| account.clone());
        // Without one, each address has a request under way, and the connections bound their number.
        if let Some(oldest) = oldest {
            self.accounts.remove(&oldest);
        }
    }
}

impl Admitted {
    /// Waits at the door until the node may work on the request, by `until`.
    ///
    /// # Errors
    /// Its turn did not come in time.
    pub(crate) async fn enter(&self, lane: DoorLane, until: Instant) -> Result<Inside, QuotaError> {
        let came = Instant::now();
        let door = &self.quotas.door;
        door.enter(&self.account, lane, until)
            .await
            .ok_or_else(|| QuotaError::Work { most: door.most(lane), waited_ms: came.elapsed().as_millis() })
    }

    /// Charges for as many requests as the call turns out to have, in place of what was charged for it before.
    ///
    /// # Errors
    /// The caller may not make so many now. Then what was charged before stays charged.
    pub(crate) fn costs(&self, requests: usize) -> Result<(), QuotaError> {
        if self.account == Account::Common {
            return Ok(());
        }
        let now = Instant::now();
        let requests = u64::try_from(requests).unwrap_or(u64::MAX);
        let mut state = lock(&self.quotas.state);
        let charged = self.charged.load(Ordering::Relaxed);
        if let Some(counts) = state.accounts.get_mut(&self.account) {
            let Pace { rate, burst } = self.pace;
            let more = requests.saturating_sub(charged);
            if !counts.bucket.take(more, now) {
                return Err(QuotaError::Rate { rate, burst, more });
            }
            counts.bucket.give_back(charged.saturating_sub(requests));
        }
        self.charged.store(requests, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back all but one of the requests that were charged, because the call was shed.
    pub(crate) fn was_shed(&self) {
        // To charge less is always possible.
        let _ = self.costs(1);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(counts) = lock(&self.quotas.state).accounts.get_mut(&self.account) {
            counts.running = counts.running.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::access::Source;

    const NONE: (Option<u64>, Option<u64>) = (None, None);

    fn quotas(caller_requests: usize) -> Arc<Quotas> {
        let limits =
            LimitConfig { caller_requests, caller_rate: 10, caller_burst: 2_000, ..LimitConfig::default() };
        Arc::new(Quotas { accounts_max: 3, ..Quotas::new(&limits) })
    }

    fn named(name: &str) -> Account {
        Account::Named(name.into())
    }

    fn source(last: u8) -> Account {
        Account::Source(Source::of(&format!("127.0.0.{last}:1")))
    }

    /// It fails if requests are counted over all callers, or are not given back.
    #[tokio::test(start_paused = true)]
    async fn each_caller_has_its_own_number_of_requests_under_way() {
        let quotas = quotas(2);
        let held = [quotas.admit(named("a"), NONE).unwrap(), quotas.admit(named("a"), NONE).unwrap()];
        let full = quotas.admit(named("a"), NONE).err();
        assert_eq!(full, Some(QuotaError::Requests { most: 2 }));
        assert!(full.unwrap().to_string().contains("limits.caller_requests"));
        assert!(quotas.admit(named("b"), NONE).is_ok());
        drop(held);
        assert!(quotas.admit(named("a"), NONE).is_ok());
    }

    /// It fails if a batch is charged as one request, or if what is shed is not given back.
    #[tokio::test(start_paused = true)]
    async fn a_batch_is_charged_by_its_requests_and_gets_back_what_was_not_used() {
        let quotas = quotas(100);
        let batch = quotas.admit(named("a"), NONE).unwrap();
        batch.costs(1_000).unwrap();
        let second = quotas.admit(named("a"), NONE).unwrap();
        let refused = second.costs(1_001).unwrap_err();
        assert_eq!(refused, QuotaError::Rate { rate: 10, burst: 2_000, more: 1_000 });
        second.costs(1_000).unwrap();
        assert!(quotas.admit(named("a"), NONE).is_err(), "the burst is used up");
        assert!(quotas.admit(named("b"), NONE).is_ok(), "it is the caller's own");
        second.was_shed();
        quotas.admit(named("a"), NONE).unwrap().costs(999).unwrap();
        assert!(quotas.admit(named("a"), NONE).is_err());
        advance(Duration::from_millis(100)).await;
        assert!(quotas.admit(named("a"), NONE).is_ok());
        assert!(quotas.admit(named("a"), NONE).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_can_have_a_pace_of_its_own_and_common_calls_have_no_quotas() {
        let quotas = quotas(1);
        let slow = (Some(1), Some(1));
        drop(quotas.admit(named("slow"), slow).unwrap());
        assert_eq!(
            quotas.admit(named("slow"), slow).err(),
            Some(QuotaError::Rate { rate: 1, burst: 1, more: 1 })
        );
        let common: Vec<Admitted> = (0..5).map(|_| quotas.admit(Account::Common, slow).unwrap()).collect();
        assert!(common.iter().all(|admitted| admitted.costs(1_000_000).is_ok()));
    }

    /// It fails if the table grows with the addresses, or if addresses push out callers of the configuration.
    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded_and_no_address_makes_it_forget_a_caller_of_the_configuration() {
        let quotas = quotas(10);
        quotas.admit(named("a"), NONE).unwrap().costs(2_000).unwrap();
        let under_way = quotas.admit(source(1), NONE).unwrap();
        for last in 2..=200 {
            drop(quotas.admit(source(last), NONE).unwrap());
        }
        let known = |account: &Account| lock(&quotas.state).accounts.contains_key(account);
        assert_eq!(lock(&quotas.state).accounts.len(), 3);
        assert!(known(&named("a")) && known(&source(1)) && known(&source(200)));
        assert!(quotas.admit(named("a"), NONE).is_err(), "its bucket is still empty");
        drop(under_way);
        // A full bucket is as good as none.
        advance(Duration::from_secs(3_600)).await;
        drop(quotas.admit(source(201), NONE).unwrap());
        assert_eq!(lock(&quotas.state).accounts.len(), 1);
    }
}
