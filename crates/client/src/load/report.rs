//! What a run measured.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::config::{LoadConfig, Stop};
use crate::error::ClientError;

/// Latencies are kept with three digits from 1 µs to 60 s.
const LATENCY_MAX_US: u64 = 60_000_000;

/// The figures of one run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadReport {
    /// How many clients.
    pub clients: usize,
    /// How long was measured, in seconds.
    pub seconds: f64,
    /// Answers in that time.
    pub operations: u64,
    /// Answers a second.
    pub per_second: f64,
    /// From the first byte sent to the last byte read.
    pub latency: LatencyReport,
    /// Answers in that time by what they were.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Answers that were not what the run wanted to see, and requests without any, **over the whole run**, the warm-up
    /// included.
    pub unexpected: u64,
    /// What went wrong on the way and was tried again, over the whole run.
    pub retries: BTreeMap<&'static str, u64>,
    /// Whether it ended because a client had nothing left to send.
    pub exhausted: bool,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyReport {
    /// Mean.
    pub mean_us: f64,
    /// Half took at most this.
    pub p50_us: u64,
    /// 90 % took at most this.
    pub p90_us: u64,
    /// 99 % took at most this.
    pub p99_us: u64,
    /// 99.9 % took at most this.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// Collects what the clients see. Shared by all of them: the lock is held for tens of nanoseconds.
pub(super) struct Recorder {
    state: Mutex<State>,
    started: Instant,
    /// Answers count from then on.
    measure_from: Instant,
    operations_max: u64,
    /// Nanoseconds from `started` to the end; 0 before it.
    ended_at_ns: AtomicU64,
    ended: Notify,
}

struct State {
    histogram: Histogram<u64>,
    outcomes: BTreeMap<&'static str, u64>,
    retries: BTreeMap<&'static str, u64>,
    operations: u64,
    unexpected: u64,
    told: u64,
    exhausted: bool,
}

impl Recorder {
    pub(super) fn new(config: &LoadConfig) -> Result<Self, ClientError> {
        let started = Instant::now();
        let histogram = Histogram::new_with_max(LATENCY_MAX_US, 3).map_err(|error| {
            ClientError::config(error.to_string(), "report this as a defect of the program")
        })?;
        Ok(Recorder {
            state: Mutex::new(State {
                histogram,
                outcomes: BTreeMap::new(),
                retries: BTreeMap::new(),
                operations: 0,
                unexpected: 0,
                told: 0,
                exhausted: false,
            }),
            started,
            measure_from: started + config.warm_up,
            operations_max: if let Stop::Operations(count) = config.stop { count } else { u64::MAX },
            ended_at_ns: AtomicU64::new(0),
            ended: Notify::new(),
        })
    }

    /// Waits for the end and marks it.
    pub(super) async fn over(&self, warm_up: Duration, stop: Stop) {
        match stop {
            Stop::After(duration) => {
                let _ = tokio::time::timeout(warm_up.saturating_add(duration), self.ended.notified()).await;
            }
            Stop::Operations(_) => self.ended.notified().await,
        }
        self.end();
    }

    /// Whether the clients are to stop.
    pub(super) fn is_over(&self) -> bool {
        self.ended_at_ns.load(Ordering::Relaxed) != 0
    }

    fn end(&self) {
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
        let first = self.ended_at_ns.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_ok() {
            // Also for one that does not wait yet.
            self.ended.notify_one();
        }
    }

    /// A client had nothing left.
    pub(super) fn exhausted(&self) {
        if !self.is_over() {
            self.lock().exhausted = true;
            self.end();
        }
    }

    /// One request is done.
    pub(super) fn done(&self, label: &'static str, expected: bool, sent: Instant) {
        let now = Instant::now();
        let mut state = self.lock();
        if !expected {
            state.unexpected += 1;
        }
        if now < self.measure_from || self.is_over() {
            return;
        }
        let latency = u64::try_from(now.duration_since(sent).as_micros()).unwrap_or(LATENCY_MAX_US);
        state.histogram.saturating_record(latency.clamp(1, LATENCY_MAX_US));
        *state.outcomes.entry(label).or_default() += 1;
        state.operations += 1;
        if state.operations >= self.operations_max {
            drop(state);
            self.end();
        }
    }

    /// Something went wrong and is tried again.
    pub(super) fn retried(&self, label: &'static str) {
        *self.lock().retries.entry(label).or_default() += 1;
    }

    /// Says on stderr how it goes.
    pub(super) fn tell(&self, label: Option<&str>) {
        let Some(label) = label else { return };
        let mut state = self.lock();
        let (operations, fresh) = (state.operations, state.operations.saturating_sub(state.told));
        state.told = operations;
        let unexpected = state.unexpected;
        drop(state);
        let seconds = self.started.elapsed().as_secs();
        let warming = if Instant::now() < self.measure_from { ", warming up" } else { "" };
        eprintln!("{label}: {seconds} s, {fresh}/s, {operations} done, {unexpected} unexpected{warming}");
    }

    /// The figures, after the end.
    pub(super) fn report(&self, config: &LoadConfig) -> Result<LoadReport, ClientError> {
        let state = self.lock();
        let ended = self.started + Duration::from_nanos(self.ended_at_ns.load(Ordering::Relaxed));
        let seconds = ended.saturating_duration_since(self.measure_from).as_secs_f64();
        if state.operations == 0 {
            let why = if state.exhausted {
                "the work ran out during the warm-up"
            } else {
                "no answer came in time"
            };
            let detail = format!("nothing was measured: {why}; retries: {:?}", state.retries);
            return Err(ClientError::Unavailable { detail, problem: None });
        }
        let at = |quantile| state.histogram.value_at_quantile(quantile);
        Ok(LoadReport {
            clients: config.clients,
            seconds,
            operations: state.operations,
            #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
            per_second: state.operations as f64 / seconds.max(f64::MIN_POSITIVE),
            latency: LatencyReport {
                mean_us: state.histogram.mean(),
                p50_us: at(0.5),
                p90_us: at(0.9),
                p99_us: at(0.99),
                p999_us: at(0.999),
                max_us: state.histogram.max(),
            },
            outcomes: state.outcomes.clone(),
            unexpected: state.unexpected,
            retries: state.retries.clone(),
            exhausted: state.exhausted,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A client that panicked leaves whole counters behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
