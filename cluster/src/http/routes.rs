//! The table of routes: for each path and method, which callers may make the call.
//!
//! The router is made of this table and of nothing else, so a call without a row does not exist. A caller without one
//! of the roles of a row, or beyond its quotas, never reaches the route, except that authorize and permits answer it with a decision: a deny.

use std::sync::Arc;

use assent_api::{Call, MAX_AUTHORIZE_BYTES, MAX_BATCH_BYTES, MAX_CLOCK_BYTES, MAX_MEMBER_BYTES};
use assent_proof::MAX_ENVELOPE_BYTES;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, patch, post};

use super::caller::CountedFor;
use super::front::PROBES;
use super::judged::Judged;
use super::reply::problem_body;
use super::{authorize, envelopes, events, members, read};
use crate::access::{Caller, Role, RoleSet};
use crate::quotas::Admitted;
use crate::usecase::{Service, Shed, not_permitted};

/// One call: a path with a method.
pub(super) struct Row {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    /// The kind of the call, which gives refusals their status.
    class: Call,
    pub(super) open: Open,
    /// How a caller that is narrowed to domains is judged further.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with what the route does"))]
    pub(super) scope: Scope,
    /// The largest size of the body, in bytes. The route reads no more.
    body_max: usize,
    /// Whether the route itself answers a caller that may not make the call. It denies: a caller of authorize that
    /// gets no decision could assume anything.
    decides: bool,
    route: fn() -> MethodRouter<Service>,
}

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    /// Every caller, whatever it has shown: probes have no credentials.
    Everyone,
    /// Callers with one of these roles.
    Roles(RoleSet),
}

/// What a call is about, and so how a caller that is narrowed to domains is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The node or the cluster. Domains do not matter.
    Cluster,
    /// The domain that each request, each envelope or the path names. Anything in another domain is refused.
    Named,
    /// What is found. Anything in another domain is refused or left out.
    Found,
}

/// Every role of the table of callers. Each may read what belongs to its domains.
const READERS: RoleSet = RoleSet::NONE
    .with(Role::Scheduler)
    .with(Role::Gateway)
    .with(Role::Auditor)
    .with(Role::Submitter)
    .with(Role::Operator)
    .with(Role::Peer);
/// They ask whether something may run.
const ASKERS: RoleSet = RoleSet::NONE.with(Role::Scheduler).with(Role::Gateway);
/// They hand in signed envelopes.
const SUBMITTERS: RoleSet = RoleSet::NONE.with(Role::Submitter).with(Role::Peer);
/// They look at the nodes themselves.
const WATCHERS: RoleSet = RoleSet::NONE.with(Role::Auditor).with(Role::Operator);
/// They change the cluster.
const OPERATORS: RoleSet = RoleSet::NONE.with(Role::Operator);

/// A row without a body.
const fn row(
    method: &'static str,
    path: &'static str,
    (class, scope): (Call, Scope),
    open: Open,
    route: fn() -> MethodRouter<Service>,
) -> Row {
    Row { path, method, class, open, scope, body_max: 0, decides: false, route }
}

impl Row {
    /// The row with the largest size of the body.
    const fn body(self, body_max: usize) -> Self {
        Self { body_max, ..self }
    }

    /// The row, with a route that answers each caller with a decision.
    const fn deciding(self) -> Self {
        Self { decides: true, ..self }
    }
}

const SUBMIT: (Call, Scope) = (Call::Submission, Scope::Named);
const ASK: (Call, Scope) = (Call::Authorize, Scope::Named);
const NAMED: (Call, Scope) = (Call::Read, Scope::Named);
const FOUND: (Call, Scope) = (Call::Read, Scope::Found);
const FEED: (Call, Scope) = (Call::Feed, Scope::Found);
const LOOK: (Call, Scope) = (Call::Read, Scope::Cluster);
const MANAGE: (Call, Scope) = (Call::Manage, Scope::Cluster);
const CLOCK: (Call, Scope) = (Call::Clock, Scope::Cluster);

