//! What an answer says: a problem, whether asking again can help, and whether it is the API's at all. The only place of this crate
//! that decides whether to ask again, by the one table of `assent_api`.
//!
//! A newer node's deny and refusal, with a code that this build does not know, are told by their shape ([`AnswerShape`]): they are a node's
//! word, and end the call like any other. Only what has neither shape is not the API's. It comes from a wrong service behind an
//! endpoint's address, and says nothing of what was asked, so it counts as no answer: the other endpoints are asked. A call's error
//! names it only if no endpoint gave an answer.
//!
//! An allow that cannot be relied on counts as no answer too, and never as an allow. One node whose key the caller lacks, or one wrong
//! service, must not keep the others from being asked. If nothing better comes, it is the call's error.

use assent_api::{Call, DecisionBody, Problem, Retry, Verdict};
use http::uri::Authority;
use serde::de::DeserializeOwned;
use std::fmt::Display;

use crate::answer_shape::{AnswerShape, UnreadDeny};
use crate::error::ClientError;
use crate::transport::{Answer, Failure};

impl Answer {
    /// Whether the same call can be made again, and where; `Final` also for every answer that did what was asked.
    pub(crate) fn retry(&self) -> Retry {
        retry_said(self.call, self.status, &self.body)
    }
}

/// What an answer to a call says about making it again. Its code says it; the status alone decides only where there is none
/// that can be read, as of a proxy's answer, or a newer node's. What such a final answer is, [`refused`] says.
pub(crate) fn retry_said(call: Call, status: u16, body: &[u8]) -> Retry {
    if (200..300).contains(&status) {
        return Retry::Final;
    }
    // A status that says that nothing was judged is believed against any body: to ask again does no harm.
    let unjudged = status >= 500 || matches!(status, 408 | 425 | 429);
    match code_said(call, status, body) {
        Some(retry @ (Retry::Here | Retry::Elsewhere)) => retry,
        Some(Retry::Final) | None if unjudged => Retry::Elsewhere,
        Some(Retry::Final) | None => Retry::Final,
    }
}

fn code_said(call: Call, status: u16, body: &[u8]) -> Option<Retry> {
    match (decision_body(body), problem(body)) {
        // 403 says that it was judged, whatever the reasons are: another endpoint's allow must not take this deny's place.
        (Some(decision), _) if is_judged(decision.decision, status) => Some(Retry::Final),
        (Some(decision), _) => Some(decision.retry()),
        // A deny that cannot be read in full stays one, whatever else its body says.
        (None, Some(_)) if matches!(call, Call::Authorize) && AnswerShape::of(body).is_deny_under(status) => {
            None
        }
        (None, problem) => problem.map(|problem| problem.retry(call)),
    }
}

/// Whether a decision under this status is a deny that was judged. Under 403 it is, also with a reason that says that the node cannot
/// know.
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

/// Why an answer does not say what was asked for. Only this module turns it into an error, so that no call can take a wrong service
/// for the cluster.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is not the API's, for this reason: it counts as no answer.
    Foreign(String),
    /// It is a node's that cannot say it now, for this reason: another endpoint is asked.
    Cannot(String),
    /// It is an allow that must not be relied on, for this reason: it counts as no answer, and is the call's error if none comes.
    Untrusted(String),
    /// It is a node's word, which ends the call.
    Said(ClientError),
}

/// An answer that is not the API's, and why.
pub(crate) fn not_the_api(answer: &Answer, what: impl Display) -> Unread {
    Unread::Foreign(format!("status {}, {what}", answer.status))
}

/// An answer that is not what was asked for, and why: a deny all the same, or not the API's.
pub(crate) fn unreadable(answer: &Answer, what: impl Display) -> Unread {
    match denied(answer) {
        Some(deny) => Unread::Said(ClientError::DenyNotUnderstood(Box::new(deny))),
        None => not_the_api(answer, what),
    }
}

/// The deny in an answer to a question, if it has the shape of one.
fn denied(answer: &Answer) -> Option<UnreadDeny> {
    let shape = AnswerShape::of(&answer.body);
    let is_deny = shape.is_deny_under(answer.status) || shape.is_deny_if_unread();
    (matches!(answer.call, Call::Authorize) && is_deny).then(|| shape.into_deny(&answer.body))
}

/// The document in an answer of 200.
pub(crate) fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, Unread> {
    if answer.status != 200 {
        return Err(refused(answer));
    }
    serde_json::from_slice(&answer.body).map_err(|error| not_the_api(answer, error))
}

/// An answer that is no success: the node's refusal or deny, also in words that this build does not know, or something that is not
/// the API.
pub(crate) fn refused(answer: &Answer) -> Unread {
    if let Some(deny) = denied(answer) {
        return Unread::Said(ClientError::DenyNotUnderstood(Box::new(deny)));
    }
    let problem = match problem(&answer.body) {
        Some(problem) if answer.status >= 400 => problem,
        Some(_) | None => return refused_in_other_words(answer),
    };
    Unread::Said(match answer.retry() {
        // `Here` was asked again for as long as the call could take: the cluster's word stands.
        Retry::Final | Retry::Here => ClientError::Refused(Box::new(problem)),
        Retry::Elsewhere => {
            ClientError::Unavailable { detail: problem.detail.clone(), problem: Some(Box::new(problem)) }
        }
    })
}

