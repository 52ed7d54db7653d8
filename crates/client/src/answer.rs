//! What an answer says: a problem, and whether asking again can help. The only place of this crate that decides the latter,
//! by the one table of `assent_api`.

use assent_api::{Call, DecisionBody, Problem, Retry};
use http::uri::Authority;

use crate::error::ClientError;
use crate::transport::{Answer, Failure};

impl Answer {
    /// Whether the same call can be made again, and where; `Final` also for every answer that did what was asked.
    pub(crate) fn retry(&self) -> Retry {
        retry_said(self.call, self.status, &self.body)
    }
}

/// What an answer to a call says about making it again. Its code says it; the status alone decides only where there is none
/// that can be read, as of a proxy's answer, or a newer node's.
pub(crate) fn retry_said(call: Call, status: u16, body: &[u8]) -> Retry {
    if (200..300).contains(&status) {
        return Retry::Final;
    }
    // A status that says that nothing was judged is believed against any body: to ask again does no harm.
    let unjudged = status >= 500 || matches!(status, 408 | 425 | 429);
    match code_said(call, body) {
        Some(retry @ (Retry::Here | Retry::Elsewhere)) => retry,
        Some(Retry::Final) | None if unjudged => Retry::Elsewhere,
        Some(Retry::Final) | None => Retry::Final,
    }
}

fn code_said(call: Call, body: &[u8]) -> Option<Retry> {
    match problem(body) {
        Some(problem) => Some(problem.retry(call)),
        None => decision_body(body).map(|decision| decision.retry()),
    }
}

/// The problem document in a body, if it is one.
pub(crate) fn problem(body: &[u8]) -> Option<Problem> {
    serde_json::from_slice(body).ok()
}

/// The decision in a body, if it is one. Nothing is allowed by it: [`Decision::check`](crate::Decision) alone does that.
pub(crate) fn decision_body(body: &[u8]) -> Option<DecisionBody> {
    serde_json::from_slice(body).ok()
}

/// The error of an answer that is not the API's.
pub(crate) fn not_the_api(answer: &Answer, what: impl std::fmt::Display) -> ClientError {
    ClientError::Answer {
        endpoint: answer.endpoint.to_string(),
        detail: format!("status {}, {what}", answer.status),
    }
}

/// The error of an answer that is no success: the node's refusal, or something that is not the API.
pub(crate) fn refused(answer: &Answer) -> ClientError {
    match (problem(&answer.body), answer.retry()) {
        // `Here` was asked again for as long as the call could take: the cluster's word stands.
        (Some(problem), Retry::Final | Retry::Here) => ClientError::Refused(Box::new(problem)),
        (Some(problem), Retry::Elsewhere) => {
            ClientError::Unavailable { detail: problem.detail.clone(), problem: Some(Box::new(problem)) }
        }
        (None, _) => not_the_api(answer, "without a problem document"),
    }
}

/// What came back when no endpoint could answer.
#[derive(Debug, Default)]
pub(crate) struct NoAnswer {
    details: Vec<String>,
    /// The last answer that said so.
    pub(crate) last: Option<Answer>,
}

/// Most details that an error lists.
const DETAILS_MAX: usize = 8;

impl NoAnswer {
    pub(crate) fn failed(&mut self, endpoint: &Authority, failure: &Failure) {
        self.note(endpoint, failure.detail());
    }

    pub(crate) fn answered(&mut self, answer: Answer) {
        let said = match problem(&answer.body) {
            Some(problem) => format!("status {}, {}: {}", answer.status, problem.code, problem.detail),
            None => format!("status {}", answer.status),
        };
        self.note(&answer.endpoint, &said);
        self.last = Some(answer);
    }

    fn note(&mut self, endpoint: &Authority, what: &str) {
        let detail = format!("`{endpoint}`: {what}");
        // A call that retries for long says the same again and again.
        if self.details.len() < DETAILS_MAX && !self.details.contains(&detail) {
            self.details.push(detail);
        }
    }

    pub(crate) fn detail(&self) -> String {
        if self.details.is_empty() { "the deadline has passed".to_owned() } else { self.details.join("; ") }
    }
}

impl From<NoAnswer> for ClientError {
    fn from(no_answer: NoAnswer) -> Self {
        let problem = no_answer.last.as_ref().and_then(|answer| problem(&answer.body)).map(Box::new);
        ClientError::Unavailable { detail: no_answer.detail(), problem }
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
