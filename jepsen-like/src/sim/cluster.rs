//! The simulated machines and the network between them, and everything that can be done to them from outside.
//!
//! One [`SimCluster`] is one run. It owns the machines. It moves time, ends and starts processes, cuts links, and
//! records what it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use assent_cluster::observe::Observed;
use serde_json::{Value, json};

use super::dice::Dice;
use super::disk::{FaultKind, Unsynced};
use super::host::{Exit, Machine};
use super::http::Boots;
use super::nemesis::links::{Changes, Links, Way, between};
use super::recorder::{Begun, Recorder};
use super::setup::node_name;
use super::tally::Tally;
use crate::history::Op;

/// How much simulated time one step is.
pub const TICK: Duration = Duration::from_millis(1);

/// How a process ends from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// SIGKILL: what the process wrote stays with the operating system, and reaches the disk.
    Kill,
    /// A power cut: what was not synced is kept, lost or torn.
    PowerCut(Unsynced),
}

/// One run's machines.
pub struct SimCluster<'a> {
    sim: turmoil::Sim<'a>,
    machines: BTreeMap<u64, Machine>,
    /// The names of the callers' hosts.
    clients: Vec<String>,
    links: Links,
    down: BTreeSet<u64>,
    seen: BTreeMap<u64, (u64, Observed)>,
    cut_off: BTreeMap<u64, Begun>,
    /// For each node whose disk failed a write or a sync since the node was started: how many had failed before, and
    /// the open record.
    failing: BTreeMap<u64, (u64, Option<Begun>)>,
    boots: Boots,
    /// What the run has seen so far.
    pub tally: Tally,
    /// Where the run is recorded.
    pub recorder: Recorder,
    exits: Vec<(u64, Exit)>,
}

impl<'a> SimCluster<'a> {
    /// An empty cluster.
    pub fn new(sim: turmoil::Sim<'a>, recorder: Recorder) -> Self {
        Self {
            sim,
            machines: BTreeMap::new(),
            clients: Vec::new(),
            links: Links::default(),
            down: BTreeSet::new(),
            seen: BTreeMap::new(),
            cut_off: BTreeMap::new(),
            failing: BTreeMap::new(),
            boots: Boots::default(),
            tally: Tally::default(),
            recorder,
            exits: Vec::new(),
        }
    }

    /// Adds a machine, and starts its process.
    pub fn add(&mut self, machine: Machine) {
        let id = machine.id;
        self.machines.insert(id, machine.clone());
        self.sim.host(node_name(id), move || machine.clone().run());
    }

    /// Adds a caller.
    pub fn add_client<F>(&mut self, name: &str, client: F)
    where
        F: Future<Output = turmoil::Result> + 'static,
    {
        self.clients.push(name.to_owned());
        self.sim.client(name.to_owned(), client);
    }

    /// Simulated time since the run began.
    pub fn now(&self) -> Duration {
        self.sim.elapsed()
    }

    /// Takes one step. An error is a panic in a node or in a caller.
    pub fn step(&mut self) -> Result<bool, String> {
        // A panic in a task that a node spawned reaches this step.
        let stepped = catch_unwind(AssertUnwindSafe(|| self.sim.step()));
        let done = match stepped {
            Ok(stepped) => stepped.map_err(|error| error.to_string())?,
            Err(_) => return Err("a task of a node panicked; the panic is printed above".to_owned()),
        };
        self.recorder.tick(self.sim.elapsed());
        self.look();
        self.watch_disks();
        self.take_exits();
        Ok(done)
    }

    /// The machines' numbers.
    pub fn ids(&self) -> Vec<u64> {
        self.machines.keys().copied().collect()
    }

    /// The machines whose process runs.
    pub fn running(&self) -> Vec<u64> {
        self.machines.keys().copied().filter(|id| !self.down.contains(id)).collect()
    }

    /// A machine.
    pub fn machine(&self, id: u64) -> Option<&Machine> {
        self.machines.get(&id)
    }

    /// The nodes that are voters in the leader's membership.
    pub fn voters(&self) -> Vec<u64> {
        let seen = self.leader().and_then(|id| self.observed(id));
        let all = seen.map(|seen| seen.voters.iter().flatten().copied().collect::<BTreeSet<u64>>());
        all.unwrap_or_default().into_iter().collect()
    }

    /// The nodes that are members in the leader's membership.
    pub fn members(&self) -> Vec<u64> {
        let seen = self.leader().and_then(|id| self.observed(id));
        let all = seen.map(|seen| {
            seen.voters.iter().flatten().chain(&seen.learners).copied().collect::<BTreeSet<u64>>()
        });
        all.unwrap_or_default().into_iter().collect()
    }

