//! The watch over the files by which the node knows its callers.

use std::time::Duration;

use tokio::time::interval;

use crate::client_port::ClientPort;
use crate::env::blocking;
use crate::tasks::{TaskHeartbeat, Why};
use crate::usecase::Service;

/// How often the files are read again.
const RELOAD_EVERY: Duration = Duration::from_secs(5);
/// The longest time between two heartbeats, besides the work: two rounds, and a minute for a slow disk.
pub(super) const RELOAD_WAITS: Duration = Duration::from_secs(70);
/// Once in this many rounds, the certificates of open connections are checked again.
const CHECK_ROUNDS: u32 = 2;

/// Reads the files again, and ends the connections of callers whose certificate was withdrawn.
pub(super) async fn follow_callers(service: Service, port: ClientPort, heartbeat: TaskHeartbeat) -> Why {
    let mut ticks = interval(RELOAD_EVERY);
    let mut rounds: u32 = 0;
    loop {
        ticks.tick().await;
        heartbeat.beat();
        rounds = rounds.wrapping_add(1);
        let (port, checks) = (port.clone(), rounds.is_multiple_of(CHECK_ROUNDS));
        let work = move || {
            port.reload();
            if checks {
                port.end_withdrawn();
            }
        };
        // If the work panics, that is logged and counted, and the next round tries it again.
        let _ = blocking(&*service.parts().env.blocking, work).await;
    }
}
