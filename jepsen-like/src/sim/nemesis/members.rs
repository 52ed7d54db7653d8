//! Changes of members: nodes join, leave and hand over. Nodes whose disk is lost are replaced under a new number.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::cluster::{End, SimCluster};
use super::super::dice::Dice;
use super::super::disk::{Image, SimDisk, Unsynced};
use super::super::host::Machine;
use super::super::operator::{OperatorQueue, Task};
use super::super::setup::move_peer_port;
use super::kind::Kind;
use super::upgrade::BuildChoice;
use super::{Undo, down};

/// The least age of a copy of a disk, so that what its node acknowledged since has reached the disks of its peers.
const IMAGE_AGE: Duration = Duration::from_secs(4);
/// How long a copy is kept, so that it can reach that age.
const IMAGE_KEPT: Duration = Duration::from_secs(12);
/// How often a copy is made.
const IMAGE_EVERY: Duration = Duration::from_secs(2);
/// The largest number of bits of one file that flip together: most of a file is pages that are never read.
const FLIPS_MAX: u64 = 24;
/// How long a node may try to come back with a lost disk before it is replaced.
const LOST_FOR: Duration = Duration::from_secs(2);

/// What the nemesis needs to change members.
pub struct MembershipTools {
    /// Numbers that no node has had yet.
    pub spare: Vec<u64>,
    /// Makes the machines.
    pub factory: Box<dyn Fn(u64) -> Machine>,
    /// The operator's tasks.
    pub operator_queue: OperatorQueue,
    /// The nodes that callers ask; a new node becomes one of them.
    pub asked: Rc<RefCell<Vec<u64>>>,
}

/// Flips some bits of one file. Returns whether there were any to flip.
fn flip(disk: &SimDisk, dice: &mut Dice) -> bool {
    let file = dice.pick(&["log.redb", "log.redb", "log.mark", "registry"]).copied().unwrap_or_default();
    let bits = dice.between(1, FLIPS_MAX);
    (0..bits).filter(|_| disk.flip_bit(file, dice).is_some()).count() > 0
}

/// Flips a bit or two in what the log's newest commit wrote: redb then treats its file as torn, and opens it as of the
/// commit before.
fn flip_newest_commit(disk: &SimDisk, dice: &mut Dice) -> bool {
    (0..dice.between(1, 2)).filter(|_| disk.flip_newest_bit("log.redb", dice).is_some()).count() > 0
}

pub(super) struct Membership {
    dice: Dice,
    spare: VecDeque<u64>,
    tools: MembershipTools,
    build_choice: BuildChoice,
    images: BTreeMap<u64, (Duration, Image)>,
    next_image: Duration,
    /// Nodes whose disk is lost, and since when.
    lost: BTreeMap<u64, Duration>,
    /// Nodes that were given another address, until the leader's membership has the address.
    moving: BTreeSet<u64>,
    /// Nodes that were removed: their machines stay off.
    gone: BTreeSet<u64>,
    /// What the other nodes knew to be acknowledged by the node that was rolled back last, until it is recorded.
    remembered: Option<Value>,
}

impl Membership {
    pub(super) fn new(dice: Dice, tools: MembershipTools, build_choice: BuildChoice) -> Self {
        let spare = tools.spare.iter().copied().collect();
        Self {
            dice,
            spare,
            tools,
            build_choice,
            images: BTreeMap::new(),
            next_image: Duration::ZERO,
            lost: BTreeMap::new(),
            moving: BTreeSet::new(),
            gone: BTreeSet::new(),
            remembered: None,
        }
    }

    /// What the record of a rollback must contain in addition to its node.
    pub(super) fn take_remembered(&mut self) -> Option<Value> {
        self.remembered.take()
    }

    /// Whether a node must not be started again.
    pub(super) fn is_gone(&self, id: u64) -> bool {
        self.gone.contains(&id)
    }

