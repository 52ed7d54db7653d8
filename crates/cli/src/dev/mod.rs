//! A local cluster of real node processes, for development and for the demo.
//!
//! Owns a directory with keys, genesis file, node configurations, data and `dev.json`, and the processes that it
//! starts. It knows no shortcut: the nodes are the ones that anybody runs.

mod chaos;
mod genesis;
mod layout;
mod lock;
mod nodes;

pub(crate) use chaos::Chaos;
pub(crate) use layout::Layout;
pub(crate) use lock::Lock;
pub(crate) use nodes::Nodes;

/// The domain that a development cluster starts with.
pub(crate) const DOMAIN: &str = "dev.local";

/// The roles that have a key of their own, in the order of `dev.json`.
pub(crate) const KEYS: [&str; 9] =
    ["root", "governance", "attestation", "runtime", "orchestration", "gateway", "audit", "registry", "zone"];
