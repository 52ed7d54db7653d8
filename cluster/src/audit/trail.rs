//! The queue between requests and the file.
//!
//! A request adds its line and goes on. One lasting task writes what has come, at once and at least every second. If
//! the queue is full or the disk fails, lines are lost: they are counted, and the next line that can be written says
//! how many. Only a call of class `admin` waits for its first line, and is refused if that cannot be written: no change
//! of the cluster is made that the trail does not have.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use assent_proof::Millis;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::class::AuditClass;
use super::entry::{Entry, Facts};
use super::line::{Phase, line, lost_line};
use super::setting::AuditConfig;
use super::sink::Sink;
use crate::access::RefusedCaller;
use crate::env::{Blocking, Clock, blocking};
use crate::locked::lock;
use crate::log_throttle::LogThrottle;
use crate::metrics::Metrics;
use crate::tasks::Why;
use crate::token_bucket::{Pace, TokenBucket};

/// The most lines that wait to be written, and their bytes.
const LINES_MAX: usize = 16 * 1024;
const BYTES_MAX: usize = 8 << 20;
/// As many more for lines of class `admin`, so that other lines never keep an operator out.
const ADMIN_LINES: usize = 1024;
const ADMIN_BYTES: usize = 1 << 20;
/// How many entries of unknown callers are written in a second, over a while, how many of callers that are beyond a
/// limit, and how many of known callers that lack a role or a domain or hand in what nobody may. Anyone can be an unknown
/// caller, and could push everything else out of the files that are kept. So could a caller that goes on asking beyond
/// its limit or its rights, which costs it little.
const UNKNOWN_PER_SECOND: u64 = 50;
/// How many of them are written at once after a quiet time.
const UNKNOWN_AT_ONCE: u64 = 500;
/// How the bucket of such entries fills.
const UNKNOWN_PACE: Pace = Pace { rate: UNKNOWN_PER_SECOND, burst: UNKNOWN_AT_ONCE };
/// The longest time for which lines wait to be written or to be on the disk.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// How often old files are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// How long a change of the cluster waits for its line.
const ASKED_WITHIN: Duration = Duration::from_secs(2);

/// The audit trail of a node. Without a file it takes entries and drops them.
pub(crate) struct Trail {
    node: u64,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// The start of the ids of this process's requests, so that no two processes give the same ids.
    ids: OnceLock<String>,
    requests: AtomicU64,
    on: Option<On>,
}

/// A trail with a file.
struct On {
    classes: BTreeSet<AuditClass>,
    queue: Mutex<Queue>,
    ring: Notify,
    /// Since when the file has lines that may not be on the disk yet.
    unsynced: Mutex<Option<Instant>>,
    sink: Arc<Mutex<Sink>>,
    trouble: Mutex<LogThrottle>,
    unknown: Mutex<TokenBucket>,
    limited: Mutex<TokenBucket>,
    /// For known callers that lack a right.
    denied: Mutex<TokenBucket>,
}

impl On {
    /// What bounds how many such entries are written in a second.
    fn bucket(&self, entry: &Entry) -> Option<&Mutex<TokenBucket>> {
        if entry.class != AuditClass::Refused {
            None
        } else if entry.who.by() == "unknown" {
            Some(&self.unknown)
        } else if entry.facts.refused.is_some_and(RefusedCaller::is_of_limit) {
            Some(&self.limited)
        } else {
            Some(&self.denied)
        }
    }
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    /// How many entries were lost and not told of yet.
    lost: u64,
}

struct Line {
    bytes: Vec<u8>,
    /// Told once the line is on the disk, or why it is not.
    written: Option<oneshot::Sender<Result<(), String>>>,
}

impl Queue {
    /// Adds a line, if there is room.
    fn push(&mut self, line: Line, class: AuditClass) -> bool {
        let (more_lines, more_bytes) =
            if class == AuditClass::Admin { (ADMIN_LINES, ADMIN_BYTES) } else { (0, 0) };
        let bytes = self.bytes.saturating_add(line.bytes.len());
        if self.lines.len() >= LINES_MAX.saturating_add(more_lines)
            || bytes > BYTES_MAX.saturating_add(more_bytes)
        {
            self.lost = self.lost.saturating_add(1);
            return false;
        }
        self.bytes = bytes;
        self.lines.push_back(line);
        true
    }
}

