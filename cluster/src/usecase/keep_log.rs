//! How long the Raft log may get: when the node takes snapshots, and when it cuts the log by the number, the size and
//! the age of its entries.
//!
//! The registry is the snapshot, so taking one only makes the registry durable. While a snapshot is being sent to a
//! peer, the node keeps the log, up to four times its bounds, so that the peer can continue from there.

use std::collections::VecDeque;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{Instant, interval, timeout};

use super::Service;
use crate::config::RaftConfig;
use crate::tasks::{TaskHeartbeat, Why};

/// How often the node checks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the node waits until the registry is durable.
pub(crate) const DURABLE_WITHIN: Duration = Duration::from_secs(5);
/// The largest number of marks of age. The age is exact to one part in this many.
const MARKS_MAX: u32 = 64;
/// The factor by which the log may be larger while a snapshot is being sent to a peer.
const SENDING_FACTOR: u64 = 4;

/// The present extent of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    first: u64,
    last: u64,
    bytes: u64,
    /// The last applied index.
    applied: u64,
}

/// Which index was the last one at which time.
#[derive(Debug, Default)]
struct Marks {
    marks: VecDeque<(Instant, u64)>,
}

impl Marks {
    /// Notes the last index now, and answers the newest index that is older than `age`.
    fn older_than(&mut self, age: Duration, now: Instant, last: u64) -> Option<u64> {
        let due =
            self.marks.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= age / MARKS_MAX);
        if due {
            self.marks.push_back((now, last));
        }
        let mut old = None;
        while let Some((at, index)) = self.marks.front().copied()
            && now.saturating_duration_since(at) > age
        {
            old = Some(index);
            self.marks.pop_front();
        }
        old
    }
}

/// The last index to cut off, if any. It cuts off entries that are too old, too large in sum or too many, but never
/// one of the newest `keep_entries` and never one that is not applied.
fn cut(raft: &RaftConfig, log: Extent, too_old: Option<u64>, factor: u64) -> Option<u64> {
    let entries = log.last.saturating_sub(log.first).saturating_add(1);
    let mut upto = too_old;
    if entries > raft.snapshot_every_entries.saturating_add(raft.keep_entries).saturating_mul(factor) {
        upto = upto.max(log.applied.checked_sub(raft.keep_entries));
    }
    let most = raft.log_mib.saturating_mul(1 << 20);
    if log.bytes > most.saturating_mul(factor) {
        // Entries differ in size. If the log is still too large, it is cut again the next time.
        let share =
            u128::from(entries) * u128::from(log.bytes.saturating_sub(most / 2)) / u128::from(log.bytes);
        upto = upto.max(Some(log.first.saturating_add(u64::try_from(share).unwrap_or(u64::MAX))));
    }
    let newest = log.last.checked_sub(raft.keep_entries)?.min(log.applied);
    upto.map(|upto| upto.min(newest)).filter(|upto| *upto >= log.first)
}

/// Cuts the log when needed, as long as the node runs.
pub(crate) async fn keep_log(service: Service, heartbeat: TaskHeartbeat) -> Why {
    let mut ticks = interval(LOOK_EVERY);
    let mut marks = Marks::default();
    let mut held_back = None;
    loop {
        ticks.tick().await;
        heartbeat.beat();
        let parts = service.parts();
        let raft = &parts.config.raft;
        let Some((first, last)) = parts.storage.log.range() else { continue };
        let Some(applied) = parts.storage.applied.borrow().log_index else { continue };
        let log = Extent { first, last, bytes: parts.storage.log.bytes(), applied };
        let old = marks.older_than(Duration::from_secs(raft.log_age_s), Instant::now(), last);
        held_back = held_back.max(old);
        let sending = parts.storage.transfers.is_sending();
        let (too_old, factor) = if sending { (None, SENDING_FACTOR) } else { (held_back, 1) };
        let Some(upto) = cut(raft, log, too_old, factor) else { continue };
        // The registry must be durable up to there first, because the log replays everything after that.
        let mut metrics = parts.raft.metrics();
        if metrics.borrow_watched().snapshot.is_none_or(|at| at.index < upto) {
            if parts.raft.trigger().snapshot().await.is_err() {
                continue;
            }
            let durable = async {
                while metrics.borrow_watched().snapshot.is_none_or(|at| at.index < upto) {
                    if metrics.changed().await.is_err() {
                        return;
                    }
                }
            };
            // If it takes longer, the log is cut at a later check.
            if timeout(DURABLE_WITHIN, durable).await.is_err() {
                continue;
            }
        }
        tracing::debug!(upto, "cutting the log");
        let _ = parts.raft.trigger().purge_log(upto).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raft() -> RaftConfig {
        RaftConfig {
            snapshot_every_entries: 100,
            keep_entries: 10,
            log_mib: 1,
            log_age_s: 64,
            ..RaftConfig::default()
        }
    }

    fn log(first: u64, last: u64, bytes: u64) -> Extent {
        Extent { first, last, bytes, applied: last }
    }

    #[test]
    fn a_log_within_its_bounds_is_left_alone() {
        assert_eq!(cut(&raft(), log(1, 110, 1 << 20), None, 1), None);
    }

    #[test]
    fn too_many_entries_are_cut_to_those_to_keep() {
        assert_eq!(cut(&raft(), log(1, 111, 0), None, 1), Some(101));
        assert_eq!(cut(&raft(), log(1, 111, 0), None, 4), None);
        assert_eq!(cut(&raft(), log(1, 441, 0), None, 4), Some(431));
    }

    #[test]
    fn too_many_bytes_are_cut_to_half() {
        assert_eq!(cut(&raft(), log(1, 100, 2 << 20), None, 1), Some(76));
        assert_eq!(cut(&raft(), log(1, 100, 2 << 20), None, 4), None);
    }

    #[test]
    fn what_is_old_is_cut_but_for_the_newest() {
        assert_eq!(cut(&raft(), log(1, 50, 0), Some(30), 1), Some(30));
        assert_eq!(cut(&raft(), log(1, 50, 0), Some(50), 1), Some(40));
        assert_eq!(cut(&raft(), log(41, 50, 0), Some(50), 1), None);
        assert_eq!(cut(&raft(), log(1, 5, 0), Some(5), 1), None);
    }

    #[test]
    fn what_is_not_applied_is_never_cut() {
        let log = Extent { first: 1, last: 500, bytes: 9 << 20, applied: 20 };
        assert_eq!(cut(&raft(), log, Some(400), 1), Some(20));
    }

    #[tokio::test]
    async fn age_counts_from_when_an_index_was_first_seen() {
        let mut marks = Marks::default();
        let start = Instant::now();
        let age = Duration::from_secs(64);
        for second in 0..=64 {
            assert_eq!(marks.older_than(age, start + Duration::from_secs(second), 100 + second), None);
        }
        assert_eq!(marks.older_than(age, start + Duration::from_secs(65), 165), Some(100));
        assert_eq!(marks.older_than(age, start + Duration::from_secs(70), 170), Some(105));
        assert!(marks.marks.len() <= 66);
    }
}
