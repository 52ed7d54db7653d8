//! Submitting signed envelopes.
//!
//! A submission whose answer is lost is *unknown*, not failed. The same bytes are then sent again, to the next endpoint,
//! until a node gives a definite answer: an envelope that was accepted answers its first receipt, however often it is
//! sent. What a node refuses for good is not sent again ([`retry_of`](assent_api::retry_of)). A node that names a
//! `Retry-After` is left alone for so long. Only at the deadline the outcome stays unknown, and the caller submits the same
//! bytes later ([`Outbox`]).
//!
//! A refusal in words that this client does not know, as a newer node may give, ends the call like any other (`answer_shape.rs`), but is
//! not definite: the bytes are to be kept.
//!
//! An answer that is not the API's counts as none: what stands at that address is not asked again in the call, and the other
//! endpoints are. That is safe, since an envelope is accepted once, by its hash, however often and wherever it is sent; and it is not
//! known to be untaken, since something between may have passed it on: the outcome is unknown, also where nothing else answered.
//!
//! [`Outbox`]: crate::Outbox

use assent_api::{BatchMode, BatchResponse, Call, Problem, ReceiptBody, Retry, batch_body, status_of};
use assent_proof::{Code, Envelope, EvidenceId, History, Statement};
use bytes::Bytes;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

use crate::answer::{NoAnswer, Unread, json, not_the_api, problem, refused};
use crate::attempts::Rests;
use crate::client::Client;
use crate::error::ClientError;
use crate::transport::{Answer, Ask, Failure};

/// The pause after every endpoint was asked in vain; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(800);

/// An accepted envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Proof of acceptance.
    pub receipt: ReceiptBody,
    /// Whether this very request did it (201) and not an earlier one (200).
    pub fresh: bool,
    /// Whether the receipt is another statement's: a restriction that adds nothing to one standing by the same issuers
    /// is answered with that one's receipt.
    pub in_force_already: bool,
}

/// Why a submission was not accepted, by what a caller may do then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitError {
    /// A node refused it for good.
    Refused(Box<Problem>),
    /// It is certain that no node has taken it, and that none will.
    NotTaken(ClientError),
    /// It may or may not be accepted: keep the bytes, send them again, and sign nothing else for the same slot.
    Unknown(ClientError),
}

impl SubmitError {
    /// The stable code: a node's own for what it refused, otherwise one of this client.
    pub fn code(&self) -> &'static str {
        match self {
            SubmitError::Refused(problem) => problem.code.as_str(),
            SubmitError::NotTaken(error) | SubmitError::Unknown(error) => error.code(),
        }
    }

    /// What to do about it, in one line.
    pub fn remedy(&self) -> String {
        match self {
            SubmitError::Refused(problem) => problem.remedy.clone(),
            SubmitError::NotTaken(error) | SubmitError::Unknown(error) => error.remedy(),
        }
    }

    /// The problem document that a node answered, if one did.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            SubmitError::Refused(problem) => Some(problem),
            SubmitError::NotTaken(error) | SubmitError::Unknown(error) => error.problem(),
        }
    }

    /// Whether a node has refused it for good.
    pub fn is_definite(&self) -> bool {
        matches!(self, SubmitError::Refused(_))
    }

    /// The history in which a node of the statement's registry has judged it and refused it for good.
    ///
    /// There is none for a refusal that says nothing of what that registry has taken: `wrong_registry`, which a node of another
    /// registry gives, and one without a history, which a service between may give. If such a refusal follows an unknown outcome,
    /// the outcome is still unknown.
    pub fn judged_in(&self) -> Option<History> {
        match self {
            SubmitError::Refused(problem) if problem.code != Code::WrongRegistry => problem.history,
            SubmitError::Refused(_) | SubmitError::NotTaken(_) | SubmitError::Unknown(_) => None,
        }
    }
}

impl Display for SubmitError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            SubmitError::Refused(problem) => ClientError::Refused(problem.clone()).fmt(f),
            SubmitError::NotTaken(error) | SubmitError::Unknown(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SubmitError {}

impl From<ClientError> for SubmitError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(problem) => SubmitError::Refused(problem),
            error @ (ClientError::Config { .. } | ClientError::Unavailable { .. }) => {
                SubmitError::NotTaken(error)
            }
            // Of a newer node's refusal it is not known what it says of the bytes.
            error @ (ClientError::RefusalNotUnderstood(_)
            | ClientError::OutcomeUnknown { .. }
            | ClientError::DenyNotUnderstood(_)
            | ClientError::Answer { .. }
            | ClientError::HistoryChanged(_)
            | ClientError::BeyondLedger { .. }
            | ClientError::Untrusted { .. }) => SubmitError::Unknown(error),
        }
    }
}

impl From<SubmitError> for ClientError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Refused(problem) => ClientError::Refused(problem),
            SubmitError::NotTaken(error) | SubmitError::Unknown(error) => error,
        }
    }
}

impl Client {
    /// Submits one signed envelope and waits for its definite outcome.
    ///
    /// # Errors
    /// `Refused` with the node's problem; `Unknown` when the deadline passed and it may have been accepted, when all that answered is
    /// no node, which may have passed it on, and for a newer node's refusal, which is not definite; `NotTaken` when the deadline passed
    /// and nothing was taken.
    /// A refusal that comes after a lost answer (as for a gap in the chain) says what the node found then: whoever holds signed bytes
    /// can submit them again at any time.
    pub async fn submit(&self, envelope: impl Into<Bytes>) -> Result<Submitted, SubmitError> {
        let envelope = envelope.into();
        let parsed = Envelope::parse(&envelope).ok();
        let id = parsed.as_ref().map(Envelope::id);
        let read = |answer: &Answer| -> Result<Submitted, Unread> {
            if !matches!(answer.status, 200 | 201) {
                return Err(refused(answer));
            }
            let restricts = || parsed.as_ref().is_some_and(is_restriction);
            let receipt = receipt(answer, id.filter(|_| answer.status == 201 || !restricts()))?;
            let in_force_already = id.is_some_and(|id| id != receipt.evidence_id);
            Ok(Submitted { receipt, fresh: answer.status == 201, in_force_already })
        };
        Ok(self.insist(&Ask::post(Call::Submission, "/v1/envelopes", envelope), read).await?)
    }

