//! The load: questions through every node, submissions through the real client, restrictions in between.
//!
//! Question 0 is allowed throughout. Every other one is about a lineage of its own, which is allowed until its
//! authority is revoked or it is quarantined.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assent_client::{Client, ClientConfig, ClientError};
use assent_proof::{Code, Seconds, SigningKey};
use bytes::Bytes;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::history::{Asked, At, History, Outcome, Receipt, Restricted, Submission};
use super::rounds;
use crate::answer::{Answer, Http};
use crate::cluster::Cluster;
use crate::error::HarnessError;
use crate::evidence::{Evidence, Slot, id_of};

/// Longest that an answer to an authorize is waited for: longer than any pause of a node.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
/// Tasks that ask one node, so that a paused one has several questions waiting when it wakes.
const ASKERS_A_NODE: usize = 2;
/// The latest questions are asked in turn with question 0.
const LATEST: usize = 4;
/// The pause after a node did not answer at all.
const ABSENT_PAUSE: Duration = Duration::from_millis(20);
/// How long a submission without an outcome goes on being submitted once the load is to end.
const RESOLVES_WITHIN: Duration = Duration::from_secs(60);

/// How much load there is.
#[derive(Debug, Clone, Copy)]
pub struct LoadConfig {
    /// The pause between two questions of one task.
    pub ask_pause: Duration,
    /// The pause between two submissions of one task; there is a task a node.
    pub submit_pause: Duration,
    /// Whether there are restrictions.
    pub rounds: bool,
    /// Where the keys of the restrictions come from.
    pub seed: u64,
}

impl Default for LoadConfig {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { ask_pause: ms(5), submit_pause: ms(20), rounds: true, seed: 1 }
    }
}

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

/// A running load.
pub struct Load {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<Result<(), HarnessError>>>,
    askers: Vec<JoinHandle<()>>,
}

/// The keys and chains that the load goes on with.
pub(super) struct Keys {
    pub(super) governance: SigningKey,
    pub(super) attestation: SigningKey,
    pub(super) audit: SigningKey,
    pub(super) governance_slot: Slot,
}

impl Load {
    /// Starts the load on a cluster that is ready. Needs a runtime with several threads if faults are made on it.
    pub async fn start(cluster: &Cluster, config: LoadConfig) -> Result<Self, HarnessError> {
        let base = Evidence::new(cluster, "steady").await?;
        let keys = Keys {
            governance: cluster.key("governance")?,
            attestation: cluster.key("attestation")?,
            audit: cluster.key("audit")?,
            governance_slot: governance_slot(cluster).await,
        };
        let authorization = base.authorization(&keys.governance, (0, None));
        let attestation = base.attestation(&keys.attestation, (0, None), "affirming", "m");
        cluster.accept(1, &authorization).await?;
        cluster.accept(1, &attestation).await?;
        let shared = Arc::new(Shared {
            started: Instant::now(),
            stop: AtomicBool::new(false),
            stop_asking: AtomicBool::new(false),
            config,
            addresses: cluster.nodes.iter().map(|node| (node.id, node.client.clone())).collect(),
            http: cluster.http(),
            now: AtomicI64::new(base.issued().0),
            questions: Mutex::new(vec![Arc::new(base.request())]),
            allowed: Mutex::new(vec![false]),
            history: Mutex::default(),
        });
        shared.note(|history| history.nodes = cluster.nodes.iter().map(|node| node.id).collect());
        let mut writers = Vec::new();
        let runtime = cluster.key("runtime")?;
        for place in 0..shared.addresses.len() {
            let evidence = base.clone().in_lineage(&format!("load-{place}"));
            writers.push(tokio::spawn(submit_on(shared.clone(), place, evidence, runtime.clone())));
        }
        if config.rounds {
            writers.push(tokio::spawn(rounds::run(shared.clone(), base, keys, id_of(&attestation))));
        }
        let ask = |(node, address): &(u64, String)| {
            (0..ASKERS_A_NODE)
                .map(|offset| tokio::spawn(ask_on(shared.clone(), *node, address.clone(), offset)))
                .collect::<Vec<_>>()
        };
        let askers = shared.addresses.iter().flat_map(ask).collect();
        Ok(Self { shared, writers, askers })
    }