/// The same, of neither a deny nor a problem document that this build can read.
fn refused_in_other_words(answer: &Answer) -> Unread {
    let Some(refusal) = AnswerShape::of(&answer.body).into_refusal(answer.status) else {
        return not_the_api(answer, "without a decision or a problem document");
    };
    Unread::Said(match answer.retry() {
        Retry::Final | Retry::Here => ClientError::RefusalNotUnderstood(Box::new(refusal)),
        Retry::Elsewhere => ClientError::Unavailable { detail: refusal.to_string(), problem: None },
    })
}

/// What came back when no endpoint could answer.
#[derive(Debug, Default)]
pub(crate) struct NoAnswer {
    details: Vec<String>,
    /// The first answer that was not the API's: from where, and what was wrong with it.
    foreign: Option<(Authority, String)>,
    /// The allows that must not be relied on: from where, and why.
    untrusted: Vec<String>,
    /// Whether anything else came back as well.
    otherwise: bool,
    /// Whether an endpoint may have done what was asked all the same.
    maybe_done: bool,
    /// The last answer that said so.
    pub(crate) last: Option<Answer>,
}

/// Most details that an error lists.
const DETAILS_MAX: usize = 8;

impl NoAnswer {
    pub(crate) fn failed(&mut self, endpoint: &Authority, failure: &Failure) {
        self.maybe_done |= matches!(failure, Failure::MaybeSent(_));
        self.cannot(endpoint, failure.detail());
    }

    /// Notes a node that cannot say now what was asked.
    pub(crate) fn cannot(&mut self, endpoint: &Authority, what: &str) {
        self.otherwise = true;
        self.note(endpoint, what);
    }

    /// Notes an answer that counts as none.
    ///
    /// # Errors
    /// The node's word, if it is one.
    pub(crate) fn unread(&mut self, endpoint: &Authority, unread: Unread) -> Result<(), ClientError> {
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
    fn untrusted(&mut self, endpoint: &Authority, what: &str) {
        self.otherwise = true;
        // No endpoint is asked for a decision twice, unless it says so; a caller may have named very many.
        if self.untrusted.len() < DETAILS_MAX {
            self.untrusted.push(format!("`{endpoint}`: {what}"));
        }
    }

    pub(crate) fn answered(&mut self, answer: Answer) {
        let said = match problem(&answer.body) {
            Some(problem) => format!("status {}, {}: {}", answer.status, problem.code, problem.detail),
            None => format!("status {}{}", answer.status, AnswerShape::of(&answer.body).codes()),
        };
        self.cannot(&answer.endpoint, &said);
        // One that could not do it in time may still do it.
        self.maybe_done = true;
        self.last = Some(answer);
    }

    /// Whether an endpoint may have done what was asked, though its answer was lost or counts as none.
    pub(crate) fn is_maybe_done(&self) -> bool {
        self.maybe_done
    }

    /// Notes an answer that was not the API's.
    pub(crate) fn foreign(&mut self, endpoint: &Authority, what: String) {
        if self.foreign.is_none() {
            self.foreign = Some((endpoint.clone(), what));
        } else {
            self.note(endpoint, &format!("an answer that is not the API's: {what}"));
        }
    }

    /// Whether nothing but answers that were not the API's came back: then each endpoint that was asked is a wrong one.
    pub(crate) fn is_all_foreign(&self) -> bool {
        self.foreign.is_some() && !self.otherwise
    }

    fn note(&mut self, endpoint: &Authority, what: &str) {
        let detail = format!("`{endpoint}`: {what}");
        // A call that retries for long says the same again and again.
        if self.details.len() < DETAILS_MAX && !self.details.contains(&detail) {
            self.details.push(detail);
        }
    }

    pub(crate) fn detail(&self) -> String {
        let told = |(endpoint, what): &(Authority, String)| {
            format!("`{endpoint}`: an answer that is not the API's: {what}")
        };
        let untrusted = self.untrusted.iter().cloned();
        let details = untrusted.chain(self.foreign.iter().map(told)).chain(self.details.iter().cloned());
        let details: Vec<String> = details.collect();
        if details.is_empty() { "the deadline has passed".to_owned() } else { details.join("; ") }
    }

    /// The error of the call.
    pub(crate) fn error(&self) -> ClientError {
        // What the others said is in it: they gave nothing to act on either.
        if !self.untrusted.is_empty() {
            return ClientError::Untrusted { detail: self.detail() };
        }
        if let (Some((endpoint, what)), false) = (&self.foreign, self.otherwise) {
            // The others, if there are some, were no better.
            let others = self.details.iter().map(|detail| format!("; {detail}")).collect::<String>();
            return ClientError::Answer { endpoint: endpoint.to_string(), detail: format!("{what}{others}") };
        }
        let problem = self.last.as_ref().and_then(|answer| problem(&answer.body)).map(Box::new);
        ClientError::Unavailable { detail: self.detail(), problem }
    }

    /// The error of one answer, where there is no other endpoint to ask.
    pub(crate) fn only(answer: &Answer, unread: Unread) -> ClientError {
        let mut no_answer = NoAnswer::default();
        match no_answer.unread(&answer.endpoint, unread) {
            Ok(()) => no_answer.into(),
            Err(error) => error,
        }
    }
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
