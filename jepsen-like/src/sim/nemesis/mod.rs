//! Makes faults by seed: which faults, when, where and for how long.
//!
//! A fault begins, has an effect for a while, and is undone. Several may overlap. Each kind is counted when it had an
//! effect, since a fault that never has one tests nothing. At the end everything is undone, so that the nodes can be
//! seen to converge. This module never judges what the nodes answer.

mod clocks;
mod disks;
mod kind;
pub mod links;
mod members;
mod network;
mod processes;
mod ratchet;
mod upgrade;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::cluster::{End, SimCluster};
use super::dice::Dice;
use super::disk::Unsynced;
use super::host::Exit;
use super::recorder::Begun;

pub use kind::Kind;
pub use members::MembershipTools;
pub(super) use network::USUAL_DELAY;
pub(super) use upgrade::NEW as RULES_NEW;

/// The largest number of faults at once.
const AT_ONCE: usize = 2;
/// How long faults are made, and for how long none are made after that, in milliseconds: in a calm, the effects of the
/// faults must end.
const STORM_MS: (u64, u64) = (2_000, 7_000);
const CALM_MS: (u64, u64) = (1_000, 7_000);
/// How long a fault lasts that a majority must overcome by itself, in milliseconds.
const LONG_MS: (u64, u64) = (13_000, 16_000);
/// How long a clock that was wrong while a member moved stays wrong after the member is started again, in
/// milliseconds.
const WRONG_AFTER_MS: (u64, u64) = (500, 5_000);
/// How long a supervisor waits before it restarts a process that ended by itself, in milliseconds.
const RESTART_MS: (u64, u64) = (100, 1_500);

/// Makes faults.
pub struct Nemesis {
    dice: Dice,
    kinds: Vec<(Kind, u64)>,
    active: Vec<Active>,
    next_at: Duration,
    /// The time until which faults are made, and the time until which none are made after that.
    storm: (Duration, Duration),
    /// Processes to start again, and when.
    restarts: Vec<(u64, Duration)>,
    members: members::Membership,
    /// The nodes that were receiving a snapshot at the last check.
    receiving: BTreeSet<u64>,
    upgrade: upgrade::Upgrade,
    ratchet: ratchet::Ratchet,
    pace: u64,
    /// How many faults were drawn.
    drawn: u64,
    /// The numbers of the faults that are left out.
    skip: BTreeSet<u64>,
}

/// A fault that has an effect now.
struct Active {
    undo: Undo,
    until: Duration,
    records: Vec<Begun>,
}

/// How a fault is undone.
enum Undo {
    /// Links are mended.
    Ways(BTreeSet<links::Way>),
    /// Messages between these take the usual time.
    Delays(Vec<links::Way>),
    /// These are started.
    Start(Vec<u64>),
    /// A clock is right again.
    Clock(u64),
    /// Clocks that leapt together by so many milliseconds leap back.
    Clocks(Vec<u64>, i64),
    /// The faults of these disks end.
    Disks(Vec<u64>),
    /// Messages are sent unchanged.
    Wires(Vec<u64>),
    /// These machines lose power; when they are started again, their disks work.
    PowerCut(Vec<u64>, Dice),
    /// Nothing is left to do.
    Nothing,
}

impl Nemesis {
    /// A nemesis that makes these kinds of faults, each as often as its weight says.
    pub fn new(mut dice: Dice, kinds: &[Kind], tools: MembershipTools, skip: BTreeSet<u64>) -> Self {
        // Each seed has its own weights: it makes some kinds often and some never.
        let mut weighted: Vec<(Kind, u64)> =
            kinds.iter().map(|kind| (*kind, kind.weight().saturating_mul(dice.below(4)))).collect();
        if weighted.iter().all(|(_, weight)| *weight == 0) {
            weighted = kinds.iter().map(|kind| (*kind, kind.weight())).collect();
        }
        let pace = dice.between(300, 1_800);
        let upgrade = upgrade::Upgrade::new();
        let members = members::Membership::new(dice.fork("members"), tools, upgrade.build_choice());
        Self {
            dice,
            kinds: weighted,
            active: Vec::new(),
            next_at: Duration::ZERO,
            storm: (Duration::ZERO, Duration::ZERO),
            restarts: Vec::new(),
            members,
            receiving: BTreeSet::new(),
            upgrade,
            ratchet: ratchet::Ratchet::default(),
            pace,
            drawn: 0,
            skip,
        }
    }

