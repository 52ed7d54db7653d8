//! Authorizes while very many connections are idle.
//!
//! The connections come from many loopback addresses and all lead to the first node, whose caps are raised for it. Each
//! makes one request, since a node ends a connection on which no request comes, and then does nothing. Afterwards each
//! makes another one, which shows that it was open all the time.

use assent_client::load::{LoadConfig, LoadReport, Stop, Work, run as load};
use assent_cluster::config::{Config, DeadlineConfig};
use assent_proof::AuthorizeRequest;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Failure;
use crate::args::IdleArgs;
use crate::connection::{Opener, Stream, ask};
use crate::decided::{denies, judge};
use crate::machine::{Machine, memory};
use crate::own::{self, CallerName, OwnCluster, Setup};
use crate::scenario::{place, prepare_authorize, singles};

/// How many connections are made at the same time. A node makes 256 TLS handshakes at a time.
const AT_ONCE: usize = 128;

/// Open files that this program or the node needs beside the idle connections.
const FILES_BESIDE: u64 = 1024;

/// Connections that the node takes beside the idle ones.
const CONNECTIONS_BESIDE: usize = 256;

/// A node keeps an idle connection so long: the most that its configuration allows.
const KEPT_MS: u64 = 3_600_000;

/// Everything that was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdleResults {
    machine: Machine,
    nodes: u16,
    version: &'static str,
    /// Idle connections, all to the first node.
    connections: u32,
    /// How many addresses they come from.
    addresses: u32,
    is_tls: bool,
    /// How long it took to make them, with one request on each, in seconds.
    opened_within_seconds: f64,
    /// How many of them answered a second request at the end.
    still_open: usize,
    /// Authorizes before the connections were made.
    quiet: LoadReport,
    /// Authorizes while they were idle.
    beside: LoadReport,
    /// The second p99 relative to the first.
    p99_ratio: f64,
    /// The answers beside idle connections that were not allows, by code.
    denies: BTreeMap<&'static str, u64>,
    /// The deadline of an authorize.
    deadline_ms: u64,
    /// The first node's memory before and after the connections were made.
    resident_before_kib: u64,
    resident_after_kib: u64,
    /// By how much it grew for each of them.
    kib_per_connection: f64,
    /// Whether each authorize was answered with an allow within its deadline, and every connection stayed open.
    met: bool,
}

impl IdleResults {
    /// Whether no answer was wrong while nothing else happened. What the idle connections do to others is a figure.
    pub(crate) fn is_right(&self) -> bool {
        self.quiet.unexpected == 0
    }
}

/// Starts the cluster, makes the connections, and measures.
pub(crate) async fn run(args: &IdleArgs) -> Result<IdleResults, Failure> {
    reserve_files(args.connections)?;
    let wanted = usize::try_from(args.connections)?.saturating_add(CONNECTIONS_BESIDE);
    let tune = |config: &mut Config| {
        config.limits.connections = config.limits.connections.max(wanted);
        config.limits.connections_per_address = config.limits.connections;
        config.deadlines.http_idle_ms = KEPT_MS;
    };
    let setup = Setup { place: &args.place, is_tls: !args.plain, spare_keys: 0, tune: &tune };
    let own = own::start(&setup).await?;
    let cluster = &own.cluster;
    let requests = prepare_authorize(args.lineages, cluster, &cluster.client()?, &place(cluster)).await?;
    let quiet = schedule(args, &own, "quiet", &requests).await?;

    let node = cluster.pids.first().copied().ok_or("the cluster has no node")?;
    let endpoint = cluster.endpoints.first().ok_or("the cluster has no endpoint")?;
    let resident_before_kib = memory(node).resident_kib;
    let opener = Opener::new(endpoint, own.tls(CallerName::Flood).as_ref())?;
    let started = Instant::now();
    let streams = open_all(args, &opener).await?;
    let opened_within_seconds = started.elapsed().as_secs_f64();
    let beside = schedule(args, &own, "beside idle connections", &requests).await?;
    let resident_after_kib = memory(node).resident_kib;
    let still_open = ask_all(streams, opener.host()).await?;

    let denies = denies(&beside);
    let deadline_ms = DeadlineConfig::default().authorize_ms;
    let is_in_time = beside.latency.max_us <= deadline_ms.saturating_mul(1000);
    let met = denies.is_empty() && is_in_time && still_open == usize::try_from(args.connections)?;
    Ok(IdleResults {
        machine: Machine::here(),
        nodes: args.place.nodes,
        version: env!("CARGO_PKG_VERSION"),
        connections: args.connections,
        addresses: args.connections.div_ceil(args.per_address),
        is_tls: !args.plain,
        opened_within_seconds,
        still_open,
        p99_ratio: float(beside.latency.p99_us) / float(quiet.latency.p99_us.max(1)),
        quiet,
        beside,
        denies,
        deadline_ms,
        resident_before_kib,
        resident_after_kib,
        kib_per_connection: float(resident_after_kib.saturating_sub(resident_before_kib))
            / f64::from(args.connections),
        met,
    })
}

