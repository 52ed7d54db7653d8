//! A local cluster of real node processes, for development and for the demo.
//!
//! This module owns a directory with keys, the genesis file, node configurations, certificates and tokens, data and
//! `dev.json`, and the processes that it starts. It has no shortcut: its nodes are the same as in production.

mod chaos;
mod genesis;
mod layout;
mod lock;
mod nodes;
mod tls;

pub(crate) use chaos::Chaos;
pub(crate) use layout::Layout;
pub(crate) use lock::Lock;
pub(crate) use nodes::Nodes;
