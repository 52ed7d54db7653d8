//! The watches of a node, which run as long as the node.
//!
//! The watches over the membership are in this folder. Those over the clock, the registry, the log, the rules and the
//! founding are use cases, and the one over the epoch is in the recovery.

mod callers;
mod client_tls;
mod members;
mod unfinished;
mod voters;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::callers::{RELOAD_EVERY, reload_callers};
use self::client_tls::{FOLLOW_WAITS, follow_client_tls};
use self::members::follow_members;
use self::voters::remember_voters;
use crate::client_tls::ClientTls;
use crate::handler::PeerHandler;
use crate::recover::follow_epoch;
use crate::usecase::{
    COUNT_WAITS, KEEP_LOG_WAITS, RAISE_WAITS, Service, count_domains, flush_registry, form, keep_log,
    raise_rules, supervise_clock, watch_disk,
};

/// Starts all watches. If a ticking watch does not beat its heartbeat within its time, it counts as stopped.
pub(super) fn start_watches(
    service: &Service,
    handler: &Arc<PeerHandler>,
    tls: Option<&Arc<ClientTls>>,
    recovery: watch::Sender<Option<Bytes>>,
) -> Vec<JoinHandle<()>> {
    let parts = service.parts();
    let (tasks, config, store_id) = (&parts.tasks, &parts.config, parts.identity.store_id);
    let watching = handler.clone();
    let of = || service.clone();
    let late = Duration::from_millis(config.deadlines.task_late_ms);
    let late_after = |waits: Duration| late.saturating_add(waits);
    let flushes = late_after(Duration::from_millis(config.limits.registry_flush_ms).saturating_mul(2));
    let raises = late_after(RAISE_WAITS.saturating_add(Duration::from_millis(config.deadlines.submit_ms)));
    // A leader completes a change of the membership that was left incomplete, which may take this long.
    let remembers = late_after(Duration::from_millis(config.deadlines.membership_ms));
    let keeps = late_after(KEEP_LOG_WAITS);
    let mut watches = vec![
        tasks.ticking("clock", late, |heartbeat| supervise_clock(of(), heartbeat)),
        tasks.ticking("flush the registry", flushes, |heartbeat| flush_registry(of(), heartbeat)),
        tasks.finite("form the cluster", form(of(), store_id, move || watching.started())),
        tasks.ticking("follow the members", late, |heartbeat| follow_members(of(), heartbeat)),
        tasks.ticking("remember the voters", remembers, |heartbeat| remember_voters(of(), heartbeat)),
        tasks.ticking("keep the log", keeps, |heartbeat| keep_log(of(), heartbeat)),
        tasks.ticking("raise the rules", raises, |heartbeat| raise_rules(of(), heartbeat)),
        tasks.lasting("follow the epoch", follow_epoch(of(), recovery)),
    ];
    if service.keeps_disk_reserve() {
        let looks = late_after(COUNT_WAITS);
        watches.push(tasks.ticking("watch the disk", looks, |heartbeat| watch_disk(of(), heartbeat)));
    }
    if service.bounds_domains() {
        let counts = late_after(COUNT_WAITS);
        watches.push(tasks.ticking("count the domains", counts, |heartbeat| count_domains(of(), heartbeat)));
    }
    if parts.access.has_files() {
        let reloads = late_after(RELOAD_EVERY);
        watches
            .push(tasks.ticking("reload the callers", reloads, |heartbeat| reload_callers(of(), heartbeat)));
    }
    if let Some(tls) = tls {
        let (tls, follows) = (tls.clone(), late_after(FOLLOW_WAITS));
        watches.push(
            tasks.ticking("follow TLS of clients", follows, |heartbeat| {
                follow_client_tls(of(), tls, heartbeat)
            }),
        );
    }
    watches
}
