//! Clocks that leap together again and again, each time by less than ten minutes.
//!
//! If a clock is this far ahead of registry time, a process that has just started trusts it at once. A process with an
//! anchor notices the leap by its boot time, and must let its clock settle, each time anew. Each time the time has
//! passed for all nodes, so no leap is taken back.
//!
//! Each leap is recorded for less time than clocks need to settle. The record says `anchored` if every process that
//! ran had an anchor before the ratchet began, as the nodes themselves report, and none has been started since: then
//! nothing may be allowed on the leap. The record ends as soon as a process is started, because that process trusts
//! its clock at once and vouches for the others.

use std::time::Duration;

use serde_json::json;

use super::super::clock::let_pass;
use super::super::cluster::SimCluster;
use super::super::dice::Dice;
use super::super::recorder::Begun;
use super::super::tuning::SETTLE_MS;
use super::clocks::SMALL_MS;
use super::kind::Kind;

/// Most leaps are about nine minutes, in milliseconds.
const NINE_MINUTES_MS: (u64, u64) = (530_000, 550_000);
/// How often clocks leap.
const STEPS: (u64, u64) = (2, 4);
/// The time from one leap to the next, in milliseconds, if the clocks cannot settle between them, and if they can.
const FAST_MS: (u64, u64) = (300, SETTLE_MS - 700);
const SLOW_MS: (u64, u64) = (SETTLE_MS + 700, SETTLE_MS + 2_500);
/// How long a leap is recorded: less than clocks need to settle.
const RECORDED: Duration = Duration::from_millis(SETTLE_MS - 500);

/// The ratchet; at most one is in progress.
#[derive(Default)]
pub(super) struct Ratchet {
    steps: Option<Steps>,
    /// The leaps whose records are open, each with the time until which it is.
    open: Vec<(Duration, Vec<Begun>)>,
    /// How many starts of processes there had been when all running processes had an anchor, if none was started
    /// since.
    anchored_at: Option<u64>,
}

/// The leaps to come.
struct Steps {
    dice: Dice,
    gap_ms: (u64, u64),
    next_at: Duration,
    done: u64,
    all: u64,
}

impl Ratchet {
    /// Begins at the next tick. Returns whether none was in progress.
    pub(super) fn begin(&mut self, cluster: &SimCluster<'_>, dice: &Dice) -> bool {
        if self.steps.is_some() {
            return false;
        }
        let mut dice = dice.fork("ratchet");
        let gap_ms = if dice.chance(1, 2) { FAST_MS } else { SLOW_MS };
        let all = dice.between(STEPS.0, STEPS.1);
        self.steps = Some(Steps { dice, gap_ms, next_at: cluster.now(), done: 0, all });
        true
    }

    /// Called after each step of the simulation. `waits` is true while clocks have leapt that will leap back: the two
    /// leaps together could cancel out.
    pub(super) fn tick(&mut self, cluster: &SimCluster<'_>, waits: bool) {
        if self.steps.is_none() && self.open.is_empty() {
            return;
        }
        let now = cluster.now();
        let starts = starts(cluster);
        let started = self.anchored_at.is_some_and(|at| at != starts);
        if started {
            self.anchored_at = None;
        }
        let (over, open): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.open).into_iter().partition(|(until, _)| started || *until <= now);
        self.open = open;
        over.into_iter().flat_map(|(_, records)| records).for_each(Begun::over);
        let Some(steps) = self.steps.as_mut().filter(|steps| !waits && steps.next_at <= now) else { return };
        if self.anchored_at.is_none() && all_anchored(cluster) {
            self.anchored_at = Some(starts);
        }
        steps.done = steps.done.saturating_add(1);
        steps.next_at = now.saturating_add(Duration::from_millis(steps.between(steps.gap_ms)));
        let of = if steps.dice.chance(3, 4) { NINE_MINUTES_MS } else { SMALL_MS };
        let by_ms = steps.between(of);
        let ids = cluster.ids();
        let input = json!({
            "anchored": self.anchored_at.is_some(),
            "byMs": by_ms,
            "kind": Kind::ClocksRatchet.name(),
            "nodes": ids,
            "step": steps.done,
        });
        if steps.done >= steps.all {
            self.steps = None;
        }
        // Recorded before any node can read it.
        let records = ids.iter().map(|id| cluster.recorder.fault(*id, input.clone())).collect();
        self.open.push((now.saturating_add(RECORDED), records));
        let_pass(i64::try_from(by_ms).unwrap_or(0));
    }

    /// Stops leaping.
    pub(super) fn end(&mut self) {
        self.steps = None;
        std::mem::take(&mut self.open).into_iter().flat_map(|(_, records)| records).for_each(Begun::over);
    }
}

impl Steps {
    fn between(&mut self, (least, most): (u64, u64)) -> u64 {
        self.dice.between(least, most)
    }
}

/// The number of starts of processes, over all machines.
fn starts(cluster: &SimCluster<'_>) -> u64 {
    cluster.ids().into_iter().filter_map(|id| cluster.machine(id)).map(|machine| machine.boots()).sum()
}

/// Whether every process that runs is anchored, as its node says.
fn all_anchored(cluster: &SimCluster<'_>) -> bool {
    cluster.running().into_iter().all(|id| cluster.machine(id).is_some_and(|machine| machine.is_anchored()))
}
