//! The runs: each prepares its evidence, applies the load, and checks the answers.

use assent_api::BatchMode;
use assent_client::Client;
use assent_client::load::{
    Call, Judge, LoadConfig, LoadReport, Stop, Work, judge_authorize, judge_ok, judge_submit, run,
};
use assent_proof::AuthorizeRequest;
use bytes::Bytes;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::args::{Args, Scenario};
use crate::beside;
use crate::cluster::Cluster;
use crate::evidence::{self, Place};
use crate::machine::{Machine, cpu_seconds, own_pid, wall_clock};

/// How many envelopes a batch has while the run prepares: fewer than fill a batch's 1 MiB.
const BATCH: usize = 500;

/// How many decisions have their receipts verified before the load.
const VERIFIED: usize = 50;

/// Everything that was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Results {
    /// The machine that ran it.
    pub(crate) machine: Machine,
    /// Nodes of the cluster; they shared the machine with the load.
    pub(crate) nodes: usize,
    /// Version of this program.
    pub(crate) version: &'static str,
    /// The runs, in order.
    pub(crate) runs: Vec<RunResult>,
}

/// One run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunResult {
    /// What was asked.
    pub(crate) scenario: &'static str,
    /// The figures.
    #[serde(flatten)]
    pub(crate) load: LoadReport,
    /// Processor time that the load generator took during the run, warm-up included, in seconds.
    pub(crate) load_cpu_seconds: f64,
    /// Processor time that the nodes took during the run, warm-up included, in seconds.
    pub(crate) nodes_cpu_seconds: f64,
    /// Requests a second relative to `livez` at the same number of clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) of_livez: Option<f64>,
}

impl Results {
    /// Whether every answer was what it must be.
    pub(crate) fn is_right(&self) -> bool {
        self.runs.iter().all(|run| run.load.unexpected == 0)
    }
}

/// Runs what was asked for, in the order livez, authorize, beside, submit, because the evidence that allows grows old.
pub(crate) async fn run_all(args: &Args, cluster: &Cluster) -> Result<Results, Failure> {
    let place = place(cluster);
    let client = cluster.client()?;
    let mut runs = Vec::new();
    if args.only.contains(&Scenario::Livez) {
        for clients in &args.clients {
            let work = Work::Repeat(vec![Call::get("/livez")?]);
            runs.push(measure(args, cluster, Scenario::Livez, *clients, work, judge_ok).await?);
        }
    }
    let asks = [Scenario::Authorize, Scenario::Beside].iter().any(|scenario| args.only.contains(scenario));
    let requests =
        if asks { prepare_authorize(args.lineages, cluster, &client, &place).await? } else { Vec::new() };
    if args.only.contains(&Scenario::Authorize) {
        let calls = singles(&requests)?;
        for clients in &args.clients {
            let work = Work::Repeat(calls.clone());
            runs.push(measure(args, cluster, Scenario::Authorize, *clients, work, judge_authorize).await?);
        }
    }
    if args.only.contains(&Scenario::Beside) {
        for clients in &args.clients {
            runs.extend(beside::run(args, cluster, &requests, *clients).await?);
        }
    }
    if args.only.contains(&Scenario::Submit) {
        for clients in &args.clients {
            runs.push(submit(args, cluster, &client, &place, *clients).await?);
        }
    }
    for i in 0..runs.len() {
        let of_livez = runs.get(i).and_then(|run| relative(&runs, run));
        if let Some(run) = runs.get_mut(i) {
            run.of_livez = of_livez;
        }
    }
    Ok(Results {
        machine: Machine::here(),
        nodes: cluster.endpoints.len(),
        version: env!("CARGO_PKG_VERSION"),
        runs,
    })
}

/// Where the evidence of this run belongs.
pub(crate) fn place(cluster: &Cluster) -> Place {
    let now = wall_clock();
    Place {
        origin: cluster.origin.clone(),
        domain: cluster.domain.clone(),
        run: now.0.to_string(),
        now: now.to_seconds(),
    }
}

/// Makes lineages that are allowed, and asks about some of them through the checking client. Returns the requests that
/// are allowed.
pub(crate) async fn prepare_authorize(
    lineages: usize,
    cluster: &Cluster,
    client: &Client,
    place: &Place,
) -> Result<Vec<AuthorizeRequest>, Failure> {
    eprintln!("preparing {lineages} lineages that allow");
    let (mut envelopes, mut requests) = (Vec::new(), Vec::new());
    for n in 0..lineages.max(1) {
        let (signed, request) = evidence::allowing(place, n, &cluster.governance, &cluster.attestation)?;
        envelopes.extend(signed);
        requests.push(request);
    }
    for batch in envelopes.chunks(BATCH) {
        submit_all(client, batch).await?;
    }
    let verified = verify_some(client, &requests).await?;
    eprintln!("verified {verified} signed allows against {} node keys", cluster.node_keys.as_slice().len());
    Ok(requests)
}

