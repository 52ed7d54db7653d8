//! What the simulated callers do: govern domains, submit evidence, speak of other registries, ask, take permits, follow events,
//! and race one another.
//!
//! Everything is signed for real and goes over HTTP. What was asked and answered is recorded; nothing here judges.

mod asking;
mod book;
mod client;
mod conflict;
mod evidence;
mod govern;
mod peers;
mod plan;
mod report;
mod statement;
mod submit;
mod words;

pub(super) use asking::page;
pub use book::Book;
pub use client::{Client, Shared};
pub use plan::domains;
