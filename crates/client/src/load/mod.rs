//! A closed-loop load generator: each client sends its next request when the answer to the last one is there.
//!
//! One keep-alive HTTP/1.1 connection a client, spread evenly over the endpoints, each driven in its client's own task.
//! That costs little, which matters where the load shares its processors with the nodes. It reports to stderr while it
//! runs and returns figures; it prints no result itself. It never decides what is right: the caller's [`Judge`] does.
//!
//! What is measured: answers that arrive after the warm-up and before the end, from the first byte sent to the last one
//! read. Requests that are sent again (see [`LoadConfig::resend_max`]) count once, from their first attempt.

mod report;
mod worker;

pub use report::{LatencyReport, LoadReport};

use assent_api::Retry;
use bytes::Bytes;
use http::{Method, Uri};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::answer::retry_said;
use crate::config::authority;
use crate::error::ClientError;
use report::Recorder;

/// Most clients of one run.
pub const CLIENTS_MAX: usize = 4096;

/// One request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) method: Method,
    /// Path and query.
    pub(super) uri: Uri,
    pub(super) body: Bytes,
}

impl Call {
    /// A GET of `path`, with its query.
    ///
    /// # Errors
    /// `config_invalid` for something that is no path.
    pub fn get(path: &str) -> Result<Self, ClientError> {
        Ok(Call { method: Method::GET, uri: uri(path)?, body: Bytes::new() })
    }

    /// A POST of JSON.
    ///
    /// # Errors
    /// `config_invalid` for something that is no path.
    pub fn post(path: &str, body: impl Into<Bytes>) -> Result<Self, ClientError> {
        Ok(Call { method: Method::POST, uri: uri(path)?, body: body.into() })
    }
}

fn uri(path: &str) -> Result<Uri, ClientError> {
    match path.parse::<Uri>() {
        Ok(uri) if path.starts_with('/') => Ok(uri),
        _ => Err(ClientError::Config { detail: format!("`{path}` is not a path") }),
    }
}

/// What the clients send.
#[derive(Clone, Debug)]
pub enum Work {
    /// All of these again and again; each client starts elsewhere in the list.
    Repeat(Vec<Call>),
    /// Each client its own list, once, in order. The run ends when the first client has nothing left, so that the
    /// number of clients is the same all the time.
    Once(Vec<Vec<Call>>),
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Under which name it is counted.
    pub label: &'static str,
    /// Whether it is what the run wants to see.
    pub expected: bool,
    /// Whether the outcome is open, so that the same bytes are to be sent again.
    pub resend: bool,
}

/// Judges an answer by status and body. Runs on the hot path.
pub type Judge = fn(u16, &[u8]) -> Judgement;

/// When a run is over.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// After that much time, the warm-up excluded.
    After(Duration),
    /// After that many answers, the warm-up excluded.
    Operations(u64),
}

/// One run.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// The nodes' client addresses, such as `http://127.0.0.1:7400`.
    pub endpoints: Vec<String>,
    /// How many clients, 1 to [`CLIENTS_MAX`].
    pub clients: usize,
    /// Answers during this time are not counted.
    pub warm_up: Duration,
    /// When it is over.
    pub stop: Stop,
    /// How long an attempt may take; then its connection is dropped.
    pub attempt_timeout: Duration,
    /// How often a request whose outcome is open is sent again, 20 ms apart.
    pub resend_max: u32,
    /// What the progress on stderr calls this run; none: no progress.
    pub label: Option<String>,
}

impl LoadConfig {
    /// Ten seconds after one of warm-up, attempts of at most 5 s, 100 resends, no progress.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>, clients: usize) -> Self {
        LoadConfig {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            clients,
            warm_up: Duration::from_secs(1),
            stop: Stop::After(Duration::from_secs(10)),
            attempt_timeout: Duration::from_secs(5),
            resend_max: 100,
            label: None,
        }
    }
}

