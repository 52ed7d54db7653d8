//! The story that `assent demo` tells: real nodes, real evidence, real kills.
//!
//! It owns a temporary directory and the processes in it, and removes both. It uses nothing that a user could not:
//! the nodes are those of `assent dev`, and it speaks to them as any client does.

mod leaderless;
mod offline;
mod report;
mod stage;
pub(crate) mod story;

pub(crate) use report::Report;
pub(crate) use stage::Stage;
