//! What the simulated callers do: govern domains, submit evidence, speak of other registries, ask, take permits, follow events,
//! and race one another. Now and then a crowd posts batches beside them.
//!
//! Everything is signed for real and goes over HTTP. What was asked and answered is recorded; nothing here judges.

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