/// Makes a call of its own from each request.
pub(crate) fn singles(requests: &[AuthorizeRequest]) -> Result<Vec<Call>, Failure> {
    requests.iter().map(|request| Ok(Call::post("/v1/authorize", request.to_json().to_vec())?)).collect()
}

async fn submit_all(client: &Client, envelopes: &[Bytes]) -> Result<(), Failure> {
    let response = client.submit_batch(BatchMode::Each, envelopes).await?;
    match response.results.iter().find_map(|result| result.problem.as_ref()) {
        Some(problem) => Err(format!("evidence was refused, {}: {}", problem.code, problem.detail).into()),
        None => Ok(()),
    }
}

/// Asks about some of the lineages, and verifies the receipt of every decision.
async fn verify_some(client: &Client, requests: &[AuthorizeRequest]) -> Result<usize, Failure> {
    let some: Vec<_> =
        requests.iter().step_by((requests.len() / VERIFIED).max(1)).take(VERIFIED).cloned().collect();
    for request in &some {
        let decision = client.authorize(request).await?;
        if !decision.is_allow() || decision.signer().is_none() {
            let reasons: Vec<_> =
                decision.body().reasons.iter().map(|reason| reason.detail.as_str()).collect();
            return Err(format!("a prepared lineage is denied: {}", reasons.join("; ")).into());
        }
    }
    Ok(some.len())
}

/// One run of `submit`: the envelopes are signed before it, and the ledger's growth is checked after it.
async fn submit(
    args: &Args,
    cluster: &Cluster,
    client: &Client,
    place: &Place,
    clients: usize,
) -> Result<RunResult, Failure> {
    let rate = args.sign_rate.unwrap_or(if clients == 1 { 4000 } else { 16_000 });
    let seconds = usize::try_from((args.duration() + args.warm_up()).as_secs())?;
    let count = rate.saturating_mul(seconds).div_ceil(clients.max(1));
    eprintln!("signing {} envelopes for {clients} clients", count.saturating_mul(clients));
    let level = format!("c{clients}");
    let place = Place { now: wall_clock().to_seconds(), ..place.clone() };
    let queues = evidence::chains_for_all(&place, &level, clients, count, args.chain, &cluster.attestation)?;
    let calls: Result<Vec<Vec<Call>>, _> = queues
        .into_iter()
        .map(|queue| queue.into_iter().map(|envelope| Call::post("/v1/envelopes", envelope)).collect())
        .collect();
    let before = client.status().await?.revision;
    let result = measure(args, cluster, Scenario::Submit, clients, Work::Once(calls?), judge_submit).await?;
    let outcomes = &result.load.outcomes;
    let accepted: u64 = ["accepted", "accepted before"].iter().filter_map(|label| outcomes.get(label)).sum();
    check_growth(cluster, client, before.saturating_add(accepted)).await?;
    Ok(result)
}

/// Checks that the ledger of every node reaches at least the number of acknowledged envelopes.
async fn check_growth(cluster: &Cluster, client: &Client, at_least: u64) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_secs(30);
    for endpoint in &cluster.endpoints {
        loop {
            let revision = client.status_at(endpoint).await?.revision;
            if revision >= at_least {
                break;
            }
            if Instant::now() >= until {
                let detail =
                    format!("`{endpoint}` holds revision {revision}, but {at_least} was acknowledged");
                return Err(detail.into());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

async fn measure(
    args: &Args,
    cluster: &Cluster,
    scenario: Scenario,
    clients: usize,
    work: Work,
    judge: Judge,
) -> Result<RunResult, Failure> {
    let config = LoadConfig {
        warm_up: args.warm_up(),
        stop: Stop::After(args.duration()),
        label: Some(format!("{} × {clients}", scenario.as_str())),
        tls: cluster.tls.clone(),
        ..LoadConfig::new(&cluster.endpoints, clients)
    };
    let (load_before, nodes_before) = (cpu_seconds(&[own_pid()]), cpu_seconds(&cluster.pids));
    let load = run(config, work, judge).await?;
    Ok(RunResult {
        scenario: scenario.as_str(),
        load,
        load_cpu_seconds: cpu_seconds(&[own_pid()]) - load_before,
        nodes_cpu_seconds: cpu_seconds(&cluster.pids) - nodes_before,
        of_livez: None,
    })
}

/// A run's rate relative to bare HTTP at the same number of clients.
fn relative(runs: &[RunResult], run: &RunResult) -> Option<f64> {
    let livez = runs
        .iter()
        .find(|other| other.scenario == Scenario::Livez.as_str() && other.load.clients == run.load.clients)?;
    (run.scenario != livez.scenario).then(|| run.load.per_second / livez.load.per_second)
}
