//! What a well-behaved scheduler and revocations notice of another caller's flood.
//!
//! The flood comes from a thread of its own, so that it does not delay the scheduler in this program. It sends without
//! a pause, whatever the answer: a node must bear that. The three callers show different certificates.

use assent_client::load::{Judge, LoadConfig, LoadReport, Stop, Work, run as load};
use assent_client::{Client, ClientConfig, ClientTls, Trust};
use assent_proof::{AuthorizeRequest, Cursor, PublicKey};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::args::{FloodArgs, FloodKind};
use crate::decided::{denies, judge};
use crate::evidence::{Place, revocation};
use crate::flood_work::{self, FloodWork, Prepared, WRONG};
use crate::inside::{self, InNode};
use crate::machine::{Machine, Memory, forget_peak, memory, wall_clock};
use crate::own::{self, CallerName, OwnCluster, SPARE_KEYS_MAX, Setup};
use crate::scenario::{place, prepare_authorize, singles};

/// How much longer than its quiet p99 the scheduler's p99 may be during a flood.
const P99_RATIO_MOST: f64 = 3.0;

/// How long a revocation may take on any node, in milliseconds.
const REVOCATION_MS_MOST: f64 = 1000.0;

/// How long a revocation is tried.
const REVOKES_WITHIN: Duration = Duration::from_secs(30);

/// Everything that was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FloodResults {
    pub(crate) machine: Machine,
    pub(crate) nodes: u16,
    pub(crate) version: &'static str,
    /// Connections of the caller that flooded.
    pub(crate) connections: u16,
    /// What revocations take while nothing else happens, node by node.
    pub(crate) quiet_revocations: Vec<Revocation>,
    pub(crate) p99_ratio_most: f64,
    pub(crate) revocation_ms_most: f64,
    pub(crate) floods: Vec<Flood>,
}

/// One kind of flood.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Flood {
    pub(crate) kind: &'static str,
    /// The scheduler alone.
    pub(crate) quiet: LoadReport,
    /// The scheduler during the flood.
    pub(crate) beside: LoadReport,
    /// What each node measured while the scheduler was alone, the warm-up included.
    pub(crate) quiet_in_nodes: Vec<InNode>,
    /// What each node measured during the flood, the warm-up and the flood's own calls included.
    pub(crate) beside_in_nodes: Vec<InNode>,
    /// The scheduler's p99 during the flood relative to its p99 alone.
    pub(crate) p99_ratio: f64,
    /// The scheduler's answers during the flood that were not allows, by code.
    pub(crate) denies: BTreeMap<&'static str, u64>,
    /// One on each node, during the flood.
    pub(crate) revocations: Vec<Revocation>,
    /// What the flood itself got; none if it got no answer at all.
    pub(crate) flood: Option<LoadReport>,
    /// Each node's memory before the flood, in MiB.
    pub(crate) resident_before_mib: Vec<f64>,
    /// The most memory that each node had during the flood, in MiB.
    pub(crate) peak_mib: Vec<f64>,
    /// By how much the ledger grew during the flood.
    pub(crate) ledger_growth: u64,
    /// Whether no more entered the ledger than may: the revocations, and each valid envelope of the flood once.
    pub(crate) is_ledger_right: bool,
    /// Whether the scheduler's p99, its denies and the revocations are as they must be.
    pub(crate) met: bool,
}

/// One revocation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Revocation {
    /// The node that it was submitted on.
    pub(crate) node: usize,
    /// From before the connection is made until it was acknowledged or given up, in milliseconds.
    pub(crate) ms: f64,
    /// Why it was given up; none if it was acknowledged.
    pub(crate) error: Option<String>,
}

impl Revocation {
    fn is_in_time(&self) -> bool {
        self.error.is_none() && self.ms <= REVOCATION_MS_MOST
    }
}

impl FloodResults {
    /// Whether no answer was wrong. A deny that the scheduler should not get is a figure, not a wrong answer.
    pub(crate) fn is_right(&self) -> bool {
        let of_flood = |flood: &LoadReport| flood.outcomes.keys().all(|label| !WRONG.contains(label));
        self.floods.iter().all(|flood| {
            flood.quiet.unexpected == 0 && flood.is_ledger_right && flood.flood.as_ref().is_none_or(of_flood)
        })
    }
}

/// What all parts of a run have in common.
struct Run<'a> {
    args: &'a FloodArgs,
    own: &'a OwnCluster,
    place: Place,
    requests: Vec<AuthorizeRequest>,
    /// Reads the ledger's size.
    client: Client,
}

