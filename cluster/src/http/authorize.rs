//! `POST /v1/authorize`, `POST /v1/authorize:batch` and `POST /v1/permits`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Extension;
use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use assent_api::{Call, JSON_CONTENT_TYPE, MAX_BATCH};
use assent_proof::{AuthorizeRequest, Code, Refusal};

use super::audited::with;
use super::body;
use super::held::Held;
use super::judged::Judged;
use super::reply::{refusal, reply, shed};
use crate::audit::Facts;
use crate::usecase::{Answered, NoBatch, Service};

/// Before a batch is read, its caller is charged for one request for each this many bytes. The smallest request of some
/// use has about this size.
const REQUEST_BYTES: usize = 256;

/// One request. A request that could be read is always answered with a decision.
pub(super) async fn one(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    request: Body,
) -> Response {
    let request = match read(&service, &by, request).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    if let Some(deny) = refused(&service, &by, &request) {
        return deny;
    }
    let deciding = async {
        let until = service.decisions_end(by.waited);
        let mut decided = service.authorize_by(&by.caller, vec![request.clone()], until).await;
        Ok::<_, Refusal>(decided.pop())
    };
    decided(&request, service.decided_or_denied(&request, deciding).await)
}

/// One request whose allow is recorded in the ledger before it is answered.
pub(super) async fn permit(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    request: Body,
) -> Response {
    let request = match read(&service, &by, request).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    if let Some(deny) = refused(&service, &by, &request) {
        return deny;
    }
    let deciding = async { service.permit(&by.caller, request.clone()).await.map(Some) };
    decided(&request, service.decided_or_denied(&request, deciding).await)
}

/// The deny for a caller that may not ask, or that has used up a quota. It has no signature, because nothing is
/// evaluated.
fn refused(service: &Service, by: &Judged, request: &AuthorizeRequest) -> Option<Response> {
    if let Some(denial) = &by.denial {
        return Some(decided(request, Ok(service.deny_caller(request, denial))));
    }
    let over = by.quota.as_ref().err()?;
    Some(with(decided(request, Ok(service.deny_shed(request, over.shed()))), over.facts()))
}

async fn read(service: &Service, by: &Judged, request: Body) -> Result<AuthorizeRequest, Response> {
    let body = body::read(service, by, request).await?;
    AuthorizeRequest::parse(&body.bytes).map_err(|why| refusal(&why, Call::Authorize))
}

fn decided(request: &AuthorizeRequest, decided: Result<Answered, Refusal>) -> Response {
    let facts =
        Facts { domain: Some(request.domain.clone()), lineage: request.lineage.clone(), ..Facts::default() };
    match decided {
        Ok(answer) => {
            let mut facts = Facts {
                decision: Some(if answer.is_allow() { "allow" } else { "deny" }),
                revision: Some(answer.revision),
                ..facts
            };
            answer.codes.iter().for_each(|code| facts.code(*code));
            with(reply(answer.status, JSON_CONTENT_TYPE, answer.body), facts)
        }
        Err(why) => with(refusal(&why, Call::Authorize), facts),
    }
}

/// What the audit trail says of a batch: how many of its decisions allow, and why the others do not.
fn of_batch(decisions: &[Answered]) -> Facts {
    let mut facts = Facts {
        count: Some(decisions.len()),
        granted: Some(decisions.iter().filter(|decision| decision.is_allow()).count()),
        decision: Some("decided"),
        revision: decisions.iter().map(|decision| decision.revision).max(),
        ..Facts::default()
    };
    let codes = || decisions.iter().flat_map(|decision| &decision.codes);
    // An entry names a bounded number of codes, and by this one it is one of a refused caller.
    if codes().any(|code| *code == Code::CallerNotPermitted) {
        facts.code(Code::CallerNotPermitted);
    }
    codes().for_each(|code| facts.code(*code));
    facts
}

/// Up to 1000 requests under one barrier. The status is 200, and each decision has its own result. If nothing of a
/// batch was evaluated, it is refused as a whole.
pub(super) async fn batch(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    request: Body,
) -> Response {
    // The room is held until the answer is written.
    let body = match body::read(&service, &by, request).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    // The caller is charged before the work, by the size of the body, and gets back what was not used.
    if let Err(over) = by.charge(&service, (body.bytes.len() / REQUEST_BYTES).clamp(1, MAX_BATCH)) {
        return over.answer(by.class);
    }
    let batch =
        match service.read_batch(&by.caller, body.bytes.clone(), service.decisions_end(by.waited)).await {
            Ok(batch) => batch,
            Err(NoBatch::Refused(why)) => return refusal(&why, Call::Authorize),
            Err(NoBatch::Shed(why)) => {
                by.was_shed();
                return shed(&why);
            }
        };
    if let Err(over) = by.charge(&service, batch.requests()) {
        by.was_shed();
        return over.answer(by.class);
    }
    let decisions = match service.authorize_batch(&by.caller, batch).await {
        Ok(decisions) => decisions,
        Err(why) => {
            by.was_shed();
            return shed(&why);
        }
    };
    let facts = of_batch(&decisions);
    let bytes = decisions.iter().map(|decision| decision.body.len()).sum();
    let room = match service.room_for_batch(&by.caller.account(), bytes) {
        Ok(room) => room,
        Err(why) => return shed(&why),
    };
    let mut response = with(reply(200, JSON_CONTENT_TYPE, Bytes::new()), facts);
    let decisions = decisions.into_iter().map(|decision| decision.body);
    *response.body_mut() = Body::new(Held::new(Decisions::new(decisions), room));
    response
}

/// `{"decisions":[…]}`, with the decisions in the memory where they were made. So a batch takes no second amount of
/// memory, and each decision gives its room back once it is written.
struct Decisions {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl Decisions {
    fn new(decisions: impl Iterator<Item = Bytes>) -> Self {
        let mut pieces = VecDeque::from([Bytes::from_static(b"{\"decisions\":[")]);
        for (place, decision) in decisions.enumerate() {
            if place > 0 {
                pieces.push_back(Bytes::from_static(b","));
            }
            pieces.push_back(decision);
        }
        pieces.push_back(Bytes::from_static(b"]}"));
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, left }
    }
}

impl HttpBody for Decisions {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let piece = this.pieces.pop_front();
        this.left = this.left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_batchs_answer_is_its_decisions_in_order_and_says_how_long_it_is() {
        for (decisions, expected) in [
            (vec![], &b"{\"decisions\":[]}"[..]),
            (vec!["{}"], &b"{\"decisions\":[{}]}"[..]),
            (vec!["1", "2", "3"], &b"{\"decisions\":[1,2,3]}"[..]),
        ] {
            let body = Decisions::new(decisions.into_iter().map(Bytes::from));
            assert_eq!(body.size_hint().exact(), Some(expected.len() as u64));
            assert_eq!(body.collect().await.unwrap().to_bytes(), expected);
        }
    }
}
