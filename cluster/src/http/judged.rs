//! What a route is told about its caller, which was judged by the route's row before.

use assent_api::Call;
use assent_proof::DomainName;
use axum::response::Response;

use super::reply::problem_body;
use crate::access::{Caller, Denial};
use crate::usecase::not_permitted;

/// A caller and what its route needs of the row. It is in the extensions of each request that reaches a route: a
/// route without it answers nothing.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) caller: Caller,
    /// The largest size of the body, in bytes.
    pub(super) body_max: usize,
    /// Why the caller may not make this call. Only routes that answer with a decision see it, and they deny.
    pub(super) denial: Option<Denial>,
    /// The kind of the call, for refusals.
    pub(super) class: Call,
}

impl Judged {
    /// Whether the caller may act in this domain, or else the answer.
    #[expect(clippy::result_large_err, reason = "the error is the finished answer")]
    pub(super) fn permitted_in(&self, domain: &DomainName) -> Result<(), Response> {
        let permitted = self.caller.permitted_in(domain);
        permitted.map_err(|denial| problem_body(&not_permitted(&denial, self.class)))
    }
}
