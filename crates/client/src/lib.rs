//! Async client of an Assent cluster: submit signed evidence, ask whether something may execute, read the registry.
//!
//! What it owns: the choice of endpoint, deadlines, resending, checking decisions, and the [`Outbox`] that keeps signed
//! bytes safe until their outcome is known. It never signs, never reads a wall clock (the caller gives `now`), and
//! **never turns an error into an allow**: the only way to a [`Decision`] that allows is an answer of 200 that says so,
//! for the request that was asked, still valid, and, where node keys are trusted, signed by one of them.
//!
//! ```no_run
//! # async fn example(request: assent_proof::AuthorizeRequest, now: assent_proof::Millis)
//! # -> Result<(), assent_client::ClientError> {
//! use assent_client::{Client, ClientConfig};
//!
//! let client = Client::new(ClientConfig::new(["http://127.0.0.1:7400", "http://127.0.0.1:7401"]))?;
//! if client.authorize(&request, now).await?.is_allow() {
//!     // run it
//! }
//! # Ok(())
//! # }
//! ```

mod authorize;
mod client;
mod config;
mod decision;
mod error;
mod events;
pub mod load;
mod members;
pub mod outbox;
mod read;
mod submit;
mod transport;

pub use client::Client;
pub use config::ClientConfig;
pub use decision::Decision;
pub use error::ClientError;
pub use events::{EventFollower, EventsFilter, EventsPage};
pub use outbox::{FlushReport, Outbox, OutboxError};
pub use read::LineagePages;
pub use submit::Submitted;