/// Raises the limit of open files to what these connections need here. The node inherits it.
fn reserve_files(connections: u32) -> Result<(), Failure> {
    let needed = u64::from(connections).saturating_add(FILES_BESIDE);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // Only a privileged program can raise the hard limit.
    if soft >= needed || setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)).is_ok() {
        return Ok(());
    }
    let fit = hard.saturating_sub(FILES_BESIDE);
    Err(format!(
        "{connections} idle connections need {needed} open files in this program and as many in the node, and the hard \
         limit (RLIMIT_NOFILE) is {hard}: raise it (`ulimit -Hn {needed}` as root, `LimitNOFILE=` under systemd), or \
         give at most `--connections {fit}`"
    )
    .into())
}

/// The loopback address of this number, from 127.1.0.1 on. None ends in 0 or 255.
fn address(number: u32) -> Ipv4Addr {
    const FIRST: u32 = u32::from_be_bytes([127, 1, 0, 1]);
    let (network, host) = (number / 254, number % 254);
    Ipv4Addr::from_bits(FIRST.saturating_add(network.saturating_mul(256)).saturating_add(host))
}

/// Makes all connections, some at a time, with one request on each.
async fn open_all(args: &IdleArgs, opener: &Opener) -> Result<Vec<Box<dyn Stream>>, Failure> {
    let mut streams = Vec::with_capacity(usize::try_from(args.connections)?);
    let mut tasks = JoinSet::new();
    let mut told = Instant::now();
    for number in 0..args.connections {
        let (opener, source) = (opener.clone(), address(number / args.per_address));
        tasks.spawn(async move {
            let opened = opener.open(SocketAddr::from((source, 0))).await;
            opened.map_err(|error| Failure::from(format!("a connection from {source}: {error}")))
        });
        if tasks.len() >= AT_ONCE
            && let Some(opened) = tasks.join_next().await
        {
            streams.push(opened??);
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            eprintln!("{} of {} connections are open", streams.len(), args.connections);
        }
    }
    while let Some(opened) = tasks.join_next().await {
        streams.push(opened??);
    }
    eprintln!("{} connections are open", streams.len());
    Ok(streams)
}

/// Makes a request on each connection, some at a time, and closes it. Returns how many were answered.
async fn ask_all(streams: Vec<Box<dyn Stream>>, host: &str) -> Result<usize, Failure> {
    let mut answered = 0_usize;
    let mut tasks = JoinSet::new();
    for mut stream in streams {
        let host = host.to_owned();
        tasks.spawn(async move { ask(&mut stream, &host).await.is_ok() });
        if tasks.len() >= AT_ONCE
            && let Some(is_answered) = tasks.join_next().await
        {
            answered = answered.saturating_add(usize::from(is_answered?));
        }
    }
    while let Some(is_answered) = tasks.join_next().await {
        answered = answered.saturating_add(usize::from(is_answered?));
    }
    Ok(answered)
}

