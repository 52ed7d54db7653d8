//! Submits signed envelopes.
//!
//! If the answer to a submission is lost, the outcome is *unknown*, not failed. The client then sends the same bytes
//! to the next endpoint, until a node gives a definite answer. A node answers an accepted envelope with its first
//! receipt, however often it is sent. An envelope that a node has definitely refused is not sent again
//! ([`retry_of`](assent_api::retry_of)). A node that names a `Retry-After` is not asked during that time. If the
//! deadline passes, the outcome stays unknown, and the caller must submit the same bytes later ([`Outbox`]).
//!
//! A refusal of a newer node that this client cannot read in full ends the call like any other (`answer_shape.rs`). It
//! is not definite, so the caller must keep the bytes.
//!
//! An answer that is not the API's counts as no answer. Its endpoint is not asked again in the call, and the other
//! endpoints are. This is safe, since an envelope is accepted once, by its hash, however often and wherever it is
//! sent. But something between may have passed the envelope on. So the outcome is unknown, even if nothing else
//! answered.
//!
//! A refusal of the caller is final: a node's answer that the caller is not permitted, and a certificate that every node
//! refuses. If one node refuses the caller's certificate, the other endpoints are asked once.
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
    /// Whether this request was the first one to submit the envelope (201), and not a repetition (200).
    pub fresh: bool,
    /// Whether the receipt belongs to another statement. If a restriction adds nothing to one that the same issuers
    /// have in force, the node answers with the receipt of the one in force.
    pub in_force_already: bool,
}

/// Why a submission was not accepted. The variants differ in what the caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitError {
    /// A node definitely refused it.
    Refused(Box<Problem>),
    /// It is certain that no node has taken it, and that none will.
    NotTaken(ClientError),
    /// It may or may not be accepted. The caller must keep the bytes, send them again, and sign nothing else for the
    /// same slot.
    Unknown(ClientError),
}

impl SubmitError {
    /// The stable code: the node's code if a node refused the submission, otherwise a code of this client.
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

    /// Whether a node has definitely refused it.
    pub fn is_definite(&self) -> bool {
        matches!(self, SubmitError::Refused(_))
    }

