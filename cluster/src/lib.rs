//! The Assent node: Raft adapters, peer transport, use cases, HTTP, runtime environment.
//!
//! [`node::Node`] puts it together. It owns the running system; it never decides whether something may
//! execute (`assent_registry` does) and never touches a socket, file or clock but through the [environment](mod@env).

mod announced_addresses;
pub mod config;
pub mod env;
mod handler;
mod http;
mod introductions;
pub mod key_file;
mod locked;
mod log_throttle;
pub mod metrics;
pub mod node;
pub mod observe;
pub mod peer;
pub mod raft;
pub mod recover;
pub mod tasks;
pub mod usecase;
