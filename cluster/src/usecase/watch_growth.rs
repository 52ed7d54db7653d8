//! The watches of the bounds on growth: how much space the disk has, and what each domain has taken in a year.
//!
//! A node whose configuration has no such bound, or whose disk does not tell, runs neither.

use std::time::Duration;

use tokio::time::{interval, sleep};

use assent_api::DiskBody;
use assent_proof::Millis;
use assent_registry::{RowError, Rows, query};

use super::Service;
use super::growth::{counts_in_a_year, week_of};
use super::service::Inner;
use crate::env::blocking;
use crate::tasks::{TaskHeartbeat, Why};

/// How often the node looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The number of leaves that are counted in one piece of blocking work, which takes some tens of milliseconds.
const LEAVES_A_PIECE: usize = 1_024;
/// The number of leaves that are read at once. An envelope has at most 64 KiB, so they take at most 8 MiB.
const LEAVES_AT_ONCE: usize = 128;
/// The pause between two pieces, so that a long count takes at most about half of a thread.
const PIECE_PAUSE: Duration = Duration::from_millis(20);
/// How long the count may wait for others: for one look.
pub(crate) const COUNT_WAITS: Duration = LOOK_EVERY;

/// A year and a week before this time.
fn a_year_before(now: Millis) -> Millis {
    const YEAR_MS: i64 = 53 * 7 * 24 * 3600 * 1000;
    Millis(now.0.saturating_sub(YEAR_MS))
}

impl Service {
    /// Whether there is a reserve that this node can keep. It looks once, so that the reserve counts from the first
    /// call on.
    pub(crate) fn keeps_disk_reserve(&self) -> bool {
        let disk = &self.inner.growth.disk;
        if !disk.is_kept() {
            return false;
        }
        let free = self.parts().env.disk.free_bytes();
        let tells = !matches!(free, Ok(None));
        if let Ok(free) = free {
            self.inner.found_free(free);
        }
        tells
    }

    /// Whether a domain may take only so much in a year.
    pub(crate) fn bounds_domains(&self) -> bool {
        self.inner.growth.domains.is_bounded()
    }

    /// The space on the disk, for people.
    pub(super) fn disk_body(&self) -> Option<DiskBody> {
        let space = self.inner.growth.disk.space()?;
        Some(DiskBody {
            // Some file systems without a size of their own say more than a gauge can show.
            free_bytes: space.free.min(i64::MAX.unsigned_abs()),
            reserve_bytes: space.reserve,
            reserve_reached: space.reached,
        })
    }
}

impl Inner {
    /// Takes in what the disk says of its space.
    fn found_free(&self, free: Option<u64>) {
        let reserve_mib = self.parts.config.limits.disk_reserve_mib;
        match self.growth.disk.found(free) {
            Some(true) => tracing::error!(
                free_bytes = free,
                reserve_mib,
                "the disk is almost full: only restrictions and governance statements are taken"
            ),
            Some(false) => tracing::info!(free_bytes = free, reserve_mib, "the disk has space again"),
            None => {}
        }
    }

    /// Counts one piece of the ledger. Returns whether everything is counted that the ledger has.
    fn count_some(&self) -> Result<bool, RowError> {
        let rows = self.parts.storage.registry.view()?;
        let domains = &self.growth.domains;
        let now = self.parts.env.clock.now().max(query::registry_time(&rows)?);
        if domains.next().is_none() {
            domains.begin(first_since(&rows, a_year_before(now))?);
        }
        let mut left = LEAVES_A_PIECE;
        while let Some(next) = domains.next()
            && left > 0
        {
            let wanted = LEAVES_AT_ONCE.min(left);
            let leaves = query::leaf_sizes(&rows, next, wanted)?;
            domains.count(&leaves, |leaf| counts_in_a_year(leaf.kind));
            if leaves.len() < wanted {
                if domains.caught_up(week_of(now)) {
                    tracing::info!("what each domain has taken in a year is counted");
                }
                return Ok(true);
            }
            left = left.saturating_sub(wanted);
        }
        Ok(false)
    }
}

/// The first leaf that was accepted at this time or later, or the end of the ledger. No leaf was accepted at an earlier
/// time than one before it.
fn first_since(rows: &dyn Rows, since: Millis) -> Result<u64, RowError> {
    let (mut low, mut high) = (0, query::revision(rows)?);
    while low < high {
        let middle = low.saturating_add(high.saturating_sub(low) / 2);
        // A leaf that is missing is found when it is counted.
        let is_earlier = query::leaf(rows, middle)?.is_some_and(|(_, accepted_at)| accepted_at < since);
        if is_earlier { low = middle.saturating_add(1) } else { high = middle }
    }
    Ok(low)
}

/// Looks at the space on the disk, as long as the node runs.
pub(crate) async fn watch_disk(service: Service, heartbeat: TaskHeartbeat) -> Why {
    let mut ticks = interval(LOOK_EVERY);
    // Whether the last look failed. An error is logged once, until a look succeeds again.
    let mut failed = false;
    loop {
        ticks.tick().await;
        heartbeat.beat();
        let env = &service.parts().env;
        let disk = env.disk.clone();
        match blocking(&*env.blocking, move || disk.free_bytes()).await {
            Ok(Ok(free)) => {
                service.inner.found_free(free);
                failed = false;
            }
            Ok(Err(error)) => {
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!(%error, "the space on the disk cannot be read, and the node goes on with what it knew");
                }
            }
            Err(_) => return "looking at the space on the disk panicked",
        }
    }
}

/// Counts what each domain takes, as long as the node runs.
pub(crate) async fn count_domains(service: Service, heartbeat: TaskHeartbeat) -> Why {
    loop {
        heartbeat.beat();
        let inner = service.inner.clone();
        let counted = match blocking(&*service.parts().env.long, move || inner.count_some()).await {
            Ok(Ok(counted)) => counted,
            Ok(Err(error)) => {
                let problem = service.parts().unread(&error);
                tracing::warn!(%problem, "what the domains take is not counted: the registry cannot be read");
                true
            }
            Err(_) => return "counting what the domains take panicked",
        };
        sleep(if counted { LOOK_EVERY } else { PIECE_PAUSE }).await;
    }
}

#[cfg(test)]
mod tests {
    use assent_registry::MemoryRows;

    use super::*;

    #[test]
    fn the_year_of_an_empty_ledger_begins_at_its_end() {
        assert_eq!(first_since(&MemoryRows::default(), Millis(7)).unwrap(), 0);
    }
}
