//! The Assent node: Raft adapters, peer transport, use cases, HTTP, runtime environment.

pub mod env;
pub mod peer;
pub mod raft;
