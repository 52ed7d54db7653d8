//! Hostile input to real nodes over the wire: each is refused with a code or loses its connection, nothing changes, and an
//! authorize beside it is answered in time. `docs/hostile-input.md` lists every line and its test.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

mod beside;
mod bodies;
mod envelopes;
mod framing;
mod peers;
mod slow;

/// The calls that have a body.
const CALLS: [&str; 8] = [
    "/v1/envelopes",
    "/v1/envelopes:batch",
    "/v1/authorize",
    "/v1/authorize:batch",
    "/v1/permits",
    "/v1/cluster/members",
    "/v1/cluster/leader",
    "/v1/clock/confirm",
];
