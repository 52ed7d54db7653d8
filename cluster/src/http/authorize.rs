//! `POST /v1/authorize`, `POST /v1/authorize:batch` and `POST /v1/permits`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use assent_api::{Call, JSON_CONTENT_TYPE, parse_authorize_batch};
use assent_proof::{AuthorizeRequest, Code};

use super::reply::{problem, refusal, reply};
use super::{AUTHORIZE_BODY, BATCH_BODY, body};
use crate::usecase::{Caller, Service};

/// One request; a request that could be read is always answered with a decision.
pub(super) async fn one(State(service): State<Service>, request: Body) -> Response {
    let bytes = match body::read(&service, request, AUTHORIZE_BODY).await {
        Ok(body) => body.bytes,
        Err(answer) => return answer,
    };
    let request = match AuthorizeRequest::parse(&bytes) {
        Ok(request) => request,
        Err(why) => return refusal(&why, Call::Authorize),
    };
    match service.authorize(&Caller::Anonymous, vec![request]).await.pop() {
        Some(answer) => reply(answer.status, JSON_CONTENT_TYPE, answer.body),
        None => problem(Code::NoQuorum, 503, "there is no decision"),
    }
}

/// One request, whose allow is recorded in the ledger before it is answered.
pub(super) async fn permit(State(service): State<Service>, request: Body) -> Response {
    let bytes = match body::read(&service, request, AUTHORIZE_BODY).await {
        Ok(body) => body.bytes,
        Err(answer) => return answer,
    };
    let request = match AuthorizeRequest::parse(&bytes) {
        Ok(request) => request,
        Err(why) => return refusal(&why, Call::Authorize),
    };
    match service.permit(&Caller::Anonymous, request).await {
        Ok(answer) => reply(answer.status, JSON_CONTENT_TYPE, answer.body),
        Err(why) => refusal(&why, Call::Authorize),
    }
}

/// Up to 1000 requests under one barrier. The status is 200; each decision says for itself.
pub(super) async fn batch(State(service): State<Service>, request: Body) -> Response {
    // The room is held until the answer.
    let body = match body::read(&service, request, BATCH_BODY).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let requests = match parse_authorize_batch(&body.bytes) {
        Ok(requests) => requests,
        Err(why) => return refusal(&why, Call::Authorize),
    };
    let asked = requests.len();
    let decisions = service.authorize(&Caller::Anonymous, requests).await;
    if decisions.len() != asked {
        return problem(Code::NoQuorum, 503, "there are not as many decisions as requests");
    }
    let mut answer = b"{\"decisions\":[".to_vec();
    for (place, decision) in decisions.iter().enumerate() {
        if place > 0 {
            answer.push(b',');
        }
        answer.extend_from_slice(&decision.body);
    }
    answer.extend_from_slice(b"]}");
    reply(200, JSON_CONTENT_TYPE, answer)
}
