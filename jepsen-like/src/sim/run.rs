//! One run: it founds a cluster, runs callers and a nemesis on it, heals it, and reads what every node holds.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use super::clock::{self, BEGIN_MS};
use super::cluster::{SimCluster, TICK};
use super::dice::Dice;
use super::disk::SimDisk;
use super::host::Machine;
use super::nemesis::{Kind, MembershipTools, Nemesis, RULES_NEW};
use super::operator::{OperatorQueue, operate};
use super::reading::read_ledger;
use super::recorder::Recorder;
use super::setup::{NODES_MAX, SimSetup, SimSetupError};
use super::tally::Tally;
use super::tuning::tune;
use super::workload::{Book, Client, Shared, a_crowd_comes, domains};
use crate::history::History;

/// How long the nodes may take to find a leader at the beginning.
const BEGIN_WITHIN: Duration = Duration::from_secs(20);
/// The number of the client that leads the crowd; it asks nothing itself.
const CROWD_ID: u64 = 200;
/// How long callers continue to ask after everything is healed.
const SETTLE: Duration = Duration::from_secs(11);
/// How long the nodes may take after that to hold the same state.
const CONVERGE_WITHIN: Duration = Duration::from_secs(60);

/// The settings of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The seed, which decides everything.
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

/// The result of a run.
pub struct Ran {
    /// What happened.
    pub history: History,
    /// What was counted.
    pub tally: Tally,
    /// How much time was simulated.
    pub simulated: Duration,
    /// Whether every node held the same state in the end.
    pub converged: bool,
    /// How many nodes were told that a write or an fsync had failed.
    pub failed_disks: u64,
    /// Nodes that retried an fsync after one had failed.
    pub retried_fsync: Vec<u64>,
}

/// Why a run did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not begin.
    #[error(transparent)]
    SimSetup(#[from] SimSetupError),
    /// A node or a caller panicked.
    #[error("something panicked after {} ms: {problem}", at.as_millis())]
    Panicked {
        /// When, in simulated time.
        at: Duration,
        /// The panic's message.
        problem: String,
        /// The history until then.
        history: Box<History>,
    },
}

