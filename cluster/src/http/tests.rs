//! Every call by every role, through the real router of a real node, with the caller in the request's extensions.

use std::collections::BTreeSet;
use std::sync::Arc;

use assent_api::{BatchMode, MAX_BATCH};
use assent_fixtures::policy::open_policy;
use assent_fixtures::{Chain, key};
use assent_proof::{Claims, Code, DomainName};
use axum::body::{Body, to_bytes};
use axum::{Extension, Router};
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::caller::{CountedFor, OPEN_TO_EVERYONE, OPERATORS};
use super::front::HalfClosed;
use super::routes::{ApiPort, On, Open, ROUTES, Row, Scope, router};
use super::server::Stopping;
use super::test_node::{DOMAIN, node, place_in, serve_tls};
use crate::access::{Account, Caller, Credential, Domains, Role, RoleSet, Token, Unknown};
use crate::config::Config;
use crate::node::Node;

/// Who may make which call. It is written down here once more, so that a change of the table must be meant.
const PINNED: [(&str, &str); 24] = [
    ("POST /v1/envelopes", "submitter peer"),
    ("POST /v1/envelopes:batch", "submitter peer"),
    ("GET /v1/envelopes/{evidence_id}", "scheduler gateway auditor submitter operator peer"),
    ("POST /v1/authorize", "scheduler gateway"),
    ("POST /v1/authorize:batch", "scheduler gateway"),
    ("POST /v1/permits", "scheduler gateway"),
    ("GET /v1/lineages/{domain}/{lineage}", "scheduler gateway auditor submitter operator peer"),
    ("GET /v1/domains", "scheduler gateway auditor submitter operator peer"),
    ("GET /v1/authorities", "scheduler gateway auditor submitter operator peer public"),
    ("GET /v1/authorities/{id}", "scheduler gateway auditor submitter operator peer"),
    ("GET /v1/policies/{domain}", "scheduler gateway auditor submitter operator peer"),
    ("GET /v1/events", "scheduler gateway auditor submitter operator peer"),
    ("GET /v1/cluster/status", "scheduler gateway auditor submitter operator peer"),
    ("GET /v1/cluster/digest", "auditor operator"),
    ("GET /v1/cluster/members", "operator"),
    ("POST /v1/cluster/members", "operator"),
    ("DELETE /v1/cluster/members/{id}", "operator"),
    ("PATCH /v1/cluster/members/{id}", "operator"),
    ("POST /v1/cluster/members/{id}/promote", "operator"),
    ("POST /v1/cluster/leader", "operator"),
    ("POST /v1/clock/confirm", "operator"),
    ("GET /livez", "scheduler gateway auditor submitter operator peer public and all others"),
    ("GET /readyz", "scheduler gateway auditor submitter operator peer public and all others"),
    ("GET /metrics", "auditor operator"),
];

/// The router of the only port, as a connection reaches it.
fn routes_of(node: &Node) -> Router {
    routes_at(node, ApiPort::Only)
}

fn routes_at(node: &Node, port: ApiPort) -> Router {
    router(node.service().clone(), port)
        .layer(Extension(Stopping(CancellationToken::new())))
        .layer(Extension(HalfClosed(CancellationToken::new())))
}

fn of(role: Role) -> Caller {
    match role {
        Role::Public => Caller::public(),
        Role::Scheduler | Role::Gateway | Role::Auditor | Role::Submitter | Role::Operator | Role::Peer => {
            Caller::named("x".into(), Credential::Token, RoleSet::NONE.with(role), Domains::All)
        }
    }
}

/// A request that changes nothing, whoever makes it.
fn harmless(method: &str, path: &str, domain: &str) -> Request<Body> {
    let asks = matches!(path, "/v1/authorize" | "/v1/permits");
    let query = if path == "/v1/authorities" { "?domain=_root" } else { "" };
    let path = path
        .replace("{domain}", domain)
        .replace("{lineage}", "exec-1")
        .replace("{evidence_id}", "x")
        .replace("{id}", "x");
    let body = if asks { Body::from(question(domain)) } else { Body::empty() };
    Request::builder().method(method).uri(format!("{path}{query}")).body(body).unwrap()
}

fn question(domain: &str) -> Vec<u8> {
    place_in(domain).request("run").to_json().to_vec()
}

