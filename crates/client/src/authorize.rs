//! Asks the cluster whether something may execute: one request, or a batch of requests.

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
    /// Asks whether `request` may execute. The time of an allow counts from the start of this call, however many
    /// endpoints are asked. An allow that is over when it arrives is not an allow.
    ///
    /// Give each request a fresh `nonce`. It ties a signed allow to this request. Without a nonce, an earlier allow
    /// for the same request could be replayed, and its time would count again from the start.
    ///
    /// Each endpoint is asked at most once, until one of them knows. While one endpoint is silent, a second one is
    /// asked too ([`ClientConfig::hedge_after`](crate::ClientConfig::hedge_after)). If no endpoint knows, the last
    /// deny is returned if there is one ([`Decision::is_cannot_know`]). An answer that is not the API's counts as no
    /// answer. So does an allow that cannot be relied on, for example because the node's key is not trusted. A deny is
    /// final, even one that this build cannot read in full: no other endpoint is asked after it.
    ///
    /// # Errors
    /// `DenyNotUnderstood` for a deny of a newer node; `Refused` for a malformed request; `Untrusted` if an allow came
    /// that cannot be relied on, and no better answer from any endpoint; `Answer` if no endpoint that answered is a
    /// node; otherwise `Unavailable`. **An error is never an allow.**
    pub async fn authorize(&self, request: &AuthorizeRequest) -> Result<Decision, ClientError> {
        let ask = Ask::post(Call::Authorize, "/v1/authorize", request.to_json().to_vec());
        // An authorize leaves no trace, so it may be asked twice.
        self.decide(Ask { hedged: true, ..ask }, request, Wanted::Allow, &mut NoAnswer::default()).await
    }

    /// Asks for a decision on `request`. Everything that came back from an endpoint and is not an answer is noted in
    /// `no_answer`.
    pub(crate) async fn decide(
        &self,
        ask: Ask,
        request: &AuthorizeRequest,
        wanted: Wanted,
        no_answer: &mut NoAnswer,
    ) -> Result<Decision, ClientError> {
        // This is the moment before the first endpoint is asked. Whichever endpoint answers, it has decided later.
        let asked = Asked::now(&self.config().clock);
        let expected = |status: u16| self.expectation(request, &asked, status, wanted);
        let read = |answer: &Answer| decision(answer, expected(answer.status));
        if let Some(decided) = self.ask_all(&ask, no_answer, read).await {
            return decided;
        }
        let answer = deny_of(no_answer)?;
        read(answer).map_err(|unread| NoAnswer::only(answer, unread))
    }

    /// Asks about 1 to 1000 requests at once. A node answers all of them on the same state. The decisions come in the
    /// order of the requests. A deny that this build cannot read in full is an [`UnreadDeny`] in its place, and the
    /// caller must obey it like any other deny.
    ///
    /// # Errors
    /// The errors of [`Client::authorize`]. If one allow cannot be relied on, the whole answer counts as no answer. If
    /// the answer also has a deny, the error is `Untrusted`, and no other endpoint is asked.
    pub async fn authorize_batch(
        &self,
        requests: &[AuthorizeRequest],
    ) -> Result<Vec<Result<Decision, UnreadDeny>>, ClientError> {
        let asked = Asked::now(&self.config().clock);
        let ask = Ask::post(Call::Authorize, "/v1/authorize:batch", authorize_batch_body(requests));
        let read = |answer: &Answer| -> Result<Vec<Result<Decision, UnreadDeny>>, Unread> {
            if let Some(spoilt) = answer.spoilt {
                return Err(unreadable(answer, format!("which {spoilt}")));
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

/// The decision in an answer. A deny counts with every status, even if the status contradicts it.
fn decision(answer: &Answer, expected: Expectation<'_>) -> Result<Decision, Unread> {
    if let Some(spoilt) = answer.spoilt {
        return Err(unreadable(answer, format!("which {spoilt}")));
    }
    match Decision::check(answer.body.clone(), expected) {
        Ok(decision) if !decision.is_allow() || answer.status == 200 => Ok(decision),
        // An allow with another status is not an allow, and 403 denies.
        Ok(_) => Err(unreadable(answer, "which contradicts the decision in the body")),
        Err(error) => Err(error.of(answer)),
    }
}

/// The last deny among the answers of nodes that cannot know. It tells the caller why.
fn deny_of(no_answer: &NoAnswer) -> Result<&Answer, ClientError> {
    let deny = no_answer.last.as_ref().filter(|answer| decision_body(&answer.body).is_some());
    deny.ok_or_else(|| no_answer.error())
}

/// The verdict on a batch of which not everything can be read and relied on. Without a deny it is `otherwise`. With a
/// deny, the batch ends the call: another endpoint, whose allow could replace the deny, is not asked.
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

/// Whether an element of a batch is a deny, even one that cannot be read.
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
