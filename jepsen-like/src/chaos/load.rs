//! The load of a chaos run: questions to every node, submissions through the real client, and restrictions in between.
//!
//! Question 0 is allowed throughout. Every other question is about a lineage of its own, which is allowed until its
//! authority is revoked or the lineage is quarantined.

use std::sync::Arc;
use std::time::Duration;

use assent_proof::SigningKey;
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::fault::At;
use super::recorder::Recorder;
use super::rounds;
use super::shared::Shared;
use crate::cluster::Cluster;
use crate::error::HarnessError;
use crate::evidence::{Evidence, Slot, id_of};
use crate::history::Outcome;

/// The longest time that the load waits for the answer to an authorize: longer than any pause of a node.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
/// A run that is longer than this asks and submits less often, because its history is kept in memory.
const FULL_LOAD_SECONDS: u64 = 120;
/// How many tasks ask each node, so that a paused node has several questions waiting when it continues.
const ASKERS_A_NODE: usize = 2;
/// The number of the first client that asks. The clients that submit are counted from 1.
const FIRST_ASKER: u64 = 101;
/// The pause after a node did not decide.
const ABSENT_PAUSE: Duration = Duration::from_millis(20);

/// How much load there is.
#[derive(Debug, Clone, Copy)]
pub struct LoadConfig {
    /// The pause between two questions of one task.
    pub ask_pause: Duration,
    /// The pause between two submissions of one task; each node has one such task.
    pub submit_pause: Duration,
    /// Whether there are restrictions.
    pub rounds: bool,
    /// The seed of the restrictions' keys.
    pub seed: u64,
}

impl Default for LoadConfig {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { ask_pause: ms(5), submit_pause: ms(20), rounds: true, seed: 1 }
    }
}

impl LoadConfig {
    /// The load of a run of so many seconds. Its history is at most about as large as that of a run of 120 s.
    pub fn lasting(seconds: u64) -> Self {
        let stretch = u32::try_from(seconds.div_ceil(FULL_LOAD_SECONDS)).unwrap_or(u32::MAX).max(1);
        let full = Self::default();
        Self {
            ask_pause: full.ask_pause.saturating_mul(stretch),
            submit_pause: full.submit_pause.saturating_mul(stretch),
            ..full
        }
    }
}

/// A running load.
pub struct Load {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<Result<(), HarnessError>>>,
    askers: Vec<JoinHandle<()>>,
}

/// The keys and chains that the load continues with.
pub(super) struct Keys {
    pub(super) governance: SigningKey,
    pub(super) attestation: SigningKey,
    pub(super) audit: SigningKey,
    pub(super) governance_slot: Slot,
}

impl Load {
    /// Starts the load on a cluster that is ready. If faults are made on the cluster, the runtime must have several
    /// threads.
    pub async fn start(cluster: &Cluster, config: LoadConfig) -> Result<Self, HarnessError> {
        let base = Evidence::new(cluster, "steady").await?;
        let keys = Keys {
            governance: cluster.key("governance")?,
            attestation: cluster.key("attestation")?,
            audit: cluster.key("audit")?,
            governance_slot: cluster.governance_slot(1, &cluster.domain).await,
        };
        let authorization = base.authorization(&keys.governance, (0, None));
        let attestation = base.attestation(&keys.attestation, (0, None), "affirming", "m");
        let recorder = Recorder::of(cluster);
        for first in [&authorization, &attestation] {
            if recorder.submit(cluster, 1, first).await? != Outcome::Ok {
                return Err(HarnessError::Unexpected("the load's first evidence was refused".to_owned()));
            }
        }
        let shared = Arc::new(Shared::new(cluster, config, recorder, base.issued(), base.request()));
        let mut writers = Vec::new();
        let runtime = cluster.key("runtime")?;
        for place in 0..shared.addresses().len() {
            let evidence = base.clone().in_lineage(&format!("load-{place}"));
            writers.push(tokio::spawn(submit_on(shared.clone(), place, evidence, runtime.clone())));
        }
        if config.rounds {
            writers.push(tokio::spawn(rounds::run(shared.clone(), base, keys, id_of(&attestation))));
        }
        let mut askers = Vec::new();
        for (node, address) in shared.addresses() {
            for offset in 0..ASKERS_A_NODE {
                let client = FIRST_ASKER + u64::try_from(askers.len()).unwrap_or(0);
                let asker = Asker { client, node: *node, url: format!("http://{address}/v1/authorize") };
                askers.push(tokio::spawn(asker.ask(shared.clone(), offset)));
            }
        }
        Ok(Self { shared, writers, askers })
    }

    /// The time since the load was started.
    pub fn at(&self) -> At {
        self.shared.recorder().at()
    }

    /// What happened so far, in a few words.
    pub fn so_far(&self) -> String {
        self.shared.recorder().so_far()
    }

    /// The recorder of everything that happens.
    pub fn recorder(&self) -> Recorder {
        self.shared.recorder().clone()
    }

    /// Ends the load, once the outcome of every submission is known or the load has given up on it.
    pub async fn stop(self) -> Result<(), HarnessError> {
        self.shared.end();
        for writer in self.writers {
            writer.await.map_err(|error| HarnessError::Unexpected(error.to_string()))??;
        }
        self.shared.end_asking();
        for asker in self.askers {
            asker.await.map_err(|error| HarnessError::Unexpected(error.to_string()))?;
        }
        Ok(())
    }
}

/// Extends one chain without end, and asks one node first.
async fn submit_on(
    shared: Arc<Shared>,
    place: usize,
    evidence: Evidence,
    key: SigningKey,
) -> Result<(), HarnessError> {
    let client = shared.client(place)?;
    let by = u64::try_from(place).unwrap_or(0) + 1;
    let mut slot: Slot = (0, None);
    while !shared.stopped() {
        let bytes = evidence.integrity(&key, slot, "m");
        let id = id_of(&bytes);
        if !shared.submit(by, &client, bytes).await {
            // The history has its outcome; a chain cannot be extended behind it.
            return Ok(());
        }
        slot = (slot.0 + 1, id);
        sleep(shared.config().submit_pause).await;
    }
    Ok(())
}

/// Asks one node for as long as the load runs.
struct Asker {
    client: u64,
    node: u64,
    url: String,
}

impl Asker {
    async fn ask(self, shared: Arc<Shared>, offset: usize) {
        let mut turn = offset;
        while !shared.stopped_asking() {
            let (question, request) = shared.pick(turn);
            turn = turn.wrapping_add(1);
            let answer = shared.ask(&self.url, Bytes::from(request.to_string()), ANSWER_WITHIN).await;
            let decided = shared.answered(self.client, self.node, question, &request, answer);
            sleep(if decided { shared.config().ask_pause } else { ABSENT_PAUSE }).await;
        }
    }
}
