//! The meaning of an answer: whether it is a problem, whether asking again can help, and whether it is an answer of
//! the API at all. This is the only place in this crate that decides whether to ask again, by the table of
//! `assent_api`.
//!
//! A deny or a refusal of a newer node, with a code that this build does not know, is recognized by its shape
//! ([`AnswerShape`]). It is a node's answer, and ends the call like any other. An answer with neither shape is not an
//! answer of the API. It comes from a wrong service at an endpoint's address and says nothing about what was asked. So
//! it counts as no answer, and the other endpoints are asked. A call's error names it only if no endpoint gave an
//! answer.
//!
//! An allow that cannot be relied on also counts as no answer, and never as an allow. A single node whose key the
//! caller lacks, or a single wrong service, must not prevent the other endpoints from being asked. If no better answer
//! comes, that allow becomes the call's error.

use assent_api::{Call, DecisionBody, Problem, Retry, Verdict};
use serde::de::DeserializeOwned;
use std::fmt::Display;

use crate::answer_shape::{AnswerShape, UnreadDeny};
use crate::endpoint::Endpoint;
use crate::error::ClientError;
use crate::tls_failure::TlsFailure;
use crate::transport::{Answer, Failure};

impl Answer {
    /// Whether the same call can be made again, and where. It is `Final` also for every answer that did what was
    /// asked.
    pub(crate) fn retry(&self) -> Retry {
        retry_said(self.call, self.status, &self.body)
    }

    /// Whether it has the shape of a deny of what was asked.
    pub(crate) fn has_a_denys_shape(&self) -> bool {
        denied(self).is_some()
    }
}

/// What an answer to a call says about making the call again. The answer's code decides. The status alone decides only
/// if there is no code that this build can read, as in the answer of a proxy or of a newer node. [`refused`] turns
/// such a final answer into an error.
pub(crate) fn retry_said(call: Call, status: u16, body: &[u8]) -> Retry {
    if (200..300).contains(&status) {
        return Retry::Final;
    }
    // A status that says that nothing was judged is believed whatever the body says: asking again does no harm.
    let unjudged = status >= 500 || matches!(status, 408 | 425 | 429);
    match code_said(call, status, body) {
        Some(retry @ (Retry::Here | Retry::Elsewhere)) => retry,
        Some(Retry::Final) | None if unjudged => Retry::Elsewhere,
        Some(Retry::Final) | None => Retry::Final,
    }
}

fn code_said(call: Call, status: u16, body: &[u8]) -> Option<Retry> {
    match (decision_body(body), problem(body)) {
        // 403 means that the request was judged, whatever the reasons are. No allow of another endpoint may replace
        // this deny.
        (Some(decision), _) if is_judged(decision.decision, status) => Some(Retry::Final),
        (Some(decision), _) => Some(decision.retry()),
        // A deny that cannot be read in full is still a deny, whatever else its body says.
        (None, Some(_)) if matches!(call, Call::Authorize) && AnswerShape::of(body).is_deny_under(status) => {
            None
        }
        (None, problem) => problem.map(|problem| problem.retry(call)),
    }
}

/// Whether a decision with this status is a deny that was judged. With 403 it is, even if a reason says that the node
/// cannot know.
pub(crate) fn is_judged(decision: Verdict, status: u16) -> bool {
    decision == Verdict::Deny && status == 403
}

/// The problem document in a body, if it is one.
pub(crate) fn problem(body: &[u8]) -> Option<Problem> {
    serde_json::from_slice(body).ok()
}

/// The decision in a body, if it is one. Nothing is allowed by it: [`Decision::check`](crate::Decision) alone does that.
pub(crate) fn decision_body(body: &[u8]) -> Option<DecisionBody> {
    serde_json::from_slice(body).ok()
}

/// Why an answer is not the one that was asked for. Only this module turns it into an error, so that no call can
/// mistake a wrong service for the cluster.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is not an answer of the API, for this reason. It counts as no answer.
    Foreign(String),
    /// It is the answer of a node that cannot answer now, for this reason. Another endpoint is asked.
    Cannot(String),
    /// It is an allow that must not be relied on, for this reason. It counts as no answer, and becomes the call's
    /// error if no other answer comes.
    Untrusted(String),
    /// It is a node's refusal or deny, which ends the call.
    Said(ClientError),
}

