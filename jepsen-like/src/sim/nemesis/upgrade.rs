//! A rolling upgrade: one node after another is stopped and started again with a build that knows newer rules.
//!
//! Meanwhile the versions are mixed, for a shorter or longer time, and other faults continue. Sometimes a node is put
//! back to the old build. Before the rules are raised that works; afterwards the old build refuses to start, until the
//! node gets the new build again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use assent_registry::RulesVersion;
use serde_json::json;

use super::super::cluster::{End, SimCluster};
use super::super::dice::Dice;
use super::super::host::Machine;
use super::super::recorder::Begun;
use super::kind::Kind;

/// The newest rules that the build before the upgrade knows.
pub(in crate::sim) const OLD: u32 = RulesVersion::GENESIS.0;
/// The newest rules that the build after it knows.
pub(in crate::sim) const NEW: u32 = RulesVersion::TEST.0;

/// The pause after one node, in milliseconds.
const PAUSE_MS: (u64, u64) = (100, 1_200);
/// The pause of an upgrade that is left half done for a while, in milliseconds.
const HALFWAY_MS: (u64, u64) = (1_500, 5_000);
/// How long a node stays with the old build to which it was put back, in milliseconds.
const BACK_MS: (u64, u64) = (500, 2_000);
/// How long a node's process is down if it was ended instead of stopped, in milliseconds.
const DOWN_MS: (u64, u64) = (20, 1_500);
/// How long the upgrade waits for a node that does not return before it continues with the next one.
const PATIENCE: Duration = Duration::from_secs(4);

/// The progress of an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No upgrade was begun.
    NotBegun,
    /// Some nodes have the new build, or will have it soon.
    UnderWay,
    /// All nodes have it.
    Done,
}

/// Which build a newly made machine gets. Clones share the value.
#[derive(Debug, Clone)]
pub(super) struct BuildChoice {
    phase: Rc<Cell<Phase>>,
}

impl BuildChoice {
    /// The build of a newcomer: either one while an upgrade is in progress, and the new one afterwards.
    pub(super) fn of_newcomer(&self, dice: &mut Dice) -> u32 {
        match self.phase.get() {
            Phase::NotBegun => OLD,
            Phase::UnderWay => {
                if dice.chance(1, 2) {
                    NEW
                } else {
                    OLD
                }
            }
            Phase::Done => NEW,
        }
    }
}

/// A node that is getting another build, until it runs with that build.
struct Change {
    known: u32,
    since: Duration,
    record: Begun,
}

/// Upgrades a cluster.
pub(super) struct Upgrade {
    build_choice: BuildChoice,
    dice: Dice,
    next_at: Duration,
    changes: BTreeMap<u64, Change>,
    /// A node that was put back to the old build.
    back: Option<u64>,
    /// Processes that were ended, and when to start them again.
    ended: Vec<(u64, Duration)>,
    /// Whether it was left half done for a while.
    rested: bool,
    /// Whether it must come to its end without delay.
    hurries: bool,
}

impl Upgrade {
    pub(super) fn new() -> Self {
        Self {
            build_choice: BuildChoice { phase: Rc::new(Cell::new(Phase::NotBegun)) },
            dice: Dice::new(0),
            next_at: Duration::ZERO,
            changes: BTreeMap::new(),
            back: None,
            ended: Vec::new(),
            rested: false,
            hurries: false,
        }
    }

    pub(super) fn build_choice(&self) -> BuildChoice {
        self.build_choice.clone()
    }

    /// Whether it was ever begun.
    pub(super) fn has_begun(&self) -> bool {
        self.build_choice.phase.get() != Phase::NotBegun
    }

    /// Begins the upgrade; if it was begun before, puts a node back. Returns whether it did anything.
    pub(super) fn begin(&mut self, cluster: &mut SimCluster<'_>, dice: &Dice) -> bool {
        match self.build_choice.phase.get() {
            Phase::NotBegun => {
                self.dice = dice.fork("upgrade");
                self.build_choice.phase.set(Phase::UnderWay);
                self.next_at = cluster.now();
                true
            }
            Phase::UnderWay => false,
            Phase::Done if self.changes.is_empty() && dice.fork("seldom").chance(1, 3) => {
                self.dice = dice.fork("back");
                self.build_choice.phase.set(Phase::UnderWay);
                self.put_back(cluster)
            }
            Phase::Done => false,
        }
    }