/// The status and the body of the answer to this caller, or to a request without one.
async fn answer(routes: &Router, caller: Option<Caller>, mut request: Request<Body>) -> (StatusCode, Value) {
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let answer = routes.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let bytes = to_bytes(answer.into_body(), 4 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// Whether this answer refuses the caller, as a problem or as a deny.
fn refuses(status: StatusCode, body: &Value) -> bool {
    let code = "caller_not_permitted";
    let refuses = body["code"] == code || body["reasons"][0]["code"] == code;
    assert!(!refuses || matches!(status.as_u16(), 401 | 403), "{status} {body}");
    refuses
}

#[tokio::test]
async fn every_call_by_every_role_is_answered_as_the_table_is_written_down_here() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), |_| ()).await;
    let routes = routes_of(&node);
    let mut found = Vec::new();
    for row in &ROUTES {
        let mut roles = Vec::new();
        for role in Role::ALL {
            let (status, body) =
                answer(&routes, Some(of(role)), harmless(row.method, row.path, DOMAIN)).await;
            if !refuses(status, &body) {
                roles.push(role.as_str());
            }
        }
        let unknown = Some(Caller::unknown(Unknown::TokenNotListed));
        let (status, body) = answer(&routes, unknown, harmless(row.method, row.path, DOMAIN)).await;
        if !refuses(status, &body) {
            roles.push("and all others");
        }
        found.push((format!("{} {}", row.method, row.path), roles.join(" ")));
    }
    let found: Vec<(&str, &str)> =
        found.iter().map(|(call, roles)| (call.as_str(), roles.as_str())).collect();
    assert_eq!(found, PINNED);
    node.shutdown().await;
}

/// Which calls answer on the admin listener and not on the client port beside it, and which answer on both.
const ADMIN: [&str; 7] = [
    "GET /v1/cluster/members",
    "POST /v1/cluster/members",
    "DELETE /v1/cluster/members/{id}",
    "PATCH /v1/cluster/members/{id}",
    "POST /v1/cluster/members/{id}/promote",
    "POST /v1/cluster/leader",
    "POST /v1/clock/confirm",
];
const BOTH: [&str; 2] = ["GET /v1/cluster/status", "GET /v1/cluster/digest"];

#[tokio::test]
async fn each_call_answers_on_its_listener_and_is_not_found_on_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), |config| config.admin_listen = Some("127.0.0.1:0".into())).await;
    let (client, admin) = (routes_at(&node, ApiPort::Client), routes_at(&node, ApiPort::Admin));
    for row in &ROUTES {
        let call = format!("{} {}", row.method, row.path);
        let expected = match (ADMIN.contains(&call.as_str()), BOTH.contains(&call.as_str())) {
            (true, _) => On::Admin,
            (false, true) => On::Both,
            (false, false) => On::Client,
        };
        assert_eq!(row.on, expected, "{call}");
        for (routes, is_there, says) in [
            (&client, row.on != On::Admin, "`admin_listen`"),
            (&admin, row.on != On::Client, "`client_listen`"),
        ] {
            let (status, body) = answer(routes, None, harmless(row.method, row.path, DOMAIN)).await;
            let is_absent = status == StatusCode::NOT_FOUND && body["code"] == "target_unknown";
            assert_eq!(!is_absent, is_there, "{call}: {body}");
            if is_absent {
                assert!(body["remedy"].as_str().unwrap().contains(says), "{call}: {body}");
                // A method that the path never takes does not tell that the path is there.
                let other = answer(routes, None, harmless("OPTIONS", row.path, DOMAIN)).await;
                assert_eq!(other.0, StatusCode::NOT_FOUND, "{call}");
            }
        }
    }
    // A node with TLS and without an admin listener has these calls nowhere, and says what to set. The configuration of this
    // node cannot be such a one, so only the port is checked.
    let tls = Config { plain_http: false, admin_listen: None, ..node.service().config().clone() };
    assert_eq!(ApiPort::of_clients(&tls), ApiPort::Client);
    assert_eq!(ApiPort::of_clients(&Config { plain_http: true, ..tls }), ApiPort::Only);
    node.shutdown().await;
}