async fn schedule(
    args: &IdleArgs,
    own: &OwnCluster,
    label: &str,
    requests: &[AuthorizeRequest],
) -> Result<LoadReport, Failure> {
    let config = LoadConfig {
        warm_up: Duration::from_secs(args.warm_up),
        stop: Stop::After(Duration::from_secs(args.seconds)),
        label: Some(format!("{label} × {}", args.clients)),
        tls: own.tls(CallerName::Scheduler),
        ..LoadConfig::new(&own.cluster.endpoints, usize::from(args.clients))
    };
    Ok(load(config, Work::Repeat(singles(requests)?), judge).await?)
}

#[expect(clippy::cast_precision_loss, reason = "latencies and memory are far below 2^52")]
fn float(value: u64) -> f64 {
    value as f64
}

/// The results as a table.
pub(crate) fn table(results: &IdleResults) -> String {
    let machine = &results.machine;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{} nodes {} TLS and the load on the same {} cores ({}, {} MiB, Linux {}), assent {}\n",
        results.nodes,
        if results.is_tls { "with" } else { "without" },
        machine.cores,
        machine.cpu,
        machine.memory_mib,
        machine.kernel,
        results.version
    );
    let _ = writeln!(
        out,
        "{} connections from {} addresses, open after {:.1} s; {} still open at the end",
        results.connections, results.addresses, results.opened_within_seconds, results.still_open
    );
    let _ = writeln!(
        out,
        "the node's memory: {} KiB before, {} KiB after, {:.1} KiB a connection",
        results.resident_before_kib, results.resident_after_kib, results.kib_per_connection
    );
    let _ =
        writeln!(out, "{:<10} {:>9} {:>9} {:>9} {:>9}", "authorize", "ops/s", "p50 ms", "p99 ms", "max ms");
    for (name, load) in [("quiet", &results.quiet), ("beside", &results.beside)] {
        let latency = &load.latency;
        let millis = |micros| float(micros) / 1000.0;
        let _ = writeln!(
            out,
            "{name:<10} {:>9.0} {:>9.2} {:>9.2} {:>9.2}",
            load.per_second,
            millis(latency.p50_us),
            millis(latency.p99_us),
            millis(latency.max_us)
        );
    }
    let list: Vec<String> = results.denies.iter().map(|(label, count)| format!("{label} {count}")).collect();
    let _ = writeln!(
        out,
        "denies: {}; each allow within {} ms: {}",
        if list.is_empty() { "none".to_owned() } else { list.join(", ") },
        results.deadline_ms,
        if results.met { "met" } else { "MISSED" }
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_number_has_a_loopback_address_of_its_own() {
        let all: BTreeSet<Ipv4Addr> = (0..100_000).map(address).collect();
        assert_eq!(all.len(), 100_000);
        let ends = |address: &Ipv4Addr| address.octets()[3];
        assert!(all.iter().all(|address| address.is_loopback() && !matches!(ends(address), 0 | 255)));
        assert_eq!((address(0), address(254)), (Ipv4Addr::new(127, 1, 0, 1), Ipv4Addr::new(127, 1, 1, 1)));
        assert!(address(1_000_000).is_loopback());
    }

    #[test]
    fn connections_that_need_more_files_than_there_can_be_are_refused_with_what_is_missing() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        // No system lets a process have so many, whoever runs it; and without a limit there is nothing to refuse.
        if hard < u64::from(u32::MAX) {
            let error = reserve_files(u32::MAX).unwrap_err().to_string();
            assert!(error.contains(&format!("limit (RLIMIT_NOFILE) is {hard}")), "{error}");
            assert!(error.contains("ulimit -Hn"), "{error}");
        }
    }
}