/// The verdict on an answer that is not an answer of the API, with the reason.
pub(crate) fn not_the_api(answer: &Answer, what: impl Display) -> Unread {
    Unread::Foreign(format!("status {}, {what}", answer.status))
}

/// The verdict on an answer that cannot be read as the one that was asked for: it is still a deny, or it is not an
/// answer of the API.
pub(crate) fn unreadable(answer: &Answer, what: impl Display) -> Unread {
    match denied(answer) {
        Some(deny) => Unread::Said(ClientError::DenyNotUnderstood(Box::new(deny))),
        None => not_the_api(answer, what),
    }
}

/// The deny in an answer to a question, if it has the shape of one.
fn denied(answer: &Answer) -> Option<UnreadDeny> {
    let shape = AnswerShape::of(&answer.body);
    // The body that breaks off after a 403, or is encoded, may be a decision, and each decision with a 403 denies.
    let is_begun_deny = answer.spoilt.is_some() && answer.status == 403;
    let is_deny = is_begun_deny || shape.is_deny_under(answer.status) || shape.is_deny_if_unread();
    (matches!(answer.call, Call::Authorize) && is_deny).then(|| shape.into_deny(&answer.body, answer.spoilt))
}

/// The document in an answer of 200.
pub(crate) fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, Unread> {
    if answer.status != 200 {
        return Err(refused(answer));
    }
    serde_json::from_slice(&answer.body).map_err(|error| not_the_api(answer, error))
}

/// The verdict on an answer that is not a success: a node's refusal or deny, even one that this build cannot read in
/// full, or an answer that is not the API's.
pub(crate) fn refused(answer: &Answer) -> Unread {
    if let Some(deny) = denied(answer) {
        return Unread::Said(ClientError::DenyNotUnderstood(Box::new(deny)));
    }
    let problem = match problem(&answer.body) {
        Some(problem) if answer.status >= 400 => problem,
        Some(_) | None => return refused_in_other_words(answer),
    };
    Unread::Said(match answer.retry() {
        // After `Here`, the call was repeated for as long as it could take, so the refusal holds.
        Retry::Final | Retry::Here => ClientError::Refused(Box::new(problem)),
        Retry::Elsewhere => {
            ClientError::Unavailable { detail: problem.detail.clone(), problem: Some(Box::new(problem)) }
        }
    })
}

/// The verdict on such an answer if it is neither a deny nor a problem document that this build can read.
fn refused_in_other_words(answer: &Answer) -> Unread {
    let Some(refusal) = AnswerShape::of(&answer.body).into_refusal(answer.call, answer.status) else {
        return not_the_api(answer, "without a decision or a problem document");
    };
    Unread::Said(match answer.retry() {
        Retry::Final | Retry::Here => ClientError::RefusalNotUnderstood(Box::new(refusal)),
        Retry::Elsewhere => ClientError::Unavailable { detail: refusal.to_string(), problem: None },
    })
}

/// What one endpoint said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    endpoint: String,
    what: String,
}

impl Said {
    fn new(endpoint: &Endpoint, what: impl Into<String>) -> Self {
        Said { endpoint: endpoint.to_string(), what: what.into() }
    }
}

/// What the endpoints said: each reason once, behind all endpoints that gave it.
fn told_once(said: &[Said]) -> String {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for Said { endpoint, what } in said {
        let name = format!("`{endpoint}`");
        match reasons.iter_mut().find(|(reason, _)| *reason == what.as_str()) {
            Some((_, names)) if names.contains(&name) => {}
            Some((_, names)) => names.push(name),
            None => reasons.push((what.as_str(), vec![name])),
        }
    }
    let told = |(reason, names): &(&str, Vec<String>)| format!("{}: {reason}", names.join(", "));
    reasons.iter().map(told).collect::<Vec<String>>().join("; ")
}

