//! One run: found a cluster, let callers and nemesis at it, heal it, read what every node holds.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use super::clock::{self, BEGIN_MS};
use super::dice::Dice;
use super::disk::SimDisk;
use super::ground::{Ground, GroundError, NODES_MAX};
use super::host::Machine;
use super::nemesis::{Crew, Kind, Nemesis, RULES_NEW};
use super::operator::{Desk, operate};
use super::reading::read_ledger;
use super::recorder::Recorder;
use super::stage::{Stage, TICK};
use super::tally::Tally;
use super::tuning::tune;
use super::workload::{Book, Client, Shared, a_crowd_comes, domains};
use crate::history::History;

/// How long the nodes have to find a leader at the beginning.
const BEGIN_WITHIN: Duration = Duration::from_secs(20);
/// The number of whoever leads the crowd on; it asks nothing itself.
const CROWD_ID: u64 = 200;
/// How long callers go on asking after everything is healed.
const SETTLE: Duration = Duration::from_secs(11);
/// How long the nodes have to hold the same after that.
const CONVERGE_WITHIN: Duration = Duration::from_secs(60);

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Decides everything.
    pub seed: u64,
    /// How many nodes begin, 3 or 5.
    pub nodes: u64,
    /// How long faults are made, in simulated time.
    pub lasts: Duration,
    /// Which kinds of faults.
    pub faults: Vec<Kind>,
    /// How many callers.
    pub clients: u64,
    /// Faults that are left out, by their number.
    pub skip: BTreeSet<u64>,
}

/// What a run brought.
pub struct Ran {
    /// What happened.
    pub history: History,
    /// What was seen.
    pub tally: Tally,
    /// How much time was simulated.
    pub simulated: Duration,
    /// Whether every node held the same in the end.
    pub converged: bool,
    /// How many nodes were told that a write or an fsync had failed.
    pub failed_disks: u64,
    /// Nodes that retried an fsync after one had failed.
    pub retried_fsync: Vec<u64>,
}

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not begin.
    #[error(transparent)]
    Ground(#[from] GroundError),
    /// A node or a caller panicked.
    #[error("something panicked after {} ms: {problem}", at.as_millis())]
    Panicked {
        /// When, in simulated time.
        at: Duration,
        /// What was said.
        problem: String,
        /// What had happened.
        history: Box<History>,
    },
}

