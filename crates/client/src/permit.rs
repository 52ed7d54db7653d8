//! Asks for a permit, and tells the caller if a permit may have been recorded without an allow.
//!
//! A permit may be recorded, and take a use, although the caller never gets the allow: an endpoint's answer is lost or
//! cannot be relied on, and then no endpoint answers or another one denies. Only the same request with the same nonce
//! finds that permit again, so the error carries the nonce.
//!
//! An allow for a permit has the receipt of the permit, in the bytes that the node signed. An allow without this
//! receipt cannot be relied on: a node answers an authorize in this way and records nothing. A proxy may have sent the
//! request to `/v1/authorize`.

use assent_api::Call;
use assent_proof::AuthorizeRequest;

use crate::answer::NoAnswer;
use crate::answer_shape::AnswerShape;
use crate::client::Client;
use crate::decision::{Decision, Wanted};
use crate::error::ClientError;
use crate::transport::Ask;

/// Why there is no permit to act on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PermitError {
    /// No node has recorded a permit for this request.
    #[error(transparent)]
    NotRecorded(ClientError),
    /// A permit may have been recorded.
    #[error("{0}")]
    MaybeRecorded(Box<MaybeRecorded>),
}

/// How a call ended after which a permit may have been recorded.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}; a permit may have been recorded for the nonce `{nonce}`", .ended.told())]
pub struct MaybeRecorded {
    /// The nonce of the request, with which the same permit is asked for again.
    pub nonce: String,
    /// What the call ended with.
    pub ended: PermitEnd,
}

/// What a call ended with after which a permit may have been recorded.
#[derive(Clone, Debug)]
pub enum PermitEnd {
    /// The call ended with a deny, which the caller must obey.
    Denied(Box<Decision>),
    /// The call ended without a decision.
    Failed(ClientError),
}

impl PermitEnd {
    fn told(&self) -> String {
        match self {
            PermitEnd::Denied(decision) => {
                let reasons = decision.body().reasons.iter();
                let codes: Vec<String> = reasons.map(|reason| format!("`{}`", reason.code)).collect();
                format!("a node denied it: {}", codes.join(", "))
            }
            PermitEnd::Failed(error) => error.to_string(),
        }
    }
}

impl PermitError {
    /// The nonce with which to ask again, if a permit may have been recorded.
    pub fn nonce(&self) -> Option<&str> {
        match self {
            PermitError::NotRecorded(_) => None,
            PermitError::MaybeRecorded(maybe) => Some(&maybe.nonce),
        }
    }

    /// The stable code: that of the error with which the call ended, or `outcome_unknown` if it ended with a deny although a permit may
    /// have been recorded.
    pub fn code(&self) -> &'static str {
        match self {
            PermitError::NotRecorded(error) => error.code(),
            PermitError::MaybeRecorded(maybe) => match &maybe.ended {
                PermitEnd::Denied(_) => "outcome_unknown",
                PermitEnd::Failed(error) => error.code(),
            },
        }
    }

    /// What to do about it, in one line.
    pub fn remedy(&self) -> String {
        match self {
            PermitError::NotRecorded(error) => error.remedy(),
            PermitError::MaybeRecorded(maybe) => {
                let again = format!("ask again with `--nonce {}`, which takes no further use", maybe.nonce);
                match &maybe.ended {
                    PermitEnd::Denied(_) => again,
                    PermitEnd::Failed(error) => format!("{again}; {}", error.remedy()),
                }
            }
        }
    }

    /// What the call ended with, without the nonce: the deny, or the error.
    ///
    /// # Errors
    /// What a question ends with ([`Client::authorize`]).
    pub fn into_end(self) -> Result<Decision, ClientError> {
        match self {
            PermitError::NotRecorded(error) => Err(error),
            PermitError::MaybeRecorded(maybe) => match maybe.ended {
                PermitEnd::Denied(decision) => Ok(*decision),
                PermitEnd::Failed(error) => Err(error),
            },
        }
    }
}

impl Client {
    /// Asks for a permit: an allow that is recorded in the ledger, and that consumes a use if uses are counted. The
    /// request needs a lineage and a nonce. A request with the same lineage and nonce consumes nothing more, at
    /// whichever node it is made. Still, only one endpoint is asked at a time.
    ///
    /// An allow without the receipt of its permit ([`DecisionBody::permit`](assent_api::DecisionBody::permit)) cannot
    /// be relied on, and counts as no answer.
    ///
    /// # Errors
    /// `NotRecorded` with an error of [`Client::authorize`]. `MaybeRecorded`, even for a deny, if an endpoint may have
    /// recorded a permit whose allow did not arrive: the caller must ask again with the same request and nonce. A deny
    /// that is returned as a [`Decision`] was judged; the same request and nonce take no further use.
    pub async fn permit(&self, request: &AuthorizeRequest) -> Result<Decision, PermitError> {
        let ask = Ask::post(Call::Authorize, "/v1/permits", request.to_json().to_vec());
        let mut no_answer = NoAnswer::default();
        let decided = self.decide(ask, request, Wanted::Permit, &mut no_answer).await;
        concluded(decided, no_answer.is_maybe_done(), request.nonce.as_deref())
    }
}

/// The result for the caller. With `maybe_before`, an endpoint before the last answer may have recorded a permit.
fn concluded(
    decided: Result<Decision, ClientError>,
    maybe_before: bool,
    nonce: Option<&str>,
) -> Result<Decision, PermitError> {
    let maybe = maybe_before || may_have_recorded(&decided);
    // Without a nonce no node records a permit.
    match (decided, nonce.filter(|_| maybe)) {
        (Ok(decision), None) => Ok(decision),
        // The permit that another endpoint may have recorded is this same permit.
        (Ok(decision), Some(_)) if decision.is_allow() => Ok(decision),
        (Ok(deny), Some(nonce)) => Err(maybe_recorded(nonce, PermitEnd::Denied(Box::new(deny)))),
        (Err(error), None) => Err(PermitError::NotRecorded(error)),
        (Err(error), Some(nonce)) => Err(maybe_recorded(nonce, PermitEnd::Failed(error))),
    }
}

fn maybe_recorded(nonce: &str, ended: PermitEnd) -> PermitError {
    PermitError::MaybeRecorded(Box::new(MaybeRecorded { nonce: nonce.to_owned(), ended }))
}

/// Whether the node that gave the last answer may have recorded a permit, although that answer is no allow.
fn may_have_recorded(decided: &Result<Decision, ClientError>) -> bool {
    match decided {
        Ok(decision) => decision.is_cannot_know(),
        // It is not known what a newer node's refusal refused.
        Err(ClientError::RefusalNotUnderstood(_) | ClientError::OutcomeUnknown { .. }) => true,
        // An allow that breaks off counts as a deny if it names one somewhere.
        Err(ClientError::DenyNotUnderstood(deny)) => !AnswerShape::of(&deny.bytes).is_deny(),
        // A refusal records nothing. For the other errors, the attempts have noted whether the request may have been
        // sent.
        Err(
            ClientError::Config { .. }
            | ClientError::Unavailable { .. }
            | ClientError::Tls(_)
            | ClientError::Refused(_)
            | ClientError::Answer { .. }
            | ClientError::HistoryChanged(_)
            | ClientError::BeyondLedger { .. }
            | ClientError::Untrusted { .. },
        ) => false,
    }
}