    /// Continues the upgrade. Returns the processes that were ended, and when to start them again.
    pub(super) fn tick(
        &mut self,
        cluster: &mut SimCluster<'_>,
        gone: impl Fn(u64) -> bool,
    ) -> Vec<(u64, Duration)> {
        self.note_upgraded_nodes(cluster, &gone);
        self.go_on(cluster, gone);
        std::mem::take(&mut self.ended)
    }

    fn go_on(&mut self, cluster: &mut SimCluster<'_>, gone: impl Fn(u64) -> bool) {
        let now = cluster.now();
        let waits = self
            .changes
            .iter()
            .any(|(id, change)| Some(*id) != self.back && change.since.saturating_add(PATIENCE) > now);
        if self.build_choice.phase.get() != Phase::UnderWay || now < self.next_at || waits {
            return;
        }
        if let Some(id) = self.back.take() {
            self.change(cluster, id, NEW);
            return;
        }
        let of = |id: &u64| cluster.machine(*id).map(Machine::rules_configured);
        let old: Vec<u64> =
            cluster.ids().into_iter().filter(|id| !gone(*id) && of(id) == Some(OLD)).collect();
        let Some(id) = self.dice.pick(&old).copied() else {
            self.build_choice.phase.set(Phase::Done);
            return;
        };
        let pause = if !self.rested && self.dice.chance(1, 5) { HALFWAY_MS } else { PAUSE_MS };
        self.rested |= pause == HALFWAY_MS;
        self.pause(now, pause);
        let some_are_new = old.len() < cluster.ids().len();
        if some_are_new && !self.hurries && self.dice.chance(1, 10) {
            self.put_back(cluster);
        } else {
            self.change(cluster, id, NEW);
        }
    }

    /// Completes the rest without a pause, and puts no node back any more.
    pub(super) fn finish_without_pause(&mut self) {
        self.hurries = true;
        self.next_at = Duration::ZERO;
    }

    fn pause(&mut self, now: Duration, (least, most): (u64, u64)) {
        let (least, most) = if self.hurries { (10, 50) } else { (least, most) };
        self.next_at = now.saturating_add(Duration::from_millis(self.dice.between(least, most)));
    }

    /// Puts a node back to the old build, and undoes that after a while.
    fn put_back(&mut self, cluster: &mut SimCluster<'_>) -> bool {
        let new = |id: &u64| {
            cluster.machine(*id).is_some_and(|machine| machine.rules_configured() == NEW)
                && !cluster.is_down(*id)
        };
        let able: Vec<u64> = cluster.ids().into_iter().filter(new).collect();
        let Some(id) = self.dice.pick(&able).copied() else { return false };
        self.pause(cluster.now(), BACK_MS);
        self.back = Some(id);
        self.change(cluster, id, OLD);
        true
    }

    /// Gives a node another build, and ends its process if it runs: the code that ended the process otherwise starts
    /// it again.
    fn change(&mut self, cluster: &mut SimCluster<'_>, id: u64, known: u32) {
        let Some(machine) = cluster.machine(id).cloned() else { return };
        machine.configure(|config| config.rules_known = known);
        let input = json!({"kind": Kind::Upgrade.name(), "nodes": [id], "rulesKnown": known});
        let change = Change { known, since: cluster.now(), record: cluster.recorder.fault(id, input) };
        if let Some(before) = self.changes.insert(id, change) {
            before.record.over();
        }
        if cluster.is_down(id) {
            return;
        }
        if self.dice.chance(2, 3) {
            machine.ask_to_stop();
            return;
        }
        cluster.end(id, End::Kill, &mut self.dice);
        let wait = Duration::from_millis(self.dice.between(DOWN_MS.0, DOWN_MS.1));
        self.ended.push((id, cluster.now().saturating_add(wait)));
    }

    /// A node that runs with the build that it was given has completed the change, and a node that was removed needs
    /// none.
    fn note_upgraded_nodes(&mut self, cluster: &SimCluster<'_>, gone: &impl Fn(u64) -> bool) {
        let runs = |id: u64, known: u32| {
            cluster.observed(id).is_some()
                && cluster.machine(id).is_some_and(|machine| machine.rules_running() == known)
        };
        let done: Vec<u64> = self
            .changes
            .iter()
            .filter(|(id, change)| gone(**id) || runs(**id, change.known))
            .map(|(id, _)| *id)
            .collect();
        for id in done {
            if let Some(change) = self.changes.remove(&id) {
                change.record.over();
            }
        }
    }
}
