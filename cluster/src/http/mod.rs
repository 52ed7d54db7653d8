//! The HTTP API: it reads requests, calls use cases and writes answers. It parses strictly and decides nothing.
//!
//! If the input is malformed, the answer is 400 with the field at fault. An authorize request that could be read is
//! always answered with a decision. hyper serves the connections, with bounds on connections, heads and bodies.
//!
//! `listeners` opens the client port and, if the configuration has them, the admin listener and the health listener. A
//! request passes through `server` (a place, within the bounds of its address in `addresses`), `handshake` (TLS,
//! once the first byte has come, for which `begun` waits), `connection` and `socket` (bytes and deadlines), `front` (the checks of every request; `head` has them, and `caller` says
//! who makes it, within the bounds of `verifications`) and `routes` (on which listener the call answers, and which callers may make it; `audited` puts it into the
//! audit trail) to its route, or to the answer to a call without one (`unrouted`). The routes of the health listener are in `health`.

mod addresses;
mod audited;
mod authorize;
mod begun;
mod body;
mod caller;
mod connection;
mod envelopes;
mod events;
mod front;
mod handshake;
mod head;
mod health;
mod held;
mod judged;
mod listeners;
mod members;
mod read;
mod reply;
mod routes;
mod server;
mod socket;
#[cfg(test)]
mod test_node;
#[cfg(test)]
mod tests;
mod unrouted;
mod verifications;

pub(crate) use listeners::{ListenerKind, NotListening, Serving, serve};
