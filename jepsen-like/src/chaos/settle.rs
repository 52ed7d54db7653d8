//! The end of a run: after the last fault, it submits some bytes again, waits until the nodes agree, and reads what
//! each node holds.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use tokio::time::{Instant, sleep};

use super::recorder::Recorder;
use crate::cluster::Cluster;
use crate::error::HarnessError;
use crate::reading::{Reads, ledger};
use crate::sim::dice::Dice;

/// The longest time until all nodes have applied the same entries.
const CONVERGES_WITHIN: Duration = Duration::from_secs(30);
/// How many reads are in flight at once.
const READS_AT_ONCE: usize = 16;
/// How many envelopes are submitted once more at the end.
const RESUBMITTED: usize = 100;

/// Records the final state. Nothing else may be submitted meanwhile.
pub async fn settle(
    cluster: &Cluster,
    recorder: &Recorder,
    seed: u64,
    say: impl Fn(&str),
) -> Result<(), HarnessError> {
    resubmit(cluster, recorder, seed).await?;
    say("waiting until the nodes agree");
    converge(cluster).await;
    for node in &cluster.nodes {
        say(&format!("reading the ledger of node {}", node.id));
        let since = Instant::now();
        let ledger = ledger(&mut Reader { cluster, node: node.id }).await;
        recorder.ledger(node.id, since, ledger);
    }
    Ok(())
}

/// Waits until all nodes have applied the same entries. If they never do, the checks report it.
async fn converge(cluster: &Cluster) {
    let until = Instant::now() + CONVERGES_WITHIN;
    while Instant::now() < until {
        let mut applied = Vec::new();
        for node in &cluster.nodes {
            let answer = cluster.get(node.id, "/v1/cluster/digest").await;
            applied.push(answer.body.pointer("/applied/index").and_then(serde_json::Value::as_u64));
        }
        let first = applied.first().copied().flatten();
        if first.is_some() && applied.iter().all(|applied| *applied == first) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Submits some of the same bytes again, each through one of the nodes: the answer must be the first receipt.
async fn resubmit(cluster: &Cluster, recorder: &Recorder, seed: u64) -> Result<(), HarnessError> {
    let mut dice = Dice::new(seed);
    let acknowledged = recorder.acknowledged();
    for _ in 0..RESUBMITTED.min(acknowledged.len()) {
        if let (Some(envelope), Some(node)) = (dice.pick(&acknowledged), dice.pick(&cluster.nodes)) {
            recorder.submit(cluster, node.id, envelope.as_bytes()).await?;
        }
    }
    Ok(())
}

/// Reads from one node.
struct Reader<'c> {
    cluster: &'c Cluster,
    node: u64,
}

impl Reads for Reader<'_> {
    async fn read(&mut self, path: &str) -> Option<String> {
        body(self.cluster, self.node, path).await
    }

    async fn read_all(&mut self, paths: &[String]) -> Option<Vec<String>> {
        let (cluster, node) = (self.cluster, self.node);
        let bodies = iter(paths).map(|path| body(cluster, node, path)).buffered(READS_AT_ONCE);
        bodies.collect::<Vec<Option<String>>>().await.into_iter().collect()
    }
}

/// Reads a body that came with status 200. Bytes that are not UTF-8 become other characters, which the checks notice.
async fn body(cluster: &Cluster, node: u64, path: &str) -> Option<String> {
    let answer = cluster.get(node, path).await;
    (answer.status == Some(200)).then(|| String::from_utf8_lossy(&answer.bytes).into_owned())
}
