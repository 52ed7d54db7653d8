//! `POST /v1/envelopes` and `POST /v1/envelopes:batch`.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use assent_api::{BatchResponse, BatchResult, Call, JSON_CONTENT_TYPE, MAX_BATCH};
use assent_proof::Code;

use super::audited::with;
use super::body;
use super::judged::Judged;
use super::reply::{fault, json, problem_body, refusal, reply_in};
use crate::audit::Facts;
use crate::shares::DoorLane;
use crate::usecase::{BatchResults, NoBatch, SMALL_BODY, Service, Shed, Submitted, Weighed};

/// Before a batch is read, its caller is charged for one envelope for each this many bytes. The smallest signed envelope
/// has about this size.
const ENVELOPE_BYTES: usize = 1024;

/// Up to this many results of a batch are written on the async thread. More would take milliseconds, which would hold
/// it up.
const WRITTEN_AT_ONCE: usize = 16;

/// Whether the body of a batch has so many bytes, or may have, that the call is no restriction whatever it holds. Such a call
/// waits at the door before its body is read. A smaller one may restrict, and restrictions pass no door, so it is read first.
fn is_large(announced: Option<usize>) -> bool {
    announced.is_none_or(|bytes| bytes > SMALL_BODY)
}

/// Submits one envelope, byte for byte.
pub(super) async fn submit(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    request: Body,
) -> Response {
    // It may be a restriction, which passes no door, so it is read first.
    let envelope = match body::read(&service, &by, request).await {
        Ok(body) => Weighed::of(vec![body.bytes]),
        Err(answer) => return answer,
    };
    let until = service.submissions_end();
    let inside = match by.enter(&service, envelope.lane(), until).await {
        Ok(inside) => inside,
        Err(over) => {
            service.envelopes_unread(1, over.shed());
            return over.answer(by.class);
        }
    };
    let submitted = service.submit_one(&by.caller, envelope, until).await;
    drop(inside);
    match submitted {
        Submitted::Accepted { receipt, fresh } => {
            let facts = Facts {
                evidence: Some(receipt.evidence_id),
                revision: Some(receipt.revision),
                decision: Some("accepted"),
                ..Facts::default()
            };
            with(json(if fresh { 201 } else { 200 }, &receipt), facts)
        }
        Submitted::Refused(problem) | Submitted::NotTaken(problem) => problem_body(&problem),
        Submitted::Unknown(problem) => {
            with(problem_body(&problem), Facts { decision: Some("unknown"), ..Facts::default() })
        }
    }
}

/// What the audit trail says of a batch: how many of its envelopes are in the ledger, and why the others are not.
fn of_batch(results: &[Submitted]) -> Facts {
    let mut facts = Facts { count: Some(results.len()), decision: Some("done"), ..Facts::default() };
    let mut granted = 0_usize;
    for result in results {
        match result {
            Submitted::Accepted { receipt, .. } => {
                granted = granted.saturating_add(1);
                facts.revision = facts.revision.max(Some(receipt.revision));
            }
            Submitted::Refused(problem) | Submitted::NotTaken(problem) | Submitted::Unknown(problem) => {
                facts.code(problem.code);
            }
        }
    }
    Facts { granted: Some(granted), ..facts }
}

/// Submits up to 1000 envelopes, each on its own or all together. If a batch is shed as a whole, it has one problem,
/// and the answer has that problem's status.
pub(super) async fn submit_batch(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    request: Body,
) -> Response {
    // A larger body is refused for its size.
    let announced = body::announced(&request).filter(|bytes| *bytes <= by.body_max);
    if let Some(bytes) = announced
        && let Err(why) = service.expects_envelopes(&by.caller, bytes)
    {
        return problem_body(&why.problem(Call::Submission));
    }
    let large = is_large(body::announced(&request));
    let mut inside = None;
    if large {
        match by.enter(&service, Some(DoorLane::Batch), service.submissions_end()).await {
            Ok(entered) => inside = entered,
            Err(over) => {
                service.envelopes_unread(announced.unwrap_or(by.body_max), over.shed());
                return over.answer(by.class);
            }
        }
    }
    // The room is held until the answer is written.
    let no_room = |bytes| {
        service.envelopes_unread(bytes, &Shed::Overloaded("there is no room for its body".to_owned()));
    };
    let body = match body::read_or(&service, &by, request, no_room).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    // The caller is charged before the work, by the size of the body, and gets back what was not used.
    let bytes = body.bytes.len();
    if let Err(over) = by.charge(&service, (bytes / ENVELOPE_BYTES).clamp(1, MAX_BATCH)) {
        service.envelopes_unread(bytes, over.shed());
        return over.answer(by.class);
    }
    let batch = match service.read_envelopes(&by.caller, body.bytes.clone()).await {
        Ok(batch) => batch,
        Err(NoBatch::Refused(why)) => return refusal(&why, Call::Submission),
        Err(NoBatch::Shed(why)) => {
            by.was_shed();
            return problem_body(&why.problem(Call::Submission));
        }
    };
    if let Err(over) = by.charge(&service, batch.envelopes()) {
        by.was_shed();
        service.envelopes_unread(bytes, over.shed());
        return over.answer(by.class);
    }
    if !large {
        match by.enter(&service, batch.lane(), service.submissions_end()).await {
            Ok(entered) => inside = entered,
            Err(over) => {
                by.was_shed();
                service.envelopes_unread(bytes, over.shed());
                return over.answer(by.class);
            }
        }
    }
    let BatchResults { results, room } = match service.submit_read(&by.caller, batch).await {
        Ok(results) => results,
        Err(problem) => {
            if problem.code == Code::Overloaded {
                by.was_shed();
            }
            return problem_body(&problem);
        }
    };
    drop(inside);
    let facts = of_batch(&results);
    let written = if results.len() <= WRITTEN_AT_ONCE {
        Ok(written(results))
    } else {
        service.at_once(move || written(results)).await
    };
    match written {
        Ok(Ok(bytes)) => with(reply_in(room, 200, JSON_CONTENT_TYPE, bytes), facts),
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
