//! The HTTP API: bodies in, use cases, bodies out. It parses strictly and decides nothing.
//!
//! Malformed input of any kind is 400 with the field at fault; an authorize that could be read is always
//! answered with a decision. Served through hyper, with a bound on connections, heads and bodies.
//!
//! A request comes through `server` (a place), `connection` and `socket` (bytes and deadlines) and `front` (what every request is
//! looked at for) to its route.

mod authorize;
mod body;
mod connection;
mod envelopes;
mod events;
mod front;
mod members;
mod read;
mod reply;
mod server;
mod socket;

use axum::Router;
use axum::middleware::map_response;
use axum::routing::{MethodRouter, delete, get, post};

use assent_proof::Code;

use crate::usecase::Service;
use reply::problem;

pub(crate) use server::{Serving, serve};

/// Every endpoint.
pub(crate) fn router(service: Service) -> Router {
    Router::new()
        .route("/v1/envelopes", only("POST", post(envelopes::submit)))
        .route("/v1/envelopes:batch", only("POST", post(envelopes::submit_batch)))
        .route("/v1/envelopes/{evidence_id}", only("GET", get(read::envelope)))
        .route("/v1/authorize", only("POST", post(authorize::one)))
        .route("/v1/authorize:batch", only("POST", post(authorize::batch)))
        .route("/v1/permits", only("POST", post(authorize::permit)))
        .route("/v1/lineages/{domain}/{lineage}", only("GET", get(read::lineage)))
        .route("/v1/domains", only("GET", get(read::domains)))
        .route("/v1/authorities", only("GET", get(read::authorities)))
        .route("/v1/authorities/{id}", only("GET", get(read::authority)))
        .route("/v1/policies/{domain}", only("GET", get(read::policy)))
        .route("/v1/events", only("GET", get(events::events)))
        .route("/v1/cluster/status", only("GET", get(read::status)))
        .route("/v1/cluster/digest", only("GET", get(read::digest)))
        .route("/v1/cluster/members", only("GET, POST", get(members::list).post(members::add)))
        .route(
            "/v1/cluster/members/{id}",
            only("DELETE, PATCH", delete(members::remove).patch(members::update)),
        )
        .route("/v1/cluster/members/{id}/promote", only("POST", post(members::promote)))
        .route("/v1/cluster/leader", only("POST", post(members::transfer)))
        .route("/v1/clock/confirm", only("POST", post(members::confirm_clock)))
        .route("/livez", only("GET", get(read::livez)))
        .route("/readyz", only("GET", get(read::readyz)))
        .route("/metrics", only("GET", get(read::metrics)))
        .fallback(|| async { problem(Code::TargetUnknown, 404, "there is nothing at this path") })
        .layer(map_response(reply::as_problem))
        .with_state(service)
}

/// Other methods are told which one there is.
fn only(method: &'static str, route: MethodRouter<Service>) -> MethodRouter<Service> {
    route.fallback(move || async move {
        let mut answer = problem(Code::Malformed, 405, &format!("this path takes {method}"));
        answer.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static(method));
        answer
    })
}
