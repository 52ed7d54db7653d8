//! One caller: it does one thing after another until it is told to stop.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use super::super::dice::Dice;
use super::super::http::{Boots, Http};
use super::super::recorder::Recorder;
use super::book::Book;
use crate::history::Op;

/// What all callers of a run share.
#[derive(Clone)]
pub struct Shared {
    /// What they know together.
    pub book: Rc<RefCell<Book>>,
    /// The nodes that they ask.
    pub nodes: Rc<RefCell<Vec<u64>>>,
    /// The node that was added and is not a voter yet, if there is one.
    pub learner: Rc<Cell<Option<u64>>>,
    /// The recorder of the run.
    pub recorder: Recorder,
    /// How often each node was started.
    pub boots: Boots,
    /// Whether they continue.
    pub go_on: Rc<Cell<bool>>,
    /// Whether they only ask, so that the cluster can settle.
    pub only_ask: Rc<Cell<bool>>,
    /// How many have not finished yet.
    pub at_work: Rc<Cell<u64>>,
}

impl Shared {
    /// Notes that one caller has finished.
    pub(super) fn leave(&self) {
        self.at_work.set(self.at_work.get().saturating_sub(1));
    }
}

/// A caller.
pub struct Client {
    pub(super) id: u64,
    pub(super) dice: Dice,
    pub(super) http: Http,
    pub(super) shared: Shared,
    /// How often it asked whether something may execute, and how often that was allowed.
    pub(super) asked: u64,
    pub(super) allowed: u64,
    /// The node that could not take its last submission: mostly the caller turns to another one.
    pub(super) shuns: Option<u64>,
    /// The history of the last page of events.
    pub(super) history: Option<String>,
}

/// An operation of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientOp {
    Authorize,
    Permit,
    Lineage,
    Execute,
    Evidence,
    Report,
    Peers,
    Batch,
    Rotate,
    Contain,
    Release,
    Policy,
    Equivocate,
    ContradictLate,
    Reconcile,
    Events,
    Spoil,
}

/// The weight of each operation; the weights are about a hundred in all.
const CLIENT_OPS: &[(ClientOp, u64)] = &[
    (ClientOp::Authorize, 46),
    (ClientOp::Permit, 10),
    (ClientOp::Lineage, 9),
    (ClientOp::Evidence, 16),
    (ClientOp::Report, 4),
    (ClientOp::Peers, 5),
    (ClientOp::Batch, 2),
    (ClientOp::Rotate, 3),
    (ClientOp::Contain, 3),
    (ClientOp::Release, 5),
    (ClientOp::Policy, 1),
    (ClientOp::Equivocate, 1),
    (ClientOp::ContradictLate, 1),
    (ClientOp::Reconcile, 2),
    (ClientOp::Events, 3),
    (ClientOp::Spoil, 2),
];

/// At least one answer in this many should be an allow.
const ALLOWED_ONE_IN: u64 = 4;

impl Client {
    /// A caller with its own dice.
    pub fn new(id: u64, dice: Dice, shared: Shared) -> Self {
        let http = Http::new(shared.boots.clone());
        Self { id, dice, http, shared, asked: 0, allowed: 0, shuns: None, history: None }
    }

    /// Asks only one node, and mostly about what was allowed lately: so a node that must not allow any more is asked
    /// in time.
    pub async fn ask_one_node(mut self, node: u64) -> turmoil::Result {
        while self.shared.go_on.get() {
            let pause = self.dice.between(20, 150);
            sleep(Duration::from_millis(pause)).await;
            let lately = self.book().allowed_lately();
            if let Some((domain, request)) = self.dice.pick(&lately).cloned() {
                self.ask(Op::Authorize, domain, node, request, "/v1/authorize").await;
            }
        }
        self.shared.leave();
        Ok(())
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self) -> turmoil::Result {
        while self.shared.go_on.get() {
            let pause = self.dice.between(5, 80);
            sleep(Duration::from_millis(pause)).await;
            match self.next_op() {
                _ if self.shared.only_ask.get() => self.authorize().await,
                ClientOp::Authorize => self.authorize().await,
                ClientOp::Permit => self.permit().await,
                ClientOp::Lineage => {
                    self.new_lineage().await;
                }
                ClientOp::Execute => self.execute().await,
                ClientOp::Evidence => self.add_evidence().await,
                ClientOp::Report => self.report().await,
                ClientOp::Peers => self.submit_about_peers().await,
                ClientOp::Batch => self.submit_batch().await,
                ClientOp::Rotate => self.rotate().await,
                ClientOp::Contain => self.contain().await,
                ClientOp::Release => self.release().await,
                ClientOp::Policy => self.change_policy().await,
                ClientOp::Equivocate => self.equivocate().await,
                ClientOp::ContradictLate => self.contradict_late().await,
                ClientOp::Reconcile => self.reconcile().await,
                ClientOp::Events => self.follow_events().await,
                ClientOp::Spoil => self.spoil().await,
            }
        }
        self.shared.leave();
        Ok(())
    }

    fn next_op(&mut self) -> ClientOp {
        // If little is allowed, little can be seen: the caller then tries to get something allowed.
        if self.allowed.saturating_mul(ALLOWED_ONE_IN) < self.asked && self.dice.chance(1, 3) {
            return ClientOp::Execute;
        }
        let all = CLIENT_OPS.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.dice.below(all);
        for (next_op, weight) in CLIENT_OPS {
            if drawn < *weight {
                return *next_op;
            }
            drawn = drawn.saturating_sub(*weight);
        }
        ClientOp::Authorize
    }

    pub(super) fn book(&self) -> RefMut<'_, Book> {
        self.shared.book.borrow_mut()
    }

    pub(super) fn any_node(&mut self) -> u64 {
        let nodes = self.shared.nodes.borrow().clone();
        let node = self.dice.pick(&nodes).copied().unwrap_or(1);
        if self.shuns == Some(node) && self.dice.chance(3, 4) {
            return self.dice.pick(&nodes).copied().unwrap_or(1);
        }
        node
    }

    pub(super) fn any_domain(&mut self) -> usize {
        let domains = self.book().domains.len();
        usize::try_from(self.dice.below(u64::try_from(domains).unwrap_or(1))).unwrap_or(0)
    }
}