    /// Called after each step.
    pub fn tick(&mut self, cluster: &mut SimCluster<'_>) {
        let now = cluster.now();
        self.end_what_is_over(cluster, now);
        self.restart(cluster, now);
        self.members.tick(cluster);
        self.go_on_upgrading(cluster);
        if now >= self.next_at {
            let gap = self.dice.between(self.pace / 4, self.pace.saturating_mul(2));
            self.next_at = now.saturating_add(Duration::from_millis(gap));
            if now > self.storm.1 {
                let mut ms = |range: (u64, u64)| Duration::from_millis(self.dice.between(range.0, range.1));
                let until = now.saturating_add(ms(STORM_MS));
                self.storm = (until, until.saturating_add(ms(CALM_MS)));
            }
            if now <= self.storm.0 {
                self.strike(cluster);
            }
        }
        self.fault_snapshot_receiver(cluster);
        let leapt = self.active.iter().any(|fault| matches!(fault.undo, Undo::Clocks(..)));
        self.ratchet.tick(cluster, leapt);
    }

    /// A snapshot is in transit for some milliseconds only, which no fault by the clock would hit. So sometimes its
    /// receiver is ended or cut off.
    fn fault_snapshot_receiver(&mut self, cluster: &mut SimCluster<'_>) {
        let is_receiving = |id: &u64| cluster.observed(*id).is_some_and(|seen| seen.receiving);
        let receiving: BTreeSet<u64> = cluster.running().into_iter().filter(is_receiving).collect();
        let before = std::mem::replace(&mut self.receiving, receiving.clone());
        let installed = before.into_iter().find(|id| !receiving.contains(id) && !cluster.is_down(*id));
        if self.active.len() >= AT_ONCE || cluster.now() > self.storm.0 {
            return;
        }
        let Some(id) = installed.or_else(|| receiving.first().copied()) else { return };
        // The result of a snapshot is decided at one moment: when it is installed.
        let (often, of) = if installed.is_some() { (1, 2) } else { (1, 8) };
        if !self.dice.chance(often, of) {
            return;
        }
        let crash = installed.is_some() || self.dice.chance(1, 2);
        let kind = if crash { Kind::CrashLoop } else { Kind::Isolate };
        if !self.kinds.iter().any(|(made, weight)| *made == kind && *weight > 0) {
            return;
        }
        let (undo, lasts_ms) = if kind == Kind::CrashLoop {
            let Some((_, undo)) = down(cluster, &[id], End::PowerCut(Unsynced::Drop), &mut self.dice) else {
                return;
            };
            (undo, 50)
        } else {
            let ways = links::between(&[id], &cluster.ids());
            cluster.cut(&ways);
            cluster.tally.reached("snapshot under a cut");
            (Undo::Ways(ways), self.dice.between(100, 2_000))
        };
        cluster.tally.fault(kind.name());
        let record = cluster.recorder.fault(id, json!({"kind": kind.name(), "nodes": [id]}));
        let until = cluster.now().saturating_add(Duration::from_millis(lasts_ms));
        self.active.push(Active { undo, until, records: vec![record] });
    }

