//! The answers to calls that have no route on their listener. Each is in the audit trail as refused.

use std::future::{Ready, ready};

use axum::extract::Request;
use axum::response::Response;

use assent_api::Call;

use super::audited::unrouted;
use super::caller::{CountedFor, OPEN_TO_EVERYONE};
use super::judged::admitted;
use crate::access::{Caller, RefusedCaller};
use crate::usecase::Service;

/// Whether the calls of a listener are charged to their callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charged {
    /// Each call is, except those that are open to everyone.
    Yes,
    /// No call is.
    No,
}

/// Gives this answer to each request, and puts the request into the audit trail. A caller beyond its quotas is told so
/// instead. `route` is the template of the path, or that of a path that
/// does not exist.
pub(super) fn refusing(
    service: Service,
    charged: Charged,
    (why, route): (RefusedCaller, &'static str),
    answer: impl Fn() -> Response + Clone + Send + Sync + 'static,
) -> impl Fn(Request) -> Ready<Response> + Clone + Send + Sync + 'static {
    let is_charged = charged == Charged::Yes && !OPEN_TO_EVERYONE.contains(&route);
    move |mut request: Request| {
        let counted_for = request.extensions_mut().remove::<CountedFor>();
        let shown = request.extensions_mut().remove::<Caller>();
        let caller = shown.unwrap_or_else(|| service.identify_nothing());
        let quota = if is_charged { admitted(&service, &caller, counted_for) } else { Ok(None) };
        let answer = match quota {
            Ok(_) => answer(),
            Err(over) => over.answer(Call::Read),
        };
        ready(unrouted(&service, &caller, &request, (why, route), answer))
    }
}
