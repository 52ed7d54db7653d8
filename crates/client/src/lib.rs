//! Async client of an Assent cluster: submit signed evidence, ask whether something may execute, read the registry.
//!
//! This crate owns the connections to the nodes, plain or over TLS, the choice of endpoint, the sharing of a deadline
//! among the endpoints, resending, checking decisions, and the [`Outbox`] that keeps signed bytes safe until their
//! outcome is known. It never signs, and reads clocks only in its `clock.rs`. It prints no token and no private key, and
//! sends neither over plain HTTP to another machine.
//!
//! It **never turns an error into an allow**. The only way to a [`Decision`] that allows is an answer with the status
//! 200 that says `allow`. The answer must be for the request that was made, must not be over, and must be signed by a
//! node key that the caller trusts. If a permit was asked for, it must have the permit's receipt. A caller that wants
//! to believe unsigned allows must choose [`Trust::Unverified`].
//!
//! ```no_run
//! # async fn example(request: assent_proof::AuthorizeRequest, node_keys: Vec<assent_proof::PublicKey>)
//! # -> Result<(), assent_client::ClientError> {
//! use assent_client::{Client, ClientConfig, Trust};
//!
//! let endpoints = ["http://127.0.0.1:7400", "http://127.0.0.1:7401"];
//! let client = Client::new(ClientConfig::new(endpoints, Trust::keys(node_keys)?))?;
//! let decision = client.authorize(&request).await?;
//! if let Some(allowed) = decision.allowed()
//!     && !allowed.is_over()
//! {
//!     // Run it, and ask again before `allowed.left()` has passed.
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod allowed;
mod answer;
mod answer_shape;
mod attempts;
mod authorize;
mod client;
mod client_tls;
mod clock;
mod config;
mod credentials;
mod decision;
mod endpoint;
mod endpoints;
mod error;
mod events;
mod history;
mod link;
pub mod load;
mod members;
pub mod outbox;
mod permit;
mod read;
mod submit;
mod tls_failure;
mod transport;
mod trust;

pub use allowed::Allowed;
pub use answer_shape::{Spoilt, UnreadDeny, UnreadRefusal};
pub use assent_proof::{Cursor, History};
pub use client::Client;
pub use client_tls::{BearerToken, CertificateFiles, ClientTls, TokenSource};
pub use clock::{Clock, SystemClock};
pub use config::ClientConfig;
pub use decision::Decision;
pub use endpoints::FirstEndpoint;
pub use error::{ClientError, HistoryChange};
pub use events::{EventFollower, EventsFilter, EventsPage};
pub use outbox::{FlushReport, FlushStopped, Outbox, OutboxError};
pub use permit::{MaybeRecorded, PermitEnd, PermitError};
pub use read::LineagePages;
pub use submit::{SubmitError, Submitted};
pub use tls_failure::{Refusing, TlsFailure};
pub use trust::{Trust, TrustedKeys};
