//! What the tasks of the load share: the questions, the recorder, and the way to submit.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assent_client::{Client, ClientConfig, SubmitError, Submitted, Trust};
use assent_proof::Seconds;
use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

use super::load::LoadConfig;
use super::recorder::Recorder;
use crate::answer::{Answer, Http};
use crate::cluster::Cluster;
use crate::error::HarnessError;
use crate::history::{Outcome, receipt};

/// How many of the latest questions are asked in turn with question 0.
const LATEST: usize = 4;
/// How long a submission without an outcome is still repeated once the load ends.
const RESOLVES_WITHIN: Duration = Duration::from_secs(60);

/// What all tasks of the load share.
pub(super) struct Shared {
    stop: AtomicBool,
    stop_asking: AtomicBool,
    config: LoadConfig,
    addresses: Vec<(u64, String)>,
    http: Http,
    /// The registry's clock as an answer last told it, in unix seconds.
    now: AtomicI64,
    questions: Mutex<Vec<Arc<Value>>>,
    /// The questions that were allowed at least once.
    allowed: Mutex<Vec<bool>>,
    recorder: Recorder,
}

impl Shared {
    /// Begins with question 0, which is `steady`, and with nothing recorded.
    pub(super) fn new(
        cluster: &Cluster,
        config: LoadConfig,
        recorder: Recorder,
        now: Seconds,
        steady: Value,
    ) -> Self {
        Self {
            stop: AtomicBool::new(false),
            stop_asking: AtomicBool::new(false),
            config,
            addresses: cluster.nodes.iter().map(|node| (node.id, node.client.clone())).collect(),
            http: cluster.http(),
            now: AtomicI64::new(now.0),
            questions: Mutex::new(vec![Arc::new(steady)]),
            allowed: Mutex::new(vec![false]),
            recorder,
        }
    }

    pub(super) fn config(&self) -> LoadConfig {
        self.config
    }

    /// The nodes and where clients reach them.
    pub(super) fn addresses(&self) -> &[(u64, String)] {
        &self.addresses
    }

    /// Stops new submissions from now on.
    pub(super) fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Stops new questions from now on.
    pub(super) fn end_asking(&self) {
        self.stop_asking.store(true, Ordering::Relaxed);
    }

    pub(super) fn stopped_asking(&self) -> bool {
        self.stop_asking.load(Ordering::Relaxed)
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(super) async fn ask(&self, url: &str, body: Bytes, within: Duration) -> Answer {
        self.http.ask("POST", url, body, within).await
    }

    /// Records an answer, and keeps the registry's clock if the answer tells it. Returns whether there was a decision.
    pub(super) fn answered(
        &self,
        client: u64,
        node: u64,
        question: usize,
        request: &Value,
        answer: Answer,
    ) -> bool {
        if let Some(now) = answer.number("evaluatedAt").and_then(|ms| i64::try_from(ms / 1000).ok()) {
            self.now.fetch_max(now, Ordering::Relaxed);
        }
        let decided = answer.text("decision").is_some();
        let outcome = self.recorder.question(client, node, request.clone(), answer);
        if outcome == Outcome::Ok {
            let mut allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(allowed) = allowed.get_mut(question) {
                *allowed = true;
            }
        }
        decided
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn seed(&self) -> u64 {
        self.config.seed
    }

    /// The registry's clock, as an answer last told it.
    pub(super) fn now(&self) -> Seconds {
        Seconds(self.now.load(Ordering::Relaxed))
    }

    /// Adds a question that is asked from now on, and returns its number.
    pub(super) fn pose(&self, request: Value) -> usize {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        questions.push(Arc::new(request));
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner).push(false);
        questions.len() - 1
    }

    /// Whether a question was ever allowed.
    pub(super) fn was_allowed(&self, question: usize) -> bool {
        let allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        allowed.get(question).copied().unwrap_or(false)
    }

    /// Question 0 every other time, and the latest ones in turn between.
    pub(super) fn pick(&self, turn: usize) -> (usize, Arc<Value>) {
        let questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = LATEST.min(questions.len() - 1);
        let place = match (turn % 2, latest) {
            (0, _) | (_, 0) => 0,
            _ => questions.len() - 1 - (turn / 2) % latest,
        };
        (place, questions.get(place).cloned().unwrap_or_default())
    }

    /// A client that asks the node at this place in the list first.
    pub(super) fn client(&self, place: usize) -> Result<Client, HarnessError> {
        let mut endpoints: Vec<String> =
            self.addresses.iter().map(|(_, address)| format!("http://{address}")).collect();
        let count = endpoints.len().max(1);
        endpoints.rotate_left(place % count);
        // It only submits and reads.
        let config = ClientConfig::new(endpoints, Trust::NoAllow);
        Client::new(config).map_err(|error| HarnessError::Unexpected(error.to_string()))
    }

    /// Submits the same bytes, as this client of the load, until their outcome is known. Returns whether they were
    /// accepted.
    pub(super) async fn submit(&self, by: u64, client: &Client, envelope: Vec<u8>) -> bool {
        let bytes = Bytes::from(envelope);
        let mut give_up = None;
        loop {
            let invoked = Instant::now();
            let answer = client.submit(bytes.clone()).await;
            let times = (invoked, Instant::now());
            let (outcome, output) = outcome(answer);
            // The client tries one node after another, and does not report which one accepted.
            self.recorder.submission((by, 0), &bytes, output, times, outcome);
            if outcome != Outcome::Unknown {
                return outcome == Outcome::Ok;
            }
            if self.stopped() {
                let until = *give_up.get_or_insert_with(|| Instant::now() + RESOLVES_WITHIN);
                if Instant::now() >= until {
                    return false;
                }
            }
        }
    }
}

/// How an attempt of the client ended, and what it returned.
fn outcome(answer: Result<Submitted, SubmitError>) -> (Outcome, Value) {
    match answer {
        Ok(submitted) => {
            let status = if submitted.fresh { 201 } else { 200 };
            let body = serde_json::to_value(submitted.receipt).unwrap_or_default();
            (Outcome::Ok, receipt(status, body).unwrap_or_default())
        }
        Err(SubmitError::Refused(problem)) => {
            (Outcome::Deny, serde_json::to_value(problem).unwrap_or_default())
        }
        Err(_) => (Outcome::Unknown, Value::Null),
    }
}
