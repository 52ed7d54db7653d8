//! The Assent node: Raft adapters, peer transport, use cases, HTTP and the runtime environment.
//!
//! [`node::Node`] puts them together. This crate owns the running system. It never decides whether an action may
//! execute, which `assent_registry` does. It touches sockets, files and clocks only through the
//! [environment](mod@env).
#![forbid(unsafe_code)]

pub mod access;
mod announced_addresses;
pub mod audit;
mod client_tls;
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
mod quotas;
pub mod raft;
pub mod recover;
mod shares;
pub mod tasks;
mod tls_files;
mod token_bucket;
pub mod usecase;
mod wall_time;
