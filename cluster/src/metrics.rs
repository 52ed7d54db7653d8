//! The metrics of a node, for Prometheus.
//!
//! Counters and histograms are kept here. A value that describes the present is read when the page is requested
//! (`metrics/gauges.rs`). No decision depends on a metric.

mod format;
mod gauges;
mod labels;
mod now;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use assent_proof::Code;
use assent_store::LOG_VERSION;

use crate::access::RefusedCaller;
use crate::env::ProcessUsage;
use crate::peer::PROTOCOL_VERSION;
use labels::{Counted, Decided, Outcome};

pub(crate) use format::Format;
pub(crate) use labels::{EnvelopeOutcome, GrowthBound, Limited, RefusedRequest};
pub(crate) use now::{DomainYear, KeyEnds, Now, TakenPlaces, Waiting};

/// A node's metrics.
pub struct Metrics {
    registry: Registry,
    decisions: Counted<Decided>,
    signatures: Counter<u64, AtomicU64>,
    submissions: Counted<EnvelopeOutcome>,
    submission_signatures: Counter<u64, AtomicU64>,
    submission_strangers: Counter<u64, AtomicU64>,
    growth_refusals: Counted<GrowthBound>,
    barriers: Counted<Outcome>,
    authorize_seconds: Histogram,
    submit_seconds: Histogram,
    barrier_seconds: Histogram,
    commit_seconds: Histogram,
    connections: Gauge,
    refused_connections: Counter<u64, AtomicU64>,
    limited: Counted<Limited>,
    refused_admin_connections: Counter<u64, AtomicU64>,
    refused_callers: Counted<RefusedCaller>,
    refused_requests: Counted<RefusedRequest>,
    audit_lost: Counter<u64, AtomicU64>,
    event_feeds: Gauge,
    events: Counter<u64, AtomicU64>,
    /// The process's count of lines of its log that were lost.
    log: OnceLock<Arc<AtomicU64>>,
    /// Whether the page shows what the process takes of its machine.
    process: AtomicBool,
}

/// The buckets: 0.1 ms to about 3 s, each twice the one before.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 16))
}

/// The build: `rules` is the newest version of the rules that it knows, `protocol` is the version that it speaks with
/// other nodes, and `format` is the version in which it writes its Raft log. The revision is the value of
/// `ASSENT_REVISION` at build time.
fn build(rules_known: u32) -> Info<Vec<(&'static str, String)>> {
    Info::new(vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("revision", option_env!("ASSENT_REVISION").unwrap_or("unknown").to_owned()),
        ("rules", rules_known.to_string()),
        ("protocol", PROTOCOL_VERSION.to_string()),
        ("format", LOG_VERSION.to_string()),
    ])
}

