//! Processes that were killed: how long to wait for their end, and the error if they do not end.

use std::time::Duration;

use super::processes::Listed;

/// Longest wait for processes that were killed.
pub(super) const KILLED_WITHIN: Duration = Duration::from_secs(5);
/// Most processes that an error names.
const NAMED_MAX: usize = 8;

/// The error of what was killed and does not end.
pub(super) fn held(left: &[Listed]) -> std::io::Error {
    let mut detail = "the command was killed and does not end: the system holds it".to_owned();
    for listed in left.iter().take(NAMED_MAX) {
        detail.push_str(&format!(", process {}", listed.process.number()));
    }
    std::io::Error::new(std::io::ErrorKind::TimedOut, detail)
}