    /// The time since the load was started.
    pub fn at(&self) -> At {
        self.shared.at()
    }

    /// What happened so far, in a few words.
    pub fn so_far(&self) -> String {
        self.shared.note(|history| {
            let allows = history.asked.iter().filter(|asked| asked.outcome == Outcome::Allow).count();
            format!(
                "{} submissions, {} questions, {allows} allows, {} restrictions",
                history.submissions.len(),
                history.asked.len(),
                history.restricted.len()
            )
        })
    }

    /// Ends the load, once every submission's outcome is known or given up on. Answers everything that happened.
    pub async fn stop(self) -> Result<History, HarnessError> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.map_err(|error| HarnessError::Unexpected(error.to_string()))??;
        }
        self.shared.stop_asking.store(true, Ordering::Relaxed);
        for asker in self.askers {
            asker.await.map_err(|error| HarnessError::Unexpected(error.to_string()))?;
        }
        Ok(self.shared.note(std::mem::take))
    }
}

impl Shared {
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
    fn pick(&self, turn: usize) -> (usize, Arc<Value>) {
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
        Client::new(ClientConfig::new(endpoints)).map_err(|error| HarnessError::Unexpected(error.to_string()))
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
                Err(ClientError::Refused(problem)) => {
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

/// Keeps one chain growing, through one node first.
async fn submit_on(
    shared: Arc<Shared>,
    place: usize,
    evidence: Evidence,
    key: SigningKey,
) -> Result<(), HarnessError> {
    let client = shared.client(place)?;
    let mut slot: Slot = (0, None);
    while !shared.stopped() {
        let bytes = evidence.integrity(&key, slot, "m");
        let id = id_of(&bytes);
        if !shared.submit(&client, bytes).await {
            // What became of it is in the history; a chain cannot go on behind it.
            return Ok(());
        }
        slot = (slot.0 + 1, id);
        sleep(shared.config.submit_pause).await;
    }
    Ok(())
}

/// Asks one node as long as the load runs.
async fn ask_on(shared: Arc<Shared>, node: u64, address: String, offset: usize) {
    let url = format!("http://{address}/v1/authorize");
    let mut turn = offset;
    while !shared.stop_asking.load(Ordering::Relaxed) {
        let (question, request) = shared.pick(turn);
        turn = turn.wrapping_add(1);
        let body = Bytes::from(request.to_string());
        let answer = shared.http.ask("POST", &url, body, ANSWER_WITHIN).await;
        let outcome = outcome(&answer);
        let since = |at: Instant| at.saturating_duration_since(shared.started);
        let asked = Asked {
            node,
            question,
            invoked: since(answer.invoked),
            returned: since(answer.returned),
            outcome,
        };
        shared.note(|history| history.asked.push(asked));
        if let Some(now) = answer.number("evaluatedAt").and_then(|ms| i64::try_from(ms / 1000).ok()) {
            shared.now.fetch_max(now, Ordering::Relaxed);
        }
        if outcome == Outcome::Allow
            && let Some(allowed) =
                shared.allowed.lock().unwrap_or_else(PoisonError::into_inner).get_mut(question)
        {
            *allowed = true;
        }
        let pause = if outcome == Outcome::NoAnswer { ABSENT_PAUSE } else { shared.config.ask_pause };
        sleep(pause).await;
    }
}

fn outcome(answer: &Answer) -> Outcome {
    if answer.is_allow() {
        return Outcome::Allow;
    }
    let code = answer.codes().first().and_then(|code| code.parse::<Code>().ok());
    match code {
        Some(code) if answer.is_deny() => Outcome::Deny(code),
        _ => Outcome::NoAnswer,
    }
}

/// The next slot of the domain's `_governance`.
async fn governance_slot(cluster: &Cluster) -> Slot {
    let page = cluster.get(1, &format!("/v1/lineages/{}/_governance?limit=1", cluster.domain)).await;
    let head = page.text("head").and_then(|head| head.parse().ok());
    (page.number("sequence").map_or(0, |sequence| sequence + 1), head)
}
