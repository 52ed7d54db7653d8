//! The HTTP API: it reads requests, calls use cases and writes answers. It parses strictly and decides nothing.
//!
//! If the input is malformed, the answer is 400 with the field at fault. An authorize request that could be read is
//! always answered with a decision. hyper serves the connections, with bounds on connections, heads and bodies.
//!
//! A request passes through `server` (a place; `addresses` counts those of each
//! address), `handshake` (TLS), `connection` and `socket` (bytes and deadlines),
//! `front` (the checks of every request; `head` has them, and `caller` says who makes it) and `routes` (which callers may
//! make the call) to its route.

mod addresses;
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
mod judged;
mod members;
mod read;
mod reply;
mod routes;
mod server;
mod socket;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;

use assent_proof::Code;

use crate::usecase::Service;
use reply::refused_by_http;
use routes::routed;

pub(crate) use server::{Serving, serve};

/// The router of all endpoints, with the answers to other paths and methods.
pub(crate) fn router(service: Service) -> Router {
    routed(&service, |route| route.fallback(other_method))
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
