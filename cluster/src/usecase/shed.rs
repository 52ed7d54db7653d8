//! Answers without an evaluation, because the node has too much to do or because the caller's deadline has passed.
//!
//! Nothing is refused for good that was not looked at. A call that was shed can be made again, to this node or to
//! another.
//!
//! Shedding a call must cost less than carrying it out, so the call is denied without a signature. A caller obeys a
//! deny even without one, and an allow is never made here.

use assent_proof::{Code, Refusal};

use crate::env::BlockingError;

/// Why a call was not evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shed {
    /// Too many calls are waiting or being answered already.
    Overloaded(String),
    /// The call's deadline has passed.
    Late(String),
    /// No answer came: the work on it failed inside this node, or the node is stopping. That means nothing for the
    /// request.
    Lost,
}

impl Shed {
    /// The code. Its status tells in every kind of call that another node may be able to do what this one could not.
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

    /// The refusal that answers a call of which nothing was done. Its code settles nothing.
    pub(crate) fn refusal(&self) -> Refusal {
        Refusal::new(self.code(), self.detail())
    }
}

impl From<BlockingError> for Shed {
    /// Work that ended without a result is always shed as lost. A refusal made from it would refuse something that
    /// was never looked at.
    fn from(_: BlockingError) -> Self {
        Shed::Lost
    }
}
