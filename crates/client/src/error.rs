//! Why a call did not do what was asked, and what to do then.

use assent_api::Problem;

/// Why a call did not do what was asked. No variant means that something may execute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The client cannot be used like this.
    #[error("{detail}")]
    Config {
        /// What is wrong.
        detail: String,
    },
    /// No endpoint could do it within the deadline. Nothing was submitted.
    #[error("no endpoint could answer: {detail}")]
    Unavailable {
        /// What each endpoint said.
        detail: String,
        /// What the last node that answered said.
        problem: Option<Box<Problem>>,
    },
    /// A node refused it for good.
    #[error("{}: {}{}", .0.code, .0.field.as_deref().map(|f| format!("`{f}` ")).unwrap_or_default(), .0.detail)]
    Refused(Box<Problem>),
    /// The envelope was sent and no node could say in time whether it was accepted. It may or may not be.
    #[error("the outcome of the submission is unknown: {detail}")]
    OutcomeUnknown {
        /// What happened on the way.
        detail: String,
    },
    /// Something answered that is not what the API says. It may be no Assent node.
    #[error("`{endpoint}` gave an answer that is not the API's: {detail}")]
    Answer {
        /// Who.
        endpoint: String,
        /// What is wrong with it.
        detail: String,
    },
    /// An allow that must not be relied on: its receipt does not verify, it answers another question, or it is over.
    #[error("an allow that cannot be relied on: {detail}")]
    Untrusted {
        /// What is wrong with it.
        detail: String,
    },
}

impl ClientError {
    /// The stable code: a node's own for what it refused, otherwise one of this client.
    pub fn code(&self) -> &'static str {
        match self {
            ClientError::Config { .. } => "config_invalid",
            ClientError::Unavailable { .. } => "unavailable",
            ClientError::Refused(problem) => problem.code.as_str(),
            ClientError::OutcomeUnknown { .. } => "outcome_unknown",
            ClientError::Answer { .. } => "answer_invalid",
            ClientError::Untrusted { .. } => "decision_untrusted",
        }
    }

    /// What to do about it, in one line.
    pub fn remedy(&self) -> String {
        match self {
            ClientError::Config { .. } => "correct the client's configuration".to_owned(),
            ClientError::Unavailable { problem: Some(problem), .. } => problem.remedy.clone(),
            ClientError::Unavailable { .. } => {
                "check the endpoints and that a majority of the nodes runs, then try again".to_owned()
            }
            ClientError::Refused(problem) => problem.remedy.clone(),
            ClientError::OutcomeUnknown { .. } => {
                "submit the same bytes again; the answer is then the first receipt or a refusal".to_owned()
            }
            ClientError::Answer { .. } => {
                "check that the endpoint is an Assent node of this version".to_owned()
            }
            ClientError::Untrusted { .. } => {
                "do not execute; check the trusted node keys, the clock, and who answers at the endpoint"
                    .to_owned()
            }
        }
    }

    /// The problem document that a node answered, if one did.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            ClientError::Refused(problem) => Some(problem),
            ClientError::Unavailable { problem, .. } => problem.as_deref(),
            _ => None,
        }
    }

    /// Whether a node has said for good that these bytes were not taken.
    pub fn is_definite(&self) -> bool {
        matches!(self, ClientError::Refused(_))
    }
}