    /// The observed state of a node that runs.
    pub fn observed(&self, id: u64) -> Option<&Observed> {
        if self.down.contains(&id) {
            return None;
        }
        self.seen.get(&id).map(|(_, observed)| observed)
    }

    /// The node that leads in the newest term, by its own account.
    pub fn leader(&self) -> Option<u64> {
        let leads = self.running().into_iter().filter_map(|id| self.observed(id).map(|seen| (seen, id)));
        leads.filter(|(seen, _)| seen.state == "leader").max_by_key(|(seen, _)| seen.term).map(|(_, id)| id)
    }

    /// The processes that ended by themselves since the last call.
    pub fn exits(&mut self) -> Vec<(u64, Exit)> {
        std::mem::take(&mut self.exits)
    }

    /// Cuts links between nodes.
    pub fn cut(&mut self, ways: &BTreeSet<Way>) {
        let changes = self.links.cut(ways);
        self.apply(&changes);
    }

    /// Mends links that were cut before.
    pub fn mend(&mut self, ways: &BTreeSet<Way>) {
        let changes = self.links.mend(ways);
        self.apply(&changes);
    }

    fn apply(&mut self, changes: &Changes) {
        for (from, to) in &changes.cut {
            self.sim.partition_oneway(node_name(*from), node_name(*to));
        }
        for (from, to) in &changes.mended {
            self.sim.repair_oneway(node_name(*from), node_name(*to));
        }
        self.judge_cuts();
    }

    /// Delays messages between two nodes by up to this long.
    pub fn delay(&mut self, a: u64, b: u64, max: Duration) {
        self.sim.set_link_max_message_latency(node_name(a), node_name(b), max);
    }

    /// Ends a node's process at once. Nothing that it does while it is torn down reaches any other node or caller.
    pub fn end(&mut self, id: u64, how: End, dice: &mut Dice) {
        let Some(machine) = self.machines.get(&id).cloned() else { return };
        if !self.down.insert(id) {
            return;
        }
        let others: Vec<u64> = self.ids();
        self.cut(&between(&[id], &others));
        for client in self.clients.clone() {
            self.sim.partition(node_name(id), client);
        }
        machine.let_go();
        match how {
            End::Kill => machine.disk.kill(),
            End::PowerCut(unsynced) => machine.disk.power_cut(unsynced, dice),
        }
        self.sim.crash(node_name(id));
        if let Some(open) = self.failing.get_mut(&id).and_then(|(_, open)| open.take()) {
            open.over();
        }
        if let Some((_, seen)) = self.seen.remove(&id) {
            self.tally.ended(&seen);
        }
        self.judge_cuts();
    }

    /// Starts a node's process again.
    pub fn start(&mut self, id: u64) {
        if !self.down.remove(&id) {
            return;
        }
        let others: Vec<u64> = self.ids();
        for client in self.clients.clone() {
            self.sim.repair(node_name(id), client);
        }
        self.boots.started(id);
        self.sim.bounce(node_name(id));
        if let Some(machine) = self.machines.get(&id) {
            // Failures of the last process do not belong to this one. If that process ended by itself, only the bounce drops
            // what it had left under way, and with it the failures that it was not told of.
            self.failing.insert(id, (machine.disk.failures_told(), None));
        }
        self.mend(&between(&[id], &others));
    }

    /// Whether a node's process is down.
    pub fn is_down(&self, id: u64) -> bool {
        self.down.contains(&id)
    }

    fn take_exits(&mut self) {
        for id in self.running() {
            let Some(machine) = self.machines.get(&id) else { continue };
            let dead_disk = machine.disk.is_dead();
            let exit = machine.take_exit();
            if exit.is_none() && !dead_disk {
                continue;
            }
            // A disk without power takes the machine down with it; how the process says that it ended does not count.
            let (exit, how) = match exit {
                _ if dead_disk => (None, End::PowerCut(Unsynced::Keep)),
                exit => (exit, End::Kill),
            };
            // The disk decided what survives when its power was cut.
            self.end(id, how, &mut Dice::new(0));
            if let Some(exit) = exit {
                let why = exit_text(&exit);
                self.recorder.fault(id, json!({"kind": "exited", "nodes": [id], "why": why})).over();
                self.exits.push((id, exit));
            } else {
                self.exits.push((id, Exit::LostPower));
            }
        }
    }

    /// Records each failed disk, from when its node was told until the node's process has ended.
    fn watch_disks(&mut self) {
        for id in self.running() {
            let Some(machine) = self.machines.get(&id) else { continue };
            let failed = machine.disk.failures_told();
            let (before, open) = self.failing.entry(id).or_insert((0, None));
            if failed > *before && open.is_none() {
                *open = Some(self.recorder.fault(id, json!({"kind": "fsync-failed", "nodes": [id]})));
            }
            *before = failed;
        }
    }