#[tokio::test]
async fn on_the_admin_listener_every_call_is_for_operators_only() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), |config| config.admin_listen = Some("127.0.0.1:0".into())).await;
    let admin = routes_at(&node, ApiPort::Admin);
    for row in ROUTES.iter().filter(|row| row.on != On::Client) {
        match row.open {
            // Otherwise an operator would have more rights at the one listener than at the other.
            Open::Roles(roles) => assert!(OPERATORS.meets(roles), "{}", row.path),
            Open::Everyone => panic!("{}", row.path),
        }
        for role in Role::ALL {
            let request = harmless(row.method, row.path, DOMAIN);
            let (status, body) = answer(&admin, Some(of(role)), request).await;
            assert_eq!(!refuses(status, &body), role == Role::Operator, "{} {role:?}: {body}", row.path);
        }
        let unknown = Some(Caller::unknown(Unknown::NothingShown));
        let (status, body) = answer(&admin, unknown, harmless(row.method, row.path, DOMAIN)).await;
        assert!(refuses(status, &body), "{}: {body}", row.path);
    }
    node.shutdown().await;
}

#[tokio::test]
async fn a_call_or_a_method_without_a_row_is_not_served_to_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), |_| ()).await;
    let routes = routes_of(&node);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        for row in &ROUTES {
            let path_has_it = ROUTES.iter().any(|other| (other.path, other.method) == (row.path, method));
            if path_has_it {
                continue;
            }
            let (status, _) = answer(&routes, None, harmless(method, row.path, DOMAIN)).await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {}", row.path);
        }
    }
    // A HEAD is a GET without the body of its answer.
    let head = harmless("HEAD", "/metrics", DOMAIN);
    assert_eq!(answer(&routes, Some(of(Role::Scheduler)), head).await.0, StatusCode::FORBIDDEN);
    let head = harmless("HEAD", "/metrics", DOMAIN);
    assert_eq!(answer(&routes, Some(of(Role::Auditor)), head).await.0, StatusCode::OK);
    let (status, _) = answer(&routes, None, harmless("GET", "/v1/secrets", DOMAIN)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    node.shutdown().await;
}

#[tokio::test]
async fn an_unknown_caller_gets_401_and_a_decision_where_it_asks_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), |_| ()).await;
    let routes = routes_of(&node);
    let unknown = || Some(Caller::unknown(Unknown::NothingShown));
    let (status, body) = answer(&routes, unknown(), harmless("GET", "/v1/domains", DOMAIN)).await;
    assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &"caller_not_permitted".into()));
    for path in ["/v1/authorize", "/v1/permits"] {
        let (status, body) = answer(&routes, unknown(), harmless("POST", path, DOMAIN)).await;
        assert_eq!((status, &body["decision"]), (StatusCode::FORBIDDEN, &"deny".into()), "{body}");
        assert_eq!(body["receipt"], Value::Null, "a stranger costs no signature");
    }
    // A known caller without the role is told which roles the call is for.
    let (status, body) = answer(&routes, Some(of(Role::Gateway)), harmless("GET", "/metrics", DOMAIN)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body["detail"].as_str().unwrap().contains("[auditor, operator]"), "{body}");
    node.shutdown().await;
}