impl Metrics {
    /// Metrics that are all zero, of a node that knows the rules up to this version.
    pub fn new(rules_known: u32) -> Self {
        let mut registry = Registry::with_prefix("assent");
        let metrics = Self {
            decisions: Counted::new(),
            signatures: Counter::default(),
            submissions: Counted::new(),
            submission_signatures: Counter::default(),
            submission_strangers: Counter::default(),
            growth_refusals: Counted::new(),
            barriers: Counted::new(),
            authorize_seconds: latency(),
            submit_seconds: latency(),
            barrier_seconds: latency(),
            commit_seconds: latency(),
            connections: Gauge::default(),
            refused_connections: Counter::default(),
            limited: Counted::new(),
            refused_admin_connections: Counter::default(),
            refused_callers: Counted::new(),
            refused_requests: Counted::new(),
            audit_lost: Counter::default(),
            event_feeds: Gauge::default(),
            events: Counter::default(),
            log: OnceLock::new(),
            process: AtomicBool::new(false),
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register(
            "build",
            "The versions of this node's build, rules, protocol and log format",
            build(rules_known),
        );
        registry.register(
            "decisions",
            "Decisions by their first reason, or `allow` if there is no reason",
            m.decisions.family(),
        );
        registry.register(
            "decision_signatures",
            "Signatures over decisions, each over up to 64 decisions",
            m.signatures.clone(),
        );
        registry.register("submissions", "Envelopes by what became of them", m.submissions.family());
        registry.register(
            "submission_signatures",
            "The most signatures that checks of envelopes from clients and peers may have computed",
            m.submission_signatures.clone(),
        );
        registry.register(
            "submission_strangers",
            "Envelopes with unknown issuers, refused without a check of their signatures",
            m.submission_strangers.clone(),
        );
        registry.register(
            "growth_refusals",
            "Envelopes refused for a bound on the growth of the registry, by the bound",
            m.growth_refusals.family(),
        );
        registry.register("barriers", "Read barriers, passed or not", m.barriers.family());
        for (name, help, histogram) in [
            ("authorize", "From the arrival of an authorize request to its decision", &m.authorize_seconds),
            ("submit", "From the arrival of a submission to its answer", &m.submit_seconds),
            ("barrier", "From the start of a read barrier to its end", &m.barrier_seconds),
            ("commit", "From the proposal of an entry until it is committed and applied", &m.commit_seconds),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        registry.register("connections", "Client connections now", m.connections.clone());
        registry.register(
            "refused_connections",
            "Client connections beyond the limit that were closed, and requests on them that were refused",
            m.refused_connections.clone(),
        );
        registry.register(
            "limited",
            "Connections, handshakes and requests that a limit of one caller or address refused or delayed",
            m.limited.family(),
        );
        registry.register(
            "refused_admin_connections",
            "Connections to the admin listener that were closed, because as many were open as may be",
            m.refused_admin_connections.clone(),
        );
        registry.register(
            "refused_callers",
            "Callers that were refused, by the reason",
            m.refused_callers.family(),
        );
        registry.register(
            "refused_requests",
            "Requests refused for the form, the size or the time of their head or body, by the reason",
            m.refused_requests.family(),
        );
        registry.register(
            "audit_lost",
            "Entries of the audit trail that could not be written",
            m.audit_lost.clone(),
        );
        registry.register("event_feeds", "Streams and long polls of events now", m.event_feeds.clone());
        registry.register("events_sent", "Events sent to streams and long polls", m.events.clone());
        Self { registry, ..metrics }
    }

    /// Counts a decision by its first reason; none is an allow.
    pub(crate) fn decided(&self, code: Option<Code>) {
        self.decisions.inc(&Decided(code));
    }

    /// Counts a signature over decisions that were signed together.
    pub(crate) fn signed(&self) {
        self.signatures.inc();
    }

    /// How often this node has signed decisions. It signs up to 64 of them together.
    pub fn decision_signatures(&self) -> u64 {
        self.signatures.get()
    }

    /// Counts what became of this many envelopes.
    pub(crate) fn submitted(&self, became: &EnvelopeOutcome, envelopes: usize) {
        self.submissions.inc_by(became, u64::try_from(envelopes).unwrap_or(u64::MAX));
    }

    /// Counts a check of envelopes before they are proposed: the largest number of signatures that it may have
    /// computed, and how many envelopes were refused for unknown issuers without a signature.
    pub(crate) fn looked_at(&self, signatures: usize, strangers: usize) {
        let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        self.submission_signatures.inc_by(number(signatures));
        self.submission_strangers.inc_by(number(strangers));
    }

    /// Counts an envelope that was refused for a bound on the growth of the registry.
    pub(crate) fn refused_growth(&self, bound: GrowthBound) {
        self.growth_refusals.inc(&bound);
    }

    /// The largest number of signatures that checks of envelopes may have computed.
    pub fn submission_signatures(&self) -> u64 {
        self.submission_signatures.get()
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
        self.barriers.inc(if passed { &Outcome::Passed } else { &Outcome::Failed });
    }

    pub(crate) fn connected(&self) {
        self.connections.inc();
    }

    pub(crate) fn disconnected(&self) {
        self.connections.dec();
    }

    /// The present number of client connections.
    pub(crate) fn connections_now(&self) -> u64 {
        u64::try_from(self.connections.get()).unwrap_or(0)
    }

    /// Makes the page show this count of lost lines of the process's log. Only the first call counts, because a
    /// process has one log.
    pub fn count_lost_lines(&self, lost: Arc<AtomicU64>) {
        let _ = self.log.set(lost);
    }

    /// Makes the page show what the process takes of its machine. A process that runs one node calls this.
    pub fn show_process(&self) {
        self.process.store(true, Ordering::Relaxed);
    }

    pub(crate) fn connection_refused(&self) {
        self.refused_connections.inc();
    }

    /// Counts what a limit of one caller or address kept out.
    pub(crate) fn limited(&self, limit: &Limited) {
        self.limited.inc(limit);
    }

    pub(crate) fn admin_connection_refused(&self) {
        self.refused_admin_connections.inc();
    }

    /// Counts a caller that was refused.
    pub(crate) fn caller_refused(&self, why: RefusedCaller) {
        self.refused_callers.inc(&why);
    }

    /// Counts a request that HTTP refused before any use case saw it.
    pub(crate) fn request_refused(&self, why: RefusedRequest) {
        self.refused_requests.inc(&why);
    }

    /// How many callers were refused for each reason for which there was one.
    pub(crate) fn callers_refused(&self) -> BTreeMap<String, u64> {
        let counts = self.refused_callers.counts().filter(|(_, refused)| *refused > 0);
        counts.map(|(reason, refused)| (reason.to_owned(), refused)).collect()
    }

    /// How many entries of the audit trail are lost.
    #[cfg(test)]
    pub(crate) fn audit_entries_lost(&self) -> u64 {
        self.audit_lost.get()
    }

    /// Counts entries of the audit trail that are lost.
    pub(crate) fn audit_lost(&self, entries: u64) {
        self.audit_lost.inc_by(entries);
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

    /// The page, as text.
    pub(crate) fn page(&self, now: &Now<'_>, format: Format) -> String {
        let lost_lines = self.log.get().map_or(0, |lost| lost.load(Ordering::Relaxed));
        let node = gauges::node(now, lost_lines);
        let process = self.process.load(Ordering::Relaxed).then(|| gauges::process(&ProcessUsage::now()));
        let mut page = String::new();
        for registry in [Some(&self.registry), Some(&node), process.as_ref()].into_iter().flatten() {
            // Writing to a string cannot fail.
            let _ = encode_registry(&mut page, registry);
        }
        let _ = encode_eof(&mut page);
        format.of(page)
    }
}
