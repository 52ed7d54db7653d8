//! The HTTP API: it reads requests, calls use cases and writes answers. It parses strictly and decides nothing.
//!
//! If the input is malformed, the answer is 400 with the field at fault. An authorize request that could be read is
//! always answered with a decision. hyper serves the connections, with bounds on connections, heads and bodies.
//!
//! A request passes through `server` (a place), `handshake` (TLS), `connection` and `socket` (bytes and deadlines), and
//! `front` (the checks of every request; `head` has them, and `caller` says who makes it) to its route.

mod authorize;
mod body;
mod caller;
mod connection;
mod envelopes;
mod events;
mod front;
mod handshake;
mod head;
mod held;
mod members;
mod read;
mod reply;
mod server;
mod socket;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};

use assent_proof::Code;

use crate::usecase::Service;
use reply::refused_by_http;

pub(crate) use caller::SureNow;
pub(crate) use server::{Serving, serve};

/// Every endpoint: its path, and the handlers of its methods.
fn routes() -> Vec<(&'static str, MethodRouter<Service>)> {
    vec![
        ("/v1/envelopes", post(envelopes::submit)),
        ("/v1/envelopes:batch", post(envelopes::submit_batch)),
        ("/v1/envelopes/{evidence_id}", get(read::envelope)),
        ("/v1/authorize", post(authorize::one)),
        ("/v1/authorize:batch", post(authorize::batch)),
        ("/v1/permits", post(authorize::permit)),
        ("/v1/lineages/{domain}/{lineage}", get(read::lineage)),
        ("/v1/domains", get(read::domains)),
        ("/v1/authorities", get(read::authorities)),
        ("/v1/authorities/{id}", get(read::authority)),
        ("/v1/policies/{domain}", get(read::policy)),
        ("/v1/events", get(events::events)),
        ("/v1/cluster/status", get(read::status)),
        ("/v1/cluster/digest", get(read::digest)),
        ("/v1/cluster/members", get(members::list).post(members::add)),
        ("/v1/cluster/members/{id}", delete(members::remove).patch(members::update)),
        ("/v1/cluster/members/{id}/promote", post(members::promote)),
        ("/v1/cluster/leader", post(members::transfer)),
        ("/v1/clock/confirm", post(members::confirm_clock)),
        ("/livez", get(read::livez)),
        ("/readyz", get(read::readyz)),
        ("/metrics", get(read::metrics)),
    ]
}

/// The router of all endpoints, with the answers to other paths and methods.
pub(crate) fn router(service: Service) -> Router {
    let mut router = Router::new();
    for (path, route) in routes() {
        router = router.route(path, route.fallback(other_method));
    }
    router
        .fallback(|| async { refused_by_http(Code::TargetUnknown, 404, "there is nothing at this path") })
        .layer(map_response(reply::as_problem))
        .with_state(service)
}

/// The answer to a method that the path does not take. axum lists the methods in `Allow`, including `HEAD`, which
/// every `GET` answers too.
async fn other_method() -> Response {
    let detail = "this path does not take this method; the header `allow` lists those that it takes";
    refused_by_http(Code::Malformed, 405, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for (path, _) in routes() {
            assert!(table.contains(&without_names(path)), "`{path}` is not on the page");
        }
    }

    /// A path with `{}` for each part that has a name.
    fn without_names(path: &str) -> String {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
        parts.collect::<Vec<&str>>().join("/")
    }
}