    fn strike(&mut self, cluster: &mut SimCluster<'_>) {
        let room = self.active.len() < AT_ONCE;
        let all = self.kinds.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.dice.below(all);
        let picked = self.kinds.iter().find(|(_, weight)| {
            let hit = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            hit
        });
        let Some((kind, _)) = picked.copied() else { return };
        // Each fault has dice of its own, so that leaving it out changes no other fault.
        let mut dice = self.dice.fork(&format!("fault {}", self.drawn));
        self.drawn = self.drawn.saturating_add(1);
        cluster.tally.drawn = self.drawn;
        if !room || self.skip.contains(&self.drawn.saturating_sub(1)) {
            return;
        }
        let begun = match kind.realm() {
            kind::Realm::Network => network::begin(kind, cluster, &mut dice),
            kind::Realm::Process => processes::begin(kind, cluster, &mut dice),
            kind::Realm::Disk => disks::begin(kind, cluster, &mut dice),
            // It records each leap when it happens.
            kind::Realm::Clock if kind == Kind::ClocksRatchet => {
                self.ratchet.begin(cluster, &dice).then(|| (Vec::new(), Undo::Nothing))
            }
            kind::Realm::Clock => clocks::begin(kind, cluster, &mut dice),
            kind::Realm::Members => self.members.begin(kind, cluster),
            // It records each node that it changes when it changes it.
            kind::Realm::Build => self.upgrade.begin(cluster, &dice).then(|| (Vec::new(), Undo::Nothing)),
        };
        let remembered = self.members.take_remembered();
        let Some((nodes, undo)) = begun else { return };
        cluster.tally.fault(kind.name());
        let mut input = json!({"kind": kind.name(), "nodes": nodes});
        if let (Some(remembered), Some(fields)) = (remembered, input.as_object_mut()) {
            fields.insert("remembered".to_owned(), remembered);
        }
        let records = nodes.iter().map(|id| cluster.recorder.fault(*id, input.clone())).collect();
        let (mut least, mut most) = kind.lasts_ms();
        let long = kind.leaves_a_majority() && dice.chance(1, 8);
        if long {
            (least, most) = LONG_MS;
        }
        let until = cluster.now().saturating_add(Duration::from_millis(dice.between(least, most)));
        if long {
            // No other fault is made meanwhile: the majority must work.
            self.storm = (Duration::ZERO, until);
        }
        self.active.push(Active { undo, until, records });
        if kind == Kind::Move {
            self.skew_during_move(cluster, &nodes, until, &mut dice);
        }
    }

    /// Sometimes makes a clock wrong while a member moves, from before it is started at its new address until after
    /// that. The clock is the member's own, or that of another node, which receives the announcement. This belongs to
    /// the move, and is left out with it.
    fn skew_during_move(
        &mut self,
        cluster: &mut SimCluster<'_>,
        moved: &[u64],
        until: Duration,
        dice: &mut Dice,
    ) {
        let jumps = |(kind, weight): &(Kind, u64)| *kind == Kind::ClockJump && *weight > 0;
        if !self.kinds.iter().any(jumps) || dice.chance(1, 2) {
            return;
        }
        let among = if dice.chance(2, 3) { moved.to_vec() } else { cluster.running() };
        let Some(id) = dice.pick(&among).copied() else { return };
        let Some(undo) = clocks::skew_during_move(cluster, id, dice) else { return };
        cluster.tally.fault(Kind::ClockJump.name());
        cluster.tally.reached("wrong clock at a move");
        let record = cluster.recorder.fault(id, json!({"kind": Kind::ClockJump.name(), "nodes": [id]}));
        let wrong = Duration::from_millis(dice.between(WRONG_AFTER_MS.0, WRONG_AFTER_MS.1));
        let until = until.saturating_add(wrong);
        self.active.push(Active { undo, until, records: vec![record] });
    }

    fn end_what_is_over(&mut self, cluster: &mut SimCluster<'_>, now: Duration) {
        let (over, active) =
            std::mem::take(&mut self.active).into_iter().partition(|fault| fault.until <= now);
        self.active = active;
        for fault in over {
            self.undo(cluster, fault);
        }
    }

    fn undo(&mut self, cluster: &mut SimCluster<'_>, mut fault: Active) {
        match fault.undo {
            Undo::PowerCut(ids, mut dice) => {
                ids.iter().for_each(|id| disks::heal(cluster, *id));
                if let Some((_, undo)) = down(cluster, &ids, End::PowerCut(Unsynced::Drop), &mut dice) {
                    let dark = Kind::PowerCutAll.lasts_ms();
                    let dark = Duration::from_millis(dice.between(dark.0, dark.1));
                    fault.until = cluster.now().saturating_add(dark);
                    self.active.push(Active { undo, ..fault });
                    return;
                }
            }
            Undo::Ways(ways) => cluster.mend(&ways),
            Undo::Delays(ways) => {
                for (a, b) in ways {
                    cluster.delay(a, b, network::USUAL_DELAY);
                }
            }
            Undo::Start(ids) => {
                for id in ids {
                    cluster.start(id);
                }
            }
            Undo::Clock(id) => {
                if let Some(machine) = cluster.machine(id) {
                    machine.clock.set_right();
                }
            }
            Undo::Clocks(ids, by_ms) => {
                for machine in ids.iter().filter_map(|id| cluster.machine(*id)) {
                    machine.clock.leap(by_ms.saturating_neg());
                }
            }
            Undo::Disks(ids) => ids.into_iter().for_each(|id| disks::heal(cluster, id)),
            Undo::Wires(ids) => {
                for machine in ids.iter().filter_map(|id| cluster.machine(*id)) {
                    machine.wires.free();
                }
            }
            Undo::Nothing => {}
        }
        for record in fault.records {
            record.over();
        }
    }