    /// Whether these bytes are settled: a node of the statement's registry refused them, and neither time nor another
    /// statement can lift that refusal. If it can be lifted, the bytes may be accepted later. If another statement were
    /// then signed for the slot, the two would be an equivocation. So the caller must keep the bytes.
    ///
    /// A service that is not a node of that registry also gives some codes: a node of another registry gives
    /// `wrong_registry`, and a gateway gives `malformed` or `too_large` without a history. They settle nothing.
    pub fn is_settled(&self) -> bool {
        let SubmitError::Refused(problem) = self else { return false };
        match problem.code {
            // The bytes themselves are at fault.
            Code::SignatureInvalid
            | Code::UnsignedEvidence
            | Code::ClaimsInvalid
            // Another statement has the slot, or this one is recorded as an equivocation.
            | Code::HeadMoved
            | Code::AuthorityInconsistent
            // A revoked key stays revoked, a closed lineage stays closed, and a lineage keeps its subjects.
            | Code::AuthorityRevoked
            | Code::LineageClosed
            | Code::SubjectMismatch => true,
            // The bytes are at fault if a node of the registry has judged them.
            Code::Malformed | Code::TooLarge => self.judged_in().is_some(),
            // Another registry says nothing of what the statement's registry takes.
            Code::WrongRegistry
            // The slots before this one may be filled, and a slot may get a second half that is this one's parent.
            | Code::LineageFragmented
            // `issuedAt` may be ahead of the registry's time.
            | Code::TimesInvalid
            // The missing statements, domains, grants and proofs may be submitted, and an isolation may be released.
            | Code::EvidenceDetached
            | Code::InheritanceUnverifiable
            | Code::RegistryDiverged
            | Code::TargetUnknown
            | Code::AuthorityUnknown
            | Code::AuthorityExpired
            | Code::RoleNotPermitted
            | Code::ThresholdNotMet
            | Code::DomainUnknown
            | Code::DomainIsolated
            // They are about the call, or about the node at that time.
            | Code::NoQuorum
            | Code::EncodingUnsupported
            | Code::ClockUncertain
            | Code::DeadlineExceeded
            | Code::Overloaded
            | Code::CallerNotPermitted
            | Code::InternalError
            // No submission is refused with these.
            | Code::RuntimeStale
            | Code::EvidenceMissing
            | Code::EvidenceMutated
            | Code::PolicyMissing
            | Code::LineageUnknown
            | Code::LineageAmbiguous
            | Code::LineageQuarantined
            | Code::EvidenceExpired
            | Code::EvidenceInvalidated
            | Code::AttestationNotAffirming
            | Code::MeasurementNotApproved
            | Code::PolicyValidationFailed
            | Code::ActionNotPermitted
            | Code::AudienceMismatch
            | Code::EnvironmentMismatch
            | Code::RuntimeMismatch
            | Code::PermitRequired
            | Code::AuthorizationConsumed
            | Code::NonceReused
            | Code::HeadMismatch
            | Code::RevisionNotReached
            | Code::HistoryMismatch
            | Code::CursorBeyondLedger
            | Code::MemberUnknown
            | Code::MemberExists
            | Code::MemberBehind
            | Code::QuorumAtRisk
            | Code::MembershipBusy
            | Code::MemberRemoved => false,
        }
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
            error @ (ClientError::Config { .. } | ClientError::Unavailable { .. } | ClientError::Tls(_)) => {
                SubmitError::NotTaken(error)
            }
            // It is not known what a newer node's refusal means for the bytes.
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
    /// `Refused` with the node's problem. `Unknown` if the deadline passed and the envelope may have been accepted, if
    /// no endpoint that answered is a node (it may have passed the envelope on), and for a newer node's refusal, which
    /// is not definite. `NotTaken` if the deadline passed and no node has taken the envelope. A refusal that comes
    /// after a lost answer, for example for a gap in the chain, describes what the node found at that time. A caller
    /// that holds signed bytes can submit them again at any time.
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
    /// The errors of [`Client::submit`], where `Refused` is a refusal of the whole batch. A batch with an envelope
    /// that is not JSON is refused with `malformed` before it is sent. The outcome of each envelope is in the results,
    /// where 503 and 504 are not definite.
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

    /// Sends the same bytes until an endpoint gives a definite answer that `read` can read, the deadline passes, every
    /// endpoint has turned out to be a wrong service or one with which there is no TLS, or the caller's certificate is
    /// refused and no other endpoint can be reached.
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
                                rests.note(place, &answer);
                                no_answer.cannot(endpoint, &what);
                            }
                            Err(Unread::Foreign(what)) => {
                                maybe_taken = true;
                                rests.for_good(place);
                                no_answer.foreign(endpoint, what);
                            }
                        },
                        // The same bytes can be sent to any endpoint, so `Here` does not require waiting for this one.
                        Retry::Here | Retry::Elsewhere => {
                            maybe_taken |= may_have_taken(&answer);
                            rests.note(place, &answer);
                            no_answer.answered(answer);
                        }
                    },
                    Err(failure) => {
                        match failure {
                            Failure::NotSent(_) | Failure::Tls(_) => {}
                            Failure::MaybeSent(_) | Failure::NotTheApi(_) => maybe_taken = true,
                        }
                        rests.failed(place, &failure);
                        no_answer.failed(endpoint, &failure);
                    }
                }
                endpoints.turn_from(place);
                if Instant::now() >= until {
                    break;
                }
            }
            let next = rests.first_over().max(Instant::now() + pause);
            if next >= until || rests.is_refused_by_all() {
                return Err(gave_up(maybe_taken, no_answer));
            }
            sleep_until(next).await;
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }
}

/// Whether the envelope may have been taken although the answer says that the node cannot take it: the node says that
/// it may, or the answer came from something between.
fn may_have_taken(answer: &Answer) -> bool {
    answer.status == 504 || problem(&answer.body).is_none_or(|problem| problem.is_outcome_unknown())
}

fn gave_up(maybe_taken: bool, no_answer: NoAnswer) -> ClientError {
    if !maybe_taken {
        return no_answer.into();
    }
    let detail = no_answer.detail();
    // If no node has answered, the endpoints are wrong, and the error says so too.
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

/// The receipt in an answer. If `id` is given, the receipt must be for that envelope.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_that_nothing_can_lift_settles_the_bytes() {
        let refused = |code, history| {
            SubmitError::Refused(Box::new(Problem::new(code, 409, "as told").in_history(history)))
        };
        let history = History::new([7; 32], 1);
        let settled = |history| {
            let codes = Code::ALL.iter().filter(move |code| refused(**code, history).is_settled());
            codes.map(|code| code.as_str()).collect::<Vec<_>>()
        };
        let without = [
            "unsigned_evidence",
            "authority_inconsistent",
            "signature_invalid",
            "head_moved",
            "claims_invalid",
            "authority_revoked",
            "lineage_closed",
            "subject_mismatch",
        ];
        assert_eq!(settled(None), without);
        let judged: Vec<&str> = settled(history).into_iter().filter(|code| !without.contains(code)).collect();
        assert_eq!(judged, ["malformed", "too_large"]);
        let unknown = ClientError::OutcomeUnknown { detail: String::new() };
        assert!(!SubmitError::Unknown(unknown).is_settled());
    }
}
