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