impl Trail {
    /// The trail of this node, which writes into `sink` if there is one.
    pub(crate) fn new(
        node: u64,
        config: &AuditConfig,
        sink: Option<Sink>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let bucket = || Mutex::new(TokenBucket::full(UNKNOWN_PACE, Instant::now()));
        let on = sink.map(|sink| On {
            classes: config.classes.iter().copied().collect(),
            queue: Mutex::default(),
            ring: Notify::new(),
            unsynced: Mutex::default(),
            sink: Arc::new(Mutex::new(sink)),
            trouble: Mutex::default(),
            unknown: bucket(),
            limited: bucket(),
            denied: bucket(),
        });
        Self { node, clock, metrics, ids: OnceLock::new(), requests: AtomicU64::new(0), on }
    }

    /// Whether there is a file.
    pub(crate) fn is_on(&self) -> bool {
        self.on.is_some()
    }

    /// The id of a new request: the node, when its process began to count, and the number.
    pub(crate) fn new_request(&self) -> Arc<str> {
        let ids = self.ids.get_or_init(|| format!("{}-{:x}", self.node, self.clock.now().0));
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{ids}-{number}").into()
    }

    /// A call begins. Its entry is written when it is over, however it ends.
    pub(crate) fn begin(self: &Arc<Self>, entry: Entry) -> Open {
        Open { trail: self.clone(), entry: Some(entry), started: Instant::now() }
    }

    /// Adds an entry about something that is over.
    pub(crate) fn add(&self, entry: &Entry) {
        self.record(entry, Duration::ZERO);
    }

    fn record(&self, entry: &Entry, latency: Duration) {
        let Some(on) = self.takes(entry.class) else { return };
        if on.bucket(entry).is_some_and(|bucket| !lock(bucket).take(1, Instant::now())) {
            let mut queue = lock(&on.queue);
            queue.lost = queue.lost.saturating_add(1);
            return self.metrics.audit_lost(1);
        }
        self.push(on, Phase::Answered, entry, latency, None);
    }

    fn takes(&self, class: AuditClass) -> Option<&On> {
        self.on.as_ref().filter(|on| !class.may_be_off() || on.classes.contains(&class))
    }

    fn push(
        &self,
        on: &On,
        phase: Phase,
        entry: &Entry,
        latency: Duration,
        written: Option<oneshot::Sender<Result<(), String>>>,
    ) {
        let bytes = line(self.clock.now(), self.node, phase, entry, latency);
        if lock(&on.queue).push(Line { bytes, written }, entry.class) {
            on.ring.notify_one();
        } else {
            self.metrics.audit_lost(1);
        }
    }

    /// Writes everything that has come. A second call at the same time writes what has come since.
    pub(crate) async fn flush(&self, runner: &dyn Blocking) {
        let Some(on) = &self.on else { return };
        let Queue { lines, lost, .. } = std::mem::take(&mut *lock(&on.queue));
        let unsynced = *lock(&on.unsynced);
        if lines.is_empty() && lost == 0 && unsynced.is_none() {
            return;
        }
        let now = self.clock.now();
        let entries = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let (mut bytes, mut waiting) = (Vec::new(), Vec::new());
        if lost > 0 {
            bytes.extend(lost_line(now, self.node, lost));
        }
        for line in lines {
            bytes.extend(line.bytes);
            waiting.extend(line.written);
        }
        // Lines for which a caller waits go to the disk at once, and the others within a second.
        let is_due = unsynced.is_some_and(|since| since.elapsed() >= FLUSH_EVERY);
        let durable = !waiting.is_empty() || bytes.is_empty() || is_due;
        let sink = on.sink.clone();
        let written = blocking(runner, move || lock(&sink).write(&bytes, now, durable)).await;
        let written = written.unwrap_or_else(|error| Err(error.to_string()));
        match &written {
            Ok(()) => *lock(&on.unsynced) = if durable { None } else { unsynced.or(Some(Instant::now())) },
            Err(problem) => {
                {
                    let mut queue = lock(&on.queue);
                    queue.lost = queue.lost.saturating_add(lost).saturating_add(entries);
                }
                self.metrics.audit_lost(entries);
                if let Some(more) = lock(&on.trouble).tell() {
                    tracing::error!(%problem, entries, more, "entries of the audit trail are lost, and changes of the cluster are refused");
                }
            }
        }
        for waits in waiting {
            // A caller that is gone does not wait any more.
            let _ = waits.send(written.clone());
        }
    }

