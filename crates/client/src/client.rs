//! The client: which endpoint is asked, and when the next one is.

use assent_api::Problem;
use http::uri::Authority;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::transport::{Answer, Ask, Failure, Transport};

/// A cluster's client. Cheap to clone; clones share connections and the choice of endpoint.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ClientConfig,
    endpoints: Endpoints,
    /// Index of the endpoint that answered last; a hint, so relaxed ordering will do.
    current: AtomicUsize,
    transport: Transport,
}

/// The endpoints: at least one.
#[derive(Debug)]
pub(crate) struct Endpoints {
    pub(crate) first: Authority,
    pub(crate) others: Vec<Authority>,
}

impl Endpoints {
    fn get(&self, index: usize) -> &Authority {
        index.checked_sub(1).and_then(|index| self.others.get(index)).unwrap_or(&self.first)
    }
}

/// An endpoint and its index.
pub(crate) type Choice<'a> = (usize, &'a Authority);

impl Client {
    /// A client for these endpoints. Connects when it is first used; needs a tokio runtime then.
    ///
    /// # Errors
    /// `config_invalid` for an endpoint that cannot be used.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let endpoints = config.endpoints()?;
        let transport = Transport::new(config.connect_timeout, config.response_bytes_max);
        let shared = Shared { config, endpoints, current: AtomicUsize::new(0), transport };
        Ok(Client { shared: Arc::new(shared) })
    }

    /// What it was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// The number of endpoints.
    pub(crate) fn endpoint_count(&self) -> usize {
        self.shared.endpoints.others.len().saturating_add(1)
    }

    /// The endpoint to ask next.
    pub(crate) fn choose(&self) -> Choice<'_> {
        let index = self.shared.current.load(Ordering::Relaxed);
        (index, self.shared.endpoints.get(index))
    }

    /// An endpoint by its place, for callers that choose for themselves.
    pub(crate) fn endpoint_at(&self, index: usize) -> &Authority {
        self.shared.endpoints.get(index)
    }

    /// One attempt of its own length, whatever a call may take.
    pub(crate) async fn attempt_for(
        &self,
        endpoint: &Authority,
        ask: &Ask,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        self.shared.transport.attempt(endpoint, ask, timeout).await
    }

    /// Turns away from an endpoint that failed, unless another call already did.
    pub(crate) fn turn_from(&self, index: usize) {
        let next = index.saturating_add(1).checked_rem(self.endpoint_count()).unwrap_or(0);
        let _ = self.shared.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// One attempt, cut off at the call's deadline.
    pub(crate) async fn attempt(
        &self,
        endpoint: &Authority,
        ask: &Ask,
        until: Instant,
    ) -> Result<Answer, Failure> {
        let timeout = self.config().attempt_timeout.min(until.saturating_duration_since(Instant::now()));
        if timeout.is_zero() {
            return Err(Failure::NotSent("the deadline has passed".to_owned()));
        }
        self.shared.transport.attempt(endpoint, ask, timeout).await
    }

    /// When a call that starts now must be over.
    pub(crate) fn deadline(&self) -> Instant {
        deadline_after(self.config().deadline)
    }

    /// Asks the endpoints in turn, each once, until one answers something else than that it cannot. Only for what may
    /// be asked twice.
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Answer, NoAnswer> {
        let until = self.deadline();
        let mut no_answer = NoAnswer::default();
        for _ in 0..self.endpoint_count() {
            let (index, endpoint) = self.choose();
            match self.attempt(endpoint, ask, until).await {
                Ok(answer) if !cannot(answer.status) => return Ok(answer),
                Ok(answer) => no_answer.answered(answer),
                Err(failure) => no_answer.failed(endpoint, &failure),
            }
            self.turn_from(index);
        }
        Err(no_answer)
    }
}

/// A point in time that far from now.
fn deadline_after(duration: Duration) -> Instant {
    let now = Instant::now();
    // A duration that overflows is longer than any program runs.
    now.checked_add(duration).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 3600))
}

/// Whether a status says that this node could not do it now, so that another one might.
pub(crate) fn cannot(status: u16) -> bool {
    status >= 500 || matches!(status, 408 | 425 | 429)
}

/// What came back when no endpoint could answer.
#[derive(Debug, Default)]
pub(crate) struct NoAnswer {
    details: Vec<String>,
    /// The last answer that said so.
    pub(crate) last: Option<Answer>,
}

/// Most details that an error lists.
const DETAILS_MAX: usize = 8;

impl NoAnswer {
    pub(crate) fn failed(&mut self, endpoint: &Authority, failure: &Failure) {
        self.note(endpoint, failure.detail());
    }

    pub(crate) fn answered(&mut self, answer: Answer) {
        let said = match problem(&answer.body) {
            Some(problem) => format!("status {}, {}: {}", answer.status, problem.code, problem.detail),
            None => format!("status {}", answer.status),
        };
        self.note(&answer.endpoint, &said);
        self.last = Some(answer);
    }

    fn note(&mut self, endpoint: &Authority, what: &str) {
        let detail = format!("`{endpoint}`: {what}");
        // A call that retries for long says the same again and again.
        if self.details.len() < DETAILS_MAX && !self.details.contains(&detail) {
            self.details.push(detail);
        }
    }

    pub(crate) fn detail(&self) -> String {
        if self.details.is_empty() { "the deadline has passed".to_owned() } else { self.details.join("; ") }
    }
}

impl From<NoAnswer> for ClientError {
    fn from(no_answer: NoAnswer) -> Self {
        let problem = no_answer.last.as_ref().and_then(|answer| problem(&answer.body)).map(Box::new);
        ClientError::Unavailable { detail: no_answer.detail(), problem }
    }
}

/// The problem document in a body, if it is one.
pub(crate) fn problem(body: &[u8]) -> Option<Problem> {
    serde_json::from_slice(body).ok()
}

/// The error of an answer that is not the API's.
pub(crate) fn not_the_api(answer: &Answer, what: impl std::fmt::Display) -> ClientError {
    ClientError::Answer {
        endpoint: answer.endpoint.to_string(),
        detail: format!("status {}, {what}", answer.status),
    }
}

/// The error of an answer that is no success: the node's refusal, or something that is not the API.
pub(crate) fn refused(answer: &Answer) -> ClientError {
    match problem(&answer.body) {
        Some(problem) if (400..500).contains(&answer.status) => ClientError::Refused(Box::new(problem)),
        Some(problem) => {
            ClientError::Unavailable { detail: problem.detail.clone(), problem: Some(Box::new(problem)) }
        }
        None => not_the_api(answer, "without a problem document"),
    }
}