/// Judges answers of `POST /v1/authorize`: only 200 with a decision that says `allow` is expected.
///
/// The decision's receipt is not verified here: that costs more than the whole request.
pub fn judge_authorize(status: u16, body: &[u8]) -> Judgement {
    let (label, expected) = match status {
        200 if body.starts_with(br#"{"decision":"allow""#) => ("allow", true),
        200 => ("200 without allow", false),
        403 => ("deny", false),
        503 => ("cannot know", false),
        400 => ("malformed", false),
        _ => ("other status", false),
    };
    Judgement { label, expected, resend: false }
}

/// Judges answers of `POST /v1/envelopes`: 201 is expected; 200 (accepted before) is too, after a resend. What is not refused
/// for good is sent again.
pub fn judge_submit(status: u16, body: &[u8]) -> Judgement {
    let (label, expected) = match status {
        201 => ("accepted", true),
        200 => ("accepted before", true),
        429 => ("overloaded", false),
        503 => ("unavailable", false),
        504 => ("unknown outcome", false),
        409 => ("slot conflict", false),
        _ => ("refused", false),
    };
    let resend = retry_said(assent_api::Call::Submission, status, body) != Retry::Final;
    Judgement { label, expected, resend }
}

/// Judges answers of which only 200 is expected, such as those of `/livez`.
pub fn judge_ok(status: u16, _body: &[u8]) -> Judgement {
    let expected = status == 200;
    Judgement { label: if expected { "ok" } else { "other status" }, expected, resend: false }
}

/// Runs the load and waits for its end.
///
/// # Errors
/// `config_invalid` for endpoints, a number of clients or work that cannot be used. What goes wrong on the way is
/// counted, not returned.
pub async fn run(config: LoadConfig, work: Work, judge: Judge) -> Result<LoadReport, ClientError> {
    check(&config, &work)?;
    let endpoints: Result<Vec<_>, _> = config.endpoints.iter().map(|endpoint| authority(endpoint)).collect();
    let endpoints = Arc::new(endpoints?);
    let recorder = Arc::new(Recorder::new(&config)?);
    let mut clients = JoinSet::new();
    for (index, calls) in queues(work, config.clients).into_iter().enumerate() {
        let client = worker::Worker {
            endpoints: Arc::clone(&endpoints),
            endpoint: index,
            recorder: Arc::clone(&recorder),
            judge,
            attempt_timeout: config.attempt_timeout,
            resend_max: config.resend_max,
        };
        clients.spawn(client.run(calls));
    }
    let progress = async {
        let second = Duration::from_secs(1);
        let mut ticks = tokio::time::interval_at(Instant::now() + second, second);
        loop {
            ticks.tick().await;
            recorder.tell(config.label.as_deref());
        }
    };
    let over = recorder.over(config.warm_up, config.stop);
    tokio::select! {
        () = over => {}
        () = progress => {}
    }
    // Requests under way get a moment to end, so that what they wrote is not taken for lost by the next run.
    let grace = Instant::now() + config.attempt_timeout;
    while let Ok(Some(_)) = tokio::time::timeout_at(grace, clients.join_next()).await {}
    clients.shutdown().await;
    recorder.report(&config)
}

fn check(config: &LoadConfig, work: &Work) -> Result<(), ClientError> {
    let wrong = |detail: String| Err(ClientError::Config { detail });
    if config.endpoints.is_empty() {
        return wrong("no endpoint to load".to_owned());
    }
    if config.clients == 0 || config.clients > CLIENTS_MAX {
        return wrong(format!("`{}` clients; give 1 to {CLIENTS_MAX}", config.clients));
    }
    match work {
        Work::Repeat(calls) if calls.is_empty() => wrong("nothing to send".to_owned()),
        Work::Once(queues) if queues.len() != config.clients => {
            wrong(format!("work for `{}` clients instead of `{}`", queues.len(), config.clients))
        }
        _ => Ok(()),
    }
}

/// What each client sends: a list, where it starts, and whether it starts over.
fn queues(work: Work, clients: usize) -> Vec<worker::Queue> {
    match work {
        Work::Repeat(calls) => {
            let calls = Arc::new(calls);
            let step = calls.len().div_ceil(clients.max(1));
            let queue =
                |client: usize| worker::Queue::repeating(Arc::clone(&calls), client.saturating_mul(step));
            (0..clients).map(queue).collect()
        }
        Work::Once(queues) => queues.into_iter().map(worker::Queue::once).collect(),
    }
}
