//! `POST /v1/envelopes` and `POST /v1/envelopes:batch`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use assent_api::{BatchResponse, BatchResult, Call};

use super::reply::{json, problem_body, refusal};
use super::{BATCH_BODY, ENVELOPE_BODY, body};
use crate::usecase::{Caller, NoBatch, Service, Submitted};

/// One envelope, byte for byte.
pub(super) async fn submit(State(service): State<Service>, request: Body) -> Response {
    let envelope = match body::read(&service, request, ENVELOPE_BODY).await {
        Ok(body) => body.bytes,
        Err(answer) => return answer,
    };
    match service.submit(&Caller::Anonymous, envelope).await {
        Submitted::Accepted { receipt, fresh } => json(if fresh { 201 } else { 200 }, &receipt),
        Submitted::Problem(problem) => problem_body(&problem),
    }
}

/// Up to 1000 envelopes, each for itself or all together.
pub(super) async fn submit_batch(State(service): State<Service>, request: Body) -> Response {
    // The room is held until the answer.
    let body = match body::read(&service, request, BATCH_BODY).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let (mode, envelopes) = match service.read_envelopes(body.bytes.clone()).await {
        Ok(batch) => batch,
        Err(NoBatch::Refused(why)) => return refusal(&why, Call::Submission),
        Err(NoBatch::Shed(why)) => return problem_body(&why.problem(Call::Submission)),
    };
    let results = service.submit_batch(&Caller::Anonymous, mode, envelopes).await;
    let results = results
        .into_iter()
        .map(|result| match result {
            Submitted::Accepted { receipt, fresh } => BatchResult::accepted(receipt, fresh),
            Submitted::Problem(problem) => BatchResult::refused(*problem),
        })
        .collect();
    json(200, &BatchResponse { results })
}
