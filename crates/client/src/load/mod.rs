//! A closed-loop load generator: each client sends its next request when the answer to the last one is there.
//!
//! One keep-alive HTTP/1.1 connection a client, spread evenly over the endpoints, each driven in its client's own task.
//! That costs little, which matters where the load shares its processors with the nodes. It reports to stderr while it
//! runs and returns figures; it prints no result itself. It never decides what is right: the caller's [`Judge`] does.
//!
//! What is measured: answers that arrive after the warm-up and before the end, from the first byte sent to the last one
//! read. Requests that are sent again (see [`LoadConfig::resend_max`]) count once, from their first attempt.

mod config;
mod judge;
mod report;
mod work;
mod worker;

pub use config::{CLIENTS_MAX, LoadConfig, Stop};
pub use judge::{Judge, Judgement, judge_authorize, judge_ok, judge_submit};
pub use report::{LatencyReport, LoadReport};
pub use work::{Call, Work};

use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock::SystemClock;
use crate::config::endpoint;
use crate::credentials::Credentials;
use crate::error::ClientError;
use report::Recorder;

/// Runs the load and waits for its end.
///
/// # Errors
/// `config_invalid` for endpoints, credentials, a number of clients or work that cannot be used. What goes wrong on the way is
/// counted, not returned.
pub async fn run(config: LoadConfig, work: Work, judge: Judge) -> Result<LoadReport, ClientError> {
    check(&config, &work)?;
    let endpoints: Result<Vec<_>, _> =
        config.endpoints.iter().map(|text| endpoint(config.tls.as_ref(), text)).collect();
    let endpoints = Arc::new(endpoints?);
    let credentials = match &config.tls {
        Some(tls) => Some(Credentials::read(tls, Arc::new(SystemClock))?),
        None => None,
    };
    let recorder = Arc::new(Recorder::new(&config)?);
    let mut clients = JoinSet::new();
    for (index, calls) in queues(work, config.clients).into_iter().enumerate() {
        let client = worker::Worker {
            endpoints: Arc::clone(&endpoints),
            endpoint: index,
            credentials: credentials.clone(),
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
    let wrong =
        |detail: String| Err(ClientError::config(detail, "correct this in the configuration of the load"));
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
