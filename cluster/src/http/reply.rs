//! Answers as axum takes them.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use assent_api::{Call, JSON_CONTENT_TYPE, PROBLEM_CONTENT_TYPE, Problem, status_of};
use assent_proof::{Code, Refusal};

use crate::usecase::Shed;

/// A body with a status and a content type.
pub(super) fn reply(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON body.
pub(super) fn json(status: u16, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => reply(status, JSON_CONTENT_TYPE, bytes),
        Err(error) => problem(Code::Malformed, 500, &format!("the answer cannot be written: {error}")),
    }
}

/// A problem document.
pub(super) fn problem_body(problem: &Problem) -> Response {
    reply(problem.status, PROBLEM_CONTENT_TYPE, problem.to_vec())
}

/// A problem of this code.
pub(super) fn problem(code: Code, status: u16, detail: &str) -> Response {
    problem_body(&Problem::new(code, status, detail))
}

/// Input that was refused before any use case saw it.
pub(super) fn refusal(refusal: &Refusal, call: Call) -> Response {
    problem_body(&Problem::from_refusal(refusal, status_of(refusal.code, call)))
}

/// A batch of authorize requests of which nothing was evaluated.
pub(super) fn shed(why: &Shed) -> Response {
    problem_body(&why.problem(Call::Authorize))
}

/// What the framework refuses by itself (a path that is no UTF-8, a query that does not parse) becomes a
/// problem document like every other refusal.
pub(super) async fn as_problem(response: Response) -> Response {
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if !refused || is_json(&response) {
        return response;
    }
    problem(Code::Malformed, 400, "the path or the query cannot be read")
}

fn is_json(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value == PROBLEM_CONTENT_TYPE || value == JSON_CONTENT_TYPE)
}