/// Runs it. `folder` holds the genesis file and the keys. Everything else is in memory, on one thread.
pub fn run(config: &Config, folder: &Path, progress: &mut dyn FnMut(Duration)) -> Result<Ran, RunError> {
    let dice = Dice::new(config.seed);
    assent_cluster::raft::runtime::seed_this_thread(dice.fork("raft").next_u64());
    clock::begin_this_thread();
    let plans = domains(&mut dice.fork("domains"))?;
    let setup = SimSetup::write(folder, config.nodes, &plans)?;
    let heads = setup.heads().to_vec();
    let recorder = Recorder::default();
    // After a panic the tasks are in no state to be torn down, and the process ends soon anyway.
    let mut cluster = ManuallyDrop::new(SimCluster::new(network(&dice), recorder.clone()));
    let factory = {
        let dice = dice.clone();
        Box::new(move |id| {
            let mut config = setup.config(id);
            tune(&mut config, &dice);
            Machine::new(id, config, SimDisk::default(), dice.fork(&format!("node {id}")))
        })
    };
    for id in 1..=config.nodes {
        cluster.add(factory(id));
    }
    let crowded = a_crowd_comes(&dice);
    let callers = config.clients.saturating_add(config.nodes).saturating_add(u64::from(crowded));
    let shared = Shared {
        book: Rc::new(RefCell::new(Book::new(&plans, &heads))),
        nodes: Rc::new(RefCell::new((1..=config.nodes).collect())),
        learner: Rc::new(Cell::new(None)),
        recorder: recorder.clone(),
        boots: cluster.boots(),
        go_on: Rc::new(Cell::new(true)),
        only_ask: Rc::new(Cell::new(false)),
        at_work: Rc::new(Cell::new(callers)),
    };
    let operator_queue = OperatorQueue::default();
    let tools = MembershipTools {
        spare: (config.nodes + 1..=NODES_MAX).collect(),
        factory,
        operator_queue: operator_queue.clone(),
        asked: shared.nodes.clone(),
    };
    let mut nemesis = Nemesis::new(dice.fork("nemesis"), &config.faults, tools, config.skip.clone());
    let go = |cluster: &mut SimCluster<'_>, progress: &mut dyn FnMut(Duration)| -> Result<(), RunError> {
        cluster.step().map_err(|problem| RunError::Panicked {
            at: cluster.now(),
            problem,
            history: Box::new(recorder.history()),
        })?;
        progress(cluster.now());
        Ok(())
    };

    while cluster.leader().is_none() && cluster.now() < BEGIN_WITHIN {
        go(&mut cluster, progress)?;
    }
    for id in 1..=config.clients {
        let client = Client::new(id, dice.fork(&format!("client {id}")), shared.clone());
        cluster.add_client(&format!("client-{id}"), client.run());
    }
    for node in 1..=config.nodes {
        let asker = Client::new(100 + node, dice.fork(&format!("asker {node}")), shared.clone());
        cluster.add_client(&format!("asker-{node}"), asker.ask_one_node(node));
    }
    if crowded {
        let crowd = Client::new(CROWD_ID, dice.fork("crowd's deeds"), shared.clone());
        cluster.add_client("crowd", crowd.crowd());
    }
    let boots = cluster.boots();
    let operator = operate(
        operator_queue.clone(),
        shared.nodes.clone(),
        shared.learner.clone(),
        boots.clone(),
        dice.fork("operator"),
    );
    cluster.add_client("operator", operator);
    let until = cluster.now() + config.lasts;
    while cluster.now() < until {
        go(&mut cluster, progress)?;
        nemesis.tick(&mut cluster);
    }
    nemesis.heal(&mut cluster);
    // All faults are healed: first the callers work normally, and then they only ask.
    for only_ask in [false, true] {
        shared.only_ask.set(only_ask);
        let until = cluster.now() + SETTLE / 2;
        while cluster.now() < until {
            go(&mut cluster, progress)?;
            nemesis.rest(&mut cluster);
        }
    }
    shared.go_on.set(false);
    let until = cluster.now() + CONVERGE_WITHIN;
    let quiet = || shared.at_work.get() == 0 && operator_queue.is_idle();
    while cluster.now() < until && !(quiet() && converged(&cluster, nemesis.upgrades())) {
        go(&mut cluster, progress)?;
        nemesis.rest(&mut cluster);
    }
    let converged = converged(&cluster, nemesis.upgrades());
    // If there is no leader, every node is asked: even if the whole cluster is down, some nodes must be checked.
    let asked = Some(cluster.voters()).filter(|voters| !voters.is_empty()).unwrap_or_else(|| cluster.ids());
    let left = Rc::new(Cell::new(asked.len()));
    for node in asked {
        let reader = read_ledger(node, recorder.clone(), left.clone(), boots.clone());
        cluster.add_client(&format!("reader-{node}"), reader);
    }
    // The longer the run, the longer the ledgers, and each leaf is asked for by itself.
    let until = cluster.now() + CONVERGE_WITHIN + config.lasts;
    while cluster.now() < until && left.get() > 0 {
        go(&mut cluster, progress)?;
    }
    cluster.close();
    let (failed_disks, retried_fsync) = (cluster.failed_disks(), cluster.retried_syncs());
    let ran = Ran {
        history: recorder.history(),
        tally: cluster.tally.clone(),
        simulated: cluster.now(),
        converged,
        failed_disks,
        retried_fsync,
    };
    drop(ManuallyDrop::into_inner(cluster));
    Ok(ran)
}

/// Whether all members run and have applied the same; after an upgrade also that the rules are raised.
fn converged(cluster: &SimCluster<'_>, upgraded: bool) -> bool {
    let members = cluster.members();
    let applied: Vec<_> =
        members.iter().map(|id| cluster.observed(*id).and_then(|seen| seen.applied)).collect();
    let Some(Some(first)) = applied.first() else { return false };
    let logs = members.iter().map(|id| cluster.observed(*id).and_then(|seen| seen.last_log));
    let mut machines = members.iter().filter_map(|id| cluster.machine(*id));
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
