//! The table of routes: for each path and method, on which listener it answers, and which callers may make the call.
//!
//! The routers are made of this table and of nothing else, so a call without a row does not exist, and a call of another
//! listener is answered with 404. A caller without one of the roles of a row, or beyond its quotas, never reaches the
//! route, except that authorize and permits answer it with a decision: a deny. On the admin listener every call is for
//! operators only, and none is counted, so that no flood of clients keeps operators out.

use std::sync::Arc;
use std::time::Duration;

use assent_api::{Call, MAX_AUTHORIZE_BYTES, MAX_BATCH_BYTES, MAX_CLOCK_BYTES, MAX_MEMBER_BYTES, Problem};
use assent_proof::{Code, MAX_ENVELOPE_BYTES};
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, map_response};
use axum::response::Response;
use axum::routing::{MethodRouter, any, delete, get, patch, post};

use super::audited::{Audited, NOWHERE};
use super::caller::{CountedFor, OPERATORS};
use super::judged::{Judged, OverQuota, admitted};
use super::reply::{as_problem, no_path, other_method, problem_body};
use super::unrouted::{Charged, refusing};
use super::{authorize, envelopes, events, members, read};
use crate::access::{Caller, RefusedCaller, Role, RoleSet};
use crate::config::Config;
use crate::quotas::Admitted;
use crate::shares::{DoorLane, Inside};
use crate::usecase::{Service, not_audited, not_permitted};

/// One call: a path with a method.
pub(super) struct Row {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    /// The kind of the call, which gives refusals their status.
    class: Call,
    pub(super) on: On,
    pub(super) open: Open,
    /// How a caller that is narrowed to domains is judged further.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with what the route does"))]
    pub(super) scope: Scope,
    /// The largest size of the body, in bytes. The route reads no more.
    body_max: usize,
    /// Whether the route itself answers a caller that may not make the call. It denies: a caller of authorize that
    /// gets no decision could assume anything.
    decides: bool,
    /// Where its calls wait while their caller has enough others in work.
    door: AtDoor,
    route: fn() -> MethodRouter<Service>,
}

/// Where the calls of a row wait while their caller has enough others in work (`limits.caller_work`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtDoor {
    /// They do not wait: probes, and what operators ask on their own listener.
    Open,
    /// Before their body is read.
    Before(DoorLane),
    /// Where the route says, once it knows enough of the call.
    Within,
}

/// On which listener a call answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// The client port.
    Client,
    /// The admin listener, because the call changes the cluster itself.
    Admin,
    /// Both: the call shows the node and the cluster, and an operator needs it beside the calls of the admin listener.
    Both,
}

/// A listener of the API, by the calls that answer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ApiPort {
    /// The only port of a node with plain HTTP and without an admin listener. Every call answers there, since every
    /// program on the machine may do everything anyway.
    Only,
    /// The client port of any other node.
    Client,
    /// The admin listener.
    Admin,
}

impl ApiPort {
    /// What the client port of a node with this configuration is.
    pub(super) fn of_clients(config: &Config) -> Self {
        if config.plain_http && config.admin_listen.is_none() { ApiPort::Only } else { ApiPort::Client }
    }

    /// Whether calls that have no route there are charged. What operators ask on their own listener is not.
    fn charged(self) -> Charged {
        match self {
            ApiPort::Only | ApiPort::Client => Charged::Yes,
            ApiPort::Admin => Charged::No,
        }
    }
}

impl On {
    fn answers_on(self, port: ApiPort) -> bool {
        match port {
            ApiPort::Only => true,
            ApiPort::Client => match self {
                On::Client | On::Both => true,
                On::Admin => false,
            },
            ApiPort::Admin => match self {
                On::Admin | On::Both => true,
                On::Client => false,
            },
        }
    }
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

/// A row without a body.
const fn row(
    method: &'static str,
    path: &'static str,
    (class, scope): (Call, Scope),
    on: On,
    open: Open,
    route: fn() -> MethodRouter<Service>,
) -> Row {
    let door = AtDoor::Before(DoorLane::Read);
    Row { path, method, class, on, open, scope, body_max: 0, decides: false, door, route }
}

impl Row {
    /// The row with the largest size of the body.
    const fn body(self, body_max: usize) -> Self {
        Self { body_max, ..self }
    }

