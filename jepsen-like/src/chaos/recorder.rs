//! Writes the history of a run while it happens, from all tasks of the run.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::fault::{At, Fault, nanos};
use crate::answer::Answer;
use crate::cluster::Cluster;
use crate::error::HarnessError;
use crate::evidence::id_of;
use crate::history::{History, Op, Outcome, Record, receipt};

/// The history so far, and the clock that its times are read from. Clones write into the same history.
#[derive(Clone)]
pub struct Recorder {
    started: Instant,
    nodes: Arc<[u64]>,
    domain: Arc<str>,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Recorder {
    /// Begins the history of a run on a cluster.
    pub fn of(cluster: &Cluster) -> Self {
        Self {
            started: Instant::now(),
            nodes: cluster.nodes.iter().map(|node| node.id).collect(),
            domain: cluster.domain.as_str().into(),
            records: Arc::default(),
        }
    }

    /// The time since the run's start.
    pub fn at(&self) -> At {
        self.started.elapsed()
    }

    /// Records a fault that is over.
    pub fn fault(&self, fault: &Fault) {
        let records = fault.records(&self.nodes);
        self.note(|all| all.extend(records));
    }

    /// Takes the history so far, and begins a new one.
    pub fn take(&self) -> History {
        History::new(self.note(std::mem::take))
    }

    /// What happened so far, in a few words.
    pub(super) fn so_far(&self) -> String {
        self.note(|records| {
            format!(
                "{} submissions, {} questions, {} allows",
                count(records, |record| record.op == Op::Submit),
                count(records, |record| record.op == Op::Authorize),
                count(records, Record::is_allow)
            )
        })
    }

    /// The envelopes that were acknowledged so far.
    pub(super) fn acknowledged(&self) -> Vec<String> {
        let envelope = |record: &Record| {
            let accepted = record.op == Op::Submit && record.outcome == Outcome::Ok;
            record.input.get("envelope").and_then(Value::as_str).filter(|_| accepted).map(str::to_owned)
        };
        self.note(|records| records.iter().filter_map(envelope).collect())
    }

    /// Records a question that a client asked a node, and how it ended.
    pub(super) fn question(&self, client: u64, node: u64, request: Value, answer: Answer) -> Outcome {
        let ended = |status| Outcome::of_question(status, &answer.body);
        let outcome = answer.status.map_or(Outcome::Unknown, ended);
        let times = (answer.invoked, answer.returned);
        self.push(Op::Authorize, (client, node), (request, answer.body), times, outcome);
        outcome
    }

    /// Records one attempt to submit.
    pub(super) fn submission(
        &self,
        by: (u64, u64),
        envelope: &[u8],
        output: Value,
        times: (Instant, Instant),
        outcome: Outcome,
    ) {
        let id = id_of(envelope).map(|id| id.to_string()).unwrap_or_default();
        let input = json!({"id": id, "envelope": String::from_utf8_lossy(envelope)});
        self.push(Op::Submit, by, (input, output), times, outcome);
    }

    /// Submits through one node, as the harness, until there is a definite answer.
    pub(super) async fn submit(
        &self,
        cluster: &Cluster,
        node: u64,
        envelope: &[u8],
    ) -> Result<Outcome, HarnessError> {
        let invoked = Instant::now();
        let answer = cluster.submit(node, envelope).await?;
        let (outcome, output) = match receipt(answer.status.unwrap_or_default(), answer.body) {
            Ok(receipt) => (Outcome::Ok, receipt),
            Err(problem) => (Outcome::Deny, problem),
        };
        self.submission((0, node), envelope, output, (invoked, Instant::now()), outcome);
        Ok(outcome)
    }

    /// Records the ledger of a node, read since then; records nothing if it could not be read.
    pub(super) fn ledger(&self, node: u64, since: Instant, ledger: Option<Value>) {
        let outcome = if ledger.is_some() { Outcome::Ok } else { Outcome::Unknown };
        let said = (Value::Null, ledger.unwrap_or_default());
        self.push(Op::Ledger, (0, node), said, (since, Instant::now()), outcome);
    }

    fn push(
        &self,
        op: Op,
        (client, node): (u64, u64),
        (input, output): (Value, Value),
        (invoked, returned): (Instant, Instant),
        outcome: Outcome,
    ) {
        let ns = |at: Instant| nanos(at.saturating_duration_since(self.started));
        let record = Record {
            op,
            client,
            node,
            key: if op == Op::Ledger { String::new() } else { self.domain.to_string() },
            input,
            output,
            invoke_ns: ns(invoked),
            // A submission that may still take effect has not returned.
            return_ns: (outcome != Outcome::Unknown).then(|| ns(returned)),
            outcome,
        };
        self.note(|records| records.push(record));
    }

    fn note<T>(&self, work: impl FnOnce(&mut Vec<Record>) -> T) -> T {
        work(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn count(records: &[Record], of: impl Fn(&Record) -> bool) -> usize {
    records.iter().filter(|record| of(record)).count()
}