    fn go_on_upgrading(&mut self, cluster: &mut SimCluster<'_>) {
        let ended = self.upgrade.tick(cluster, |id| self.members.is_gone(id));
        self.restarts.extend(ended);
    }

    /// Restarts, as a supervisor does, the processes that ended by themselves.
    fn restart(&mut self, cluster: &mut SimCluster<'_>, now: Duration) {
        for (id, exit) in cluster.exits() {
            match &exit {
                Exit::Stopped => cluster.tally.fault("stopped"),
                Exit::LostPower => cluster.tally.fault("lost-power-in-a-write"),
                Exit::NotStarted(_) => {
                    cluster.tally.fault("did-not-start");
                    cluster.tally.reached("node refused to start");
                }
                Exit::Failed(_) => cluster.tally.fault("ended-itself"),
            }
            let wait = Duration::from_millis(self.dice.between(RESTART_MS.0, RESTART_MS.1));
            self.restarts.push((id, now.saturating_add(wait)));
        }
        let held: BTreeSet<u64> = self.held_down();
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.restarts)
            .into_iter()
            .partition(|(id, at)| *at <= now && !held.contains(id));
        self.restarts = later;
        for (id, _) in due.into_iter().filter(|(id, _)| !self.members.is_gone(*id)) {
            cluster.start(id);
        }
    }

    /// The nodes that are down because of a fault that has not ended.
    fn held_down(&self) -> BTreeSet<u64> {
        self.active
            .iter()
            .filter_map(|fault| match &fault.undo {
                Undo::Start(ids) => Some(ids.iter().copied()),
                _ => None,
            })
            .flatten()
            .collect()
    }

    /// Whether an upgrade was begun, so that in the end all nodes follow the new rules.
    pub fn upgrades(&self) -> bool {
        self.upgrade.has_begun()
    }

    /// Undoes everything, except an upgrade, which is completed.
    pub fn heal(&mut self, cluster: &mut SimCluster<'_>) {
        for mut fault in std::mem::take(&mut self.active) {
            if matches!(fault.undo, Undo::PowerCut(..)) {
                // Too late for that: the faults of the disks end below.
                fault.undo = Undo::Nothing;
            }
            self.undo(cluster, fault);
        }
        self.upgrade.finish_without_pause();
        self.ratchet.end();
        for id in cluster.ids() {
            disks::heal(cluster, id);
            if let Some(machine) = cluster.machine(id) {
                machine.clock.set_right();
                machine.wires.free();
            }
        }
    }

    /// Called while no new fault is made: continues what is in progress, and restarts what ended.
    pub fn rest(&mut self, cluster: &mut SimCluster<'_>) {
        let now = cluster.now();
        self.restart(cluster, now);
        self.members.tick(cluster);
        self.go_on_upgrading(cluster);
        for id in cluster.ids() {
            if cluster.is_down(id)
                && !self.members.is_gone(id)
                && !self.restarts.iter().any(|(waiting, _)| *waiting == id)
            {
                self.restarts.push((id, now));
            }
        }
    }
}

/// Ends processes, and schedules their restart.
fn down(cluster: &mut SimCluster<'_>, ids: &[u64], how: End, dice: &mut Dice) -> Option<(Vec<u64>, Undo)> {
    let ids: Vec<u64> = ids.iter().copied().filter(|id| !cluster.is_down(*id)).collect();
    if ids.is_empty() {
        return None;
    }
    for id in &ids {
        cluster.end(*id, how, dice);
    }
    Some((ids.clone(), Undo::Start(ids)))
}
