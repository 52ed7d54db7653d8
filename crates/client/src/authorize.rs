//! Asking whether something may execute.

use assent_api::{Call, authorize_batch_body};
use assent_proof::AuthorizeRequest;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::allowed::Asked;
use crate::answer::{NoAnswer, Unread, decision_body, not_the_api, refused, unreadable};
use crate::answer_shape::{AnswerShape, UnreadDeny};
use crate::client::Client;
use crate::decision::{CheckError, Decision, Expectation, Wanted};
use crate::error::ClientError;
use crate::transport::{Answer, Ask};

impl Client {
    /// Asks whether `request` may execute. The allow's time counts from this call on, however many endpoints are asked:
    /// one that is over when it comes is none.
    ///
    /// Give each request a fresh `nonce`. It ties a signed allow to this very question: without one, an earlier allow for
    /// the same request could be played back, and its time would count anew.
    ///
    /// Each endpoint is asked at most once, until one knows; while one is silent, a second one is asked too
    /// ([`ClientConfig::hedge_after`](crate::ClientConfig::hedge_after)). When none knows, the last one's deny comes back if
    /// there is one ([`Decision::is_cannot_know`]). An answer that is not the API's counts as none, and so does an allow that cannot
    /// be relied on, as of a node whose key is not among the trusted ones.
    /// A deny is obeyed as it comes, also one that this build cannot read in full: no other endpoint is asked after it.
    ///
    /// # Errors
    /// `DenyNotUnderstood` for a deny of a newer node; `Refused` for a malformed request; `Untrusted` if an allow that cannot be relied
    /// on came, and nothing better from any endpoint; `Answer` if all that answered is no node; otherwise `Unavailable`. **An error is
    /// never an allow.**
    pub async fn authorize(&self, request: &AuthorizeRequest) -> Result<Decision, ClientError> {
        let ask = Ask::post(Call::Authorize, "/v1/authorize", request.to_json().to_vec());
        // A question leaves no trace: it may be asked twice.
        self.decide(Ask { hedged: true, ..ask }, request, Wanted::Allow, &mut NoAnswer::default()).await
    }

    /// Asks for a decision on `request`. What came back from the endpoints without being an answer is noted in `no_answer`.
    pub(crate) async fn decide(
        &self,
        ask: Ask,
        request: &AuthorizeRequest,
        wanted: Wanted,
        no_answer: &mut NoAnswer,
    ) -> Result<Decision, ClientError> {
        // Before the first endpoint is asked: whichever of them answers, it has decided later.
        let asked = Asked::now(&self.config().clock);
        let expected = |status: u16| self.expectation(request, &asked, status, wanted);
        let read = |answer: &Answer| decision(answer, expected(answer.status));
        if let Some(decided) = self.ask_all(&ask, no_answer, read).await {
            return decided;
        }
        let answer = deny_of(no_answer)?;
        read(answer).map_err(|unread| NoAnswer::only(answer, unread))
    }

    /// Asks about 1 to 1000 requests at once, answered on one state. The decisions come in the order asked. One that is a deny in words
    /// that this build does not know is an [`UnreadDeny`] in its place, and is to be obeyed like any other deny.
    ///
    /// # Errors
    /// As for [`Client::authorize`]; with one allow that cannot be relied on the whole answer counts as none. If there is a deny in it,
    /// that is `Untrusted`, and no other endpoint is asked.
    pub async fn authorize_batch(
        &self,
        requests: &[AuthorizeRequest],
    ) -> Result<Vec<Result<Decision, UnreadDeny>>, ClientError> {
        let asked = Asked::now(&self.config().clock);
        let ask = Ask::post(Call::Authorize, "/v1/authorize:batch", authorize_batch_body(requests));
        let read = |answer: &Answer| -> Result<Vec<Result<Decision, UnreadDeny>>, Unread> {
            if answer.broke_off {
                return Err(unreadable(answer, "which broke off"));
            }
            if answer.status != 200 {
                return Err(refused(answer));
            }
            let bodies = decisions(answer)?;
            if bodies.len() != requests.len() {
                let what = format!("`{}` decisions for `{}` requests", bodies.len(), requests.len());
                return Err(in_part(answer, &bodies, not_the_api(answer, &what), &what));
            }
            let check = |(body, request): (&Bytes, &AuthorizeRequest)| match Decision::check(
                body.clone(),
                self.expectation(request, &asked, answer.status, Wanted::Allow),
            ) {
                Ok(decision) => Ok(Ok(decision)),
                Err(CheckError::Denied(deny)) => Ok(Err(deny)),
                Err(CheckError::NoDecision(what)) => {
                    Err(in_part(answer, &bodies, not_the_api(answer, &what), &what))
                }
                Err(CheckError::Untrusted(what)) => {
                    Err(in_part(answer, &bodies, Unread::Untrusted(what.clone()), &what))
                }
            };
            bodies.iter().zip(requests).map(check).collect()
        };
        self.ask(&ask, read).await
    }

    fn expectation<'a>(
        &'a self,
        request: &'a AuthorizeRequest,
        asked: &'a Asked,
        status: u16,
        wanted: Wanted,
    ) -> Expectation<'a> {
        Expectation { request, asked, trust: &self.config().trust, status, wanted }
    }
}

/// The decision in an answer. A deny is one under every status: whatever made them differ, a deny was said.
fn decision(answer: &Answer, expected: Expectation<'_>) -> Result<Decision, Unread> {
    if answer.broke_off {
        return Err(unreadable(answer, "which broke off"));
    }
    match Decision::check(answer.body.clone(), expected) {
        Ok(decision) if !decision.is_allow() || answer.status == 200 => Ok(decision),
        // An allow under another status is none, and 403 denies.
        Ok(_) => Err(unreadable(answer, "which contradicts the decision in the body")),
        Err(error) => Err(error.of(answer)),
    }
}

/// The last deny among answers that say that the node cannot know, which tells the caller why.
fn deny_of(no_answer: &NoAnswer) -> Result<&Answer, ClientError> {
    let deny = no_answer.last.as_ref().filter(|answer| decision_body(&answer.body).is_some());
    deny.ok_or_else(|| no_answer.error())
}

/// What a batch is of which not everything can be read and relied on: `otherwise`. With a deny in it, it is a node's word: another
/// endpoint, whose allow could stand in the deny's place, is not asked.
fn in_part(answer: &Answer, bodies: &[Bytes], otherwise: Unread, what: &str) -> Unread {
    if !bodies.iter().any(|body| is_deny(body)) {
        return otherwise;
    }
    let endpoint = &answer.endpoint;
    let detail = format!(
        "`{endpoint}`: it stands in a batch with a deny, of which not everything can be read and relied on: {what}"
    );
    Unread::Said(ClientError::Untrusted { detail })
}

/// Whether an element of a batch is a deny, also one that cannot be read.
fn is_deny(body: &[u8]) -> bool {
    let shape = AnswerShape::of(body);
    shape.is_deny() || (decision_body(body).is_none() && shape.is_deny_if_unread())
}

/// The exact bytes of each decision of a batch.
fn decisions(answer: &Answer) -> Result<Vec<Bytes>, Unread> {
    #[derive(Deserialize)]
    struct Slices<'a> {
        #[serde(borrow)]
        decisions: Vec<&'a RawValue>,
    }
    let slices: Slices<'_> =
        serde_json::from_slice(&answer.body).map_err(|error| unreadable(answer, error))?;
    Ok(slices.decisions.into_iter().map(|raw| Bytes::copy_from_slice(raw.get().as_bytes())).collect())
}
