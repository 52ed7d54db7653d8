//! Answers in the form that axum takes, and the headers that every answer has.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use assent_api::{Call, JSON_CONTENT_TYPE, PROBLEM_CONTENT_TYPE, Problem};
use assent_proof::{Code, Refusal};

use super::held::Held;
use crate::audit::Facts;
use crate::shares::Share;
use crate::usecase::{Shed, of_refusal};

/// The value of `Retry-After` in answers that mean "not now", in seconds. Such an answer means that places, a quorum
/// or a sure clock are missing for a while. A client with a second node has asked it long before.
const RETRY_AFTER_S: &str = "1";

/// A body with a status and a content type.
pub(super) fn reply(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Like [`reply`], with the room that the answer holds until it is written or its caller is gone. The part that the
/// body does not need is given back.
pub(super) fn reply_in(
    mut room: Share,
    status: u16,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response {
    let body = body.into();
    room.keep(body.len().div_ceil(1024));
    let mut response = reply(status, content_type, Bytes::new());
    *response.body_mut() = Body::new(Held::new(Full::new(body), room));
    response
}

/// A JSON body.
pub(super) fn json(status: u16, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => reply(status, JSON_CONTENT_TYPE, bytes),
        Err(error) => fault(&format!("the answer cannot be written: {error}")),
    }
}

/// A fault of this node's own. It means nothing for the request: the node may have carried it out, and another node
/// may be asked.
pub(super) fn fault(detail: &str) -> Response {
    problem_body(&Problem::fault(detail))
}

/// A problem document. The audit trail takes its code from the answer's extensions.
pub(super) fn problem_body(problem: &Problem) -> Response {
    let mut response = reply(problem.status, PROBLEM_CONTENT_TYPE, problem.to_vec());
    let evidence = problem.receipt.as_ref().map(|receipt| receipt.evidence_id);
    response.extensions_mut().insert(Facts { codes: vec![problem.code], evidence, ..Facts::default() });
    response
}

/// Refuses a request that reaches no use case, because of the connection, the head or the body. The status is HTTP's
/// own.
pub(super) fn refused_by_http(code: Code, status: u16, detail: &str) -> Response {
    problem_body(&Problem::new(code, status, detail))
}

/// The answer to a method that the path does not take. axum lists the methods in `Allow`, including `HEAD`, which
/// every `GET` answers too.
pub(super) fn other_method() -> Response {
    let detail = "this path does not take this method; the header `allow` lists those that it takes";
    refused_by_http(Code::Malformed, 405, detail)
}

/// The answer to a path that does not exist.
pub(super) fn no_path() -> Response {
    refused_by_http(Code::TargetUnknown, 404, "there is nothing at this path")
}

/// Refuses input before any use case has seen it.
pub(super) fn refusal(refusal: &Refusal, call: Call) -> Response {
    problem_body(&of_refusal(refusal, call))
}

/// Answers a read of something that does not exist.
pub(super) fn not_found(code: Code, detail: String) -> Response {
    refusal(&Refusal::new(code, detail), Call::Read)
}

/// Answers a batch of authorize requests of which nothing was evaluated.
pub(super) fn shed(why: &Shed) -> Response {
    problem_body(&why.problem(Call::Authorize))
}

/// Makes this the last answer on its connection. `front` decides when that is needed, so that routes need not.
pub(super) fn closing(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Turns a refusal of the framework's own (a path that is not UTF-8, a query that does not parse) into a problem
/// document like every other refusal. A failure of the framework itself is not the request's fault.
pub(super) async fn as_problem(response: Response) -> Response {
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if !refused || is_json(&response) {
        return response;
    }
    if response.status().is_server_error() {
        return fault("the request could not be handled");
    }
    refused_by_http(Code::Malformed, 400, "the path or the query cannot be read")
}

/// Completes an answer: 429 and 503 say when to ask again, and 401 says what to show.
pub(super) fn finished(mut answer: Response) -> Response {
    if let StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE = answer.status() {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    }
    if answer.status() == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

/// The last answer on a connection as the bytes of HTTP/1.1, for places where there is no request to answer.
pub(super) fn bytes(problem: &Problem) -> Vec<u8> {
    let (head, _) = finished(problem_body(problem)).into_parts();
    let body = problem.to_vec();
    let mut bytes = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let framing = format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    bytes.extend_from_slice(framing.as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

fn is_json(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value == PROBLEM_CONTENT_TYPE || value == JSON_CONTENT_TYPE)
}

#[cfg(test)]
mod tests {
    use assent_api::status_of;

    use super::*;
    use crate::access::Account;
    use crate::shares::Pool;

    #[test]
    fn every_429_and_every_503_says_when_to_ask_again_and_nothing_else_does() {
        let mut asked_again = 0;
        for code in Code::ALL {
            for call in [Call::Submission, Call::Authorize, Call::Read, Call::Manage] {
                let status = status_of(*code, call);
                let problem = Problem::new(*code, status, "x");
                let answer = finished(problem_body(&problem));
                let later = matches!(status, 429 | 503);
                assert_eq!(answer.headers().contains_key(header::RETRY_AFTER), later, "{code} {status}");
                let text = String::from_utf8(bytes(&problem)).unwrap();
                assert_eq!(text.contains("\r\nretry-after: 1\r\n"), later, "{text}");
                asked_again += usize::from(later);
            }
        }
        assert!(asked_again > 8);
        // Decisions too, and what the framework may ever answer by itself.
        let deny = finished(reply(503, JSON_CONTENT_TYPE, "{}"));
        assert_eq!(deny.headers()[header::RETRY_AFTER], "1");
        assert!(!finished(reply(200, JSON_CONTENT_TYPE, "{}")).headers().contains_key(header::RETRY_AFTER));
    }

    #[tokio::test]
    async fn a_fault_of_the_nodes_own_is_a_problem_document_with_a_code_that_judges_nothing() {
        // JSON has no such key.
        let unwritable = json(200, &std::collections::BTreeMap::from([((1_u8, 2_u8), 3_u8)]));
        let failed = as_problem(reply(500, "text/plain", "lost")).await;
        for answer in [unwritable, failed] {
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(answer.headers()[header::CONTENT_TYPE], PROBLEM_CONTENT_TYPE);
            let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
            let problem: Problem = serde_json::from_slice(&body).unwrap();
            assert_eq!((problem.status, problem.code), (500, Code::InternalError), "{problem:?}");
            assert!(problem.is_outcome_unknown() && !problem.detail.is_empty(), "{problem:?}");
        }
        let refused = as_problem(reply(404, "text/plain", "x")).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn an_answer_holds_room_for_what_it_is_until_it_is_written() {
        let room = Pool::new(10);
        let held = room.take(&Account::Common, 10).unwrap();
        let answer = reply_in(held, 200, JSON_CONTENT_TYPE, vec![b' '; 1025]);
        assert_eq!(room.free(), 8);
        let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
        assert_eq!((body.len(), room.free()), (1025, 10));
    }

    #[test]
    fn an_answer_without_a_request_is_whole_and_the_last_one() {
        let problem = Problem::new(Code::TooLarge, 431, "the head is too long");
        let text = String::from_utf8(bytes(&problem)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            head,
            format!(
                "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\n\
                 content-length: {}\r\nconnection: close",
                body.len()
            )
        );
        assert_eq!(serde_json::from_str::<Problem>(body).unwrap(), problem);
    }
}