    /// How often each process was started. Clones are the same count.
    pub fn boots(&self) -> Boots {
        self.boots.clone()
    }

    /// Records the state of each node if it has changed.
    fn look(&mut self) {
        for id in self.running() {
            let Some(machine) = self.machines.get(&id) else { continue };
            if machine.disk.is_dead() {
                // The node has no power any more, so what it still does does not count.
                continue;
            }
            let (boot, Some(observed)) = (machine.boots(), machine.observe()) else { continue };
            if self.seen.get(&id).is_some_and(|(of, seen)| *of == boot && *seen == observed) {
                continue;
            }
            self.recorder.saw(Op::Sample, id, sample(boot, &observed));
            let before = self.seen.insert(id, (boot, observed.clone()));
            self.tally.saw(id, before.map(|(_, seen)| seen).as_ref(), &observed);
        }
    }

    /// Begins and ends the records of nodes that can reach no quorum, whichever nodes are the voters.
    fn judge_cuts(&mut self) {
        let running = self.running();
        let needed = self.smallest_quorum();
        let hears = |a: u64, b: u64| a == b || self.links.both_ways(a, b);
        let leads = |id: &&u64| running.iter().filter(|other| hears(**id, **other)).count() >= needed;
        let able: Vec<u64> = running.iter().filter(leads).copied().collect();
        for id in self.ids() {
            // A node that can lead can serve the nodes that hear it.
            let cut = !running.contains(&id) || !able.iter().any(|leader| hears(id, *leader));
            if !cut {
                if let Some(open) = self.cut_off.remove(&id) {
                    open.over();
                }
            } else if !self.cut_off.contains_key(&id) && running.contains(&id) {
                let open = self.recorder.fault(id, json!({"kind": "cut", "nodes": [id]}));
                self.cut_off.insert(id, open);
            }
        }
    }

    /// The smallest number of nodes that may be a quorum, by any membership that any node has.
    fn smallest_quorum(&self) -> usize {
        let groups = self.seen.values().flat_map(|(_, seen)| seen.voters.iter());
        groups.filter(|group| !group.is_empty()).map(|group| group.len() / 2 + 1).min().unwrap_or(2)
    }

    /// How many machines had a write or a sync that failed.
    pub fn failed_disks(&self) -> u64 {
        let failed = self.machines.values().filter(|machine| machine.disk.failures_told() > 0);
        u64::try_from(failed.count()).unwrap_or(u64::MAX)
    }

    /// Machines on which a sync succeeded after an earlier one had given up on the same sectors: the node retried a
    /// failed fsync, or built on data that was only in memory.
    pub fn retried_syncs(&self) -> Vec<u64> {
        let lied = |machine: &&Machine| machine.disk.counts().get(FaultKind::SyncLied) > 0;
        self.machines.values().filter(lied).map(|machine| machine.id).collect()
    }

    /// Ends the records that are still open, and counts what the machines have counted.
    pub fn close(&mut self) {
        for counts in self.machines.values().map(|machine| machine.wires.counts()) {
            self.tally.reached_often("message came late", counts.held);
            self.tally.reached_often("message said again", counts.twice.saturating_add(counts.again));
            self.tally.reached_often("lie refused by raft", counts.refused_lies);
            self.tally.reached_often("impossible lie", counts.impossible_lies);
            self.tally.reached_often("power lost at a message", counts.cuts);
        }
        let failing = std::mem::take(&mut self.failing).into_values().filter_map(|(_, open)| open);
        std::mem::take(&mut self.cut_off).into_values().chain(failing).for_each(Begun::over);
    }
}

fn exit_text(exit: &Exit) -> String {
    match exit {
        Exit::Stopped => "stopped".to_owned(),
        Exit::LostPower => "lost power".to_owned(),
        Exit::NotStarted(why) => format!("did not start: {why}"),
        Exit::Failed(why) => format!("ended: {why}"),
    }
}

fn sample(boot: u64, seen: &Observed) -> Value {
    let position = |at: Option<assent_cluster::observe::LogPosition>| {
        at.map(|at| json!({"index": at.index, "term": at.term}))
    };
    json!({
        "boot": boot,
        "term": seen.term,
        "vote": {"term": seen.vote.0, "node": seen.vote.1, "committed": seen.vote.2},
        "state": seen.state,
        "leader": seen.leader,
        "lastLog": seen.last_log,
        "committed": position(seen.committed),
        "applied": position(seen.applied),
        "purged": seen.purged,
        "snapshot": seen.snapshot,
        "voters": seen.voters,
        "learners": seen.learners,
        "revision": seen.revision,
    })
}