    pub(super) fn begin(&mut self, kind: Kind, cluster: &mut SimCluster<'_>) -> Option<(Vec<u64>, Undo)> {
        // One change of members at a time, and one lost disk: a minority.
        if !self.tools.operator_queue.is_idle() || !self.lost.is_empty() {
            return None;
        }
        let members = cluster.members();
        match kind {
            Kind::Transfer => {
                self.tools.operator_queue.ask(Task::Transfer);
                Some((vec![cluster.leader()?], Undo::Nothing))
            }
            Kind::Churn => {
                let old = *self.dice.pick(&members)?;
                let new = self.newcomer(cluster)?;
                let tasks = [Task::Add(new), Task::Promote(new), Task::Remove(old)];
                tasks.into_iter().for_each(|task| self.tools.operator_queue.ask(task));
                Some((vec![new, old], Undo::Nothing))
            }
            Kind::Wipe | Kind::Rollback | Kind::BitFlip => self.lose(kind, cluster),
            Kind::Move => self.relocate(cluster),
            _ => None,
        }
    }

    /// Makes a node lose its disk; the node starts with what it has, and is replaced.
    fn lose(&mut self, kind: Kind, cluster: &mut SimCluster<'_>) -> Option<(Vec<u64>, Undo)> {
        let is_old = |id: &u64| {
            self.images.get(id).is_some_and(|(at, _)| at.saturating_add(IMAGE_AGE) <= cluster.now())
        };
        // If a voter that remembers nothing of the lost disk could elect with it, or be elected with it, two disks in
        // three would be as good as lost.
        let able = |id: &u64| {
            !cluster.is_down(*id)
                && (kind != Kind::Rollback || is_old(id) && all_others_remember(cluster, *id))
        };
        let members: Vec<u64> = cluster.voters().into_iter().filter(able).collect();
        let id = *self.dice.pick(&members)?;
        if self.spare.is_empty() {
            return None;
        }
        let old = self.images.get(&id).cloned();
        self.remembered = (kind == Kind::Rollback).then(|| remembered(cluster, id));
        let disk = cluster.machine(id)?.disk.clone();
        // Damage alone, found after a stop or after a crash, or together with a power cut.
        let stops = kind == Kind::BitFlip && self.dice.chance(1, 2);
        if stops {
            if !flip(&disk, &mut self.dice) {
                return None;
            }
            cluster.machine(id)?.ask_to_stop();
            self.lost.insert(id, cluster.now());
            return Some((vec![id], Undo::Nothing));
        }
        let crashes = kind == Kind::BitFlip && self.dice.chance(1, 2);
        if crashes {
            cluster.end(id, End::Kill, &mut self.dice);
        } else {
            cluster.recorder.fault(id, json!({"kind": Kind::PowerCut.name(), "nodes": [id]})).over();
            cluster.end(id, End::PowerCut(Unsynced::Drop), &mut self.dice);
        }
        let lost = match (kind, old) {
            (Kind::Wipe, _) => disk.wipe().is_ok(),
            (Kind::Rollback, Some((_, image))) => disk.restore(&image).is_ok(),
            (Kind::BitFlip, _) if crashes && self.dice.chance(1, 2) => {
                flip_newest_commit(&disk, &mut self.dice)
            }
            (Kind::BitFlip, _) => flip(&disk, &mut self.dice),
            _ => false,
        };
        cluster.start(id);
        if lost {
            self.lost.insert(id, cluster.now());
        }
        lost.then(|| (vec![id], Undo::Nothing))
    }

    /// Ends a minority, and starts it again at another address. It does so only while every voter runs and knows the
    /// addresses of all. A voter that has missed a move could not find the nodes that moved, and no node could find
    /// that voter if it moved as well.
    fn relocate(&mut self, cluster: &mut SimCluster<'_>) -> Option<(Vec<u64>, Undo)> {
        let mut voters = cluster.voters();
        let knows_all =
            |id: &u64| !cluster.is_down(*id) && voters.iter().all(|of| is_known(cluster, *id, *of));
        let minority = voters.len().saturating_sub(1) / 2;
        if minority == 0 || !self.moving.is_empty() || !voters.iter().all(knows_all) {
            return None;
        }
        let count = self.dice.between(1, u64::try_from(minority).unwrap_or(1));
        self.dice.shuffle(&mut voters);
        voters.truncate(usize::try_from(count).unwrap_or(1));
        for id in &voters {
            cluster.machine(*id)?.configure(move_peer_port);
            self.moving.insert(*id);
        }
        down(cluster, &voters, End::Kill, &mut self.dice)
    }