    /// The row, with this place at the door.
    const fn door(self, door: AtDoor) -> Self {
        Self { door, ..self }
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
    row("POST", "/v1/envelopes", SUBMIT, On::Client, Open::Roles(SUBMITTERS), || post(envelopes::submit)).body(MAX_ENVELOPE_BYTES).door(AtDoor::Within),
    row("POST", "/v1/envelopes:batch", SUBMIT, On::Client, Open::Roles(SUBMITTERS), || post(envelopes::submit_batch)).body(MAX_BATCH_BYTES).door(AtDoor::Within),
    row("GET", "/v1/envelopes/{evidence_id}", FOUND, On::Client, Open::Roles(READERS), || get(read::envelope)),
    row("POST", "/v1/authorize", ASK, On::Client, Open::Roles(ASKERS), || post(authorize::one)).body(MAX_AUTHORIZE_BYTES).door(AtDoor::Before(DoorLane::Ask)).deciding(),
    row("POST", "/v1/authorize:batch", ASK, On::Client, Open::Roles(ASKERS), || post(authorize::batch)).body(MAX_BATCH_BYTES).door(AtDoor::Before(DoorLane::Batch)),
    row("POST", "/v1/permits", ASK, On::Client, Open::Roles(ASKERS), || post(authorize::permit)).body(MAX_AUTHORIZE_BYTES).door(AtDoor::Before(DoorLane::Write)).deciding(),
    row("GET", "/v1/lineages/{domain}/{lineage}", NAMED, On::Client, Open::Roles(READERS), || get(read::lineage)),
    row("GET", "/v1/domains", FOUND, On::Client, Open::Roles(READERS), || get(read::domains)),
    row("GET", "/v1/authorities", NAMED, On::Client, Open::Roles(READERS.with(Role::Public)), || get(read::authorities)),
    row("GET", "/v1/authorities/{id}", FOUND, On::Client, Open::Roles(READERS), || get(read::authority)),
    row("GET", "/v1/policies/{domain}", NAMED, On::Client, Open::Roles(READERS), || get(read::policy)),
    row("GET", "/v1/events", FEED, On::Client, Open::Roles(READERS), || get(events::events)).door(AtDoor::Within),
    row("GET", "/v1/cluster/status", LOOK, On::Both, Open::Roles(READERS), || get(read::status)),
    row("GET", "/v1/cluster/digest", LOOK, On::Both, Open::Roles(WATCHERS), || get(read::digest)),
    row("GET", "/v1/cluster/members", LOOK, On::Admin, Open::Roles(OPERATORS), || get(members::list)),
    row("POST", "/v1/cluster/members", MANAGE, On::Admin, Open::Roles(OPERATORS), || post(members::add)).body(MAX_MEMBER_BYTES),
    row("DELETE", "/v1/cluster/members/{id}", MANAGE, On::Admin, Open::Roles(OPERATORS), || delete(members::remove)),
    row("PATCH", "/v1/cluster/members/{id}", MANAGE, On::Admin, Open::Roles(OPERATORS), || patch(members::update)).body(MAX_MEMBER_BYTES),
    row("POST", "/v1/cluster/members/{id}/promote", MANAGE, On::Admin, Open::Roles(OPERATORS), || post(members::promote)),
    row("POST", "/v1/cluster/leader", MANAGE, On::Admin, Open::Roles(OPERATORS), || post(members::transfer)).body(MAX_MEMBER_BYTES),
    row("POST", "/v1/clock/confirm", CLOCK, On::Admin, Open::Roles(OPERATORS), || post(members::confirm_clock)).body(MAX_CLOCK_BYTES),
    row("GET", "/livez", LOOK, On::Client, Open::Everyone, || get(read::livez)).door(AtDoor::Open),
    row("GET", "/readyz", LOOK, On::Client, Open::Everyone, || get(read::readyz)).door(AtDoor::Open),
    row("GET", "/metrics", LOOK, On::Client, Open::Roles(WATCHERS), || get(read::metrics)),
];

/// The router of this port: the endpoints that answer there, and the answers to other paths and methods.
pub(super) fn router(service: Service, port: ApiPort) -> Router {
    let nowhere = (RefusedCaller::Path, NOWHERE);
    routed(&service, port)
        .fallback(refusing(service.clone(), port.charged(), nowhere, no_path))
        .layer(map_response(as_problem))
        .with_state(service)
}

/// The routes of the table that answer on this port, each behind the judgement of its row. A path of another listener is
/// answered with 404, whatever the method is.
fn routed(service: &Service, port: ApiPort) -> Router<Service> {
    let mut paths: Vec<(&'static str, MethodRouter<Service>)> = Vec::new();
    for row in ROUTES.iter().filter(|row| row.on.answers_on(port)) {
        let service = service.clone();
        let judge = move |request: Request, next: Next| judge(row, port, service.clone(), request, next);
        let route = (row.route)().route_layer(from_fn(judge));
        match paths.iter().position(|(path, _)| *path == row.path) {
            Some(place) => {
                let (path, before) = paths.swap_remove(place);
                paths.push((path, before.merge(route)));
            }
            None => paths.push((row.path, route)),
        }
    }
    let mut absent: Vec<&'static str> = Vec::new();
    for row in ROUTES.iter().filter(|row| !row.on.answers_on(port)) {
        if !absent.contains(&row.path) && !paths.iter().any(|(path, _)| *path == row.path) {
            absent.push(row.path);
        }
    }
    let has_admin = service.config().admin_listen.is_some();
    let charged = port.charged();
    let router = paths.into_iter().fold(Router::new(), |router, (path, route)| {
        let refuse = refusing(service.clone(), charged, (RefusedCaller::Method, path), other_method);
        router.route(path, route.fallback(refuse))
    });
    absent.into_iter().fold(router, |router, path| {
        let elsewhere = move || problem_body(&elsewhere(port, has_admin));
        let refuse = refusing(service.clone(), charged, (RefusedCaller::Listener, path), elsewhere);
        router.route(path, any(refuse))
    })
}

/// The answer to a call of another listener than this one. It names no address: a stranger may read it.
fn elsewhere(port: ApiPort, has_admin: bool) -> Problem {
    let (detail, remedy) = match (port, has_admin) {
        (ApiPort::Admin, true | false) => (
            "this call answers on the node's client port, and this is its admin listener",
            "make the call at the address in `client_listen`; for `assent`, give it as `--endpoint` or in \
             `ASSENT_ENDPOINTS`",
        ),
        (ApiPort::Client | ApiPort::Only, true) => (
            "this call answers on the node's admin listener, and this is its client port",
            "make the call at the address in `admin_listen`; for `assent`, give it as `--admin` or in `ASSENT_ADMIN`",
        ),
        (ApiPort::Client | ApiPort::Only, false) => (
            "this call answers on an admin listener only, and this node has none",
            "set `admin_listen` in the node's configuration and restart the node; then make the call at that address, \
             which `assent` takes as `--admin` or from `ASSENT_ADMIN`",
        ),
    };
    Problem { remedy: remedy.to_owned(), ..Problem::new(Code::TargetUnknown, 404, detail) }
}

/// Lets a request pass to its route if the row permits its caller. On the admin listener, the caller must be an operator,
/// whatever the row says. A caller that is beyond its quotas is refused too. Every call except a probe is put into the audit trail, and a change of the cluster that the trail
/// cannot have is refused.
///
/// The connection has put the caller into the extensions. A request without one is that of a caller that has shown
/// nothing.
async fn judge(
    row: &'static Row,
    port: ApiPort,
    service: Service,
    mut request: Request,
    next: Next,
) -> Response {
    let shown = request.extensions_mut().remove::<Caller>();
    let caller = shown.unwrap_or_else(|| service.identify_nothing());
    let counted_for = request.extensions_mut().remove::<CountedFor>();
    let denial = match (port, row.open) {
        (ApiPort::Admin, Open::Everyone | Open::Roles(_)) => caller.permitted(OPERATORS).err(),
        (ApiPort::Client | ApiPort::Only, Open::Everyone) => None,
        (ApiPort::Client | ApiPort::Only, Open::Roles(roles)) => caller.permitted(roles).err(),
    };
    // A caller is charged for what it may not do, too. What supervisors ask without a credential is not counted, nor
    // what operators ask on their own listener.
    let quota = match (port, row.open) {
        (ApiPort::Client | ApiPort::Only, Open::Roles(_)) => admitted(&service, &caller, counted_for),
        (ApiPort::Client | ApiPort::Only, Open::Everyone)
        | (ApiPort::Admin, Open::Everyone | Open::Roles(_)) => Ok(None),
    };
    // Its token may be good, so it is told to come back, and not that it has no right.
    let (denial, quota) =
        if caller.is_unverified() { (None, Err(OverQuota::unverified())) } else { (denial, quota) };
    // Probes come every second and show nothing, so they are not in the audit trail.
    if row.open == Open::Everyone && denial.is_none() && quota.is_ok() {
        let (body_max, class, waited) = (row.body_max, row.class, Duration::ZERO);
        request.extensions_mut().insert(Judged { caller, body_max, denial, quota, class, waited });
        return next.run(request).await;
    }
    let caller = caller.for_request(service.parts().trail.new_request());
    let of_row = (row.method, row.path, row.class);
    let audited = Audited::begin(&service, of_row, &caller, denial.is_some(), &request);
    if let Some(denial) = denial.as_ref().filter(|_| !row.decides) {
        tracing::debug!(%caller, method = row.method, path = row.path, why = %denial.detail, "a caller is refused");
        return audited.answered(problem_body(&not_permitted(denial, row.class)));
    }
    if let Some(over) = quota.as_ref().err().filter(|_| !row.decides) {
        return audited.answered(over.answer(row.class));
    }
    if let Err(why) = audited.asked().await {
        return audited.answered(problem_body(&not_audited(&why, row.class)));
    }
    // The request counts as under way, and as inside, until the route has answered.
    let under_way = quota.clone();
    let (quota, inside) = match &denial {
        None => let_in(row, &service, quota).await,
        // It gets its deny at once, and is not at work.
        Some(_) => (quota, None),
    };
    if let Some(over) = quota.as_ref().err().filter(|_| !row.decides) {
        return audited.answered(over.answer(row.class));
    }
    let waited = inside.as_ref().map_or(Duration::ZERO, Inside::waited);
    let (body_max, class) = (row.body_max, row.class);
    request.extensions_mut().insert(Judged { caller, body_max, denial, quota, class, waited });
    let answer = next.run(request).await;
    drop((under_way, inside));
    audited.answered(answer)
}

/// Lets an admitted call in, if its row has it wait before its body is read.
async fn let_in(
    row: &Row,
    service: &Service,
    quota: Result<Option<Arc<Admitted>>, OverQuota>,
) -> (Result<Option<Arc<Admitted>>, OverQuota>, Option<Inside>) {
    // What only operators do has its own listener, except on a node with one port for everything.
    let door = if row.on == On::Admin { AtDoor::Open } else { row.door };
    match (door, quota) {
        (AtDoor::Before(lane), Ok(Some(admitted))) => {
            match service.let_in(&admitted, lane, service.patience(row.class)).await {
                Ok(inside) => (Ok(Some(admitted)), Some(inside)),
                Err(why) => (Err(why.into()), None),
            }
        }
        (AtDoor::Before(_) | AtDoor::Open | AtDoor::Within, quota) => (quota, None),
    }
}
