//! The watch over the files of callers: their tokens, and the keys of their issuers.

use std::time::Duration;

use tokio::time::interval;

use crate::env::blocking;
use crate::tasks::{TaskHeartbeat, Why};
use crate::usecase::Service;

/// How often the files are read again.
pub(super) const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// Reads the files of callers again and again, so that a token counts or counts no more without a restart.
pub(super) async fn reload_callers(service: Service, heartbeat: TaskHeartbeat) -> Why {
    let mut ticks = interval(RELOAD_EVERY);
    loop {
        ticks.tick().await;
        heartbeat.beat();
        let parts = service.parts();
        let access = parts.access.clone();
        // Work that ended without a result is reported by the tasks, and the files are read again at the next tick.
        let _ = blocking(&*parts.env.blocking, move || access.reload()).await;
    }
}
