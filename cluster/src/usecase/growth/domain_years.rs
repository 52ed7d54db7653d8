//! How much each domain has taken in a year, counted from the ledger by weeks.
//!
//! Nothing is stored for this. After a start the node counts the last year of its ledger once, in the background, and
//! from then on what is added. So the count depends on the ledger alone, and two nodes that have applied the same
//! ledger count the same. Until the count has reached the end of the ledger, nothing is refused for it.
//!
//! A week counts until 52 weeks after its end, so what is called a year is between 52 and 53 weeks.

use std::collections::BTreeMap;
use std::sync::Mutex;

use assent_proof::{DomainName, Millis};
use assent_registry::query::LeafSize;

use crate::locked::lock;
use crate::metrics::DomainYear;

/// A week, in milliseconds.
const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;
/// A week counts for this many weeks after its own.
const WEEKS: i64 = 52;

/// The week of a time, counted from 1970.
pub(in crate::usecase) fn week_of(at: Millis) -> i64 {
    at.0.div_euclid(WEEK_MS)
}

/// What each domain has taken.
pub(in crate::usecase) struct DomainYears {
    /// What a domain may take in a year, in bytes; 0 is no bound.
    most: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    domains: BTreeMap<DomainName, Weeks>,
    /// The first leaf that is not counted yet, once it is known where the year begins.
    next: Option<u64>,
    /// Whether the count has reached the end of the ledger since the start.
    counted: bool,
}

/// What one domain has taken, by weeks.
#[derive(Debug, Default)]
struct Weeks {
    weeks: BTreeMap<i64, u64>,
    sum: u64,
}

impl Weeks {
    fn add(&mut self, week: i64, bytes: u64) {
        let of_week = self.weeks.entry(week).or_default();
        *of_week = of_week.saturating_add(bytes);
        self.sum = self.sum.saturating_add(bytes);
    }

    /// Forgets the weeks before this one.
    fn forget(&mut self, before: i64) {
        self.weeks.retain(|week, _| *week >= before);
        self.sum = self.weeks.values().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
    }
}

impl DomainYears {
    /// A bound of so many bytes. Nothing is counted yet.
    pub(super) fn new(most: u64) -> Self {
        Self { most, state: Mutex::default() }
    }

    /// Whether there is a bound, so that somebody must count.
    pub(in crate::usecase) fn is_bounded(&self) -> bool {
        self.most > 0
    }

    /// The first leaf that is not counted yet; `None` before it is known where the year begins.
    pub(in crate::usecase) fn next(&self) -> Option<u64> {
        lock(&self.state).next
    }

    /// Begins to count at this leaf.
    pub(in crate::usecase) fn begin(&self, first: u64) {
        lock(&self.state).next = Some(first);
    }

    /// Counts leaves, which follow those that were counted. `count` says whose bytes count.
    pub(in crate::usecase) fn count(&self, leaves: &[LeafSize], counts: impl Fn(&LeafSize) -> bool) {
        let mut state = lock(&self.state);
        for leaf in leaves {
            if counts(leaf) {
                let weeks = state.domains.entry(leaf.domain.clone()).or_default();
                weeks.add(week_of(leaf.accepted_at), leaf.bytes);
            }
        }
        let leaves = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
        state.next = state.next.map(|next| next.saturating_add(leaves));
    }

    /// Notes that everything is counted that the ledger has, and forgets what is older than a year in this week.
    /// Returns whether this is so for the first time.
    pub(in crate::usecase) fn caught_up(&self, week: i64) -> bool {
        let mut state = lock(&self.state);
        let before = week.saturating_sub(WEEKS);
        for weeks in state.domains.values_mut() {
            weeks.forget(before);
        }
        state.domains.retain(|_, weeks| weeks.sum > 0);
        !std::mem::replace(&mut state.counted, true)
    }

    /// Why this domain takes no more this year, if that is so.
    pub(super) fn refuses(&self, domain: &DomainName) -> Option<String> {
        if !self.is_bounded() {
            return None;
        }
        let used = {
            let state = lock(&self.state);
            state.domains.get(domain).map(|weeks| weeks.sum).filter(|_| state.counted)?
        };
        (used >= self.most).then(|| {
            format!(
                "domain `{domain}` has taken `{used}` bytes within a year, and this node takes at most {} (`limits.domain_mib_per_year`) \
                 beside revocations, containments and governance statements: submit less, or have the operators raise the limit",
                self.most
            )
        })
    }

    /// What the page of metrics shows, if there is a bound.
    pub(in crate::usecase) fn shown(&self) -> Option<DomainYear> {
        if !self.is_bounded() {
            return None;
        }
        let state = lock(&self.state);
        let used = state.domains.values().map(|weeks| weeks.sum).max().unwrap_or(0);
        Some(DomainYear { used, most: self.most, counted: state.counted })
    }
}

#[cfg(test)]
mod tests {
    use assent_proof::EvidenceKind;

    use super::*;

    fn leaf(domain: &str, week: i64, bytes: u64) -> LeafSize {
        LeafSize {
            kind: EvidenceKind::RuntimeIntegrity,
            domain: domain.parse().unwrap(),
            accepted_at: Millis(week * WEEK_MS + 5),
            bytes,
        }
    }

    fn refuses(years: &DomainYears, domain: &str) -> bool {
        years.refuses(&domain.parse().unwrap()).is_some()
    }

    #[test]
    fn a_domain_that_has_taken_its_year_takes_no_more_and_others_do() {
        let years = DomainYears::new(100);
        years.begin(7);
        years.count(&[leaf("prod.eu", 10, 60), leaf("prod.us", 10, 99), leaf("prod.eu", 11, 40)], |_| true);
        assert_eq!(years.next(), Some(10));
        assert!(!refuses(&years, "prod.eu"), "the count has not reached the end of the ledger");
        assert!(years.caught_up(11));
        assert!(!years.caught_up(11), "only once");
        let why = years.refuses(&"prod.eu".parse().unwrap()).unwrap();
        for said in ["`prod.eu`", "`100` bytes", "at most 100", "`limits.domain_mib_per_year`"] {
            assert!(why.contains(said), "`{said}` is not in `{why}`");
        }
        assert!(!refuses(&years, "prod.us") && !refuses(&years, "prod.new"));
        assert_eq!(years.shown(), Some(DomainYear { used: 100, most: 100, counted: true }));
    }

    #[test]
    fn a_week_counts_until_52_weeks_after_its_end() {
        let years = DomainYears::new(100);
        years.begin(0);
        years.count(&[leaf("prod.eu", 10, 60), leaf("prod.eu", 11, 40)], |_| true);
        years.caught_up(62);
        assert!(refuses(&years, "prod.eu"));
        years.caught_up(63);
        assert!(!refuses(&years, "prod.eu"));
        assert_eq!(years.shown().unwrap().used, 40);
        years.caught_up(64);
        assert!(lock(&years.state).domains.is_empty(), "a domain without weeks takes no memory");
    }

    #[test]
    fn what_does_not_count_is_passed_over_and_without_a_bound_nothing_is_refused() {
        let years = DomainYears::new(10);
        years.begin(0);
        years.count(&[leaf("prod.eu", 1, 1_000)], |leaf| leaf.bytes < 1_000);
        years.caught_up(1);
        assert_eq!(years.next(), Some(1));
        assert!(!refuses(&years, "prod.eu"));
        let free = DomainYears::new(0);
        free.begin(0);
        free.count(&[leaf("prod.eu", 1, u64::MAX)], |_| true);
        free.caught_up(1);
        assert!(!refuses(&free, "prod.eu") && free.shown().is_none());
    }
}