    /// Submits up to 1000 signed envelopes, at most 1 MiB together, applied in the order given.
    ///
    /// # Errors
    /// As for [`Client::submit`]; `Refused` here is a refusal of the batch as a whole. A batch with an envelope that is no JSON is refused
    /// with `malformed` before it is sent. What became of each envelope is in the results, where 503 and 504 are not definite.
    pub async fn submit_batch(
        &self,
        mode: BatchMode,
        envelopes: &[Bytes],
    ) -> Result<BatchResponse, SubmitError> {
        let body = batch_body(mode, envelopes).map_err(|why| {
            let status = status_of(why.code, Call::Submission);
            SubmitError::Refused(Box::new(Problem::from_refusal(&why, status)))
        })?;
        let ask = Ask::post(Call::Submission, "/v1/envelopes:batch", body);
        let read = |answer: &Answer| -> Result<BatchResponse, Unread> {
            let response: BatchResponse = json(answer)?;
            if response.results.len() != envelopes.len() {
                let what =
                    format!("`{}` results for `{}` envelopes", response.results.len(), envelopes.len());
                return Err(not_the_api(answer, what));
            }
            Ok(response)
        };
        Ok(self.insist(&ask, read).await?)
    }

    /// Sends the same bytes until an endpoint gives a definite answer that `read` can read, or the deadline passes, or nothing but
    /// wrong services have answered.
    async fn insist<T>(
        &self,
        ask: &Ask,
        read: impl Fn(&Answer) -> Result<T, Unread>,
    ) -> Result<T, ClientError> {
        let until = self.deadline();
        let endpoints = self.endpoints();
        let mut maybe_taken = false;
        let mut no_answer = NoAnswer::default();
        let mut rests = Rests::new(endpoints.count());
        let mut pause = PAUSE_MIN;
        loop {
            let mut places = endpoints.in_turn();
            places.retain(|place| rests.is_over(*place));
            let mut to_ask = places.len();
            for place in places {
                let (endpoint, share) = (endpoints.at(place), self.share(until, to_ask));
                to_ask = to_ask.saturating_sub(1);
                match self.attempt(endpoint, ask, share).await {
                    Ok(answer) => match answer.retry() {
                        Retry::Final => match read(&answer) {
                            Ok(read) => {
                                endpoints.prefer(place);
                                return Ok(read);
                            }
                            Err(Unread::Said(error)) => {
                                endpoints.prefer(place);
                                return Err(error);
                            }
                            Err(Unread::Cannot(what) | Unread::Untrusted(what)) => {
                                maybe_taken = true;
                                no_answer.cannot(endpoint, &what);
                            }
                            Err(Unread::Foreign(what)) => {
                                maybe_taken = true;
                                rests.for_good(place);
                                no_answer.foreign(endpoint, what);
                            }
                        },
                        // The same bytes can be sent anywhere: `Here` needs no waiting for this very endpoint.
                        Retry::Here | Retry::Elsewhere => {
                            maybe_taken |= may_have_taken(&answer);
                            rests.note(place, &answer);
                            no_answer.answered(answer);
                        }
                    },
                    Err(failure) => {
                        maybe_taken |= matches!(failure, Failure::MaybeSent(_));
                        no_answer.failed(endpoint, &failure);
                    }
                }
                endpoints.turn_from(place);
                if Instant::now() >= until {
                    break;
                }
            }
            let next = rests.first_over().max(Instant::now() + pause);
            if next >= until {
                return Err(gave_up(maybe_taken, no_answer));
            }
            sleep_until(next).await;
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }
}

/// Whether a node that answered that it cannot may have taken the envelope all the same: it says so, or it is not the
/// node that answered but something between.
fn may_have_taken(answer: &Answer) -> bool {
    answer.status == 504 || problem(&answer.body).is_none_or(|problem| problem.is_outcome_unknown())
}

fn gave_up(maybe_taken: bool, no_answer: NoAnswer) -> ClientError {
    if !maybe_taken {
        return no_answer.into();
    }
    let detail = no_answer.detail();
    // Where no node has answered, the endpoints are what is wrong: the error says so too.
    let detail = if no_answer.is_all_foreign() {
        format!(
            "check the endpoints, since none gave an answer of an Assent node, and one may have passed it on: {detail}"
        )
    } else {
        detail
    };
    ClientError::OutcomeUnknown { detail }
}

/// Whether the envelope revokes or contains.
fn is_restriction(envelope: &Envelope) -> bool {
    Statement::parse(&envelope.payload).is_ok_and(|statement| statement.kind.is_restriction())
}

/// The receipt in an answer; it must be for this envelope, where one is named.
fn receipt(answer: &Answer, id: Option<EvidenceId>) -> Result<ReceiptBody, Unread> {
    let receipt: ReceiptBody =
        serde_json::from_slice(&answer.body).map_err(|error| not_the_api(answer, error))?;
    match id {
        Some(id) if id != receipt.evidence_id => {
            Err(not_the_api(answer, format!("a receipt for `{}` instead of `{id}`", receipt.evidence_id)))
        }
        _ => Ok(receipt),
    }
}