/// What came back when no endpoint could answer.
#[derive(Debug, Default)]
pub(crate) struct NoAnswer {
    details: Vec<Said>,
    /// The first answer that was not the API's: its endpoint, and what was wrong with it.
    foreign: Option<(Endpoint, String)>,
    /// The allows that must not be relied on: the endpoint of each, and why.
    untrusted: Vec<Said>,
    /// The first failure of TLS.
    tls: Option<TlsFailure>,
    /// Whether anything else came back as well.
    otherwise: bool,
    /// Whether an endpoint may nevertheless have done what was asked.
    maybe_done: bool,
    /// The last answer of a node that said that it cannot answer.
    pub(crate) last: Option<Answer>,
}

/// The most details that an error lists.
const DETAILS_MAX: usize = 8;

impl NoAnswer {
    pub(crate) fn failed(&mut self, endpoint: &Endpoint, failure: &Failure) {
        match failure {
            Failure::NotSent(detail) => self.cannot(endpoint, detail),
            Failure::Tls(failure) => {
                self.tls.get_or_insert_with(|| failure.clone());
                self.cannot(endpoint, &failure.detail);
            }
            Failure::MaybeSent(detail) => {
                self.maybe_done = true;
                self.cannot(endpoint, detail);
            }
            Failure::NotTheApi(detail) => {
                self.maybe_done = true;
                self.foreign(endpoint, detail.clone());
            }
        }
    }

    /// Notes a node that cannot answer now.
    pub(crate) fn cannot(&mut self, endpoint: &Endpoint, what: &str) {
        self.otherwise = true;
        self.note(endpoint, what);
    }

    /// Notes an answer that counts as no answer.
    ///
    /// # Errors
    /// The node's refusal or deny, if the answer is one.
    pub(crate) fn unread(&mut self, endpoint: &Endpoint, unread: Unread) -> Result<(), ClientError> {
        match unread {
            Unread::Said(error) => return Err(error),
            Unread::Cannot(what) => self.cannot(endpoint, &what),
            Unread::Untrusted(what) => self.untrusted(endpoint, &what),
            Unread::Foreign(what) => self.foreign(endpoint, what),
        }
        self.maybe_done = true;
        Ok(())
    }

    /// Notes an allow that must not be relied on.
    fn untrusted(&mut self, endpoint: &Endpoint, what: &str) {
        self.otherwise = true;
        // An endpoint is asked for a decision only once, unless it says to ask again. A caller may have named many
        // endpoints.
        if self.untrusted.len() < DETAILS_MAX {
            self.untrusted.push(Said::new(endpoint, what));
        }
    }

    pub(crate) fn answered(&mut self, answer: Answer) {
        let said = match problem(&answer.body) {
            Some(problem) => format!("status {}, {}: {}", answer.status, problem.code, problem.detail),
            None => format!("status {}{}", answer.status, AnswerShape::of(&answer.body).codes()),
        };
        self.cannot(&answer.endpoint, &said);
        // A node that could not do it in time may still do it later.
        self.maybe_done = true;
        self.last = Some(answer);
    }

    /// Whether an endpoint may have done what was asked although its answer was lost or counts as none.
    pub(crate) fn is_maybe_done(&self) -> bool {
        self.maybe_done
    }

    /// Notes an answer that was not the API's.
    pub(crate) fn foreign(&mut self, endpoint: &Endpoint, what: String) {
        if self.foreign.is_none() {
            self.foreign = Some((endpoint.clone(), what));
        } else {
            self.note(endpoint, &foreign_detail(&what));
        }
    }

    /// Whether only answers that were not the API's came back. Each endpoint that was asked is then a wrong one.
    pub(crate) fn is_all_foreign(&self) -> bool {
        self.foreign.is_some() && !self.otherwise
    }

    fn note(&mut self, endpoint: &Endpoint, what: &str) {
        let detail = Said::new(endpoint, what);
        // A call that retries for a long time gets the same detail again and again.
        if self.details.len() < DETAILS_MAX && !self.details.contains(&detail) {
            self.details.push(detail);
        }
    }

    pub(crate) fn detail(&self) -> String {
        let told = |(endpoint, what): &(Endpoint, String)| Said::new(endpoint, foreign_detail(what));
        let untrusted = self.untrusted.iter().cloned();
        let details = untrusted.chain(self.foreign.iter().map(told)).chain(self.details.iter().cloned());
        let details: Vec<Said> = details.collect();
        if details.is_empty() { "the deadline has passed".to_owned() } else { told_once(&details) }
    }

