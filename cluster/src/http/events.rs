//! `GET /v1/events`: a long poll of JSON lines, or server-sent events for clients that accept them.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use http::{Extensions, HeaderMap, HeaderValue, header};
use tokio::sync::mpsc;

use assent_api::{
    Call, DEFAULT_PAGE, MAX_EVENTS_FILTER, MAX_EVENTS_WAIT_MS, MAX_PAGE, NDJSON_CONTENT_TYPE,
    SSE_CONTENT_TYPE,
};
use assent_proof::{Code, Cursor, History, Refusal};

use super::caller::Kept;
use super::front::HalfClosed;
use super::judged::Judged;
use super::read::Parameters;
use super::reply::{problem_body, refusal, reply};
use super::server::Stopping;
use crate::shares::DoorLane;
use crate::usecase::{EventsAsk, Follower, PollAsk, Service};

/// The header in which a browser sends the last event that it has seen.
const LAST_EVENT_ID: &str = "last-event-id";

/// Everything that entered the ledger after a revision.
pub(super) async fn events(
    State(service): State<Service>,
    Extension(Stopping(stop)): Extension<Stopping>,
    Extension(HalfClosed(half_closed)): Extension<HalfClosed>,
    Extension(by): Extension<Judged>,
    extensions: Extensions,
    headers: HeaderMap,
    parameters: Parameters,
) -> Response {
    let streamed = accepts_sse(&headers);
    let read = read(&parameters, &headers, streamed);
    let (ask, poll) = match read {
        Ok(read) => read,
        Err(why) => return refusal(&why, Call::Read),
    };
    let inside = match by.enter(&service, Some(DoorLane::Read), service.patience(by.class)).await {
        Ok(inside) => inside,
        Err(over) => return over.answer(by.class),
    };
    // A feed that waits for what is new does no work meanwhile. It has a place of its own.
    let _inside = inside.filter(|_| !streamed && poll.wait.is_zero());
    let (kept, asked) = (extensions.get::<Kept>().cloned(), service.clone());
    let follower = Follower::new(by.caller, move || match &kept {
        Some(kept) => kept.identify(),
        None => asked.identify_nothing(),
    });
    if streamed {
        return match service.stream_events(follower, ask, stop).await {
            Ok(chunks) => stream(chunks),
            Err(why) => problem_body(&why),
        };
    }
    match service.poll_events(follower, ask, poll, &stop, &half_closed).await {
        Ok(lines) => uncached(reply(200, NDJSON_CONTENT_TYPE, lines)),
        Err(why) => problem_body(&why),
    }
}

fn stream(chunks: mpsc::Receiver<Bytes>) -> Response {
    let chunks = unfold(chunks, |mut chunks| async move {
        chunks.recv().await.map(|chunk| (Ok::<_, Infallible>(chunk), chunks))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(SSE_CONTENT_TYPE));
    // Proxies that know this header pass the stream on as it comes.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    uncached(response)
}

fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn accepts_sse(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim() == SSE_CONTENT_TYPE)
    })
}

/// Reads the query. The error tells what is wrong with it.
fn read(
    parameters: &Parameters,
    headers: &HeaderMap,
    streamed: bool,
) -> Result<(EventsAsk, PollAsk), Refusal> {
    let mut ask = EventsAsk { filter: Default::default(), after: None };
    let (mut history, mut after): (Option<History>, u64) = (None, 0);
    let mut poll = PollAsk { limit: DEFAULT_PAGE, wait: Duration::ZERO, confirmed: false };
    let mut once = BTreeSet::new();
    for (name, value) in &parameters.0 {
        let repeatable = matches!(name.as_str(), "kind" | "domain" | "lineage");
        if !repeatable && !once.insert(name.as_str()) {
            return Err(malformed(name, "is given twice"));
        }
        match name.as_str() {
            "history" => history = Some(valid(name, value)?),
            "after" => after = valid(name, value)?,
            "kind" => add(&mut ask.filter.kinds, name, value)?,
            "domain" => add(&mut ask.filter.domains, name, value)?,
            "lineage" => add(&mut ask.filter.lineages, name, value)?,
            "equivocations" => ask.filter.equivocations = valid(name, value)?,
            "limit" | "waitMs" | "confirmed" if streamed => {
                return Err(malformed(name, "is for JSON lines; a stream has no such thing"));
            }
            "limit" => poll.limit = within(name, value, 1, MAX_PAGE)?,
            "waitMs" => poll.wait = Duration::from_millis(within(name, value, 0, MAX_EVENTS_WAIT_MS)?),
            "confirmed" => poll.confirmed = valid(name, value)?,
            _ => return Err(malformed(name, "there is no such parameter")),
        }
    }
    ask.after = history.map(|history| Cursor { history, revision: after });
    if after > 0 && history.is_none() {
        let problem =
            "is missing: `after` is a revision of one history, which the answers that it is from name";
        return Err(malformed("history", problem));
    }
    if streamed && let Some(seen) = headers.get(LAST_EVENT_ID) {
        // The header is newer than the query, which a browser keeps as it was.
        ask.after = Some(valid(LAST_EVENT_ID, seen.to_str().unwrap_or_default())?);
    }
    Ok((ask, poll))
}

fn malformed(name: &str, problem: impl Into<String>) -> Refusal {
    Refusal::at(Code::Malformed, name, problem)
}

fn valid<T: FromStr>(name: &str, value: &str) -> Result<T, Refusal> {
    value.parse().map_err(|_| malformed(name, format!("`{value}` is not a valid value")))
}

fn within<T: FromStr + PartialOrd + std::fmt::Display>(
    name: &str,
    value: &str,
    least: T,
    most: T,
) -> Result<T, Refusal> {
    let value = valid::<T>(name, value)?;
    if value < least || value > most {
        return Err(malformed(name, format!("must be from {least} to {most}")));
    }
    Ok(value)
}

fn add<T: FromStr + Ord>(set: &mut BTreeSet<T>, name: &str, value: &str) -> Result<(), Refusal> {
    set.insert(valid(name, value)?);
    if set.len() > MAX_EVENTS_FILTER {
        return Err(malformed(name, format!("is given more than {MAX_EVENTS_FILTER} times")));
    }
    Ok(())
}
