//! The wall clock of the environment, as TLS reads it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use assent_tls::{TimeProvider, UnixTime};

use crate::env::Clock;

/// The time by which certificates are judged.
#[derive(Clone)]
pub(crate) struct WallTime(pub(crate) Arc<dyn Clock>);

impl WallTime {
    /// The present time. A clock from before 1970 reads as 1970, when no certificate was valid.
    pub(crate) fn now(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(self.0.now().0).unwrap_or(0)))
    }
}

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallTime")
    }
}

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}
