//! Deadlines, counted from now.

use std::time::Duration;

use tokio::time::Instant;

/// A deadline so many milliseconds from now.
pub(crate) fn within(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}
