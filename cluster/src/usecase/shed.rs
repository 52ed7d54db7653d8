//! What a node answers without having evaluated anything, because it has too much to do or because the caller's time is over.
//!
//! What is shed must cost less than what is done, so it is denied without a signature. A deny is obeyed as it comes; an allow is
//! never made here.

use assent_proof::{AuthorizeRequest, Code};
use assent_registry::Decision;

use super::{Answered, Parts};

/// Why a call was not evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shed {
    /// Too much waits already, or is being answered.
    Overloaded(String),
    /// The call's time is over.
    Late(String),
    /// No answer came: the evaluation failed, or the node is stopping.
    Lost,
}

impl Shed {
    /// The code of the deny.
    pub(crate) fn code(&self) -> Code {
        match self {
            Shed::Overloaded(_) => Code::Overloaded,
            Shed::Late(_) => Code::DeadlineExceeded,
            Shed::Lost => Code::NoQuorum,
        }
    }

    /// One sentence for people.
    pub(crate) fn detail(&self) -> &str {
        match self {
            Shed::Overloaded(detail) | Shed::Late(detail) => detail,
            Shed::Lost => "the decision was lost inside the node",
        }
    }
}

impl Parts {
    /// Denies each request, without a signature.
    pub(super) fn denied_unsigned(&self, requests: &[AuthorizeRequest], shed: &Shed) -> Vec<Answered> {
        let now = self.env.clock.now();
        let deny = |request: &AuthorizeRequest| {
            self.unsigned(request, &Decision::deny(shed.code(), shed.detail(), now))
        };
        requests.iter().map(deny).collect()
    }
}
