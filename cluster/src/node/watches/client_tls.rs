//! The watch over the files of TLS of the client port.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use crate::client_tls::ClientTls;
use crate::env::blocking;
use crate::tasks::{TaskHeartbeat, Why};
use crate::usecase::Service;

/// How often the files are read again.
const RELOAD_EVERY: Duration = Duration::from_secs(5);
/// The longest time between two heartbeats: a round, and a minute for its work.
pub(super) const FOLLOW_WAITS: Duration = Duration::from_secs(65);
/// Once in this many rounds, the certificates of open connections are checked again. So a connection ends within a
/// minute: 15 s until it is noticed, and 30 s for the request under way.
const CHECK_ROUNDS: u32 = 2;

/// Reads the files again, and ends the connections of callers whose certificate was withdrawn.
pub(super) async fn follow_client_tls(
    service: Service,
    tls: Arc<ClientTls>,
    heartbeat: TaskHeartbeat,
) -> Why {
    let mut ticks = interval(RELOAD_EVERY);
    let mut rounds: u32 = 0;
    loop {
        ticks.tick().await;
        heartbeat.beat();
        rounds = rounds.wrapping_add(1);
        let (tls, checks) = (tls.clone(), rounds.is_multiple_of(CHECK_ROUNDS));
        let work = move || {
            tls.reload();
            if checks {
                tls.end_withdrawn();
            }
        };
        // Work that ended without a result is reported by the tasks, and the next round does it again.
        let _ = blocking(&*service.parts().env.blocking, work).await;
    }
}
