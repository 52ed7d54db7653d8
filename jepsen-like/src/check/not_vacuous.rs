//! M3: a run in which little succeeds shows little.
//!
//! Of a run's client operations at least 15 % succeed (accepted, allowed, read), and at least 5 % are allows. A single
//! seed may be unlucky; a command that runs many seeds requires 30 % and 10 % of all of them together. A run of no
//! more than 200 operations is too short to be judged.

use super::read::is_clients;
use super::{Verdict, Violation};
use crate::history::{History, Outcome};

/// A run with fewer operations is not judged.
const OPERATIONS_MIN: usize = 200;
/// The least percentage of operations that succeed.
const SUCCESS_PERCENT_MIN: usize = 15;
/// The least percentage of operations that are allows.
const ALLOW_PERCENT_MIN: usize = 5;

/// Looks at operations.
pub(super) fn check(history: &History) -> Verdict {
    let operations = history.records.iter().filter(|record| is_clients(record)).count();
    let mut verdict = Verdict::default();
    if operations <= OPERATIONS_MIN {
        return verdict;
    }
    verdict.looked_at = u64::try_from(operations).unwrap_or(u64::MAX);
    let succeeded =
        history.records.iter().filter(|record| is_clients(record) && record.outcome == Outcome::Ok).count();
    let allowed = history.records.iter().filter(|record| record.is_allow()).count();
    let checks = [(succeeded, SUCCESS_PERCENT_MIN, "succeeded"), (allowed, ALLOW_PERCENT_MIN, "were allows")];
    for (count, least, what) in checks {
        if count.saturating_mul(100) < operations.saturating_mul(least) {
            let what = format!("only {count} of {operations} operations {what}, less than {least} %");
            verdict.violations.push(Violation { what, shown_by: Vec::new() });
        }
    }
    verdict
}
