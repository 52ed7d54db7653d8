//! What the tasks of the load share: the questions, the history so far, and how something is submitted.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assent_client::{Client, ClientConfig, SubmitError, Trust};
use assent_proof::Seconds;
use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

use super::history::{Asked, At, History, Outcome, Receipt, Restricted, Submission};
use super::load::LoadConfig;
use crate::answer::{Answer, Http};
use crate::cluster::Cluster;
use crate::error::HarnessError;
use crate::evidence::id_of;

/// The latest questions are asked in turn with question 0.
const LATEST: usize = 4;
/// How long a submission without an outcome goes on being submitted once the load is to end.
const RESOLVES_WITHIN: Duration = Duration::from_secs(60);

/// What all tasks of the load share.
pub(super) struct Shared {
    started: Instant,
    stop: AtomicBool,
    stop_asking: AtomicBool,
    config: LoadConfig,
    addresses: Vec<(u64, String)>,
    http: Http,
    /// The registry's clock as it was last told, in unix seconds.
    now: AtomicI64,
    questions: Mutex<Vec<Arc<Value>>>,
    /// The questions that were allowed at least once.
    allowed: Mutex<Vec<bool>>,
    history: Mutex<History>,
}

impl Shared {
    /// Nothing has happened yet, and question 0 is `steady`.
    pub(super) fn new(cluster: &Cluster, config: LoadConfig, now: Seconds, steady: Value) -> Self {
        let nodes = cluster.nodes.iter().map(|node| node.id).collect();
        Self {
            started: Instant::now(),
            stop: AtomicBool::new(false),
            stop_asking: AtomicBool::new(false),
            config,
            addresses: cluster.nodes.iter().map(|node| (node.id, node.client.clone())).collect(),
            http: cluster.http(),
            now: AtomicI64::new(now.0),
            questions: Mutex::new(vec![Arc::new(steady)]),
            allowed: Mutex::new(vec![false]),
            history: Mutex::new(History { nodes, ..History::default() }),
        }
    }

    pub(super) fn config(&self) -> LoadConfig {
        self.config
    }

    /// The nodes and where clients reach them.
    pub(super) fn addresses(&self) -> &[(u64, String)] {
        &self.addresses
    }

    pub(super) fn since(&self, at: Instant) -> At {
        at.saturating_duration_since(self.started)
    }

    /// Nothing new is submitted from now on.
    pub(super) fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Nothing is asked from now on.
    pub(super) fn end_asking(&self) {
        self.stop_asking.store(true, Ordering::Relaxed);
    }

    pub(super) fn stopped_asking(&self) -> bool {
        self.stop_asking.load(Ordering::Relaxed)
    }

    /// Takes everything that happened.
    pub(super) fn take(&self) -> History {
        self.note(std::mem::take)
    }

    /// What happened so far, in a few words.
    pub(super) fn so_far(&self) -> String {
        self.note(|history| {
            let allows = history.asked.iter().filter(|asked| asked.outcome == Outcome::Allow).count();
            format!(
                "{} submissions, {} questions, {allows} allows, {} restrictions",
                history.submissions.len(),
                history.asked.len(),
                history.restricted.len()
            )
        })
    }

    pub(super) async fn ask(&self, url: &str, body: Bytes, within: Duration) -> Answer {
        self.http.ask("POST", url, body, within).await
    }

    /// Notes an answer, and the registry's clock if it told it, in unix milliseconds.
    pub(super) fn asked(&self, asked: Asked, now: Option<u64>) {
        if let Some(now) = now.and_then(|ms| i64::try_from(ms / 1000).ok()) {
            self.now.fetch_max(now, Ordering::Relaxed);
        }
        if asked.outcome == Outcome::Allow {
            let mut allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(allowed) = allowed.get_mut(asked.question) {
                *allowed = true;
            }
        }
        self.note(|history| history.asked.push(asked));
    }

    pub(super) fn at(&self) -> At {
        self.started.elapsed()
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn seed(&self) -> u64 {
        self.config.seed
    }

    /// The registry's clock, as an answer told it last.
    pub(super) fn now(&self) -> Seconds {
        Seconds(self.now.load(Ordering::Relaxed))
    }

    /// Asks something from now on; answers its number.
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

    pub(super) fn restricted(&self, restricted: Restricted) {
        self.note(|history| history.restricted.push(restricted));
    }

    fn note<T>(&self, work: impl FnOnce(&mut History) -> T) -> T {
        work(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
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

    /// A client that asks this place's node first.
    pub(super) fn client(&self, place: usize) -> Result<Client, HarnessError> {
        let mut endpoints: Vec<String> =
            self.addresses.iter().map(|(_, address)| format!("http://{address}")).collect();
        let count = endpoints.len().max(1);
        endpoints.rotate_left(place % count);
        // It only submits and reads.
        let config = ClientConfig::new(endpoints, Trust::NoAllow);
        Client::new(config).map_err(|error| HarnessError::Unexpected(error.to_string()))
    }

    /// Submits the same bytes until their outcome is known. Whether they were accepted.
    pub(super) async fn submit(&self, client: &Client, envelope: Vec<u8>) -> bool {
        let bytes = Bytes::from(envelope);
        let mut submission = Submission {
            id: id_of(&bytes).map(|id| id.to_string()).unwrap_or_default(),
            bytes: bytes.clone(),
            begun: self.at(),
            ended: At::ZERO,
            unknown: 0,
            retried: false,
            receipts: Vec::new(),
            refused: None,
        };
        let mut give_up = None;
        loop {
            match client.submit(bytes.clone()).await {
                Ok(submitted) => {
                    submission.retried = !submitted.fresh;
                    submission.receipts.push(Receipt {
                        ledger_index: submitted.receipt.ledger_index,
                        accepted_at: submitted.receipt.accepted_at.0,
                        evidence_id: submitted.receipt.evidence_id.to_string(),
                    });
                    break;
                }
                Err(SubmitError::Refused(problem)) => {
                    submission.refused = Some(format!("{}: {}", problem.code, problem.detail));
                    break;
                }
                Err(_) => submission.unknown = submission.unknown.saturating_add(1),
            }
            if self.stopped() {
                let until = *give_up.get_or_insert_with(|| Instant::now() + RESOLVES_WITHIN);
                if Instant::now() >= until {
                    break;
                }
            }
        }
        submission.ended = self.at();
        let accepted = !submission.receipts.is_empty();
        self.note(|history| history.submissions.push(submission));
        accepted
    }
}
