//! Tests of Assent as a whole: real clusters under faults, simulated clusters, a model of the rules, and the checks
//! that judge histories.
//!
//! [`Cluster`] runs processes of the `assent` binary on loopback, with real sockets, files and signals. It starts,
//! kills, pauses and restarts nodes. [`Evidence`] signs what the tests submit. Every answer is an [`Answer`], which is
//! read from the wire and not through the client under test. This crate owns the processes and the directory that it
//! made, and ends only those. Nothing in the product imports it.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)] // They panic when the reader is gone; `output` does not.

mod answer;
mod binary;
pub mod chaos;
pub mod check;
mod cluster;
mod configuration;
mod dev_process;
/// Shared with the tests of the nodes, which also talk to nodes over HTTP.
#[path = "../../cluster/tests/cluster_support/documented.rs"]
mod documented;
mod error;
mod evidence;
pub mod history;
pub mod ledgers;
pub mod linear;
pub mod model;
pub mod mutants;
mod newcomer;
pub mod output;
mod page;
pub mod parsers;
mod ports;
mod processes;
mod reading;
pub mod sim;
mod table;

pub use answer::Answer;
pub use binary::{binary, build_binary};
pub use cluster::{Cluster, Node};
pub use dev_process::DevProcess;
pub use error::HarnessError;
pub use evidence::{Evidence, Slot, id_of};
pub use newcomer::newcomer_key;
pub use page::{run_page, run_walk};