/// Every call. `docs/callers.md` has the same table in words.
#[rustfmt::skip]
pub(super) static ROUTES: [Row; 24] = [
    row("POST", "/v1/envelopes", SUBMIT, Open::Roles(SUBMITTERS), || post(envelopes::submit)).body(MAX_ENVELOPE_BYTES),
    row("POST", "/v1/envelopes:batch", SUBMIT, Open::Roles(SUBMITTERS), || post(envelopes::submit_batch)).body(MAX_BATCH_BYTES),
    row("GET", "/v1/envelopes/{evidence_id}", FOUND, Open::Roles(READERS), || get(read::envelope)),
    row("POST", "/v1/authorize", ASK, Open::Roles(ASKERS), || post(authorize::one)).body(MAX_AUTHORIZE_BYTES).deciding(),
    row("POST", "/v1/authorize:batch", ASK, Open::Roles(ASKERS), || post(authorize::batch)).body(MAX_BATCH_BYTES),
    row("POST", "/v1/permits", ASK, Open::Roles(ASKERS), || post(authorize::permit)).body(MAX_AUTHORIZE_BYTES).deciding(),
    row("GET", "/v1/lineages/{domain}/{lineage}", NAMED, Open::Roles(READERS), || get(read::lineage)),
    row("GET", "/v1/domains", FOUND, Open::Roles(READERS), || get(read::domains)),
    row("GET", "/v1/authorities", NAMED, Open::Roles(READERS.with(Role::Public)), || get(read::authorities)),
    row("GET", "/v1/authorities/{id}", FOUND, Open::Roles(READERS), || get(read::authority)),
    row("GET", "/v1/policies/{domain}", NAMED, Open::Roles(READERS), || get(read::policy)),
    row("GET", "/v1/events", FEED, Open::Roles(READERS), || get(events::events)),
    row("GET", "/v1/cluster/status", LOOK, Open::Roles(READERS), || get(read::status)),
    row("GET", "/v1/cluster/digest", LOOK, Open::Roles(WATCHERS), || get(read::digest)),
    row("GET", "/v1/cluster/members", LOOK, Open::Roles(WATCHERS), || get(members::list)),
    row("POST", "/v1/cluster/members", MANAGE, Open::Roles(OPERATORS), || post(members::add)).body(MAX_MEMBER_BYTES),
    row("DELETE", "/v1/cluster/members/{id}", MANAGE, Open::Roles(OPERATORS), || delete(members::remove)),
    row("PATCH", "/v1/cluster/members/{id}", MANAGE, Open::Roles(OPERATORS), || patch(members::update)).body(MAX_MEMBER_BYTES),
    row("POST", "/v1/cluster/members/{id}/promote", MANAGE, Open::Roles(OPERATORS), || post(members::promote)),
    row("POST", "/v1/cluster/leader", MANAGE, Open::Roles(OPERATORS), || post(members::transfer)).body(MAX_MEMBER_BYTES),
    row("POST", "/v1/clock/confirm", CLOCK, Open::Roles(OPERATORS), || post(members::confirm_clock)).body(MAX_CLOCK_BYTES),
    row("GET", "/livez", LOOK, Open::Everyone, || get(read::livez)),
    row("GET", "/readyz", LOOK, Open::Everyone, || get(read::readyz)),
    row("GET", "/metrics", LOOK, Open::Roles(WATCHERS), || get(read::metrics)),
];

/// The routes of the table, each behind the judgement of its row. `other_method` answers the methods that a path does
/// not take.
pub(super) fn routed(
    service: &Service,
    other_method: impl Fn(MethodRouter<Service>) -> MethodRouter<Service>,
) -> Router<Service> {
    let mut paths: Vec<(&'static str, MethodRouter<Service>)> = Vec::new();
    for row in &ROUTES {
        let service = service.clone();
        let judge = move |request: Request, next: Next| judge(row, service.clone(), request, next);
        let route = (row.route)().route_layer(from_fn(judge));
        match paths.iter().position(|(path, _)| *path == row.path) {
            Some(place) => {
                let (path, before) = paths.swap_remove(place);
                paths.push((path, before.merge(route)));
            }
            None => paths.push((row.path, route)),
        }
    }
    paths.into_iter().fold(Router::new(), |router, (path, route)| router.route(path, other_method(route)))
}

/// Lets a request pass to its route if the row permits its caller.
///
/// The connection has put the caller into the extensions. A request without one is that of a caller that has shown
/// nothing.
async fn judge(row: &'static Row, service: Service, mut request: Request, next: Next) -> Response {
    let shown = request.extensions_mut().remove::<Caller>();
    let caller = shown.unwrap_or_else(|| service.identify_nothing());
    let counted_for = request.extensions_mut().remove::<CountedFor>();
    // What supervisors and Prometheus ask is not counted.
    let quota = match PROBES.contains(&row.path) {
        true => Ok(None),
        false => admitted(&service, &caller, counted_for),
    };
    if let Some(shed) = quota.as_ref().err().filter(|_| !row.decides) {
        return problem_body(&shed.problem(row.class));
    }
    let denial = match row.open {
        Open::Everyone => None,
        Open::Roles(roles) => caller.permitted(roles).err(),
    };
    if let Some(denial) = denial.as_ref().filter(|_| !row.decides) {
        tracing::debug!(%caller, method = row.method, path = row.path, why = %denial.detail, "a caller is refused");
        return problem_body(&not_permitted(denial, row.class));
    }
    // The request counts as under way until the route has answered.
    let under_way = quota.clone();
    let judged = Judged { caller, body_max: row.body_max, denial, quota, class: row.class };
    request.extensions_mut().insert(judged);
    let answer = next.run(request).await;
    drop(under_way);
    answer
}

/// Counts a request for its caller, or says which quota is used up.
fn admitted(
    service: &Service,
    caller: &Caller,
    counted_for: Option<CountedFor>,
) -> Result<Option<Arc<Admitted>>, Shed> {
    let Some(CountedFor(account)) = counted_for else { return Ok(None) };
    let admitted = service.admit(account, caller.pace());
    admitted.map(|admitted| Some(Arc::new(admitted))).map_err(|why| Shed::Overloaded(why.to_string()))
}
