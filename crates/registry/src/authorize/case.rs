//! What an evaluation decides: the request, the policy that judges it, the time, and the purpose of the
//! evaluation.

use std::cell::Cell;

use assent_proof::{AuthorizeRequest, Millis, PolicyBody};

use crate::permit::Recorded;
use crate::view::View;

/// What an evaluation is for.
pub(super) enum Mode {
    /// A read. It consumes nothing, so it cannot say whether a counted use is left for the caller.
    Read,
    /// A permit is about to be recorded, so a use must be left.
    Record,
    /// A permit should have been recorded before, and this is what was recorded.
    Permitted(Recorded),
}

/// What is being decided, by which policy and at what time.
pub(super) struct Case<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) request: &'a AuthorizeRequest,
    pub(super) policy: &'a PolicyBody,
    pub(super) now: Millis,
    pub(super) mode: Mode,
    /// How many older slots this evaluation has looked at.
    pub(super) walked: Cell<usize>,
}

impl<'a> Case<'a> {
    /// A case in which no older slot was looked at yet.
    pub(super) fn new(
        view: &'a View<'a>,
        request: &'a AuthorizeRequest,
        policy: &'a PolicyBody,
        now: Millis,
        mode: Mode,
    ) -> Self {
        Self { view, request, policy, now, mode, walked: Cell::new(0) }
    }
}