#[tokio::test]
async fn a_caller_that_is_narrowed_to_a_domain_reaches_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), |_| ()).await;
    let routes = routes_of(&node);
    let narrowed = |domain: &str| {
        let domains: BTreeSet<DomainName> = BTreeSet::from([domain.parse().unwrap()]);
        Caller::named("x".into(), Credential::Token, RoleSet::ALL, Domains::Only(Arc::new(domains)))
    };
    let paths: Vec<&Row> = ROUTES
        .iter()
        .filter(|row| {
            row.scope == Scope::Named && (row.path.contains("{domain}") || row.path == "/v1/permits")
        })
        .chain(ROUTES.iter().filter(|row| row.path == "/v1/authorize"))
        .collect();
    assert_eq!(paths.len(), 4);
    for row in paths {
        let request = || harmless(row.method, row.path, DOMAIN);
        let (status, body) = answer(&routes, Some(narrowed(DOMAIN)), request()).await;
        assert!(!refuses(status, &body), "{}: {body}", row.path);
        let (status, body) = answer(&routes, Some(narrowed("prod.us")), request()).await;
        assert!(refuses(status, &body), "{}: {body}", row.path);
    }
    let get = |path: &str| Request::builder().uri(path.to_owned()).body(Body::empty()).unwrap();
    let (status, body) = answer(&routes, Some(narrowed(DOMAIN)), get("/v1/authorities?domain=_root")).await;
    assert!(refuses(status, &body), "{body}");
    let (status, body) = answer(&routes, Some(Caller::public()), get("/v1/authorities?domain=_root")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(body["authorities"].as_array().is_some_and(|keys| !keys.is_empty()), "{body}");
    let (status, body) = answer(&routes, Some(Caller::public()), get("/v1/authorities?domain=prod.eu")).await;
    assert!(refuses(status, &body), "{body}");
    // A list leaves the other domains out, and ends.
    let names = |body: &Value| -> Vec<String> {
        let domains = body["domains"].as_array().unwrap();
        domains.iter().map(|domain| domain["domain"].as_str().unwrap().to_owned()).collect()
    };
    let (_, all) = answer(&routes, Some(of(Role::Auditor)), get("/v1/domains")).await;
    assert!(names(&all).len() > 1, "{all}");
    let (_, own) = answer(&routes, Some(narrowed(DOMAIN)), get("/v1/domains?limit=1")).await;
    assert_eq!((names(&own), &own["next"]), (vec![DOMAIN.to_owned()], &Value::Null));
    // What is found by its name in the ledger belongs to a domain too.
    let node_key = format!("/v1/authorities/{}", key(11).public());
    let (status, body) = answer(&routes, Some(narrowed("_root")), get(&node_key)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let grant = format!("/v1/envelopes/{}", body["grant"].as_str().unwrap());
    let absent_key = format!("/v1/authorities/{}", key(99).public());
    let absent_grant = format!("/v1/envelopes/blake3:{}", "ab".repeat(32));
    for (path, absent) in [(&node_key, &absent_key), (&grant, &absent_grant)] {
        // The answer about a thing in another domain is that about a thing which does not exist, except for the id.
        let id_of = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        let (status, hidden) = answer(&routes, Some(narrowed(DOMAIN)), get(path)).await;
        let (other_status, nothing) = answer(&routes, Some(narrowed(DOMAIN)), get(absent)).await;
        assert_eq!(
            (status, other_status),
            (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
            "{path}: {hidden}"
        );
        assert_eq!(
            hidden.to_string().replace(&id_of(path), "x"),
            nothing.to_string().replace(&id_of(absent), "x")
        );
        assert!(!hidden.to_string().contains("_root"), "{hidden}");
        let (status, body) = answer(&routes, Some(narrowed("_root")), get(path)).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
    }
    node.shutdown().await;
}

/// Fails if a narrowed caller's envelopes are read for their domains before they have places.
#[tokio::test]
async fn envelopes_of_a_narrowed_caller_that_find_no_place_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), |config| config.limits.submit_queue = 2 * MAX_BATCH).await;
    let domains: BTreeSet<DomainName> = BTreeSet::from([DOMAIN.parse().unwrap()]);
    let caller = Caller::named("x".into(), Credential::Token, RoleSet::ALL, Domains::Only(Arc::new(domains)));
    let policy = place_in("prod.us").draft(&Claims::Policy(open_policy()));
    let other = Bytes::from(Chain::new().sign(policy, &[&key(4)]));
    // Half of the queue is for batches, so the larger one has too few places.
    for (count, code) in [(2, Code::CallerNotPermitted), (MAX_BATCH + 1, Code::Overloaded)] {
        let envelopes = vec![other.clone(); count];
        let why = node.service().submit_batch(&caller, BatchMode::Each, envelopes).await.unwrap_err();
        assert_eq!(why.code, code, "{why:?}");
    }
    node.shutdown().await;
}

#[tokio::test]
async fn a_request_without_a_caller_is_local_only_on_a_node_with_plain_http() {
    let folder = tempfile::tempdir().unwrap();
    let plain = node(folder.path(), |_| ()).await;
    for row in &ROUTES {
        let (status, body) = answer(&routes_of(&plain), None, harmless(row.method, row.path, DOMAIN)).await;
        assert!(!refuses(status, &body), "{} {}: {body}", row.method, row.path);
    }
    plain.shutdown().await;
}

