//! The simulated callers: they govern domains, submit evidence, make statements about other registries, ask, take
//! permits, follow events, and race one another. Sometimes a crowd posts batches beside them.
//!
//! Everything is really signed and goes over HTTP. What was asked and answered is recorded; nothing here judges it.

mod asking;
mod batch;
mod book;
mod client;
mod conflict;
mod crowd;
mod evidence;
mod govern;
mod peer_statements;
mod peers;
mod plan;
mod report;
mod statement;
mod submit;

pub use book::Book;
pub use client::{Client, Shared};
pub(super) use crowd::CROWD;
pub use crowd::comes as a_crowd_comes;
pub use plan::domains;
