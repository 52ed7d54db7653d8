//! What a route is told about its caller, which was judged by the route's row before.

use std::sync::Arc;

use assent_api::Call;
use assent_proof::DomainName;
use axum::response::Response;

use super::reply::problem_body;
use crate::access::{Caller, Denial};
use crate::quotas::Admitted;
use crate::usecase::{Service, Shed, not_permitted};

/// A caller and what its route needs of the row. It is in the extensions of each request that reaches a route: a
/// route without it answers nothing.
#[derive(Clone)]
pub(super) struct Judged {
    pub(super) caller: Caller,
    /// The largest size of the body, in bytes.
    pub(super) body_max: usize,
    /// Why the caller may not make this call. Only routes that answer with a decision see it, and they deny.
    pub(super) denial: Option<Denial>,
    /// Within which of its caller's quotas the request is. Only routes that answer with a decision see an error, and
    /// they deny. None if the call is not counted.
    pub(super) quota: Result<Option<Arc<Admitted>>, Shed>,
    /// The kind of the call, for refusals.
    pub(super) class: Call,
}

impl Judged {
    /// Charges the caller for as many requests as the call has.
    ///
    /// # Errors
    /// The caller may not make so many now.
    pub(super) fn charge(&self, service: &Service, requests: usize) -> Result<(), Shed> {
        match &self.quota {
            Ok(Some(admitted)) => {
                service.charge(admitted, requests).map_err(|why| Shed::Overloaded(why.to_string()))
            }
            Ok(None) => Ok(()),
            Err(shed) => Err(shed.clone()),
        }
    }

    /// Gives back what was charged beyond one request, because the call was shed.
    pub(super) fn was_shed(&self) {
        if let Ok(Some(admitted)) = &self.quota {
            admitted.was_shed();
        }
    }

    /// Whether the caller may act in this domain, or else the answer.
    #[expect(clippy::result_large_err, reason = "the error is the finished answer")]
    pub(super) fn permitted_in(&self, domain: &DomainName) -> Result<(), Response> {
        let permitted = self.caller.permitted_in(domain);
        permitted.map_err(|denial| problem_body(&not_permitted(&denial, self.class)))
    }
}