/// Starts the cluster and measures every kind of flood that is asked for.
pub(crate) async fn run(args: &FloodArgs) -> Result<FloodResults, Failure> {
    // One key for each node, while it is quiet and in each flood.
    let parts = args.only.len().saturating_add(1);
    let spare_keys = parts.saturating_mul(usize::from(args.place.nodes));
    let spare_keys = u8::try_from(spare_keys).ok().filter(|keys| *keys <= SPARE_KEYS_MAX);
    let Some(spare_keys) = spare_keys else {
        return Err(
            format!("`--only` names too many floods: at most {SPARE_KEYS_MAX} keys can be revoked").into()
        );
    };
    let setup = Setup { place: &args.place, is_tls: true, spare_keys, tune: &own::as_it_is };
    let own = own::start(&setup).await?;
    let (place, client) = (place(&own.cluster), own.cluster.client()?);
    let requests = prepare_authorize(args.lineages, &own.cluster, &client, &place).await?;
    let run = Run { args, own: &own, place, requests, client };
    let mut keys = own.spare.chunks(usize::from(args.place.nodes).max(1));
    let quiet_revocations = run.revoke_on_each(keys.next().unwrap_or_default(), Duration::ZERO).await?;
    let mut floods = Vec::new();
    for kind in &args.only {
        floods.push(run.flood(*kind, keys.next().unwrap_or_default()).await?);
    }
    Ok(FloodResults {
        machine: Machine::here(),
        nodes: args.place.nodes,
        version: env!("CARGO_PKG_VERSION"),
        connections: args.connections,
        quiet_revocations,
        p99_ratio_most: P99_RATIO_MOST,
        revocation_ms_most: REVOCATION_MS_MOST,
        floods,
    })
}

