//! Authorize with TLS and without it, in one run: the same load against two clusters in turn, plain, TLS, plain, TLS.
//!
//! Both clusters run all the time, on the same machine. The connections are kept, so the handshakes lie in the warm-up.

use assent_client::load::{LoadConfig, LoadReport, Stop, Work, judge_authorize, run as load};
use serde::Serialize;
use std::fmt::Write;

use crate::Failure;
use crate::args::Args;
use crate::machine::Machine;
use crate::own::{self, OwnCluster, Setup};
use crate::scenario::{place, prepare_authorize, singles};

/// How often each cluster has its turn.
const TURNS: usize = 2;

/// The least share of the plain rate that TLS must reach.
const RATIO_LEAST: f64 = 0.85;

/// Everything that was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TlsResults {
    machine: Machine,
    /// Nodes of each cluster.
    nodes: u16,
    version: &'static str,
    /// One for each number of clients.
    levels: Vec<Level>,
}

/// Both clusters at one number of clients.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Level {
    clients: usize,
    /// The turns of the cluster without TLS.
    plain: Vec<LoadReport>,
    /// The turns of the cluster with TLS, each right after the same turn of the other one.
    tls: Vec<LoadReport>,
    /// Mean decisions a second of the turns.
    plain_per_second: f64,
    tls_per_second: f64,
    /// The second relative to the first.
    ratio: f64,
    ratio_least: f64,
    /// Whether the ratio is as large as it must be.
    met: bool,
}

impl TlsResults {
    /// Whether every answer was an allow.
    pub(crate) fn is_right(&self) -> bool {
        let mut runs = self.levels.iter().flat_map(|level| level.plain.iter().chain(&level.tls));
        runs.all(|load| load.unexpected == 0)
    }
}

/// Starts both clusters and measures.
pub(crate) async fn run(args: &Args) -> Result<TlsResults, Failure> {
    let setup = |is_tls| Setup { place: &args.place, is_tls, spare_keys: 0, tune: &own::as_it_is };
    let (plain, tls) = (own::start(&setup(false)).await?, own::start(&setup(true)).await?);
    let (plain_work, tls_work) = (work(args, &plain).await?, work(args, &tls).await?);
    let mut levels = Vec::new();
    for clients in &args.clients {
        let (mut of_plain, mut of_tls) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            of_plain.push(measure(args, &plain, "plain", *clients, plain_work.clone()).await?);
            of_tls.push(measure(args, &tls, "TLS", *clients, tls_work.clone()).await?);
        }
        levels.push(Level::of(*clients, of_plain, of_tls));
    }
    Ok(TlsResults {
        machine: Machine::here(),
        nodes: args.place.nodes,
        version: env!("CARGO_PKG_VERSION"),
        levels,
    })
}

impl Level {
    fn of(clients: usize, plain: Vec<LoadReport>, tls: Vec<LoadReport>) -> Level {
        let (plain_per_second, tls_per_second) = (mean(&plain), mean(&tls));
        let ratio = if plain_per_second > 0.0 { tls_per_second / plain_per_second } else { 0.0 };
        let met = ratio >= RATIO_LEAST;
        Level { clients, plain, tls, plain_per_second, tls_per_second, ratio, ratio_least: RATIO_LEAST, met }
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are few turns")]
fn mean(turns: &[LoadReport]) -> f64 {
    turns.iter().map(|load| load.per_second).sum::<f64>() / turns.len().max(1) as f64
}

async fn work(args: &Args, own: &OwnCluster) -> Result<Work, Failure> {
    let cluster = &own.cluster;
    let requests = prepare_authorize(args.lineages, cluster, &cluster.client()?, &place(cluster)).await?;
    Ok(Work::Repeat(singles(&requests)?))
}

async fn measure(
    args: &Args,
    own: &OwnCluster,
    label: &str,
    clients: usize,
    work: Work,
) -> Result<LoadReport, Failure> {
    let config = LoadConfig {
        warm_up: args.warm_up(),
        stop: Stop::After(args.duration()),
        label: Some(format!("{label} × {clients}")),
        tls: own.cluster.tls.clone(),
        ..LoadConfig::new(&own.cluster.endpoints, clients)
    };
    Ok(load(config, work, judge_authorize).await?)
}

/// The results as a table.
pub(crate) fn table(results: &TlsResults) -> String {
    let machine = &results.machine;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "two clusters of {} nodes and the load on the same {} cores ({}, {} MiB, Linux {}), assent {}\n",
        results.nodes, machine.cores, machine.cpu, machine.memory_mib, machine.kernel, results.version
    );
    let _ = writeln!(
        out,
        "{:>7} {:>21} {:>21} {:>9}  at least {RATIO_LEAST:.2}",
        "clients", "plain authorize/s", "TLS authorize/s", "TLS/plain"
    );
    for level in &results.levels {
        let turns = |loads: &[LoadReport]| {
            loads.iter().map(|load| format!("{:.0}", load.per_second)).collect::<Vec<_>>().join(", ")
        };
        let _ = writeln!(
            out,
            "{:>7} {:>21} {:>21} {:>9.2}  {}",
            level.clients,
            turns(&level.plain),
            turns(&level.tls),
            level.ratio,
            if level.met { "met" } else { "MISSED" }
        );
        let wrong: u64 = level.plain.iter().chain(&level.tls).map(|load| load.unexpected).sum();
        if wrong > 0 {
            let _ = writeln!(out, "        {wrong} answers NOT AS EXPECTED");
        }
    }
    out
}
