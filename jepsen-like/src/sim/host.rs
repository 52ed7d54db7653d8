//! One node's machine: its disk and clock, which outlive its process, and the process that runs on it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use assent_cluster::config::Config;
use assent_cluster::node::Node;
use assent_cluster::observe::Observed;
use assent_cluster::usecase::{Caller, Service};
use assent_proof::Millis;
use tokio::sync::Notify;

use super::clock::SimClock;
use super::dice::Dice;
use super::disk::SimDisk;
use super::wire::Wires;
use super::world::environment;

/// A machine. Clones are the same machine.
#[derive(Clone)]
pub struct Machine {
    /// The number of the node on this machine.
    pub id: u64,
    /// The disk, which survives the process.
    pub disk: SimDisk,
    /// The clock that the node reads.
    pub clock: SimClock,
    /// The messages that the node sends to its peers.
    pub wires: Wires,
    state: Rc<State>,
}

struct State {
    config: RefCell<Config>,
    dice: Dice,
    boots: Cell<u64>,
    /// The newest rules that the build of the last start knows.
    rules_running: Cell<u32>,
    service: RefCell<Option<Service>>,
    stop: Notify,
    exit: RefCell<Option<Exit>>,
}

/// How a node's process ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It was asked to stop, and did.
    Stopped,
    /// It did not start.
    NotStarted(String),
    /// Its machine lost power inside a write.
    LostPower,
    /// It ended itself.
    Failed(String),
}

impl Machine {
    /// A machine with an empty disk and a right clock. `dice` decides its chance.
    pub fn new(id: u64, config: Config, disk: SimDisk, dice: Dice) -> Self {
        let state = State {
            config: RefCell::new(config),
            dice,
            boots: Cell::new(0),
            rules_running: Cell::new(0),
            service: RefCell::new(None),
            stop: Notify::new(),
            exit: RefCell::new(None),
        };
        Self { id, disk, clock: SimClock::default(), wires: Wires::default(), state: Rc::new(state) }
    }

    /// The node's process, from its start to its end.
    pub async fn run(self) -> turmoil::Result {
        let boot = self.state.boots.get().saturating_add(1);
        self.state.boots.set(boot);
        // The real disk does the same when it is opened.
        self.disk.drop_cache();
        self.wires.power_on();
        let dice = self.state.dice.fork(&format!("boot {boot}"));
        let config = self.state.config.borrow().clone();
        self.state.rules_running.set(config.rules_known);
        let exit = match Node::start(config, environment(&self.disk, &self.clock, &self.wires, dice)).await {
            Err(error) => Exit::NotStarted(error.to_string()),
            Ok(node) => {
                *self.state.service.borrow_mut() = Some(node.service().clone());
                let failed = tokio::select! {
                    biased;
                    cause = node.failed() => Some(cause),
                    () = self.state.stop.notified() => None,
                };
                match failed {
                    Some(cause) => Exit::Failed(cause),
                    None => {
                        node.shutdown().await;
                        Exit::Stopped
                    }
                }
            }
        };
        *self.state.exit.borrow_mut() = Some(exit);
        Ok(())
    }

    /// Changes the configuration that the next start uses.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.state.config.borrow_mut());
    }

    /// The newest rules that the build knows that the next start uses.
    pub fn rules_configured(&self) -> u32 {
        self.state.config.borrow().rules_known
    }

    /// The newest rules that the build of the last start knows.
    pub fn rules_running(&self) -> u32 {
        self.state.rules_running.get()
    }

    /// The rules that the registry follows here, if the node runs.
    pub fn rules_followed(&self) -> Option<u32> {
        self.state.service.borrow().as_ref().map(|service| service.status(Caller::local()).rules)
    }

    /// Registry time as the node has applied it, if it runs.
    pub fn registry_time(&self) -> Option<Millis> {
        let service = self.state.service.borrow();
        service.as_ref().and_then(|service| service.status(Caller::local()).clock.registry_time)
    }

    /// Whether the node runs, and its wall clock agrees with the anchor that it trusts.
    pub fn is_anchored(&self) -> bool {
        let service = self.state.service.borrow();
        service.as_ref().is_some_and(|service| service.status(Caller::local()).clock.anchored)
    }

    /// Where peers reach the node from its next start on.
    pub fn peer_configured(&self) -> String {
        self.state.config.borrow().addresses().0
    }

    /// Where this node's own membership says that another node is, if this node runs and the membership says so.
    pub fn peer_known(&self, node: u64) -> Option<String> {
        self.state.service.borrow().as_ref().and_then(|service| service.peer_known(node))
    }

    /// Asks the process to stop, as SIGTERM does.
    pub fn ask_to_stop(&self) {
        self.state.stop.notify_one();
    }

    /// How often the process was started.
    pub fn boots(&self) -> u64 {
        self.state.boots.get()
    }

    /// The state of the node, if it runs.
    pub fn observe(&self) -> Option<Observed> {
        self.state.service.borrow().as_ref().and_then(Service::observe)
    }

    /// Term and log index that this node knows another node to have acknowledged, if this node runs.
    pub fn remembers(&self, node: u64) -> Option<(u64, u64)> {
        self.state.service.borrow().as_ref().and_then(|service| service.remembers(node))
    }

    /// How the process ended by itself, if it did since the last call.
    pub fn take_exit(&self) -> Option<Exit> {
        self.state.exit.borrow_mut().take()
    }

    /// Drops everything that belongs to the running process, before the process is ended from outside.
    pub fn let_go(&self) {
        self.state.service.borrow_mut().take();
    }
}
