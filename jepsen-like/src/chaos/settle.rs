//! After the last fault: wait until the nodes agree, and look at what each of them holds.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use tokio::time::{Instant, sleep};

use super::history::{Digest, Found, History, Receipt, Stored};
use super::plan::Seeded;
use crate::answer::Answer;
use crate::cluster::Cluster;
use crate::error::HarnessError;

/// Longest until all nodes have applied the same.
const CONVERGES_WITHIN: Duration = Duration::from_secs(30);
/// Reads under way at once.
const READS_AT_ONCE: usize = 16;
/// So many envelopes are submitted once more at the end.
const RESUBMITTED: usize = 100;

/// Adds what is found at the end to a history. Nothing may be written any more.
pub async fn settle(
    cluster: &Cluster,
    history: &mut History,
    seed: u64,
    say: impl Fn(&str),
) -> Result<(), HarnessError> {
    say("waiting until the nodes agree");
    history.digests = converged(cluster).await;
    let acknowledged: Vec<(String, bytes::Bytes)> = history
        .submissions
        .iter()
        .filter(|submission| !submission.receipts.is_empty())
        .map(|submission| (submission.id.clone(), submission.bytes.clone()))
        .collect();
    for node in history.nodes.clone() {
        say(&format!("reading {} envelopes from node {node}", acknowledged.len()));
        let reads = iter(&acknowledged).map(|(id, bytes)| async move {
            let answer = cluster.get(node, &format!("/v1/envelopes/{id}")).await;
            stored(&answer, bytes).map(|stored| Found { node, id: id.clone(), stored }).ok_or(answer)
        });
        let found: Vec<Result<Found, Answer>> = reads.buffer_unordered(READS_AT_ONCE).collect().await;
        for found in found {
            // A node that cannot be read after all is well says nothing about what it holds.
            let unread = |answer| HarnessError::Unexpected(format!("node {node} cannot be read: {answer:?}"));
            history.found.push(found.map_err(unread)?);
        }
    }
    resubmit(cluster, history, seed).await
}

/// What a node's answer says of an envelope; nothing if it could not be read.
fn stored(answer: &Answer, bytes: &[u8]) -> Option<Stored> {
    match answer.status {
        Some(200) if answer.bytes[..] == *bytes => Some(Stored::Same),
        Some(200) => Some(Stored::Different),
        Some(404) => Some(Stored::Missing),
        _ => None,
    }
}

/// Every node's digest, once all of them have applied the same; as they are if they never do.
async fn converged(cluster: &Cluster) -> Vec<Digest> {
    let until = Instant::now() + CONVERGES_WITHIN;
    loop {
        let mut digests = Vec::new();
        for node in &cluster.nodes {
            let answer = cluster.get(node.id, "/v1/cluster/digest").await;
            let applied = answer.body.pointer("/applied/index").and_then(serde_json::Value::as_u64);
            if let (Some(applied), Some(digest)) = (applied, answer.text("digest")) {
                digests.push(Digest { node: node.id, applied, digest: digest.to_owned() });
            }
        }
        let first = digests.first().map(|digest| digest.applied);
        let agree = digests.iter().all(|digest| Some(digest.applied) == first);
        if (agree && digests.len() == cluster.nodes.len()) || Instant::now() >= until {
            return digests;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Submits some of the same bytes again, each through some node: the first receipt has to come back.
async fn resubmit(cluster: &Cluster, history: &mut History, seed: u64) -> Result<(), HarnessError> {
    let mut numbers = Seeded::new(seed);
    let count = u64::try_from(history.submissions.len()).unwrap_or(0);
    let nodes = history.nodes.clone();
    for _ in 0..RESUBMITTED.min(history.submissions.len()) {
        let place = usize::try_from(numbers.below(count)).unwrap_or(0);
        let through = usize::try_from(numbers.below(nodes.len() as u64)).unwrap_or(0);
        let (Some(submission), Some(node)) = (history.submissions.get_mut(place), nodes.get(through)) else {
            continue;
        };
        if submission.receipts.is_empty() {
            continue;
        }
        let answer = cluster.submit(*node, &submission.bytes).await?;
        submission.receipts.push(Receipt {
            ledger_index: answer.number("ledgerIndex").unwrap_or(u64::MAX),
            accepted_at: answer.number("acceptedAt").and_then(|ms| i64::try_from(ms).ok()).unwrap_or(-1),
            evidence_id: answer.text("evidenceId").unwrap_or_default().to_owned(),
        });
    }
    Ok(())
}