    /// The error of the call.
    pub(crate) fn error(&self) -> ClientError {
        // The error also says what the other endpoints said, since they gave nothing to act on either.
        if !self.untrusted.is_empty() {
            return ClientError::Untrusted { detail: self.detail() };
        }
        if let (Some((endpoint, what)), false) = (&self.foreign, self.otherwise) {
            // The other answers, if there are any, were no better.
            let others = told_once(&self.details);
            let others = if others.is_empty() { others } else { format!("; {others}") };
            return ClientError::Answer { endpoint: endpoint.to_string(), detail: format!("{what}{others}") };
        }
        // If no node answered, an endpoint with which TLS failed tells more than those that are silent.
        if let (Some(failure), None) = (&self.tls, &self.last) {
            let failure = TlsFailure { detail: self.detail(), ..failure.clone() };
            return ClientError::Tls(Box::new(failure));
        }
        let problem = self.last.as_ref().and_then(|answer| problem(&answer.body)).map(Box::new);
        ClientError::Unavailable { detail: self.detail(), problem }
    }

    /// The error for one answer if there is no other endpoint to ask.
    pub(crate) fn only(answer: &Answer, unread: Unread) -> ClientError {
        let mut no_answer = NoAnswer::default();
        match no_answer.unread(&answer.endpoint, unread) {
            Ok(()) => no_answer.into(),
            Err(error) => error,
        }
    }
}

fn foreign_detail(what: &str) -> String {
    format!("an answer that is not the API's: {what}")
}

impl From<NoAnswer> for ClientError {
    fn from(no_answer: NoAnswer) -> Self {
        no_answer.error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_api::{retry_of, status_of};
    use assent_proof::Code;

    #[test]
    fn every_code_in_every_call_is_asked_again_exactly_where_the_table_says() {
        for code in Code::ALL {
            for call in Call::ALL {
                let status = status_of(*code, call);
                let body = Problem::new(*code, status, "as told").to_vec();
                let (said, expected) = (retry_said(call, status, &body), retry_of(*code, call));
                assert_eq!(said, expected, "`{code}` {call:?} {status}");
            }
        }
    }

    #[test]
    fn a_reason_that_several_endpoints_gave_is_told_once_behind_all_of_them() {
        let endpoint = |name: &str| Endpoint::parse(name).unwrap();
        let mut no_answer = NoAnswer::default();
        for name in ["a:1", "b:1", "a:1", "c:1"] {
            no_answer.cannot(&endpoint(name), "it is full");
        }
        no_answer.cannot(&endpoint("a:1"), "it stops");
        assert_eq!(no_answer.detail(), "`a:1`, `b:1`, `c:1`: it is full; `a:1`: it stops");
        let mut foreign = NoAnswer::default();
        for name in ["d:1", "e:1"] {
            foreign.foreign(&endpoint(name), "status 404".to_owned());
        }
        assert_eq!(foreign.detail(), "`d:1`, `e:1`: an answer that is not the API's: status 404");
        let error = foreign.error().to_string();
        assert!(error.ends_with("status 404; `e:1`: an answer that is not the API's: status 404"), "{error}");
    }

    #[test]
    fn an_answer_without_a_code_is_asked_again_by_its_status_alone() {
        for (status, expected) in [
            (200, Retry::Final),
            (204, Retry::Final),
            (302, Retry::Final),
            (404, Retry::Final),
            (408, Retry::Elsewhere),
            (429, Retry::Elsewhere),
            (500, Retry::Elsewhere),
            (503, Retry::Elsewhere),
        ] {
            assert_eq!(retry_said(Call::Read, status, b"<html>"), expected, "{status}");
        }
    }

    #[test]
    fn a_final_code_under_a_status_that_judged_nothing_is_not_final() {
        let body = Problem::new(Code::Malformed, 500, "an older node's own fault").to_vec();
        assert_eq!(retry_said(Call::Read, 500, &body), Retry::Elsewhere);
        let unknown = Problem::unknown_outcome("no commit").to_vec();
        assert_eq!(retry_said(Call::Submission, 504, &unknown), Retry::Elsewhere);
    }
}