    /// Writes everything that has come, and returns once it is on the disk or lost. For a node that stops.
    pub(crate) async fn finish(&self, runner: &dyn Blocking) {
        self.flush(runner).await;
        // There is nothing more to write, so this goes to the disk.
        self.flush(runner).await;
    }

    async fn prune(&self, runner: &dyn Blocking, sure_now: Option<Millis>) {
        let Some(on) = &self.on else { return };
        let sink = on.sink.clone();
        let pruned = blocking(runner, move || lock(&sink).prune(sure_now)).await;
        if let Err(problem) = pruned.unwrap_or_else(|error| Err(error.to_string()))
            && let Some(more) = lock(&on.trouble).tell()
        {
            tracing::warn!(%problem, more, "old files of the audit trail stay");
        }
    }

    /// Waits until there is something to write, at most until the next flush is due.
    async fn wait(&self) {
        match &self.on {
            Some(on) => {
                let _ = timeout(FLUSH_EVERY, on.ring.notified()).await;
            }
            None => sleep(FLUSH_EVERY).await,
        }
    }
}

/// Writes the trail as long as the node runs. `sure_now` is the time, if the node is sure of it.
pub(crate) async fn keep_trail(
    trail: Arc<Trail>,
    runner: Arc<dyn Blocking>,
    sure_now: impl Fn() -> Option<Millis> + Send + 'static,
) -> Why {
    let mut pruned: Option<Instant> = None;
    loop {
        trail.wait().await;
        trail.flush(&*runner).await;
        if pruned.is_none_or(|pruned| pruned.elapsed() >= PRUNE_EVERY) {
            trail.prune(&*runner, sure_now()).await;
            pruned = Some(Instant::now());
        }
    }
}

/// A call that is under way. If it is dropped without an answer, because its caller is gone or the work on it has
/// failed, the trail says so.
pub(crate) struct Open {
    trail: Arc<Trail>,
    entry: Option<Entry>,
    started: Instant,
}

impl Open {
    /// Writes that the call begins, and waits until that is on the disk.
    ///
    /// # Errors
    /// It is not, and the call must not be made.
    pub(crate) async fn ask(&self) -> Result<(), String> {
        let Some(entry) = &self.entry else { return Err("the call is over".to_owned()) };
        let Some(on) = self.trail.takes(entry.class) else { return Ok(()) };
        let (give, written) = oneshot::channel();
        self.trail.push(on, Phase::Asked, entry, Duration::ZERO, Some(give));
        match timeout(ASKED_WITHIN, written).await {
            Ok(Ok(written)) => written,
            Ok(Err(_)) => Err("the queue of the audit trail is full, or the node is stopping".to_owned()),
            Err(_) => Err(format!("the audit trail was not written within {} s", ASKED_WITHIN.as_secs())),
        }
    }

    /// The call is over, and this is what became known of it.
    pub(crate) fn close(mut self, class: AuditClass, facts: Facts) {
        if let Some(entry) = self.entry.take() {
            let entry = Entry { class, facts: facts.or(entry.facts.clone()), ..entry };
            self.trail.record(&entry, self.started.elapsed());
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(mut entry) = self.entry.take() {
            entry.facts.decision = Some("unanswered");
            self.trail.record(&entry, self.started.elapsed());
        }
    }
}

#[cfg(test)]
mod tests;
