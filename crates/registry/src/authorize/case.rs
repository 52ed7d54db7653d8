//! What is being decided: the question, the policy that judges it, the time, and what the evaluation is for.

use std::cell::Cell;

use assent_proof::{AuthorizeRequest, Millis, PolicyBody};

use crate::permit::Recorded;
use crate::view::View;

/// What an evaluation is for.
pub(super) enum Mode {
    /// A read, which consumes nothing and so cannot say whether a counted use is left for the caller.
    Read,
    /// A permit is about to be recorded: a use must be left.
    Record,
    /// A permit should have been recorded.
    Permitted(Recorded),
}

/// What is being decided, by which policy, when.
pub(super) struct Case<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) request: &'a AuthorizeRequest,
    pub(super) policy: &'a PolicyBody,
    pub(super) now: Millis,
    pub(super) mode: Mode,
    /// How many older slots were looked at.
    pub(super) walked: Cell<usize>,
}

impl<'a> Case<'a> {
    /// A case of which no older slot was looked at yet.
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
