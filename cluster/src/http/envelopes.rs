//! `POST /v1/envelopes` and `POST /v1/envelopes:batch`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use assent_api::{BatchResponse, BatchResult, Call, JSON_CONTENT_TYPE, MAX_BATCH_BYTES};
use assent_proof::MAX_ENVELOPE_BYTES;

use super::body;
use super::reply::{fault, json, problem_body, refusal, reply_in};
use crate::usecase::{BatchResults, Caller, NoBatch, Service, Submitted};

/// Up to so many results of a batch are written on the spot; more take milliseconds, which an async thread does not have.
const WRITTEN_AT_ONCE: usize = 16;

/// One envelope, byte for byte.
pub(super) async fn submit(State(service): State<Service>, request: Body) -> Response {
    let envelope = match body::read(&service, request, MAX_ENVELOPE_BYTES).await {
        Ok(body) => body.bytes,
        Err(answer) => return answer,
    };
    match service.submit(&Caller::Anonymous, envelope).await {
        Submitted::Accepted { receipt, fresh } => json(if fresh { 201 } else { 200 }, &receipt),
        Submitted::Refused(problem) | Submitted::NotTaken(problem) | Submitted::Unknown(problem) => {
            problem_body(&problem)
        }
    }
}

/// Up to 1000 envelopes, each for itself or all together. A batch that is shed as a whole has one problem, whose status is that of the
/// answer.
pub(super) async fn submit_batch(State(service): State<Service>, request: Body) -> Response {
    // What is larger is refused for that.
    let announced = body::announced(&request).filter(|bytes| *bytes <= MAX_BATCH_BYTES);
    if let Some(bytes) = announced
        && let Err(why) = service.expects_envelopes(bytes)
    {
        return problem_body(&why.problem(Call::Submission));
    }
    // The room is held until the answer.
    let no_room = |bytes| service.envelopes_without_room(bytes);
    let body = match body::read_or(&service, request, MAX_BATCH_BYTES, no_room).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let batch = match service.read_envelopes(body.bytes.clone()).await {
        Ok(batch) => batch,
        Err(NoBatch::Refused(why)) => return refusal(&why, Call::Submission),
        Err(NoBatch::Shed(why)) => return problem_body(&why.problem(Call::Submission)),
    };
    let BatchResults { results, room } = match service.submit_read(&Caller::Anonymous, batch).await {
        Ok(results) => results,
        Err(problem) => return problem_body(&problem),
    };
    let written = if results.len() <= WRITTEN_AT_ONCE {
        Ok(written(results))
    } else {
        service.at_once(move || written(results)).await
    };
    match written {
        Ok(Ok(bytes)) => reply_in(room, 200, JSON_CONTENT_TYPE, bytes),
        Ok(Err(error)) => fault(&format!("the answer cannot be written: {error}")),
        Err(lost) => fault(&format!("the batch was worked on, and its answer was not written: {lost}")),
    }
}

fn written(results: Vec<Submitted>) -> serde_json::Result<Vec<u8>> {
    let results = results
        .into_iter()
        .map(|result| match result {
            Submitted::Accepted { receipt, fresh } => BatchResult::accepted(receipt, fresh),
            Submitted::Refused(problem) | Submitted::NotTaken(problem) | Submitted::Unknown(problem) => {
                BatchResult::refused(*problem)
            }
        })
        .collect();
    serde_json::to_vec(&BatchResponse { results })
}
