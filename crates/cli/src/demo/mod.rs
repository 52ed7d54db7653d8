//! The story that `assent demo` tells: real nodes, real evidence, real kills.
//!
//! It owns a temporary directory and the processes in it, and removes both. It uses nothing that is not open to users:
//! the nodes are those of `assent dev`, and the demo calls them as any client does.

mod demo_cluster;
mod leaderless;
mod offline;
mod report;
pub(crate) mod steps;

pub(crate) use demo_cluster::DemoCluster;
pub(crate) use report::Report;