    /// Notes which nodes are at their new address in the leader's membership: these have moved.
    fn note_moved_nodes(&mut self, cluster: &mut SimCluster<'_>) {
        let Some(leader) = cluster.leader().filter(|_| !self.moving.is_empty()) else { return };
        let members = cluster.members();
        let moved: Vec<u64> =
            self.moving.iter().copied().filter(|id| is_known(cluster, leader, *id)).collect();
        for id in moved {
            self.moving.remove(&id);
            cluster.tally.reached("member moved");
        }
        // A node that was removed meanwhile needs no address.
        self.moving.retain(|id| members.contains(id));
    }

    /// A machine with an empty disk, which waits to be added.
    fn newcomer(&mut self, cluster: &mut SimCluster<'_>) -> Option<u64> {
        let id = self.spare.pop_front()?;
        let machine = (self.tools.factory)(id);
        let known = self.build_choice.of_newcomer(&mut self.dice);
        machine.configure(|config| config.rules_known = known);
        cluster.recorder.fault(id, json!({"kind": "set-up", "nodes": [id], "rulesKnown": known})).over();
        cluster.add(machine);
        self.tools.asked.borrow_mut().push(id);
        Some(id)
    }

    pub(super) fn tick(&mut self, cluster: &mut SimCluster<'_>) {
        let now = cluster.now();
        if now >= self.next_image {
            self.next_image = now.saturating_add(IMAGE_EVERY);
            if let Some(id) = self.dice.pick(&cluster.running()).copied()
                && let Some(machine) = cluster.machine(id)
                && self.images.get(&id).is_none_or(|(at, _)| at.saturating_add(IMAGE_KEPT) <= now)
            {
                self.images.insert(id, (now, machine.disk.snapshot()));
            }
        }
        self.note_moved_nodes(cluster);
        for done in self.tools.operator_queue.take_done() {
            if let (Task::Remove(id), true) = (done.task, done.well) {
                self.lost.remove(&id);
                // It continues for a while: a removed node must keep silent by itself.
                if self.dice.chance(1, 2) {
                    self.gone.insert(id);
                    self.tools.asked.borrow_mut().retain(|asked| *asked != id);
                    cluster.end(id, End::Kill, &mut self.dice);
                }
            }
        }
        let due =
            self.lost.iter().find(|(_, since)| since.saturating_add(LOST_FOR) <= now).map(|(id, _)| *id);
        if let (Some(old), true) = (due, self.tools.operator_queue.is_idle())
            && let Some(new) = self.newcomer_or_waiting(cluster, old)
        {
            let tasks = [Task::Remove(old), Task::Add(new), Task::Promote(new)];
            tasks.into_iter().for_each(|task| self.tools.operator_queue.ask(task));
        }
    }

    fn newcomer_or_waiting(&mut self, cluster: &mut SimCluster<'_>, old: u64) -> Option<u64> {
        let new = self.newcomer(cluster);
        if new.is_none() {
            // No spare node is left to replace it: it stays away.
            self.lost.remove(&old);
        }
        new
    }
}

/// Whether a node's own membership has the present address of another one.
fn is_known(cluster: &SimCluster<'_>, by: u64, id: u64) -> bool {
    let (Some(by), Some(of)) = (cluster.machine(by), cluster.machine(id)) else { return false };
    by.peer_known(id) == Some(of.peer_configured())
}

/// Whether every other voter runs, and all of them know the same acknowledgements of a node.
fn all_others_remember(cluster: &SimCluster<'_>, id: u64) -> bool {
    let others = cluster.voters().into_iter().filter(|other| *other != id);
    let known: Vec<_> =
        others.map(|other| cluster.machine(other).and_then(|machine| machine.remembers(id))).collect();
    known.first().is_some_and(Option::is_some)
        && known.windows(2).all(|pair| matches!(pair, [a, b] if a == b))
}

/// The acknowledgements of a node that the running nodes know. They know them as long as their processes run.
fn remembered(cluster: &SimCluster<'_>, id: u64) -> Value {
    let others = cluster.running().into_iter().filter(|other| *other != id);
    let known = others.filter_map(|other| {
        let (term, index) = cluster.machine(other)?.remembers(id)?;
        Some(json!({"node": other, "term": term, "index": index}))
    });
    known.collect()
}
