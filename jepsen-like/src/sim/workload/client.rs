//! One caller: does one thing after the other until it is told to stop.

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
    /// Whom they ask.
    pub nodes: Rc<RefCell<Vec<u64>>>,
    /// The node that was added and does not vote yet, if there is one.
    pub learner: Rc<Cell<Option<u64>>>,
    /// Where it is written down.
    pub recorder: Recorder,
    /// How often each node was started.
    pub boots: Boots,
    /// Whether they go on.
    pub go_on: Rc<Cell<bool>>,
    /// Whether they only ask, to let things settle.
    pub only_ask: Rc<Cell<bool>>,
    /// How many have not come to their end.
    pub at_work: Rc<Cell<u64>>,
}

impl Shared {
    /// One caller has come to its end.
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
    /// The node that could not take its last submission: mostly it turns to another one.
    pub(super) shuns: Option<u64>,
    /// The history of the last page of events.
    pub(super) history: Option<String>,
}

/// What a caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
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

/// How often each is done, in a hundred or so.
const DEEDS: &[(Deed, u64)] = &[
    (Deed::Authorize, 46),
    (Deed::Permit, 10),
    (Deed::Lineage, 9),
    (Deed::Evidence, 16),
    (Deed::Report, 4),
    (Deed::Peers, 5),
    (Deed::Batch, 2),
    (Deed::Rotate, 3),
    (Deed::Contain, 3),
    (Deed::Release, 5),
    (Deed::Policy, 1),
    (Deed::Equivocate, 1),
    (Deed::ContradictLate, 1),
    (Deed::Reconcile, 2),
    (Deed::Events, 3),
    (Deed::Spoil, 2),
];

/// One answer in so many should be an allow.
const ALLOWED_ONE_IN: u64 = 4;

impl Client {
    /// A caller with its own chance.
    pub fn new(id: u64, dice: Dice, shared: Shared) -> Self {
        let http = Http::new(shared.boots.clone());
        Self { id, dice, http, shared, asked: 0, allowed: 0, shuns: None, history: None }
    }

    /// Asks one node and no other, mostly what was allowed lately: so that whoever must not allow any more is asked in time.
    pub async fn pester(mut self, node: u64) -> turmoil::Result {
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

    /// Goes about its business.
    pub async fn run(mut self) -> turmoil::Result {
        while self.shared.go_on.get() {
            let pause = self.dice.between(5, 80);
            sleep(Duration::from_millis(pause)).await;
            match self.deed() {
                _ if self.shared.only_ask.get() => self.authorize().await,
                Deed::Authorize => self.authorize().await,
                Deed::Permit => self.permit().await,
                Deed::Lineage => {
                    self.new_lineage().await;
                }
                Deed::Execute => self.execute().await,
                Deed::Evidence => self.add_evidence().await,
                Deed::Report => self.report().await,
                Deed::Peers => self.speak_of_peers().await,
                Deed::Batch => self.submit_batch().await,
                Deed::Rotate => self.rotate().await,
                Deed::Contain => self.contain().await,
                Deed::Release => self.release().await,
                Deed::Policy => self.change_policy().await,
                Deed::Equivocate => self.equivocate().await,
                Deed::ContradictLate => self.contradict_late().await,
                Deed::Reconcile => self.reconcile().await,
                Deed::Events => self.follow_events().await,
                Deed::Spoil => self.spoil().await,
            }
        }
        self.shared.leave();
        Ok(())
    }

    fn deed(&mut self) -> Deed {
        // Where little is allowed there is little to see: it does what it can to get something through.
        if self.allowed.saturating_mul(ALLOWED_ONE_IN) < self.asked && self.dice.chance(1, 3) {
            return Deed::Execute;
        }
        let all = DEEDS.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.dice.below(all);
        for (deed, weight) in DEEDS {
            if drawn < *weight {
                return *deed;
            }
            drawn = drawn.saturating_sub(*weight);
        }
        Deed::Authorize
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