/// It fails if a request whose connection says nothing of its caller is that of a local caller, which has every role.
#[tokio::test]
async fn a_request_without_a_caller_is_refused_on_a_node_with_tls() {
    let folder = tempfile::tempdir().unwrap();
    let token = Token::generate(|bytes| bytes.fill(7));
    let node = node(folder.path(), |config| serve_tls(config, folder.path(), &token)).await;
    for port in [ApiPort::Only, ApiPort::Client, ApiPort::Admin] {
        let routes = routes_at(&node, port);
        for row in ROUTES.iter().filter(|row| row.open != Open::Everyone) {
            let (status, body) = answer(&routes, None, harmless(row.method, row.path, DOMAIN)).await;
            let is_absent = status == StatusCode::NOT_FOUND && body["code"] == "target_unknown";
            let call = format!("{port:?} {} {}", row.method, row.path);
            assert!(refuses(status, &body) || (port != ApiPort::Only && is_absent), "{call}: {body}");
        }
    }
    assert_eq!(node.service().identify_nothing().roles(), RoleSet::NONE);
    node.shutdown().await;
}

#[test]
fn every_endpoint_is_in_the_protocols_table_of_calls() {
    let page = include_str!("../../../docs/protocol.md");
    // A path there ends with its mark or with its query, and the names of its parts are the page's own.
    let table: Vec<String> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| line.split('|').nth(1).unwrap_or_default().split('`'))
        .filter_map(|call| call.split('?').next()?.split(' ').next_back())
        .map(without_names)
        .collect();
    for row in &ROUTES {
        assert!(table.contains(&without_names(row.path)), "`{}` is not on the page", row.path);
    }
}

#[test]
fn the_page_of_callers_has_every_row_with_its_listener_its_roles_and_its_scope() {
    let page = include_str!("../../../docs/callers.md");
    let cells = |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let rows: Vec<Vec<String>> =
        page.lines().filter(|line| line.starts_with("| `/") || line.contains(" /")).map(cells).collect();
    for row in &ROUTES {
        let call = format!("`{} {}`", row.method, row.path);
        let roles = match row.open {
            Open::Everyone => "all callers".to_owned(),
            Open::Roles(roles) => roles.to_string(),
        };
        let scope = match row.scope {
            Scope::Cluster => "no",
            Scope::Named => "named",
            Scope::Found => "found",
        };
        let on = match row.on {
            On::Client => "client",
            On::Admin => "admin",
            On::Both => "both",
        };
        let expected =
            vec![String::new(), call.clone(), on.to_owned(), roles, scope.to_owned(), String::new()];
        assert!(rows.contains(&expected), "the page lacks {expected:?}");
    }
}

/// Fails if a call that needs a role is charged to nobody, or if a supervisor's probe has a quota.
#[tokio::test]
async fn every_call_that_needs_a_role_is_charged_to_its_caller_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let most = assent_api::MAX_BATCH;
    let node = node(folder.path(), |config| {
        (config.limits.caller_rate, config.limits.caller_burst) = (1, most);
    })
    .await;
    let routes = routes_of(&node);
    for row in ROUTES.iter().filter(|row| row.method == "GET") {
        let account = Account::Named(row.path.into());
        // All but what the second that this takes gives.
        for _ in 0..most {
            let _ = node.service().admit(account.clone(), of(Role::Auditor).pace());
        }
        let mut shed = 0;
        for _ in 0..10 {
            let mut request = harmless(row.method, row.path, DOMAIN);
            request.extensions_mut().insert(CountedFor(account.clone()));
            // A local caller has every role, so nothing but a quota keeps it out.
            let (_, body) = answer(&routes, Some(Caller::local().clone()), request).await;
            shed += usize::from(body["code"] == "overloaded");
        }
        assert_eq!(shed > 0, row.open != Open::Everyone, "{}", row.path);
    }
    node.shutdown().await;
}

#[test]
fn the_paths_where_no_token_is_looked_at_are_those_of_the_rows_that_are_open_to_everyone() {
    let open: Vec<&str> =
        ROUTES.iter().filter(|row| row.open == Open::Everyone).map(|row| row.path).collect();
    assert_eq!(open, OPEN_TO_EVERYONE);
    let guarded = |path: &str| ROUTES.iter().any(|row| row.path == path && row.open != Open::Everyone);
    assert!(!OPEN_TO_EVERYONE.into_iter().any(guarded), "a caller would lose its rights there");
}

/// A path with `{}` for each part that has a name.
fn without_names(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<&str>>().join("/")
}
