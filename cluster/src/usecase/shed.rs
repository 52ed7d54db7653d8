//! What a node answers without having evaluated anything, because it has too much to do or because the caller's time is over.
//!
//! Nor is anything refused for good that was not looked at: what is shed can be asked again, here or of another node.
//!
//! What is shed must cost less than what is done, so it is denied without a signature. A deny is obeyed as it comes; an allow is
//! never made here.

use assent_proof::{Code, Refusal};

use crate::env::BlockingError;

/// Why a call was not evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shed {
    /// Too much waits already, or is being answered.
    Overloaded(String),
    /// The call's time is over.
    Late(String),
    /// No answer came: the work on it failed inside this node, or the node is stopping. That says nothing about what was asked.
    Lost,
}

impl Shed {
    /// The code, whose status says in every call that another node may do what this one could not.
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
            Shed::Lost => "the answer was lost inside the node",
        }
    }

    /// As the refusal of a call of which nothing was done. Its code is none of those that settle anything.
    pub(crate) fn refusal(&self) -> Refusal {
        Refusal::new(self.code(), self.detail())
    }
}

impl From<BlockingError> for Shed {
    /// The one thing to make of work that ended without a result: whoever refuses by it refuses what nobody has looked at.
    fn from(_: BlockingError) -> Self {
        Shed::Lost
    }
}
