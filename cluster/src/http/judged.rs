//! What a route is told about its caller, which was judged by the route's row before.

use std::sync::Arc;
use std::time::Duration;

use assent_api::Call;
use assent_proof::DomainName;
use axum::response::Response;
use tokio::time::Instant;

use super::audited::with;
use super::caller::CountedFor;
use super::reply::problem_body;
use super::verifications::used_up;
use crate::access::{Caller, Denial, JwtRefusal, RefusedCaller, Unknown};
use crate::audit::Facts;
use crate::quotas::{Admitted, QuotaError};
use crate::shares::{DoorLane, Inside};
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
    pub(super) quota: Result<Option<Arc<Admitted>>, OverQuota>,
    /// The kind of the call, for refusals.
    pub(super) class: Call,
    /// How long the call waited at the door. For an authorize request that is part of its time.
    pub(super) waited: Duration,
}

/// Why a call is refused whose caller has used up a quota.
#[derive(Debug, Clone)]
pub(super) struct OverQuota {
    shed: Shed,
    reason: RefusedCaller,
}

impl From<QuotaError> for OverQuota {
    fn from(why: QuotaError) -> Self {
        let reason = match why {
            QuotaError::Requests { .. } => RefusedCaller::Requests,
            QuotaError::Rate { .. } => RefusedCaller::Rate,
            QuotaError::Work { .. } => RefusedCaller::Work,
        };
        Self { shed: Shed::Overloaded(why.to_string()), reason }
    }
}

impl OverQuota {
    /// The address has shown too many JSON web tokens with a wrong signature, and the caller has one whose signature was
    /// not looked at. It may be good.
    pub(super) fn unverified() -> Self {
        let reason = RefusedCaller::Unknown(Unknown::Jwt(JwtRefusal::Unverified));
        Self { shed: Shed::Overloaded(used_up()), reason }
    }

    /// The call is shed: it can be made again later.
    pub(super) fn shed(&self) -> &Shed {
        &self.shed
    }

    /// What the audit trail says of it.
    pub(super) fn facts(&self) -> Facts {
        Facts { refused: Some(self.reason), ..Facts::default() }
    }

    /// The answer to a call of this kind.
    pub(super) fn answer(&self, call: Call) -> Response {
        with(problem_body(&self.shed.problem(call)), self.facts())
    }
}

impl Judged {
    /// Lets the call in once the node may work on it, by `until`, for a route that goes through the door itself. A call that
    /// is not counted, or that has no lane, has no door.
    ///
    /// # Errors
    /// Its turn did not come in time.
    pub(super) async fn enter(
        &self,
        service: &Service,
        lane: Option<DoorLane>,
        until: Instant,
    ) -> Result<Option<Inside>, OverQuota> {
        match (&self.quota, lane) {
            (Ok(Some(admitted)), Some(lane)) => Ok(Some(service.let_in(admitted, lane, until).await?)),
            (Ok(Some(_)), None) | (Ok(None), _) => Ok(None),
            (Err(over), _) => Err(over.clone()),
        }
    }

    /// Charges the caller for as many requests as the call has.
    ///
    /// # Errors
    /// The caller may not make so many now.
    pub(super) fn charge(&self, service: &Service, requests: usize) -> Result<(), OverQuota> {
        match &self.quota {
            Ok(Some(admitted)) => service.charge(admitted, requests).map_err(OverQuota::from),
            Ok(None) => Ok(()),
            Err(over) => Err(over.clone()),
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

/// Counts a request for its caller, or says which quota is used up.
pub(super) fn admitted(
    service: &Service,
    caller: &Caller,
    counted_for: Option<CountedFor>,
) -> Result<Option<Arc<Admitted>>, OverQuota> {
    let Some(CountedFor(account)) = counted_for else { return Ok(None) };
    let admitted = service.admit(account, caller.pace());
    admitted.map(|admitted| Some(Arc::new(admitted))).map_err(OverQuota::from)
}
