//! The load: questions through every node, submissions through the real client, restrictions in between.
//!
//! Question 0 is allowed throughout. Every other one is about a lineage of its own, which is allowed until its
//! authority is revoked or it is quarantined.

use std::sync::Arc;
use std::time::Duration;

use assent_proof::{Code, SigningKey};
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::history::{Asked, At, History, Outcome};
use super::rounds;
use super::shared::Shared;
use crate::answer::Answer;
use crate::cluster::Cluster;
use crate::error::HarnessError;
use crate::evidence::{Evidence, Slot, id_of};

/// Longest that an answer to an authorize is waited for: longer than any pause of a node.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
/// Tasks that ask one node, so that a paused one has several questions waiting when it wakes.
const ASKERS_A_NODE: usize = 2;
/// The pause after a node did not answer at all.
const ABSENT_PAUSE: Duration = Duration::from_millis(20);

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
        let shared = Arc::new(Shared::new(cluster, config, base.issued(), base.request()));
        let mut writers = Vec::new();
        let runtime = cluster.key("runtime")?;
        for place in 0..shared.addresses().len() {
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
        let askers = shared.addresses().iter().flat_map(ask).collect();
        Ok(Self { shared, writers, askers })
    }

    /// The time since the load was started.
    pub fn at(&self) -> At {
        self.shared.at()
    }

    /// What happened so far, in a few words.
    pub fn so_far(&self) -> String {
        self.shared.so_far()
    }

    /// Ends the load, once every submission's outcome is known or given up on. Answers everything that happened.
    pub async fn stop(self) -> Result<History, HarnessError> {
        self.shared.end();
        for writer in self.writers {
            writer.await.map_err(|error| HarnessError::Unexpected(error.to_string()))??;
        }
        self.shared.end_asking();
        for asker in self.askers {
            asker.await.map_err(|error| HarnessError::Unexpected(error.to_string()))?;
        }
        Ok(self.shared.take())
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
        sleep(shared.config().submit_pause).await;
    }
    Ok(())
}

/// Asks one node as long as the load runs.
async fn ask_on(shared: Arc<Shared>, node: u64, address: String, offset: usize) {
    let url = format!("http://{address}/v1/authorize");
    let mut turn = offset;
    while !shared.stopped_asking() {
        let (question, request) = shared.pick(turn);
        turn = turn.wrapping_add(1);
        let body = Bytes::from(request.to_string());
        let answer = shared.ask(&url, body, ANSWER_WITHIN).await;
        let outcome = outcome(&answer);
        let (invoked, returned) = (shared.since(answer.invoked), shared.since(answer.returned));
        let now = answer.number("evaluatedAt");
        shared.asked(Asked { node, question, invoked, returned, outcome }, now);
        let pause = if outcome == Outcome::NoAnswer { ABSENT_PAUSE } else { shared.config().ask_pause };
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
