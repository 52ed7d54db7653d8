//! What Prometheus sees. Counters and histograms live here; gauges are read when the page is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use assent_api::{SnapshotDirection, StatusBody};
use assent_proof::Code;

use crate::usecase::Submitted;

/// A label whose value is a code, or what there is instead of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CodeLabel(&'static str);

impl prometheus_client::encoding::EncodeLabelValue for CodeLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    code: CodeLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPeer {
    peer: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTransfer {
    direction: CodeLabel,
    peer: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPlaces {
    urgency: CodeLabel,
    of: CodeLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: CodeLabel,
}

/// A node's metrics.
pub struct Metrics {
    registry: Registry,
    decisions: Family<ByCode, Counter>,
    signatures: Counter<u64, AtomicU64>,
    submissions: Family<ByCode, Counter>,
    submission_signatures: Counter<u64, AtomicU64>,
    submission_strangers: Counter<u64, AtomicU64>,
    barriers: Family<ByOutcome, Counter>,
    authorize_seconds: Histogram,
    submit_seconds: Histogram,
    barrier_seconds: Histogram,
    commit_seconds: Histogram,
    connections: Gauge,
    refused_connections: Counter<u64, AtomicU64>,
    event_feeds: Gauge,
    events: Counter<u64, AtomicU64>,
    task_panics: Counter<u64, AtomicU64>,
    lost_lines: Counter<u64, AtomicU64>,
    /// Where the process counts the lines of its log that were lost.
    log: OnceLock<Arc<AtomicU64>>,
    gauges: Gauges,
}

#[derive(Default)]
struct Gauges {
    revision: Gauge,
    term: Gauge,
    applied: Gauge,
    last_log: Gauge,
    leader: Gauge,
    clock_sure: Gauge,
    clock_anchored: Gauge,
    registry_time_ahead: Gauge<f64, AtomicU64>,
    healthy: Gauge,
    authorize_waiting: Gauge,
    submit_waiting: Gauge,
    submit_places: Family<ByPlaces, Gauge>,
    clock_offset: Family<ByPeer, Gauge>,
    voters: Gauge,
    learners: Gauge,
    is_voter: Gauge,
    peer_connected: Family<ByPeer, Gauge>,
    rules: Gauge,
    log_bytes: Gauge,
    log_first: Gauge,
    snapshot_rows: Family<ByTransfer, Gauge>,
    snapshot_rows_total: Family<ByTransfer, Gauge>,
    tasks_late: Gauge,
    connections_max: Gauge,
    open_files: Gauge,
    open_files_max: Gauge,
}

/// Milliseconds as seconds. Beyond 2^53 ms the last digits are lost.
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// 0.1 ms to about 3 s, doubling.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 16))
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("assent");
        let metrics = Self {
            decisions: Family::default(),
            signatures: Counter::default(),
            submissions: Family::default(),
            submission_signatures: Counter::default(),
            submission_strangers: Counter::default(),
            barriers: Family::default(),
            authorize_seconds: latency(),
            submit_seconds: latency(),
            barrier_seconds: latency(),
            commit_seconds: latency(),
            connections: Gauge::default(),
            refused_connections: Counter::default(),
            event_feeds: Gauge::default(),
            events: Counter::default(),
            task_panics: Counter::default(),
            lost_lines: Counter::default(),
            log: OnceLock::new(),
            gauges: Gauges::default(),
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register(
            "decisions",
            "Decisions by their first reason, `allow` where there is none",
            m.decisions.clone(),
        );
        registry.register(
            "decision_signatures",
            "Signatures over decisions, each over up to 64 of them",
            m.signatures.clone(),
        );
        registry.register("submissions", "Envelopes by what became of them", m.submissions.clone());
        registry.register(
            "submission_signatures",
            "Most signatures that looking at envelopes has computed, of clients and of what peers forward",
            m.submission_signatures.clone(),
        );
        registry.register(
            "submission_strangers",
            "Envelopes of no known key, refused without a look at their signatures",
            m.submission_strangers.clone(),
        );
        registry.register("barriers", "Read barriers, passed or not", m.barriers.clone());
        for (name, help, histogram) in [
            ("authorize", "From an authorize's arrival to its decision", &m.authorize_seconds),
            ("submit", "From a submission's arrival to its answer", &m.submit_seconds),
            ("barrier", "From a read barrier's start to its end", &m.barrier_seconds),
            ("commit", "From a proposal to its commit and application", &m.commit_seconds),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        registry.register("connections", "Client connections now", m.connections.clone());
        registry.register(
            "refused_connections",
            "Client connections closed at the bound",
            m.refused_connections.clone(),
        );
        registry.register("event_feeds", "Streams and long polls of events now", m.event_feeds.clone());
        registry.register("events_sent", "Events handed to followers", m.events.clone());
        registry.register(
            "task_panics",
            "Tasks of one connection or one call, and pieces of blocking work, that panicked",
            m.task_panics.clone(),
        );
        registry.register(
            "log_lines_lost",
            "Lines of the log that nobody took in time, or that could not be written",
            m.lost_lines.clone(),
        );
        let g = &m.gauges;
        registry.register("revision", "The ledger's size, as applied here", g.revision.clone());
        registry.register("raft_term", "Raft's term", g.term.clone());
        registry.register("raft_applied_index", "The last applied log index", g.applied.clone());
        registry.register("raft_last_log_index", "The last log index", g.last_log.clone());
        registry.register("raft_is_leader", "Whether this node believes that it leads", g.leader.clone());
        registry.register("clock_sure", "Whether this node uses its clock", g.clock_sure.clone());
        registry.register(
            "clock_anchored",
            "Whether this node's clock is where it is trusted to be by its boot time",
            g.clock_anchored.clone(),
        );
        registry.register_with_unit(
            "registry_time_ahead",
            "Registry time minus this node's clock",
            Unit::Seconds,
            g.registry_time_ahead.clone(),
        );
        registry.register(
            "healthy",
            "0 once the store has failed, Raft has stopped or a task has ended that the node needs",
            g.healthy.clone(),
        );
        for (name, help, gauge) in [
            ("voters", "Voters of the cluster, as this node knows", &g.voters),
            ("learners", "Learners of the cluster, as this node knows", &g.learners),
            ("is_voter", "Whether this node is a voter", &g.is_voter),
            ("rules_version", "The version of the rules that the registry follows here", &g.rules),
            ("raft_log_bytes", "Bytes of the Raft log's entries", &g.log_bytes),
            ("raft_first_log_index", "The first log index that is still there", &g.log_first),
            ("tasks_late", "Whether a task that ticks has not done so for too long", &g.tasks_late),
            ("connections_max", "Client connections that there may be", &g.connections_max),
            ("open_files", "Open files of the process", &g.open_files),
            ("open_files_max", "Open files that the process may have", &g.open_files_max),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "peer_connected",
            "Whether there is a connection to that peer",
            g.peer_connected.clone(),
        );
        registry.register(
            "snapshot_rows",
            "Rows of a snapshot on its way that have arrived",
            g.snapshot_rows.clone(),
        );
        registry.register(
            "snapshot_rows_total",
            "Rows of a snapshot on its way, altogether",
            g.snapshot_rows_total.clone(),
        );
        let waiting = "between arrival and answer";
        registry.register(
            "authorize_waiting",
            format!("Authorize requests {waiting}"),
            g.authorize_waiting.clone(),
        );
        registry.register("submit_waiting", format!("Envelopes {waiting}"), g.submit_waiting.clone());
        registry.register(
            "submit_places_taken",
            format!("Envelopes {waiting}, by urgency, of clients and of what peers forward"),
            g.submit_places.clone(),
        );
        registry.register(
            "clock_offset_ms",
            "A peer's clock minus this node's, in milliseconds",
            g.clock_offset.clone(),
        );
        Self { registry, ..metrics }
    }

    /// A decision with its first reason; none is an allow.
    pub(crate) fn decided(&self, code: Option<Code>) {
        let label = CodeLabel(code.map_or("allow", Code::as_str));
        self.decisions.get_or_create(&ByCode { code: label }).inc();
    }

    /// Decisions were signed together.
    pub(crate) fn signed(&self) {
        self.signatures.inc();
    }

    /// How often this node has signed decisions, up to 64 of them together.
    pub fn decision_signatures(&self) -> u64 {
        self.signatures.get()
    }

    /// What became of a submission.
    pub(crate) fn submitted(&self, result: &Submitted) {
        let label = match result {
            Submitted::Accepted { fresh: true, .. } => "accepted",
            Submitted::Accepted { fresh: false, .. } => "again",
            Submitted::Problem(problem) if problem.is_outcome_unknown() => "unknown",
            Submitted::Problem(problem) => problem.code.as_str(),
        };
        self.submissions.get_or_create(&ByCode { code: CodeLabel(label) }).inc();
    }

    /// Envelopes were looked at before they are proposed: most signatures that this computed, and how many were refused without one as
    /// of strangers.
    pub(crate) fn looked_at(&self, signatures: usize, strangers: usize) {
        let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        self.submission_signatures.inc_by(number(signatures));
        self.submission_strangers.inc_by(number(strangers));
    }

    /// How many signatures looking at envelopes has computed, at most.
    pub fn submission_signatures(&self) -> u64 {
        self.submission_signatures.get()
    }

    /// How many places for envelopes of one urgency are taken, for the next page.
    pub(crate) fn submit_places(&self, urgency: &'static str, of_clients: usize, of_peers: usize) {
        for (of, taken) in [("clients", of_clients), ("peers", of_peers)] {
            let places = ByPlaces { urgency: CodeLabel(urgency), of: CodeLabel(of) };
            let taken = i64::try_from(taken).unwrap_or(i64::MAX);
            self.gauges.submit_places.get_or_create(&places).set(taken);
        }
    }

    pub(crate) fn authorize_took(&self, took: Duration) {
        self.authorize_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn submit_took(&self, took: Duration) {
        self.submit_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn commit_took(&self, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn barrier_took(&self, took: Duration, passed: bool) {
        self.barrier_seconds.observe(took.as_secs_f64());
        let outcome = CodeLabel(if passed { "passed" } else { "failed" });
        self.barriers.get_or_create(&ByOutcome { outcome }).inc();
    }

    pub(crate) fn connected(&self) {
        self.connections.inc();
    }

    pub(crate) fn disconnected(&self) {
        self.connections.dec();
    }

    /// Client connections now.
    pub(crate) fn connections_now(&self) -> u64 {
        u64::try_from(self.connections.get()).unwrap_or(0)
    }

    /// From now on the page shows what is counted there: the lines of the process's log that were lost. Only the first place
    /// counts: a process has one log.
    pub fn count_lost_lines(&self, lost: Arc<AtomicU64>) {
        let _ = self.log.set(lost);
    }

    /// How the node's tasks are doing, for the next page.
    pub(crate) fn tasks(&self, late: bool, panics: u64) {
        self.gauges.tasks_late.set(i64::from(late));
        self.task_panics.inner().store(panics, Ordering::Relaxed);
    }

    pub(crate) fn connection_refused(&self) {
        self.refused_connections.inc();
    }

    pub(crate) fn feed_began(&self) {
        self.event_feeds.inc();
    }

    pub(crate) fn feed_ended(&self) {
        self.event_feeds.dec();
    }

    pub(crate) fn events_sent(&self, events: usize) {
        self.events.inc_by(u64::try_from(events).unwrap_or(u64::MAX));
    }

    /// The page, with gauges as of `status`.
    pub(crate) fn page(&self, status: &StatusBody, healthy: bool, waiting: (usize, usize)) -> String {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let gauges = &self.gauges;
        gauges.authorize_waiting.set(i64::try_from(waiting.0).unwrap_or(i64::MAX));
        gauges.submit_waiting.set(i64::try_from(waiting.1).unwrap_or(i64::MAX));
        gauges.revision.set(number(status.revision));
        gauges.term.set(number(status.term));
        gauges.applied.set(number(status.applied.unwrap_or(0)));
        gauges.last_log.set(number(status.last_log.unwrap_or(0)));
        gauges.leader.set(i64::from(status.leader == Some(status.node_id)));
        gauges.clock_sure.set(i64::from(status.clock.sure));
        gauges.clock_anchored.set(i64::from(status.clock.anchored));
        gauges.registry_time_ahead.set(seconds(status.clock.registry_time_ahead_ms.unwrap_or(0)));
        gauges.healthy.set(i64::from(healthy));
        for reading in &status.clock.readings {
            gauges.clock_offset.get_or_create(&ByPeer { peer: reading.peer }).set(reading.offset_ms);
        }
        if let Some(process) = status.process {
            gauges.connections_max.set(number(process.connections_max));
            gauges.open_files.set(number(process.open_files.unwrap_or(0)));
            gauges.open_files_max.set(number(process.open_files_max));
        }
        if let Some(lost) = self.log.get() {
            self.lost_lines.inner().store(lost.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.show_members(status);
        let mut page = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut page, &self.registry);
        page
    }
}

impl Metrics {
    /// Members, log and transfers; what is no longer there is no longer shown.
    fn show_members(&self, status: &StatusBody) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let gauges = &self.gauges;
        gauges.voters.set(number(status.voters.len() as u64));
        gauges.learners.set(number(status.learners.len() as u64));
        gauges.is_voter.set(i64::from(status.voters.contains(&status.node_id)));
        gauges.rules.set(i64::from(status.rules));
        gauges.log_bytes.set(number(status.log.bytes));
        gauges.log_first.set(number(status.log.first.unwrap_or(0)));
        gauges.peer_connected.clear();
        for peer in &status.peers {
            gauges.peer_connected.get_or_create(&ByPeer { peer: peer.id }).set(i64::from(peer.connected));
        }
        gauges.snapshot_rows.clear();
        gauges.snapshot_rows_total.clear();
        for snapshot in &status.snapshots {
            let direction = CodeLabel(match snapshot.direction {
                SnapshotDirection::Sending => "sending",
                SnapshotDirection::Receiving => "receiving",
            });
            let transfer = ByTransfer { direction, peer: snapshot.peer };
            gauges.snapshot_rows.get_or_create(&transfer).set(number(snapshot.rows));
            gauges.snapshot_rows_total.get_or_create(&transfer).set(number(snapshot.rows_total));
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
