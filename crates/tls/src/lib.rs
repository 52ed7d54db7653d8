//! TLS for Assent: the names of nodes and callers, and a small certificate authority.

pub mod ca;
mod spiffe;

pub use spiffe::{NodeName, SpiffeId, SpiffeIdError, TrustDomain};
