//! Writes the history while it happens. Everything in one simulation, which is one thread, shares it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::history::{History, Op, Outcome, Record};

/// The history so far, and the one clock that its times are read from. Clones write into the same history.
#[derive(Clone, Default)]
pub struct Recorder {
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    last_ns: u64,
    /// `None` if it turned out that nothing had happened.
    records: Vec<Option<Record>>,
}

/// An operation that has begun. If it is dropped instead of being finished, its outcome is unknown.
pub struct Begun {
    recorder: Recorder,
    at: usize,
}

impl Recorder {
    /// The time now, in simulated nanoseconds. No two readings are equal: events on one thread have an order, and the
    /// order of the readings is that order, within the same millisecond too.
    pub fn now(&self) -> u64 {
        let elapsed = turmoil::in_simulation().then(turmoil::sim_elapsed).flatten().unwrap_or_default();
        let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let mut state = self.state.borrow_mut();
        state.last_ns = elapsed_ns.max(state.last_ns.saturating_add(1));
        state.last_ns
    }

    /// Sets the elapsed time, which the simulated cluster knows from outside of every simulated host.
    pub fn tick(&self, elapsed: Duration) {
        let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let mut state = self.state.borrow_mut();
        state.last_ns = elapsed_ns.max(state.last_ns);
    }

    /// Records the beginning of an operation.
    pub fn begin(&self, op: Op, client: u64, node: u64, key: &str, input: Value) -> Begun {
        let now = self.now();
        let mut state = self.state.borrow_mut();
        state.records.push(Some(Record {
            op,
            client,
            node,
            key: key.to_owned(),
            input,
            output: Value::Null,
            invoke_ns: now,
            return_ns: None,
            outcome: Outcome::Unknown,
        }));
        Begun { recorder: self.clone(), at: state.records.len().saturating_sub(1) }
    }

    /// Records something that the harness saw.
    pub fn saw(&self, op: Op, node: u64, output: Value) {
        self.begin(op, 0, node, "", Value::Null).end(Outcome::Ok, output);
    }

    /// Records the beginning of a fault.
    pub fn fault(&self, node: u64, input: Value) -> Begun {
        self.begin(Op::Fault, 0, node, "", input)
    }

    /// The history.
    pub fn history(&self) -> History {
        History::new(self.state.borrow().records.iter().flatten().cloned().collect())
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.state.borrow().records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Begun {
    /// Records that the operation returned.
    pub fn end(self, outcome: Outcome, output: Value) {
        let now = self.recorder.now();
        let mut state = self.recorder.state.borrow_mut();
        if let Some(Some(record)) = state.records.get_mut(self.at) {
            record.output = output;
            record.outcome = outcome;
            record.return_ns = Some(now);
        }
    }

    /// Records that a fault is over.
    pub fn over(self) {
        self.end(Outcome::Ok, Value::Null);
    }

    /// Removes an operation that certainly never reached a node, as if it had not begun.
    pub fn forget(self) {
        if let Some(record) = self.recorder.state.borrow_mut().records.get_mut(self.at) {
            *record = None;
        }
    }

    /// Records an unknown end: no client waits for it any more, and it may still happen.
    pub fn unknown(self, output: Value) {
        let mut state = self.recorder.state.borrow_mut();
        if let Some(Some(record)) = state.records.get_mut(self.at) {
            record.output = output;
        }
    }
}
