//! One caller of single authorizes, first alone and then beside clients that post batches of 1000, in one run.
//!
//! The batches come from a thread of their own, so that they do not delay the single caller in this program. The batch
//! clients send without a pause, whatever the answer: a node that sheds batches must bear that load too.

use assent_api::{MAX_BATCH, authorize_batch_body};
use assent_client::load::{
    Call, Judgement, LoadConfig, LoadReport, Stop, Work, judge_authorize, run as load,
};
use assent_proof::AuthorizeRequest;

use crate::Failure;
use crate::args::{Args, Scenario};
use crate::cluster::Cluster;
use crate::machine::{cpu_seconds, own_pid};
use crate::scenario::{RunResult, singles};

/// Three rows: the single caller alone, the single caller beside the batches, and the batches.
pub(crate) async fn run(
    args: &Args,
    cluster: &Cluster,
    requests: &[AuthorizeRequest],
    clients: usize,
) -> Result<[RunResult; 3], Failure> {
    let calls = singles(requests)?;
    let alone = single(args, cluster, "alone", &calls).await?;
    let full: Vec<AuthorizeRequest> = requests.iter().cycle().take(MAX_BATCH).cloned().collect();
    let batch = Call::post("/v1/authorize:batch", authorize_batch_body(&full))?;
    let config = config(args, cluster, clients, "batches");
    let batches = std::thread::spawn(move || batches(config, batch));
    let beside = single(args, cluster, Scenario::Beside.as_str(), &calls).await;
    // Waits for the batches to end whatever became of the single caller, so that no request is in flight afterwards.
    let batches = tokio::task::spawn_blocking(move || batches.join()).await?;
    let load = batches.map_err(|_| "the thread that posts batches panicked")??;
    let (alone, beside) = (alone, beside?);
    // Both ran at the same time, so their processor time is reported once, in the single caller's row.
    let batches = RunResult {
        scenario: "batches",
        load,
        load_cpu_seconds: 0.0,
        nodes_cpu_seconds: 0.0,
        of_livez: None,
    };
    Ok([alone, beside, batches])
}

fn config(args: &Args, cluster: &Cluster, clients: usize, label: &str) -> LoadConfig {
    LoadConfig {
        warm_up: args.warm_up(),
        stop: Stop::After(args.duration()),
        label: Some(format!("{label} × {clients}")),
        tls: cluster.tls.clone(),
        ..LoadConfig::new(&cluster.endpoints, clients)
    }
}

async fn single(
    args: &Args,
    cluster: &Cluster,
    scenario: &'static str,
    calls: &[Call],
) -> Result<RunResult, Failure> {
    let (load_before, nodes_before) = (cpu_seconds(&[own_pid()]), cpu_seconds(&cluster.pids));
    let work = Work::Repeat(calls.to_vec());
    let load = load(config(args, cluster, 1, scenario), work, judge_authorize).await?;
    Ok(RunResult {
        scenario,
        load,
        load_cpu_seconds: cpu_seconds(&[own_pid()]) - load_before,
        nodes_cpu_seconds: cpu_seconds(&cluster.pids) - nodes_before,
        of_livez: None,
    })
}

/// Posts the batch again and again, on a runtime of its own.
fn batches(config: LoadConfig, batch: Call) -> Result<LoadReport, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(load(config, Work::Repeat(vec![batch]), judge_batch))?)
}

/// A batch is either answered, or refused because the node has no time for it. The decisions in it are not checked.
fn judge_batch(status: u16, body: &[u8]) -> Judgement {
    let (label, expected) = match status {
        200 if body.starts_with(br#"{"decisions":["#) => ("decided", true),
        503 => ("shed", true),
        _ => ("other status", false),
    };
    Judgement { label, expected, resend: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_is_decided_or_shed_is_as_expected_and_nothing_else_is() {
        for (status, body, expected) in [
            (200, r#"{"decisions":[{}]}"#, true),
            (503, r#"{"code":"overloaded"}"#, true),
            (200, r#"{"decision":"allow"}"#, false),
            (400, "", false),
        ] {
            assert_eq!(judge_batch(status, body.as_bytes()).expected, expected, "{status} {body}");
        }
    }
}