/// Runs it. `folder` takes the genesis file and the keys. Everything else is in memory, and one thread does it all.
pub fn run(config: &Config, folder: &Path, progress: &mut dyn FnMut(Duration)) -> Result<Ran, RunError> {
    let dice = Dice::new(config.seed);
    assent_cluster::raft::runtime::seed_this_thread(dice.fork("raft").next_u64());
    clock::begin_this_thread();
    let plans = domains(&mut dice.fork("domains"))?;
    let ground = Ground::lay(folder, config.nodes, &plans)?;
    let heads = ground.heads().to_vec();
    let recorder = Recorder::default();
    // After a panic its tasks are in no state to be torn down, and the process ends soon anyway.
    let mut stage = ManuallyDrop::new(Stage::new(network(&dice), recorder.clone()));
    let factory = {
        let dice = dice.clone();
        Box::new(move |id| {
            let mut config = ground.config(id);
            tune(&mut config, &dice);
            Machine::new(id, config, SimDisk::default(), dice.fork(&format!("node {id}")))
        })
    };
    for id in 1..=config.nodes {
        stage.add(factory(id));
    }
    let crowded = a_crowd_comes(&dice);
    let callers = config.clients.saturating_add(config.nodes).saturating_add(u64::from(crowded));
    let shared = Shared {
        book: Rc::new(RefCell::new(Book::new(&plans, &heads))),
        nodes: Rc::new(RefCell::new((1..=config.nodes).collect())),
        learner: Rc::new(Cell::new(None)),
        recorder: recorder.clone(),
        boots: stage.boots(),
        go_on: Rc::new(Cell::new(true)),
        only_ask: Rc::new(Cell::new(false)),
        at_work: Rc::new(Cell::new(callers)),
    };
    let desk = Desk::default();
    let crew = Crew {
        spare: (config.nodes + 1..=NODES_MAX).collect(),
        factory,
        desk: desk.clone(),
        asked: shared.nodes.clone(),
    };
    let mut nemesis = Nemesis::new(dice.fork("nemesis"), &config.faults, crew, config.skip.clone());
    let go = |stage: &mut Stage<'_>, progress: &mut dyn FnMut(Duration)| -> Result<(), RunError> {
        stage.step().map_err(|problem| RunError::Panicked {
            at: stage.now(),
            problem,
            history: Box::new(recorder.history()),
        })?;
        progress(stage.now());
        Ok(())
    };

    while stage.leader().is_none() && stage.now() < BEGIN_WITHIN {
        go(&mut stage, progress)?;
    }
    for id in 1..=config.clients {
        let client = Client::new(id, dice.fork(&format!("client {id}")), shared.clone());
        stage.add_client(&format!("client-{id}"), client.run());
    }
    for node in 1..=config.nodes {
        let asker = Client::new(100 + node, dice.fork(&format!("asker {node}")), shared.clone());
        stage.add_client(&format!("asker-{node}"), asker.pester(node));
    }
    if crowded {
        let crowd = Client::new(CROWD_ID, dice.fork("crowd's deeds"), shared.clone());
        stage.add_client("crowd", crowd.crowd());
    }
    let boots = stage.boots();
    let operator = operate(
        desk.clone(),
        shared.nodes.clone(),
        shared.learner.clone(),
        boots.clone(),
        dice.fork("operator"),
    );
    stage.add_client("operator", operator);
    let until = stage.now() + config.lasts;
    while stage.now() < until {
        go(&mut stage, progress)?;
        nemesis.tick(&mut stage);
    }
    nemesis.heal(&mut stage);
    // Nothing is wrong any more: everything works again, and then comes to rest.
    for only_ask in [false, true] {
        shared.only_ask.set(only_ask);
        let until = stage.now() + SETTLE / 2;
        while stage.now() < until {
            go(&mut stage, progress)?;
            nemesis.rest(&mut stage);
        }
    }
    shared.go_on.set(false);
    let until = stage.now() + CONVERGE_WITHIN;
    let quiet = || shared.at_work.get() == 0 && desk.is_idle();
    while stage.now() < until && !(quiet() && converged(&stage, nemesis.upgrades())) {
        go(&mut stage, progress)?;
        nemesis.rest(&mut stage);
    }
    let converged = converged(&stage, nemesis.upgrades());
    // Without a leader everybody is asked: that a whole cluster is down is no reason to look at nobody.
    let asked = Some(stage.voters()).filter(|voters| !voters.is_empty()).unwrap_or_else(|| stage.ids());
    let left = Rc::new(Cell::new(asked.len()));
    for node in asked {
        let reader = read_ledger(node, recorder.clone(), left.clone(), boots.clone());
        stage.add_client(&format!("reader-{node}"), reader);
    }
    // The longer the run, the longer are the ledgers, and each leaf is asked for by itself.
    let until = stage.now() + CONVERGE_WITHIN + config.lasts;
    while stage.now() < until && left.get() > 0 {
        go(&mut stage, progress)?;
    }
    stage.close();
    let (failed_disks, retried_fsync) = (stage.failed_disks(), stage.lied_to());
    let ran = Ran {
        history: recorder.history(),
        tally: stage.tally.clone(),
        simulated: stage.now(),
        converged,
        failed_disks,
        retried_fsync,
    };
    drop(ManuallyDrop::into_inner(stage));
    Ok(ran)
}

/// Whether all members run and have applied the same; after an upgrade also that the rules are raised.
fn converged(stage: &Stage<'_>, upgraded: bool) -> bool {
    let members = stage.members();
    let applied: Vec<_> =
        members.iter().map(|id| stage.observed(*id).and_then(|seen| seen.applied)).collect();
    let Some(Some(first)) = applied.first() else { return false };
    let logs = members.iter().map(|id| stage.observed(*id).and_then(|seen| seen.last_log));
    let mut machines = members.iter().filter_map(|id| stage.machine(*id));
    applied.iter().all(|at| at.as_ref() == Some(first))
        && logs.into_iter().all(|last| last == Some(first.index))
        && (!upgraded || machines.all(|machine| machine.rules_followed() == Some(RULES_NEW)))
}

/// A network with the seed's own delays.
pub fn network<'a>(dice: &Dice) -> turmoil::Sim<'a> {
    let mut of_network = dice.fork("network");
    turmoil::Builder::new()
        .rng_seed(of_network.next_u64())
        .epoch(UNIX_EPOCH + Duration::from_millis(BEGIN_MS.unsigned_abs()))
        .simulation_duration(Duration::from_secs(24 * 3600))
        .tick_duration(TICK)
        .min_message_latency(Duration::from_micros(of_network.between(0, 500)))
        .max_message_latency(super::nemesis::USUAL_DELAY)
        .tcp_capacity(8192)
        .enable_random_order()
        .build()
}