impl Run<'_> {
    /// The scheduler alone, then beside the flood, in which a revocation is submitted on each node.
    async fn flood(&self, kind: FloodKind, keys: &[PublicKey]) -> Result<Flood, Failure> {
        let cluster = &self.own.cluster;
        eprintln!("making the bodies of {}", kind.as_str());
        let status = self.client.status().await?;
        let prepared = Prepared {
            place: &self.place,
            requests: &self.requests,
            issuers: [&cluster.governance, &cluster.attestation],
            ledger: Cursor { history: status.history, revision: status.revision },
        };
        let FloodWork { work, judge, adds_most } = flood_work::make(self.args, kind, prepared)?;
        let first_look = inside::look(self.own).await?;
        let quiet = self.schedule("quiet").await?;
        let second_look = inside::look(self.own).await?;

        let resident_before_mib = self.memory_mib(|memory| memory.resident_kib);
        forget_peak(&cluster.pids);
        let before = self.revision().await?;
        let config = self.config(CallerName::Flood, kind.as_str(), usize::from(self.args.connections));
        let flood = std::thread::spawn(move || flood(config, work, judge));
        let label = format!("beside {}", kind.as_str());
        let (beside, revocations) =
            tokio::join!(self.schedule(&label), self.revoke_on_each(keys, self.pause(keys.len())));
        // Waits for the flood to end whatever became of the others, so that no request is in flight afterwards.
        let flood = tokio::task::spawn_blocking(move || flood.join()).await?;
        let flood = flood.map_err(|_| "the thread of the flood panicked")?;
        if let Err(error) = &flood {
            eprintln!("the flood of {} got no answer: {error}", kind.as_str());
        }
        let (beside, revocations) = (beside?, revocations?);
        let peak_mib = self.memory_mib(|memory| memory.peak_kib);
        let last_look = inside::look(self.own).await?;
        let ledger_growth = self.revision().await?.saturating_sub(before);
        let is_ledger_right = adds_most.is_none_or(|adds_most| {
            let most = adds_most.saturating_add(revocations.len());
            ledger_growth <= u64::try_from(most).unwrap_or(u64::MAX)
        });

        let p99_ratio = ratio(beside.latency.p99_us, quiet.latency.p99_us);
        let denies = denies(&beside);
        let met = p99_ratio <= P99_RATIO_MOST
            && denies.is_empty()
            && revocations.iter().all(Revocation::is_in_time);
        Ok(Flood {
            kind: kind.as_str(),
            quiet,
            beside,
            quiet_in_nodes: inside::between(&first_look, &second_look),
            beside_in_nodes: inside::between(&second_look, &last_look),
            p99_ratio,
            denies,
            revocations,
            flood: flood.ok(),
            resident_before_mib,
            peak_mib,
            ledger_growth,
            is_ledger_right,
            met,
        })
    }

    fn config(&self, caller: CallerName, label: &str, clients: usize) -> LoadConfig {
        LoadConfig {
            warm_up: Duration::from_secs(self.args.warm_up),
            stop: Stop::After(Duration::from_secs(self.args.seconds)),
            label: Some(format!("{label} × {clients}")),
            tls: self.own.tls(caller),
            ..LoadConfig::new(&self.own.cluster.endpoints, clients)
        }
    }

    /// The largest size of the ledger that a node has applied.
    async fn revision(&self) -> Result<u64, Failure> {
        let mut revision = 0;
        for endpoint in &self.own.cluster.endpoints {
            revision = revision.max(self.client.status_at(endpoint).await?.revision);
        }
        Ok(revision)
    }

    /// The scheduler asks on one connection.
    async fn schedule(&self, label: &str) -> Result<LoadReport, Failure> {
        let work = Work::Repeat(singles(&self.requests)?);
        Ok(load(self.config(CallerName::Scheduler, label, 1), work, judge).await?)
    }

    /// The time before each of so many revocations, so that they are spread over the measured time.
    fn pause(&self, revocations: usize) -> Duration {
        let parts = u32::try_from(revocations).unwrap_or(u32::MAX).saturating_add(1);
        Duration::from_secs(self.args.seconds) / parts
    }

    /// Revokes one key on each node, one after the other, with a pause before each. If there is a pause, the warm-up is
    /// over before the first.
    async fn revoke_on_each(&self, keys: &[PublicKey], pause: Duration) -> Result<Vec<Revocation>, Failure> {
        if !pause.is_zero() {
            sleep(Duration::from_secs(self.args.warm_up)).await;
        }
        let tls = self.own.tls(CallerName::Revoker);
        let mut revocations = Vec::new();
        for (place, (endpoint, key)) in self.own.cluster.endpoints.iter().zip(keys).enumerate() {
            sleep(pause).await;
            let node = place.saturating_add(1);
            revocations.push(self.revoke(node, endpoint, *key, tls.clone()).await?);
        }
        Ok(revocations)
    }

    async fn revoke(
        &self,
        node: usize,
        endpoint: &str,
        key: PublicKey,
        tls: Option<ClientTls>,
    ) -> Result<Revocation, Failure> {
        let place = Place { now: wall_clock().to_seconds(), ..self.place.clone() };
        let envelope = revocation(&place, key, &self.own.cluster.governance);
        // An operator's tool has no open connection either.
        let client = Client::new(ClientConfig {
            tls,
            deadline: REVOKES_WITHIN,
            attempt_timeout: REVOKES_WITHIN,
            connect_timeout: REVOKES_WITHIN,
            ..ClientConfig::new([endpoint], Trust::NoAllow)
        })?;
        let started = Instant::now();
        let error = client.submit(envelope).await.err().map(|error| format!("{}: {error}", error.code()));
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        eprintln!("a revocation on node {node}: {ms:.0} ms{}", error.as_deref().unwrap_or_default());
        Ok(Revocation { node, ms, error })
    }

    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 KiB")]
    fn memory_mib(&self, kib: impl Fn(Memory) -> u64) -> Vec<f64> {
        self.own.cluster.pids.iter().map(|pid| kib(memory(*pid)) as f64 / 1024.0).collect()
    }
}

/// How much later than the nodes and the scheduler the flood's thread comes, where the machine is short of processors
/// (`nice`).
#[cfg(target_os = "linux")]
const FLOOD_NICE: i32 = 10;

/// Sends the flood, on a runtime of its own. A caller has a machine of its own, so making the flood should take no processor
/// from what is measured.
fn flood(config: LoadConfig, work: Work, judge: Judge) -> Result<LoadReport, Failure> {
    // Only on Linux does it concern one thread and not the whole process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(FLOOD_NICE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(load(config, work, judge))?)
}

#[expect(clippy::cast_precision_loss, reason = "latencies are below 60 s")]
fn ratio(beside_us: u64, quiet_us: u64) -> f64 {
    beside_us as f64 / quiet_us.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_key_to_revoke_on_each_of_the_most_nodes() {
        let (parts, nodes) = (FloodKind::ALL.len() + 1, 5);
        assert!(parts * nodes <= usize::from(SPARE_KEYS_MAX));
    }
}
